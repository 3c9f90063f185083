"""Files of a data set, read from a folder or from inside a tar that is never unpacked.

A tar's md5 is checked once and remembered; a gzipped tar is written uncompressed once.
"""

import contextlib
import gzip
import hashlib
import json
import shutil
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from jaxdl.data.locks import one_at_a_time
from jaxdl.errors import InputError

RESTORE = "restore the file from the original archive"
CHECKED = "jaxdl-md5.json"  # file of the passed md5 checks: path -> size, mtime_ns, md5


@dataclass(frozen=True, slots=True)
class Folder:
    """Files below a folder, by relative posix name."""

    root: Path

    def name(self, rel: str) -> str:
        return str(self.root / rel)

    def has(self, rel: str) -> bool:
        return (self.root / rel).is_file()

    def read(self, rel: str) -> bytes:
        try:
            return (self.root / rel).read_bytes()
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
    try:
        with tarfile.open(plain, "r:") as tar:
            spans = {m.name.removeprefix("./"): (m.offset_data, m.size) for m in tar if m.isreg()}
    except (tarfile.TarError, OSError) as error:
        raise InputError(f"{path}: not a readable tar ({error}); download it again") from error
    places = [
        name[: f"/{name}".find(f"/{marker}/")] for name in spans if f"/{marker}/" in f"/{name}"
    ]
    root = _root(places, path, advice)
    inside = {n[len(root) :]: span for n, span in spans.items() if n.startswith(root)}
    return Tar(plain, root, inside, stamp)


def _root(places: Sequence[str], path: Path, advice: str) -> str:
    """The one place the data is at: `path` itself or VOC2012 if it is among several."""
    found = sorted(set(places))
    best = [p for p in found if p == str(path)] or [p for p in found if Path(p).name == "VOC2012"]
    if len(best or found) != 1:
        what = f"several data sets ({', '.join(found)}): pass one" if found else "no data set here"
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
    except (OSError, ValueError):  # none yet, or damaged: then the check is made again
        return {}
    return found if isinstance(found, dict) else {}


def _remember(memory: Path, key: str, entry: list[int | str]) -> None:
    """Add to `memory` by renaming a finished file; do nothing if the folder cannot be written."""
    part = memory.with_suffix(".part")
    with contextlib.suppress(OSError, InputError), one_at_a_time(memory.parent):
        try:
            part.write_text(json.dumps(_remembered(memory) | {key: entry}, indent=1) + "\n")
            part.replace(memory)
        finally:
            part.unlink(missing_ok=True)


def _uncompressed(path: Path, cache_dir: Path, stamp: str) -> Path:
    """`path`, or of a gzip a plain copy in `cache_dir`: each seek in a gzip rereads it all."""
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return path
    plain = cache_dir / f"{path.name}.{stamp}.tar"
    if plain.is_file():
        return plain
    # One name for all calls, so that what a killed one left is written over.
    part = plain.with_suffix(".part")
    with one_at_a_time(cache_dir):
        if plain.is_file():  # another process may have unpacked it while we waited
            return plain
        try:
            with gzip.open(path) as packed, part.open("wb") as file:
                shutil.copyfileobj(packed, file, 1 << 20)
            part.replace(plain)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(
                f"{path}: cannot be unpacked to {plain} ({error}); download it again, or choose "
                "another cache_dir"
            ) from error
        finally:
            part.unlink(missing_ok=True)
    return plain
