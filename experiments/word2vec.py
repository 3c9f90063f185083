"""``python -m experiments.word2vec``: trains as ``jaxdl word2vec train`` does, with its options."""

import sys

from jaxdl.word2vec.command import command

if __name__ == "__main__":
    words = sys.argv[1:]
    other = words[:1] in [["query"], ["plan"]]
    command(words[0] if other else "train", words[1:] if other else words)
