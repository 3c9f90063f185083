"""One file per system: ours beside its peers in one run and one table."""
