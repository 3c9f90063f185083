"""LSTMs on series."""
