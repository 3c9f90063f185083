"""One process at a time in a folder that is being written."""

import contextlib
import fcntl
from collections.abc import Generator
from pathlib import Path

from jaxdl.errors import InputError


@contextlib.contextmanager
def one_at_a_time(folder: Path) -> Generator[None, None, None]:
    """Hold the folder's lock; the system frees it when the process dies."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}; choose a folder to write into") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
