"""Trained FCNs for other programs: a folder of a model, a card, and an example that runs it."""
