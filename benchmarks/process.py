"""Run a command and measure it: its status, start, seconds, CPU seconds and peak memory.

The command is the child of a small process that this file is too (standard library alone): Linux
counts what the parent held as the child's peak, and a benchmark holds more than some peers.
"""

import contextlib
import ctypes
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

_KIB = 1 if sys.platform == "darwin" else 1024  # unit of ru_maxrss in bytes

# They choose OpenBLAS's kernels by hand, and can halve NumPy's speed; a peer gets its own choice.
_HAND_CHOICE = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


class Measured(NamedTuple):
    """A finished process; `started` in seconds since 1970, `peak_mb` in 1e6 bytes.

    `cpu_s` are the user's and the system's seconds of it and of the processes that it started.
    """

    status: int  # negative: the signal that ended it
    started: float
    seconds: float
    cpu_s: float
    peak_mb: float


ROOT = Path(__file__).resolve().parents[1]


def measure(command: Sequence[str | Path], log: Path, environment: Mapping[str, str]) -> Measured:
    """Run the command in the project's folder to its end; what it prints goes to `log`.

    The peak is that of the command, or of a process that it started if that had a higher one.
    A program that cannot be started raises OSError.
    """
    launcher = [sys.executable, "-S", __file__, *map(str, (log.absolute(), *command))]
    done = subprocess.run(launcher, env=environment, stdout=subprocess.PIPE, cwd=ROOT)
    if done.returncode:
        raise OSError(f"{command[0]}: cannot be started")
    return Measured(*json.loads(done.stdout))


def own_choice(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment, without a choice of OpenBLAS's kernels if it makes one."""
    return {name: value for name, value in environment.items() if name not in _HAND_CHOICE}


def own_peak_mb() -> float:
    """The highest resident memory of this process so far, in 1e6 bytes."""
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB / 1e6
    with open("/proc/self/status") as status:  # getrusage would count what the parent held
        return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) * 1024e-6


def forget_peak() -> None:
    """Give free memory back and start `own_peak_mb` again (Linux): the start does not count."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
        with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
            file.write("5")


def _launch(log: str, command: Sequence[str]) -> Measured:
    with open(log, "wb") as out:
        started, clock = time.time(), time.perf_counter()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - clock
    child.returncode = os.waitstatus_to_exitcode(status)  # it was waited for here
    cpu = usage.ru_utime + usage.ru_stime
    return Measured(child.returncode, started, seconds, cpu, usage.ru_maxrss * _KIB / 1e6)


if __name__ == "__main__":
    print(json.dumps(_launch(sys.argv[1], sys.argv[2:])))
