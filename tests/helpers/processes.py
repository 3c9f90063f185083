"""Experiments in processes of their own, as their users run them; and disks that are full."""

import atexit
import functools
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
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
# jaxlib 0.11 has it no more, and XLA ends a process whose flag it does not know.
HAS_OLDER = int(metadata.version("jaxlib").split(".")[1]) < 11
OLDER = "--xla_cpu_use_fusion_emitters=false" if HAS_OLDER else ""
QUICK = f"--xla_backend_optimization_level=0 {OLDER}".strip()


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
        "JAX_TRACEBACK_IN_LOCATIONS_LIMIT": "0",
        # Of an entry that another process is writing.
        "PYTHONWARNINGS": "ignore:Error reading persistent compilation cache entry",
    }
    return {**kept, **cache, "PYTHONUNBUFFERED": "1"}


@functools.cache
def _server() -> socket.socket:
    """Where `tests.helpers.warm` takes requests; it ends with the process that asks."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", "tests.helpers.warm", str(its.fileno())]
    its.set_inheritable(True)
    home = os.getcwd()
    os.chdir(ROOT)
    given = environment()
    given.pop("JAX_NUM_CPU_DEVICES", None)  # of the test that asks first
    os.posix_spawn(command[0], command, given)
    os.chdir(home)
    its.close()
    atexit.register(ours.close)
    return ours


class Warm:
    """A process of the server, as if by ``python -m module arguments``.

    Attributes:
        pid: its number.
        stdout: what it prints.
        returncode: its status, after `communicate`; of a signal minus its number.
    """

    seconds = 0.0  # of a core, by all that have ended

    def __init__(
        self,
        module: str,
        *arguments: str,
        flags: str = OLDER,
        at: tuple[str, int] | None = None,
        devices: int | None = None,
        folder: Path = ROOT,
    ) -> None:
        """Start it in the folder, on so many devices; a signal comes at a line with `at`'s text."""
        name, *words = module.split()
        request = {"module": name, "arguments": [*words, *arguments], "at": at}
        request["folder"] = str(folder)
        given = environment(flags)
        if devices is not None:
            given["JAX_NUM_CPU_DEVICES"] = str(devices)
        content = json.dumps(request | {"environment": given}).encode()
        reads, writes = zip(os.pipe(), os.pipe(), strict=True)
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # `communicate` closes it
        socket.send_fds(_server(), [content], [writes[0], self._errors.fileno(), writes[1]])
        for number in writes:
            os.close(number)
        self.stdout, self._told = (os.fdopen(number) for number in reads)
        self.pid = int(self._told.readline())

    def communicate(self, timeout: float = 600) -> tuple[str, str]:
        """What it still prints, and all of its errors, when it has ended; killed after seconds."""
        late = threading.Timer(timeout, os.kill, (self.pid, signal.SIGKILL))
        with self.stdout, self._told, self._errors:
            late.start()
            output, (status, seconds) = self.stdout.read(), self._told.readline().split()
            late.cancel()
            self._errors.seek(0)
            errors = self._errors.read()
        self.returncode = int(status)
        Warm.seconds += float(seconds)
        return output, errors


def finish(
    module: str, *arguments: str, flags: str = OLDER, fresh: bool = False, folder: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """``python -m module arguments`` in a folder, to its end; the module may have words after it.

    A fresh process imports everything itself, with another seed of Python's hashes: straight runs,
    which others are compared with to the bit, are fresh.
    """
    if fresh:
        return subprocess.run(
            [sys.executable, "-m", *module.split(), *arguments],
            cwd=folder,
            env=environment(flags) | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
    process = Warm(module, *arguments, flags=flags, folder=folder)
    output, errors = process.communicate()
    return subprocess.CompletedProcess(module, process.returncode, output, errors)


def stop_at(
    module: str, line: str, number: int, *arguments: str, flags: str = OLDER
) -> tuple[int, str]:
    """Start it; the signal comes when a line of its output has that text; status and errors.

    At once: what the line tells of is not saved yet, and the save before it has at least begun.
    """
    process = Warm(module, *arguments, flags=flags, at=(line, number))
    _, errors = process.communicate()
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
