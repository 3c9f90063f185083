"""A process that has imported what runs import, and is forked into one for each line of its input.

    python -m tests.faults.server CORE

Imports are a third to a half of a tiny run's time, and none of them writes. A request is a JSON
object: "words" after `jaxdl`, "cores" to run on, "seconds" it may take, "strace": its options
(empty: not traced) and "log": its file. The answer is one too: "pid", "errors" (standard error),
and "status" as `subprocess` has it, or null if there was no end. JAX starts its threads later, in
the run itself.
"""

import importlib
import json
import os
import select
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MODULES = (
    *(f"jaxdl.{name}.train" for name in ("fcn", "word2vec", "lstm", "digits")),
    *(f"jaxdl.{name}.command" for name in ("fcn", "word2vec", "lstm", "digits")),
    # Those that these import late.
    *("jaxdl.fcn.data.tfds_builder", "tensorflow_datasets.core", "grain", "tensorboardX"),
    *("matplotlib.figure", "matplotlib.backends.backend_svg", "matplotlib.backends.backend_agg"),
)
_PTRACER, _ANY = 0x59616D61, -1  # prctl: strace, which is no parent of the run, may trace it


def become(request: dict[str, Any], go: int, errors: int) -> None:
    """This process, just forked, is the run's: what `python -m jaxdl` finds when it begins."""
    import ctypes

    os.setsid()
    os.sched_setaffinity(0, request["cores"])
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number, own in enumerate((nowhere, nowhere, errors)):
        os.dup2(own, number)
    ctypes.CDLL(None).prctl(_PTRACER, ctypes.c_ulong(_ANY), 0, 0, 0)
    os.read(go, 1)
    sys.argv = ["jaxdl", *request["words"]]


def _traced(pid: int) -> bool:
    return "TracerPid:\t0" not in Path(f"/proc/{pid}/status").read_text()


def attend(pid: int, request: dict[str, Any], go: int, errors: int, written: int) -> dict[str, Any]:
    """Trace the run if that is asked for, let it go, and wait until all its processes ended."""
    tracer = None
    if request["strace"]:
        words = [word.replace("PID", str(pid)) for word in request["strace"]]
        # fmt: off
        own = ("strace", "-f", "-qqq", "-y", "-e", "signal=none", "-o", request["log"])
        # fmt: on
        tracer = subprocess.Popen([*own, *words, "-p", str(pid)], stderr=written)
        while tracer.poll() is None and not _traced(pid):
            time.sleep(0.002)
    os.close(written)
    os.write(go, b"-")
    text, end, ended = b"", time.monotonic() + request["seconds"], False
    while not ended and select.select([errors], [], [], max(0.0, end - time.monotonic()))[0]:
        block = os.read(errors, 1 << 16)
        text, ended = text + block, not block
    if not ended:
        os.killpg(pid, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if tracer is not None:
        tracer.wait()
    return {"pid": pid, "status": status if ended else None, "errors": text.decode()}


def serve(core: int) -> bool:
    """Answer requests; True in a process that is a run."""
    os.sched_setaffinity(0, {core})
    for name in MODULES:
        importlib.import_module(name)
    from jaxdl.word2vec import dataset

    dataset.LONG_RUN = 0  # a second process for any text, however short
    for line in sys.stdin:
        request = json.loads(line)
        (wait, go), (errors, written) = os.pipe(), os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # JAX warns of forks
            pid = os.fork()
        if pid == 0:
            become(request, wait, written)
            return True
        answer = attend(pid, request, go, errors, written)
        for number in (wait, go, errors):
            os.close(number)
        print(json.dumps(answer), flush=True)
    return False


def main(words: Sequence[str]) -> int:
    """Serve; in a run's process, be the command."""
    if not serve(int(words[0])):
        return 0
    from jaxdl.__main__ import main as command

    return command()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
