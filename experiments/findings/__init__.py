"""What the 2016 posts found, measured again: `python -m experiments.findings`."""
