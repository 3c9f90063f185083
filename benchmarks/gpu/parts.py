"""The parts, their shares of the time, and how each runs in a process of its own."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.gpu.record import Recorder
from benchmarks.process import ROOT

GRACE = 0.85  # of a part's time it plans with; the rest is for what it has begun


class Part(NamedTuple):
    """One part.

    Attributes:
        name: for --parts, and the module.
        seconds: of four minutes; shares of the time that is left.
        about: what it answers.
    """

    name: str
    seconds: int
    about: str


# In falling value: what a part does not use is for those after it.
PARTS = (
    Part("machine", 30, "versions, driver, doctor, reduction check, matrix product and copy rates"),
    Part("correct", 45, "oracle files in float32, TF32 and float64; mixed batches"),
    Part("fcn", 60, "FCN training and prediction: images/s, memory, share of the roof"),
    Part("word2vec", 22, "word2vec by size of block: words/s, launches"),
    Part("digits", 25, "digits to 97 %, and killed and resumed: the same bits?"),
    Part("lstm", 18, "LSTM sweep of 4 and 32 networks; cuDNN's LSTM"),
    Part("torch_fcn", 25, "PyTorch's FCN on the same device"),
    Part("buffers", 30, "LSTM and word2vec with XLA's command buffers for loops, and without any"),
)


def share(waiting: Sequence[Part], left: float) -> float:
    """Seconds for the first of the waiting parts."""
    return left * waiting[0].seconds / sum(part.seconds for part in waiting)


def run_process(
    command: Sequence[str], recorder: Recorder, log: Path, environment: Mapping[str, str]
) -> int | None:
    """Run to its end, or end it with all that it has started; how it ended badly becomes a row.

    Args:
        command: of the part.
        recorder: of the part; `until` is when it is ended.
        log: what it prints is added there.
        environment: of the process.

    Returns:
        The exit status, minus the signal's number; None if it was ended.
    """
    with log.open("ab") as out:
        start = out.tell()
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            status: int | None = process.wait(timeout=max(0.1, recorder.left()))
        except BaseException as stop:
            end(process)
            if not isinstance(stop, subprocess.TimeoutExpired):
                raise
            status = None
    lines = log.read_bytes()[start:].decode(errors="replace").splitlines()
    last = next((line for line in reversed(lines) if line.strip()), "nothing printed")[:200]
    if status is None:
        recorder.write("part ended", "failed", note=f"its time was over; the last line: {last}")
    elif status < 0:
        name = signal.Signals(-status).name
        recorder.write("part ended", "failed", note=f"by {name}; the last line: {last}")
    elif status not in (0, 2):
        recorder.write("part ended", "failed", note=f"status {status}; the last line: {last}")
    return status


def end(process: subprocess.Popen) -> None:
    """The whole group: a part may have started others."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    # A process that hangs in the driver does not even end when it is killed.
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=5)


def run_part(part: Part, rows: Path, log: Path, seconds: float, quick: bool) -> int | None:
    """See `run_process`."""
    now = time.time()
    recorder = Recorder(part.name, rows, now + seconds, quick)
    command = [sys.executable, "-m", "benchmarks.gpu.child", "--part", part.name]
    command += ["--module", part.name, "--rows", str(rows), "--until", str(now + GRACE * seconds)]
    environment = dict(os.environ)
    if quick:
        command.append("--quick")
    if quick and part.name != "digits":
        # Small programs, run a few times: light optimisation compiles them three times faster. A
        # LeNet's convolutions are hundreds of times slower by it.
        environment.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
    return run_process(command, recorder, log, environment)
