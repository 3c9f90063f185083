"""The commands ``python -m experiments.NAME``, one file each."""
