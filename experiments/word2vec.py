"""``python -m experiments.word2vec``: trains as ``jaxdl word2vec train`` does, with its options."""

import sys

from jaxdl.__main__ import main

if __name__ == "__main__":
    words = sys.argv[1:]
    sys.exit(
        main(["word2vec", *(words if words[:1] in (["query"], ["plan"]) else ["train", *words])])
    )
