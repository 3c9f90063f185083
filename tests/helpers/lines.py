"""``python -m tests.helpers.lines LINE...``: commands of `jaxdl`, one after another in a process.

Most of a small command is the start of a process and of JAX: here they share one. Printed, as JSON:
each line's status, and its errors.
"""

import contextlib
import io
import json
import shlex
import sys
import traceback

from jaxdl.__main__ import main


def run(line: str) -> tuple[int, str]:
    """A command's status, and what it says of it."""
    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        try:
            status = main(shlex.split(line)[1:])
        except SystemExit as end:
            status = int(end.code or 0)
        except Exception:
            status = 1
            traceback.print_exc()
    return status, errors.getvalue()


if __name__ == "__main__":
    print(json.dumps({line: run(line) for line in sys.argv[1:]}))
