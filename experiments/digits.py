"""``python -m experiments.digits``: ``jaxdl digits``."""

import sys

from jaxdl.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["digits", *sys.argv[1:]]))
