"""What a command prints reaches any terminal, file or pipe, or it is said that it does not."""

import contextlib
import os
import sys
from collections.abc import Generator

from jaxdl.errors import FULL, writing


@contextlib.contextmanager
def printing() -> Generator[None]:
    """Print within; a full disk under the standard output is an error that names it.

    A character that the output cannot show (in PYTHONIOENCODING=ascii, or a name that is no UTF-8)
    is printed as its escape.

    Raises:
        TrainingError: the disk is full.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
    except SystemExit:
        _flush()
        raise
    except OSError as error:
        if error.filename is None and error.errno in FULL:
            _flush("\n")  # if it was a print, this fails too, where nothing is held back as well
        raise
    _flush()


def _flush(text: str = "") -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):
            # Python flushes again as it ends, and would say what we say below.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, sys.stdout.fileno())
            os.close(null)
        if not isinstance(error, BrokenPipeError):  # whose reader has what it wanted
            with writing("the standard output"):
                raise error from None
