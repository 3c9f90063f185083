"""One process at a time in a folder that is being written.

The system frees a lock when the process that holds it ends, however it ends: a ``.lock`` file that
is left behind locks nothing.
"""

import contextlib
import fcntl
import os
import shutil
import socket
from collections.abc import Generator
from pathlib import Path
from typing import IO

from jaxdl.errors import InputError, writing
from jaxdl.files.atomic import check_output

LOCK = ".lock"


@contextlib.contextmanager
def one_at_a_time(folder: Path) -> Generator[None, None, None]:
    """Hold the folder's lock; another process waits.

    Raises:
        InputError: the folder cannot be written.
        TrainingError: the disk is full.
    """
    with writing(folder):
        held = _take(folder, fcntl.LOCK_EX)
    with _until_done(folder, held):
        yield


@contextlib.contextmanager
def alone(folder: Path) -> Generator[None, None, None]:
    """Hold the folder's lock; another process is refused. A new folder that stays empty is removed.

    Raises:
        InputError: another process holds the lock, or the folder cannot be written.
        TrainingError: the disk is full.
    """
    new = not folder.exists()
    with writing(folder):
        try:
            held = _take(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            try:
                who = (folder / LOCK).read_text() or "it has just begun"
            except OSError:
                who = "it has just ended"
            raise InputError(
                f"{folder}: another run is at work in this folder ({who}); "
                "wait until it ends, stop it, or name another folder with --out"
            ) from None
    with _until_done(folder, held):
        try:
            yield
        finally:
            if new and folder.is_dir() and {path.name for path in folder.iterdir()} <= {LOCK}:
                with contextlib.suppress(OSError):
                    (folder / LOCK).unlink(missing_ok=True)
                    folder.rmdir()  # not rmtree: something may have come into it since


def _take(folder: Path, how: int) -> IO[bytes]:
    """The lock's file, locked; the folder is made if missing."""
    path = folder / LOCK
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        check_output(path)  # to open a pipe would wait, and a link would lose what it leads to
        try:
            how_open = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
            held = os.fdopen(os.open(path, how_open, 0o666), "ab", buffering=0)
        except FileNotFoundError:  # the one before us removed the folder as it ended
            continue
        try:
            fcntl.flock(held, how)
            # The one before us removes the file as it ends: then ours is no longer the lock.
            if os.path.samestat(path.stat(), os.fstat(held.fileno())):
                break
        except FileNotFoundError:
            pass
        except OSError:
            held.close()
            raise
        held.close()
    with contextlib.suppress(OSError):  # on a full disk the lock does without a name
        held.truncate(0)
        held.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
    return held


@contextlib.contextmanager
def _until_done(folder: Path, held: IO[bytes]) -> Generator[None, None, None]:
    with held:
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                (folder / LOCK).unlink(missing_ok=True)


def sweep(folder: Path, pattern: str) -> None:
    """Remove what killed processes left under temporary names; call it with the lock held."""
    for path in folder.glob(pattern):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()
