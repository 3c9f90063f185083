"""``python -m experiments.lstm_sine``: trains as ``jaxdl lstm train`` does, with its options."""

import sys

from jaxdl.lstm.command import command

if __name__ == "__main__":
    words = sys.argv[1:]
    other = words[:1] in [["predict"], ["plan"]]
    command(words[0] if other else "train", words[1:] if other else words)
