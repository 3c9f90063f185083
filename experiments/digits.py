"""``python -m experiments.digits``: ``jaxdl digits``; see `jaxdl.digits.command`."""

import sys

from jaxdl.digits.command import command

if __name__ == "__main__":
    command("digits", sys.argv[1:])
