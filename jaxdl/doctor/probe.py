"""Other programs, run under a time limit; and jax among them, asked for its devices and a sum.

jax is never imported here: a broken install can end the process that imports it.
"""

import json
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# Run by its path: jaxdl may not be installed.
SUM = Path(__file__).parents[1] / "devices/arithmetic.py"
# Of jax's stderr: frames, what joins tracebacks, remarks of XLA's logger, and the line that says
# no more than that there is an error above it.
NOISE = re.compile(
    r"\s|Traceback|During handling of|The above exception|I\d{4} |WARNING: All log messages before"
    r"|.*An NVIDIA GPU may be present on this machine"
)
# The plugin loads its libraries when jax looks for devices, so their versions are asked after.
PROBE = """
import importlib, json, runpy, sys, traceback
failed = False
try:
    import jax
    found = jax.devices()
    devices = [[str(d), d.device_kind] for d in found]
    print(json.dumps({"platform": found[0].platform, "devices": devices}), flush=True)
except Exception:
    traceback.print_exc()
    failed = True
for cuda in (12, 13):
    try:
        ask = importlib.import_module(f"jax_cuda{cuda}_plugin._versions")
    except ImportError:
        continue
    versions = {}
    for name in ("cuda_runtime", "cudnn", "cufft", "cupti", "cublas", "cusparse"):
        try:
            value = getattr(ask, name + "_get_version")()
        except Exception as error:
            value = str(error) or type(error).__name__
        versions[name] = [value, getattr(ask, name + "_build_version")()]
    print(json.dumps({"versions": versions}), flush=True)
if not failed:
    try:
        wrong = runpy.run_path(sys.argv[1])["wrong_rows"]()
    except Exception as error:
        wrong = str(error).partition("\\n")[0] or type(error).__name__
    print(json.dumps({"wrong_rows": wrong}), flush=True)
sys.exit(failed)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How a program ended."""

    code: int | None
    """Exit status, minus the signal's number, or None for no end within the time limit."""
    out: str
    err: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What jax said in a process of its own."""

    code: int | None
    """As in `Answer`."""
    platform: str
    """gpu, cpu, or empty if jax did not start."""
    devices: tuple[tuple[str, str], ...]
    """(cuda:0, NVIDIA A10G)."""
    versions: dict[str, tuple[int | str, int]]
    """CUDA library -> its version or why it is unknown, the one jax was built with."""
    wrong_rows: dict[str, int] | str | None
    """What `arithmetic.wrong_rows` found, or why it could not; None: unknown."""
    err: str
    """Its messages, without the frames of tracebacks."""


NOT_ASKED = Probe(code=0, platform="", devices=(), versions={}, wrong_rows=None, err="")


def answer(command: Sequence[str], environ: Mapping[str, str], timeout: float) -> Answer:
    """Run a program; with all that it has started, it is ended at the time limit."""
    try:
        process = subprocess.Popen(
            command,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        return Answer(code=127, out="", err=str(error))
    try:
        out, err = process.communicate(timeout=timeout)
    except BaseException as stop:
        # The whole group: a child that lives on would keep the pipes open.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if not isinstance(stop, subprocess.TimeoutExpired):
            raise
        out = err = ""
        # A program that hangs in the driver does not even end when it is killed.
        with suppress(subprocess.TimeoutExpired):
            out, err = process.communicate(timeout=5)
        return Answer(code=None, out=out, err=err)
    return Answer(code=process.returncode, out=out, err=err)


def probe(python: str, environ: Mapping[str, str], timeout: float) -> Probe:
    """Ask jax, in a process of its own, for its devices and the versions it has loaded."""
    # Else the probe would take the memory of the GPU, beside a training that needs it.
    environ = {**environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    said = answer([python, "-P", "-c", PROBE, str(SUM)], environ, timeout)
    told: dict = {}
    for line in said.out.splitlines():
        if line.startswith("{") and line.endswith("}"):
            told |= json.loads(line)
    # A traceback's frames are indented; what an exception says is not.
    # XLA lists all its flags behind the one that it refuses.
    told_err = said.err.partition("\nusage: ")[0].splitlines()
    err = [line for line in told_err if line.strip() and not NOISE.match(line)]
    return Probe(
        code=said.code,
        platform=told.get("platform", ""),
        devices=tuple((device, kind) for device, kind in told.get("devices", ())),
        versions={
            name: (found, built) for name, (found, built) in told.get("versions", {}).items()
        },
        wrong_rows=told.get("wrong_rows"),
        err="\n".join(err)[-1500:],
    )
