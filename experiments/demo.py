"""``python -m experiments.demo``: ``jaxdl demo``."""

import sys

from jaxdl.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["demo", *sys.argv[1:]]))
