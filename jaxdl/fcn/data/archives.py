"""Files of a data set, read from a folder or from inside a tar that is never unpacked.

A tar's md5 is checked once and remembered; a gzipped tar is written uncompressed once.
"""

import contextlib
import gzip
import hashlib
import json
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from jaxdl.errors import InputError, TrainingError
from jaxdl.files.atomic import write_bytes
from jaxdl.files.limits import check_unpacked, read_bytes
from jaxdl.files.locks import one_at_a_time
from jaxdl.files.text import reason, show

RESTORE = "restore the file from the original archive"
CHECKED = "jaxdl-md5.json"  # file of the passed md5 checks: path -> size, mtime_ns, md5
MOST = 1 << 28  # bytes of one file: a picture, a label, a list
_HEADER = 1 << 14  # bytes of a tar's longest header; tarfile needs their square of time
_LISTED = 1 << 29  # bytes of memory for a tar's list of members: some two million


@dataclass(frozen=True, slots=True)
class Folder:
    """Files below a folder, by relative posix name."""

    root: Path

    def name(self, rel: str) -> str:
        return str(self.root / rel)

    def has(self, rel: str) -> bool:
        try:
            return (self.root / rel).is_file()
        except OSError:  # a name that is too long
            return False

    def read(self, rel: str) -> bytes:
        try:
            return read_bytes(self.root / rel, MOST)
        except OSError as error:
            raise InputError(f"{self.name(rel)}: {error.strerror}; {RESTORE}") from error

    def stamp(self, rel: str) -> str:
        stat = (self.root / rel).stat()
        return f"{stat.st_size}-{stat.st_mtime_ns}"

    def names(self, folder: str) -> list[str]:
        return sorted(p.name for p in (self.root / folder).iterdir() if p.is_file())


@dataclass(frozen=True, slots=True)
class Tar:
    """Members of an uncompressed tar, by name relative to the data's root inside it.

    Holds offsets and no open file, so it can be pickled and read from many threads.
    """

    path: Path
    prefix: str
    members: Mapping[str, tuple[int, int]]  # name -> (offset, size)
    archive_stamp: str

    def name(self, rel: str) -> str:
        return f"{self.path}:{self.prefix}{rel}"

    def has(self, rel: str) -> bool:
        return rel in self.members

    def read(self, rel: str) -> bytes:
        if rel not in self.members:
            raise InputError(f"{self.name(rel)}: no such file in the archive; download it again")
        offset, size = self.members[rel]
        if size > MOST:
            raise InputError(f"{self.name(rel)}: more than {MOST >> 20} MiB; download it again")
        with self.path.open("rb") as file:
            file.seek(offset)
            data = file.read(size)
        if len(data) != size:
            raise InputError(f"{self.name(rel)}: the archive is cut short; download it again")
        return data

    def stamp(self, rel: str) -> str:
        return self.archive_stamp

    def names(self, folder: str) -> list[str]:
        paths = map(PurePosixPath, self.members)
        return sorted(p.name for p in paths if p.parent == PurePosixPath(folder))


def open_files(
    path: Path,
    md5: str | tuple[str, ...] | None,
    cache_dir: Path | None,
    marker: str,
    below: tuple[str, ...],
    advice: str,
) -> Folder | Tar:
    """The folder or tar at `path`, rooted where the folder `marker` is.

    A folder is looked for at `path` and at the patterns `below` it. `md5` (several: any of them)
    is for a tar alone; None skips the check. `cache_dir` (default: the tar's folder) keeps passed
    checks and the plain copy of a gzipped tar. `advice` ends the message if no data is there.
    """
    if path.is_dir():
        places = [path, *(found for pattern in below for found in sorted(path.glob(pattern)))]
        return Folder(Path(_root([str(p) for p in places if (p / marker).is_dir()], path, advice)))
    if not path.is_file():
        raise InputError(f"{path}: no such folder or archive; {advice}")
    cache_dir = cache_dir or path.parent
    if md5 is None:
        stamp = "{}-{}".format(*_size_and_time(path))
    else:
        stamp = _check_md5(path, (md5,) if isinstance(md5, str) else md5, cache_dir / CHECKED)
    plain = _uncompressed(path, cache_dir, stamp)
    spans = _spans(plain, path)
    places = [
        name[: f"/{name}".find(f"/{marker}/")] for name in spans if f"/{marker}/" in f"/{name}"
    ]
    root = _root(places, path, advice)
    inside = {n[len(root) :]: span for n, span in spans.items() if n.startswith(root)}
    return Tar(plain, root, inside, stamp)


