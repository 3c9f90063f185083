"""Compiled programs that a test run leaves to the next.

A run compiles into a folder of its own: processes that tests kill leave entries half-written there.
When it ends it keeps those that are whole. JAX names an entry by the program, its options and
jaxlib's version, and so takes it only where it would compile the same.
"""

import contextlib
import hashlib
import os
import platform
import shutil
from pathlib import Path

import jaxlib
from jax._src.compilation_cache import decompress_executable

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
    """Copy what is kept into a run's own folder."""
    for path in kept.glob("*-cache"):
        with contextlib.suppress(FileNotFoundError):  # another run makes room
            shutil.copyfile(path, own / path.name)


def keep(own: Path, kept: Path, limit: int = LIMIT) -> None:
    """Keep a run's new entries that are whole; the oldest make room, of all versions together."""
    with contextlib.suppress(OSError):  # a full disk: the next run compiles again
        kept.mkdir(parents=True, exist_ok=True)
        for path in own.glob("*-cache"):
            if not (kept / path.name).exists() and whole(content := path.read_bytes()):
                part = kept / f"{os.getpid()}.part"
                part.write_bytes(content)
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
