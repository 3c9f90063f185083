"""``python -m experiments.fcn``: trains as ``jaxdl fcn train`` does, with its options."""

import sys

from jaxdl.__main__ import main

if __name__ == "__main__":
    words = sys.argv[1:]
    sys.exit(main(["fcn", *(words if words[:1] in (["predict"], ["plan"]) else ["train", *words])]))
