"""Models: thin linen modules over plain functions."""
