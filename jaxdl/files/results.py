"""Results that a command writes where its user says: it replaces its own earlier ones, no others.

A file `.jaxdl-results` beside them has a line for each: which command wrote it, its name, and the
sha256 of its content. What is not on the list, or was changed since, is never replaced.
"""

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Collection, Generator, Iterable
from io import BufferedWriter
from pathlib import Path

from jaxdl.errors import InputError, writing
from jaxdl.files.atomic import as_json, check_output, whole_file
from jaxdl.files.limits import read_bytes

RECORD = ".jaxdl-results"
_MOST = 1 << 26  # bytes of a record; a longer one is not read, so nothing is replaced
_Line = tuple[str, str, str]  # command, name (empty: the folder itself), sha256


def _recorded(folder: Path) -> set[_Line]:
    """What the folder's record says; nothing if it is none."""
    record, found = folder / RECORD, set()
    with contextlib.suppress(OSError, InputError):
        if record.is_file() and not record.is_symlink():
            for line in read_bytes(record, _MOST).splitlines():
                with contextlib.suppress(ValueError, RecursionError, TypeError):
                    command, name, sha256 = map(str, json.loads(line))
                    found.add((command, name, sha256))
    return found


def _record(folder: Path, line: _Line) -> None:
    check_output(folder / RECORD)  # to open a pipe would wait
    with (folder / RECORD).open("ab") as file:
        file.write(f"{json.dumps(line)}\n".encode())  # as one write: another command may add too


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name another file") from error


class Results:
    """The results of one command; each appears whole or not at all."""

    def __init__(self, command: str, inputs: Iterable[Path] = ()) -> None:
        """The results of `command`, such as "jaxdl lstm predict", none of which is an input."""
        self.command, self.inputs = command, list(inputs)
        self._known: dict[Path, set[_Line]] = {}

    def check(self, path: Path) -> None:
        """Refuse a place for a result, before the work for it begins.

        Raises:
            InputError: as `check_output`; there is a file that this command did not write, or one
                that was changed since; the place is among the files of a run.
        """
        check_output(path, self.inputs)
        _check_writable(path)
        folder = path.parent
        if folder not in self._known:
            self._known[folder] = _recorded(folder)
            _check_runs(path, ours=bool(self._known[folder]))
        there = False
        with contextlib.suppress(OSError):
            there = path.is_file()
        if there and (self.command, path.name, _sha256(path)) not in self._known[folder]:
            raise InputError(
                f"{path}: is no result of {self.command}, or was changed since, and would be "
                "replaced; move it away, or name another file"
            )

    @contextlib.contextmanager
    def file(self, path: Path) -> Generator[BufferedWriter]:
        """A result to write into, as `whole_file`; raises as it and `check`."""
        self.check(path)

        def note(part: Path) -> None:
            line = (self.command, path.name, _sha256(part))
            if line not in self._known[path.parent]:
                _record(path.parent, line)
                self._known[path.parent].add(line)

        with whole_file(path, before=note) as file:
            yield file

    def write(self, path: Path, content: bytes) -> None:
        """Write a result; raises as `file`."""
        with self.file(path) as file:
            file.write(content)

    def write_json(self, path: Path, obj: object) -> None:
        """Write a result as `jaxdl.files.atomic.write_json` does; raises as `file`."""
        self.write(path, as_json(obj))


def _check_writable(path: Path) -> None:
    """InputError if the folder of a result cannot be written, or not be made."""
    place = next(p for p in path.absolute().parents if os.path.lexists(p))
    user = {"effective_ids": True} if os.access in os.supports_effective_ids else {}
    number = 0
    if not place.is_dir():
        number = errno.ENOTDIR
    elif not os.access(place, os.W_OK | os.X_OK, **user):
        number = errno.EROFS if os.statvfs(place).f_flag & os.ST_RDONLY else errno.EACCES
    if number:
        with writing(path):
            raise OSError(number, os.strerror(number))


def _check_runs(path: Path, *, ours: bool) -> None:
    """InputError for a place in a run's folder, but in a folder of results in it (`ours`)."""
    folder = Path(os.path.realpath(path.parent))
    for run in (folder, *folder.parents):
        with contextlib.suppress(OSError):
            if not (run / "run.json").is_file():
                continue
            if folder == run or (not ours and folder.is_dir() and any(folder.iterdir())):
                raise InputError(
                    f"{path}: would lie among the files of the run {run}; name a place elsewhere, "
                    "or in a new folder"
                )


def work_folder(path: Path, command: str, names: Collection[str] = ()) -> None:
    """Make a folder that `command` may do with as it likes: new, empty, or its own from before.

    Args:
        path: the folder.
        command: such as "benchmarks.fcn".
        names: of the files that it writes; others do not matter. Empty for any.

    Raises:
        InputError: it holds what the command did not make, or cannot be written.
        TrainingError: the disk is full.
    """
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
        line = (command, "", "")
        if line not in _recorded(path):
            others = sorted(p.name for p in path.iterdir() if not names or p.name in names)
            if others:
                raise InputError(
                    f"{path}: holds {others[0]}, which {command} did not make; name a new or empty "
                    "folder"
                )
            _record(path, line)
