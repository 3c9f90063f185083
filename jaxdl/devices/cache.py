"""Compiled programs kept for the next start, in the user's cache folder.

A command calls `start` once; importing jaxdl changes nothing. JAX reads and writes the entries. It
names each by the program, its options, jaxlib's version and the processor, so that an entry is used
where it fits and nowhere else. An entry is code that will run: the folder belongs to the user
alone.

JAX's own bound (`jax_compilation_cache_max_size`) needs another package, takes a lock for each
program, and looks at every entry before it writes one. Here a start looks at the folder once.
"""

import contextlib
import glob
import os
import re
import stat
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jaxlib
from jax.experimental.compilation_cache import compilation_cache

LIMIT = 1 << 30  # bytes; a stage of the FCN demo leaves 1.2 MB
LEAST_FREE = 64 << 20  # bytes of the disk, without which nothing is kept
LONGEST_WRITE = 60  # seconds; JAX writes an entry in place, and another process may read it then

FOLDER = "jax_compilation_cache_dir"
LEAST_SECONDS = "jax_persistent_cache_min_compile_time_secs"
ENABLED = "jax_enable_compilation_cache"

_PROBLEM = re.compile(
    r"Error (reading|writing) persistent compilation cache entry for '(.*?)': (.*)", re.DOTALL
)


def user_folder() -> Path:
    """``~/.cache/jaxdl``, or ``jaxdl`` in an absolute XDG_CACHE_HOME.

    Raises:
        RuntimeError: the user has no home.
    """
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (named if named.is_absolute() else Path.home() / ".cache") / "jaxdl"


def start(use: bool = True) -> None:
    """Keep compiled programs between runs; before the first compilation of a command.

    If JAX_COMPILATION_CACHE_DIR names a folder, or a program has set one, that folder is used as it
    is. If the user's folder cannot be made, one line says so and the command runs without it.

    Args:
        use: whether to keep programs at all; False stands above the environment.
    """
    if not use:
        jax.config.update(ENABLED, False)
        return
    if getattr(jax.config, FOLDER) is None and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        try:
            top = user_folder()
            folder = top / f"jaxlib-{jaxlib.__version__}"
            for each in (top, folder):
                _open(each)
            shrink(top, LIMIT)
            status = os.statvfs(folder)
            if status.f_bavail * status.f_frsize < LEAST_FREE:
                raise OSError(f"{folder}: the disk is full")
        except (OSError, RuntimeError) as error:
            _tell(f"compiled programs are not kept for the next start ({_reason(error)})")
            return
        jax.config.update(FOLDER, str(folder))
        _watch(folder)
    if LEAST_SECONDS.upper() not in os.environ:
        # JAX leaves out what compiles in less than a second: most of a short run's start.
        jax.config.update(LEAST_SECONDS, 0.0)


def settings() -> dict[str, Any]:
    """This process' settings, for `adopt` in one that it starts."""
    return {name: getattr(jax.config, name) for name in (FOLDER, LEAST_SECONDS, ENABLED)}


def adopt(given: dict[str, Any]) -> None:
    """Keep compiled programs as the process does whose `settings` these are, without a word."""
    for name, value in given.items():
        jax.config.update(name, value)
    if given[FOLDER] is not None and Path(given[FOLDER]).parent == user_folder():
        _watch(Path(given[FOLDER]), tell=False)


def shrink(top: Path, limit: int) -> None:
    """Remove entries until the rest, of all versions together, is at most `limit` bytes.

    Those not used for the longest time go first, as far as the file system notes their use.
    """
    entries = []
    for path in _entries(top):
        with contextlib.suppress(FileNotFoundError):  # another process is at it
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                entries.append((max(status.st_atime, status.st_mtime), status.st_size, path))
    size = sum(entry[1] for entry in entries)
    for _, length, path in sorted(entries):
        if size <= limit:
            break
        path.unlink(missing_ok=True)
        size -= length


def _entries(top: Path) -> Iterator[Path]:
    """Files that JAX wrote: its own of each version, and what XLA keeps of a GPU."""
    for folder in top.glob("jaxlib-*"):
        if folder.is_dir() and not folder.is_symlink():
            yield from folder.glob("*-cache")
            yield from folder.glob("xla_gpu_*/*")


def _open(folder: Path) -> None:
    """Make the folder, for the user alone, or see that it is so: another's entries are his code.

    Raises:
        OSError: it cannot be made, written, or trusted.
    """
    with contextlib.suppress(FileExistsError):
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
    status, link = folder.stat(), folder.lstat()
    if not {status.st_uid, link.st_uid} <= {os.geteuid()}:
        raise OSError(f"{folder}: belongs to another user; set XDG_CACHE_HOME to a folder of yours")
    if not folder.is_dir():
        raise OSError(f"{folder}: is not a folder; move it away")
    if status.st_mode & 0o022:
        raise OSError(f"{folder}: others may write into it; chmod -R go-w it, or delete it")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise OSError(f"{folder}: cannot be written; chmod u+rwx it, or set XDG_CACHE_HOME")


def _watch(folder: Path, tell: bool = True) -> None:
    """Turn JAX's warnings about entries into one line, and remove the entries that they are about.

    JAX continues after either, but never replaces an entry, so a damaged one would stay. A young
    one that cannot be read is most likely still being written: it stays, and nothing is said. After
    an entry that cannot be written (a full disk) nothing more is kept.
    """
    before, told = warnings.showwarning, not tell

    def show(message: Any, *args: Any, **options: Any) -> None:
        nonlocal told
        problem = _PROBLEM.match(str(message))
        if problem is None:
            before(message, *args, **options)
            return
        doing, program, reason = problem.groups()
        removed = False
        for path in folder.glob(f"{glob.escape(program)}-*-cache"):
            with contextlib.suppress(OSError):
                if doing == "writing" or time.time() - path.stat().st_mtime > LONGEST_WRITE:
                    path.unlink()
                    removed = True
        if doing == "writing":
            jax.config.update(ENABLED, False)
            compilation_cache.reset_cache()  # else JAX does not look at the setting again
            text = "no more programs are kept for the next start"
        elif not removed:
            return
        else:
            text = "a damaged program was removed, and is compiled again"
        if not told:
            told = True
            _tell(f"{folder}: {text} ({' '.join(reason.split())})")

    warnings.showwarning = show


def _reason(error: Exception) -> str:
    """What the system or this module says of it, with the file."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _tell(line: str) -> None:
    print(f"remark: {line}; --no-compile-cache leaves the cache out", file=sys.stderr)
