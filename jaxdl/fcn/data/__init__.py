"""Images and labels: sources, decoding, records, batches."""
