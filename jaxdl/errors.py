"""The exceptions that a user is meant to read: each message is one line, and names the remedy.

Command lines print the message alone, without a traceback, and exit with `exit_status`.
"""

import contextlib
import errno
import signal
from collections.abc import Generator
from pathlib import Path


class InputError(ValueError):
    """Bad input: the message names the file, the value and the remedy. Exit status 2."""


class TrainingError(RuntimeError):
    """Training cannot continue: a loss that is not finite, or a full disk. Exit status 3."""


class Skipped(Exception):
    """All was done but for some inputs, which were named. Exit status 4."""


class Stopped(Exception):
    """A signal asked to stop, and the state was saved. Exit status 128 + its number.

    Attributes:
        number: of the signal; another process of the run may have got it.
    """

    number: int = signal.SIGTERM


EXIT_STATUS = {InputError: 2, TrainingError: 3, Skipped: 4}


def exit_status(error: InputError | TrainingError | Skipped | Stopped) -> int:
    """The status that a command exits with after such an error."""
    if isinstance(error, Stopped):
        return 128 + error.number
    return next(status for kind, status in EXIT_STATUS.items() if isinstance(error, kind))


# Of a full disk, a full quota, and a limit on the size of files.
FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
# Of a place that this user may not use, or that no system would: always a fault of what was typed.
BARRED = frozenset((errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP))


@contextlib.contextmanager
def writing(path: Path | str) -> Generator[None]:
    """Turn what the system says of a file or folder that cannot be written into one line.

    Raises:
        TrainingError: the disk is full; it may have room later, so the work is only stopped.
        InputError: any other reason; the folder is a bad choice.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            advice = "free some space and run the same command to resume"
            raise TrainingError(
                f"{path}: cannot be written ({error.strerror}); {advice}"
            ) from error
        raise InputError(
            f"{path}: cannot be written ({error.strerror}); choose another folder"
        ) from error
