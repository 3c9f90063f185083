"""Files that appear whole or not at all, and that replace nothing but a regular file."""

import contextlib
import os
import stat
from collections.abc import Generator, Iterable
from io import BufferedWriter
from pathlib import Path

from jaxdl.errors import InputError, writing

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_output(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Refuse a place for an output before the work for it begins; an old result there is no fault.

    Args:
        path: where the output goes.
        inputs: files that are read for it.

    Raises:
        InputError: there is something that is not a regular file, or it is one of the inputs, by
            whatever name.
    """
    if path.name in ("", ".."):
        raise InputError(f"{str(path)!r}: is no name of a file; name one")
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):  # the latter is told by who makes the folder
        return
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; choose another folder") from error
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "a special file")
        raise InputError(f"{path}: is {kind}, which no output replaces; name a file")
    for other in inputs:
        with contextlib.suppress(OSError):
            if os.path.samestat(found, other.stat()):
                raise InputError(f"{path}: is an input, which its output would replace; rename one")


@contextlib.contextmanager
def whole_file(path: Path) -> Generator[BufferedWriter]:
    """A new file to write into: it gets its name, its content on the disk, when the block ends.

    A reader sees the old content or the new, never a part. The folder is made if missing.

    Raises:
        TrainingError: the disk is full.
        InputError: as `check_output`, or the file cannot be written for another reason.
    """
    check_output(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole; raises as `whole_file`."""
    with whole_file(path) as file:
        file.write(content)
