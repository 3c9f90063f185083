"""Which text files a user means: files, folders of them, patterns, pipes and standard input."""

import glob
import hashlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxdl.errors import InputError, writing

STDIN = Path("-")
_TEXTS = frozenset((".txt", ".text", ".gz", ".bz2", ".xz", ".zst", ""))


def text_files(given: Sequence[Path], keep: Path) -> tuple[Path, ...]:
    """The files, in order; those of a folder or a pattern by their names.

    Args:
        given: files, folders, patterns such as ``texts/*.gz``, pipes, or ``-``.
        keep: folder in which what comes through a pipe is kept, under the hash of its content: a
            text is read more than once, and found again on resume.

    Raises:
        InputError: nothing is there, or a folder holds no text.
    """
    found: list[Path] = []
    for path in given:
        if path == STDIN:
            found.append(_kept(sys.stdin.buffer, keep))
        elif path.is_dir():
            inside = sorted(p for p in path.rglob("*") if _is_text(p, path))
            if not inside:
                raise InputError(f"{path}: holds no text file (.txt, .gz, .bz2, .xz, .zst)")
            found += inside
        elif path.is_file():
            found.append(path)
        elif path.exists() and _is_pipe(path):
            with path.open("rb") as file:
                found.append(_kept(file, keep))
        elif matches := sorted(map(Path, glob.glob(str(path), recursive=True))):
            found += [match for match in matches if match.is_file()]
        else:
            raise InputError(f"{path}: there is no such file")
    return tuple(found)


def _is_text(path: Path, below: Path) -> bool:
    inside = path.relative_to(below).parts
    hidden = any(part.startswith((".", "__MACOSX")) for part in inside)
    return path.suffix.lower() in _TEXTS and not hidden and path.is_file()


def _is_pipe(path: Path) -> bool:
    mode = os.stat(path).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def _kept(file: Any, keep: Path) -> Path:
    """A copy of what comes, named by its content."""
    with writing(keep):
        keep.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=keep, prefix=".piped-", delete=False) as copy:
            try:
                shutil.copyfileobj(file, copy)
                copy.flush()
                with open(copy.name, "rb") as written:
                    digest = hashlib.file_digest(written, "sha256").hexdigest()[:16]
                path = keep / f"piped-{digest}.txt"
                os.replace(copy.name, path)
            except BaseException:
                os.unlink(copy.name)
                raise
    return path
