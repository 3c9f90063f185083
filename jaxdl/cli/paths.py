"""Paths that a command takes: each is looked at before any work, whatever it is for."""

import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxdl.cli.options import numbers, options_of
from jaxdl.errors import InputError
from jaxdl.files.atomic import kind_of
from jaxdl.files.text import reason


def check_path(name: str, path: Path, pipes: bool = False) -> None:
    """Refuse a path that the system does not take, or that this user cannot reach.

    That nothing is there is no fault: an output is yet to be made.

    Args:
        name: of the option, for the message.
        path: the path.
        pipes: what a pipe gives is read once, and kept.

    Raises:
        InputError: a folder on the way that cannot be entered, a name that is too long, a loop of
            links, or bytes that are no UTF-8, which Orbax and TFDS do not take. Or a pipe or device
            is there: inputs are read more than once, and outputs replaced.
    """
    try:
        str(path).encode()
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    except UnicodeEncodeError as error:
        advice = "rename it"
        if sys.getfilesystemencoding() != "utf-8":
            advice = "set PYTHONUTF8=1, or LC_ALL=C.UTF-8"
        raise InputError(f"{name} {path}: is no name in UTF-8; {advice}") from error
    except (OSError, ValueError) as error:  # the latter of a NUL, as a saved config may have
        raise InputError(f"{name} {path}: {reason(error)}; name another path") from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or (pipes and not stat.S_ISBLK(mode))):
        advice = "name a file or folder; what a program writes, put into a file first"
        raise InputError(f"{name} {path}: is {kind_of(mode)}; {advice}")


def check_paths(config: Any, pipes: Sequence[str] = ()) -> None:
    """`check_path` for every path among a command's options; those named may be pipes."""
    for option in options_of(type(config)):
        if option.kind is Path:
            for path in numbers(option.value(config)):
                shown = option.name.upper() if option.positional else option.flag
                check_path(shown, path, option.name in pipes)
