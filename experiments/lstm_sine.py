"""``python -m experiments.lstm_sine``: trains as ``jaxdl lstm train`` does, with its options."""

import sys

from jaxdl.__main__ import main

if __name__ == "__main__":
    words = sys.argv[1:]
    sys.exit(
        main(["lstm", *(words if words[:1] in (["predict"], ["plan"]) else ["train", *words])])
    )
