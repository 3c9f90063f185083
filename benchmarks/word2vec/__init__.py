"""word2vec beside gensim."""
