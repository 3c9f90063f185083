"""Data: from files to arrays."""
