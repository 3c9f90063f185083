"""Experiments in processes of their own, as their users run them; and disks that are full."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Python's words for `jaxdl word2vec train`, with a second process for any text, however short.
TWO_PROCESSES = (
    "-c",
    "import sys; from jaxdl.__main__ import main; from jaxdl.word2vec import dataset;"
    "dataset.LONG_RUN = 0; sys.argv[1:1] = ['word2vec', 'train']; sys.exit(main())",
)
# Most of a small program's time is compilation. XLA's older code for fusions on CPUs takes half of
# the time, and its programs run as fast. Without LLVM's work it is a sixth, but convolutions then
# run 20 times slower: for programs that run a few times.
OLDER = "--xla_cpu_use_fusion_emitters=false"
QUICK = f"--xla_backend_optimization_level=0 {OLDER}"


def environment(flags: str = OLDER) -> dict[str, str]:
    """Of a process on the CPU that a test starts. Output is not held back in a pipe.

    Programs are compiled once for all processes of a test run: most of a tiny run is compilation.

    Args:
        flags: of its compiler; empty is as at a user's.
    """
    kept = {**os.environ, "XLA_FLAGS": flags}
    cache = {
        "JAX_COMPILATION_CACHE_DIR": os.environ["JAXDL_TEST_CACHE"],  # of tests/conftest.py
        "JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES": "none",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    return {**kept, **cache, "PYTHONUNBUFFERED": "1"}


def finish(module: str, *arguments: str, flags: str = OLDER) -> subprocess.CompletedProcess[str]:
    """``python -m module arguments`` to its end; the module may have words after it."""
    return subprocess.run(
        [sys.executable, "-m", *module.split(), *arguments],
        cwd=ROOT,
        env=environment(flags),
        capture_output=True,
        text=True,
        check=False,
    )


def stop_at(
    module: str, line: str, number: int, *arguments: str, flags: str = OLDER
) -> tuple[int, str]:
    """Start it, send the signal when a line of its output has that text; status and errors."""
    with subprocess.Popen(
        [sys.executable, "-m", *module.split(), *arguments],
        cwd=ROOT,
        env=environment(flags),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for text in process.stdout:
            if line in text:
                process.send_signal(number)
                break
        _, errors = process.communicate(timeout=120)
    return process.returncode, errors


@contextmanager
def full_after(size: int) -> Iterator[None]:
    """Files end at `size`: the system refuses what comes after, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
