"""Compiled programs that a test run leaves to the next.

A run compiles into a folder of its own: processes that tests kill leave entries half-written there.
When it ends it keeps those that are whole. JAX names an entry by the program, its options and
jaxlib's version, and so takes it only where it would compile the same. Entries are linked, not
copied: JAX writes to none that exists, and to delete 8,000 copies takes some disks 15 seconds.
"""

import contextlib
import functools
import hashlib
import os
import platform
import shutil
from pathlib import Path

import jax
import jaxlib
from jax._src.compilation_cache import decompress_executable
from jax._src.interpreters import mlir

LIMIT = 512 << 20  # bytes; a run of all tests makes about 75 MB


def folder(top: Path) -> Path:
    """Where programs of this jaxlib for this processor are kept."""
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text()
        flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
        processor = hashlib.sha256(flags.encode()).hexdigest()[:8]
        return top / f"jaxlib-{jaxlib.__version__}-{processor}"
    return top / f"jaxlib-{jaxlib.__version__}-{platform.machine()}"


def take(kept: Path, own: Path) -> None:
    """What is kept, in a run's own folder too."""
    for path in kept.glob("*-cache"):
        with contextlib.suppress(FileNotFoundError):  # another run makes room
            share(path, own / path.name)


def share(path: Path, other: Path) -> None:
    try:
        other.hardlink_to(path)
    except OSError:  # another disk, or one without links
        shutil.copyfile(path, other)


def keep(own: Path, kept: Path, limit: int = LIMIT) -> None:
    """Keep a run's new entries that are whole; the oldest make room, of all versions together."""
    with contextlib.suppress(OSError):  # a full disk: the next run compiles again
        kept.mkdir(parents=True, exist_ok=True)
        for path in own.glob("*-cache"):
            if not (kept / path.name).exists() and whole(path.read_bytes()):
                part = kept / f"{os.getpid()}.part"
                share(path, part)
                part.replace(kept / path.name)
        files = [(p.stat().st_mtime, p.stat().st_size, p) for p in kept.parent.glob("*/*")]
        size = sum(length for _, length, _ in files)
        for _, length, path in sorted(files):
            if size <= limit:
                break
            path.unlink(missing_ok=True)
            size -= length


def whole(content: bytes) -> bool:
    try:
        decompress_executable(content)
    except Exception:  # of zlib, zstandard or compression.zstd, whichever JAX uses
        return False
    return True


def trace_cheaply() -> None:
    """Programs are lowered without what no test reads; it took a quarter of the tests' time.

    JAX makes an MLIR context for each program (3 ms, and it stays in memory): here one serves all.
    Each operation would name ten lines of source that led to it.
    """
    mlir.make_ir_context = functools.cache(mlir.make_ir_context)
    jax.config.update("jax_traceback_in_locations_limit", 0)
