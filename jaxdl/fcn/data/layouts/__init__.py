"""Layouts of data sets on a disk: each file finds the pairs of one, and returns a `Source`."""
