"""Part 6: word2vec and the LSTM with their loops in XLA's command buffers (CUDA graphs), or none.

XLA reads its flags once, and one that it does not know ends the process: so each set is tried on a
CPU first, and measured in processes of their own. This one has no JAX.
"""

import os
import signal
import subprocess
import sys
import time

from benchmarks.gpu.digits import NO_GPU
from benchmarks.gpu.record import Recorder
from benchmarks.process import ROOT
from jaxdl.errors import InputError

ENABLE = "--xla_gpu_enable_command_buffer="
# The first set that this version of XLA knows is taken. Without the smallest size a loop of few
# kernels stays out.
LOOPS = (
    f"{ENABLE}+WHILE,+CONDITIONAL,+DYNAMIC_SLICE_FUSION --xla_gpu_graph_min_graph_size=1",
    f"{ENABLE}+WHILE,+CONDITIONAL --xla_gpu_graph_min_graph_size=1",
    f"{ENABLE}+WHILE --xla_gpu_graph_min_graph_size=1",
    f"{ENABLE}+WHILE",
)
SETS = {"loops in command buffers": LOOPS, "no command buffers": (ENABLE,)}
ASK = "import jax; jax.devices()"


def known(flags: str) -> bool:
    """Whether this XLA starts with these flags."""
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", ASK], env=environment, capture_output=True)
    return done.returncode == 0


def run(recorder: Recorder) -> None:
    """See the module."""
    own = os.environ.get("XLA_FLAGS", "")
    waiting = [(label, module) for label in SETS for module in ("lstm", "word2vec")]
    if recorder.quick:
        waiting = waiting[:1]
    chosen: dict[str, str | None] = {}
    while waiting and recorder.left() > 1:
        label, module = waiting.pop(0)
        if label not in chosen:
            chosen[label] = next(filter(known, SETS[label]), None)
            told = f"XLA_FLAGS={chosen[label]}" if chosen[label] else "this XLA knows no such flags"
            recorder.write(label, "told" if chosen[label] else "skipped", note=told)
        flags = chosen[label]
        if flags is None:
            continue
        limit = recorder.left() / (len(waiting) + 1)
        command = [sys.executable, "-m", "benchmarks.gpu.child", "--part", recorder.part]
        command += ["--module", module, "--rows", str(recorder.rows), "--label", f"{label}: "]
        command += ["--until", str(time.time() + 0.85 * limit)]
        command += ["--quick"] if recorder.quick else []
        environment = os.environ | {"XLA_FLAGS": f"{own} {flags}"}
        try:
            status = subprocess.run(command, cwd=ROOT, env=environment, timeout=limit).returncode
        except subprocess.TimeoutExpired:
            status = -signal.SIGKILL
        if status == 2:
            raise InputError(NO_GPU)
        if status:
            recorder.write(f"{label}: {module}", "failed", note=f"status {status}; see the log")
