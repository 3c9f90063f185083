"""``python -m experiments.fcn``: trains as ``jaxdl fcn train`` does, with its options."""

import sys

from jaxdl.fcn.command import command

if __name__ == "__main__":
    words = sys.argv[1:]
    other = words[:1] in [["predict"], ["plan"]]
    command(words[0] if other else "train", words[1:] if other else words)
