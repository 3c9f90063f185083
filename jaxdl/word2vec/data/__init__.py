"""Text: tokens, vocabulary, corpus."""