class _Headers:
    """A tar's file for `tarfile`, which reads whatever size a header claims into memory."""

    def __init__(self, file: BinaryIO) -> None:
        self.seek, self.tell, self._file = file.seek, file.tell, file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)


def _spans(plain: Path, path: Path) -> dict[str, tuple[int, int]]:
    """Offset and size of each regular file in a tar. Links and devices are no files here.

    Names are looked up and never written to, but one that leads out of the archive is refused.
    """
    spans, cost = {}, 0
    try:
        with plain.open("rb") as file:
            with tarfile.open(fileobj=cast(BinaryIO, _Headers(file)), mode="r:") as tar:
                while (member := tar.next()) is not None:
                    vars(tar)["members"].clear()  # else it keeps them all
                    name = member.name.removeprefix("./")
                    if name.startswith("/") or ".." in PurePosixPath(name).parts:
                        raise tarfile.ReadError(f"its member {show(name)} leads out of it")
                    cost += 250 + len(name)
                    if member.size < 0 or cost > _LISTED:
                        raise tarfile.ReadError("too many members, or one of a negative size")
                    if member.isreg() and not member.issparse():
                        spans[name] = member.offset_data, member.size
                end = tar.offset
            file.seek(end)
            if file.read(512) != bytes(512):  # tarfile takes a damaged header for the end
                raise tarfile.ReadError(f"no header and no end at byte {end}")
    # Bad headers reach the parsers of numbers and text in tarfile, which raise many types.
    except Exception as error:
        why = reason(error)
        raise InputError(f"{path}: not a readable tar ({why}); download it again") from error
    return spans


def _root(places: Sequence[str], path: Path, advice: str) -> str:
    """The one place the data is at: `path` itself or VOC2012 if it is among several."""
    found = sorted(set(places))
    best = [p for p in found if p == str(path)] or [p for p in found if Path(p).name == "VOC2012"]
    if len(best or found) != 1:
        shown = ", ".join(found[:4]) if all(map(str.isprintable, found)) else len(found)
        what = f"several data sets ({shown}): pass one" if found else "no data set here"
        raise InputError(f"{path}: {what}; {advice}")
    return (best or found)[0]


def _check_md5(path: Path, expected: tuple[str, ...], memory: Path) -> str:
    """The file's md5, one of `expected`; read from `memory` if the file is as it was then."""
    key, before = str(path.resolve()), _size_and_time(path)
    known = _remembered(memory).get(key)
    for md5 in expected:
        if known == [*before, md5]:
            return md5
    with path.open("rb") as file:
        got = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if got not in expected:
        raise InputError(
            f"{path}: its md5 is {got}, not {' or '.join(expected)}; download it again, "
            "or pass the md5 that you trust"
        )
    if _size_and_time(path) == before:  # else it changed while it was read
        _remember(memory, key, [*before, got])
    return got


def _size_and_time(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _remembered(memory: Path) -> dict[str, Any]:
    try:
        found = json.loads(memory.read_bytes())
    except (
        OSError,
        ValueError,
        RecursionError,
    ):  # none yet, or damaged: then the check is made again
        return {}
    return found if isinstance(found, dict) else {}


def _remember(memory: Path, key: str, entry: list[int | str]) -> None:
    """Add to `memory` by renaming a finished file; do nothing if the folder cannot be written."""
    with contextlib.suppress(InputError, TrainingError), one_at_a_time(memory.parent):
        known = json.dumps(_remembered(memory) | {key: entry}, indent=1)
        write_bytes(memory, f"{known}\n".encode())


def _uncompressed(path: Path, cache_dir: Path, stamp: str) -> Path:
    """`path`, or of a gzip a plain copy in `cache_dir`: each seek in a gzip rereads it all."""
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return path
    plain = cache_dir / f"{path.name}.{stamp}.tar"
    if plain.is_file():
        return plain
    # One name for all calls, so that a file left by a killed process is overwritten.
    part = plain.with_suffix(".part")
    with one_at_a_time(cache_dir):
        if plain.is_file():  # another process may have unpacked it while we waited
            return plain
        try:
            stat = path.stat()
            with gzip.open(path) as packed, part.open("wb") as file:
                while block := packed.read(1 << 20):
                    file.write(block)
                    check_unpacked(path, stat.st_size, file.tell())
            part.replace(plain)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(
                f"{path}: cannot be unpacked to {plain} ({reason(error)}); download it again, or "
                "choose another cache_dir"
            ) from error
        finally:
            part.unlink(missing_ok=True)
    return plain
