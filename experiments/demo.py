"""``python -m experiments.demo``: ``jaxdl demo``; see `jaxdl.demo`."""

import sys

from jaxdl.demo import command

if __name__ == "__main__":
    command("demo", sys.argv[1:])
