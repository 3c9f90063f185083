"""Files that appear whole or not at all, and that replace nothing but a regular file."""

import contextlib
import json
import math
import os
import stat
from collections.abc import Callable, Generator, Iterable, Mapping
from io import BufferedWriter
from pathlib import Path
from typing import Any

from jaxdl.errors import InputError, writing

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def kind_of(mode: int) -> str:
    """What a thing that is no regular file is, in words, by its `st_mode`."""
    return _KINDS.get(stat.S_IFMT(mode), "a special file")


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
    except (FileNotFoundError, NotADirectoryError):  # making the folder reports the latter
        return
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; choose another folder") from error
    if not stat.S_ISREG(found.st_mode):
        kind = kind_of(found.st_mode)
        raise InputError(f"{path}: is {kind}, which no output replaces; name a file")
    for other in inputs:
        with contextlib.suppress(OSError):
            if os.path.samestat(found, other.stat()):
                raise InputError(f"{path}: is an input, which its output would replace; rename one")


def _temporary(path: Path) -> Path:
    """A name beside `path` that `locks.sweep` knows; not longer than a system takes."""
    own = os.fsdecode(os.fsencode(path.name)[:200])
    return path.with_name(f".{own}.{os.getpid()}.tmp")


@contextlib.contextmanager
def whole_file(
    path: Path, before: Callable[[Path], None] | None = None
) -> Generator[BufferedWriter]:
    """A new file to write into: it gets its name, its content on the disk, when the block ends.

    A reader sees the old content or the new, never a part. The folder is made if missing.

    Args:
        path: the file.
        before: is called with the finished file's temporary path before it gets its name.

    Raises:
        TrainingError: the disk is full.
        InputError: as `check_output`, or the file cannot be written for another reason.
    """
    check_output(path)
    temporary = _temporary(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.unlink(missing_ok=True)  # of a killed process; or a link that somebody laid
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if before is not None:
                before(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole; raises as `whole_file`."""
    with whole_file(path) as file:
        file.write(content)


def plain(value: Any) -> Any:
    """A value as JSON knows it: arrays and tuples to lists, NaN and infinities to None.

    Paths become strings; anything else that JSON lacks is left for `json` to refuse (TypeError).
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy and jax arrays and scalars
        return plain(value.tolist())
    return value


def as_json(obj: Any) -> bytes:
    """`plain(obj)` as indented JSON. Bytes of a name that are no UTF-8 become JSON's escapes."""
    text = json.dumps(plain(obj), indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode(errors="backslashreplace")


def write_json(path: Path, obj: Any) -> None:
    """Write `as_json(obj)`, atomically."""
    write_bytes(path, as_json(obj))


def read_json(path: Path) -> Any:
    """The content of a JSON file; InputError if there is none, or if it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON ({error})") from error
