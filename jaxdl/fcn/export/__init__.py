"""Trained networks in formats of others."""
