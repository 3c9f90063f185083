"""Part 7, and the end of part 2: digits to 97 %; a run killed and resumed beside a straight one.

The runs are processes of their own, so that one can be killed; this one has no JAX.
"""

import argparse
import importlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu.record import Recorder
from benchmarks.process import ROOT
from jaxdl.errors import InputError

MARK = 0.97  # of the test pictures, as `jaxdl digits --at-least 97` asks
NO_GPU = "no GPU: `python -m jaxdl doctor` says why, --quick runs a small form on a CPU"
EPOCHS, BATCH, PEAK = 15, 64, 0.05


def train(out: Path, epochs: int, save_at: int | None, quick: bool) -> None:
    """Train in `out`, from its checkpoint if there is one; params.npz and result.json at the end.

    Args:
        out: folder.
        epochs: in all.
        save_at: save after so many steps, take three more, and die by SIGKILL.
        quick: a CPU will do.
    """
    begin = time.perf_counter()
    import jax
    import jax.numpy as jnp

    from benchmarks.gpu.planned import start
    from jaxdl.digits import task
    from jaxdl.digits.data import open_digits
    from jaxdl.digits.model import LeNet
    from jaxdl.training import optimizers
    from jaxdl.training.step import TrainState, dense_step, start_state

    device = start(quick)
    data, model = open_digits(None), LeNet(10)
    optimizer = optimizers.momentum_sgd(weight_decay=5e-4)
    step = dense_step(task.picture_loss(model), optimizer, lambda t, f: task.update_metrics(t, *f))
    evaluate = task.make_evaluate(model)
    per_epoch = len(data.train.images) // BATCH
    steps = epochs * per_epoch
    light = {"xla_backend_optimization_level": 0}  # it runs once
    init = jax.jit(model.init, compiler_options=light)
    params = init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))["params"]
    state, totals = start_state(params, optimizer), task.empty_metrics(10)
    first = 0
    manager: Any = None
    checkpoint: Any = None
    if save_at is not None or (out / "checkpoints").is_dir():
        checkpoint = importlib.import_module("jaxdl.training.checkpoint")  # needs Orbax
        opened = checkpoint.open_manager(out / "checkpoints", checkpoint.Score("accuracy"))
        manager = opened.__enter__()
        if manager.latest_step() is not None:
            kept = checkpoint.restore(manager, state._asdict() | {"totals": totals})
            totals = kept.pop("totals")
            state = TrainState(**kept)
            first = int(state.step)
    if manager is None:
        evaluate(state.params, data.test, BATCH)  # compiled before the clock of training starts
    started, curve = time.perf_counter(), []
    batches = task.batches(data.train, BATCH, seed=0, first=first)
    for n in range(first, steps):
        rate = optimizers.learning_rate(n, peak=PEAK, steps=steps, warmup=50, schedule="cosine")
        state, totals, _ = step(state, totals, next(batches), rate)
        done = n + 1
        if checkpoint is not None and done == save_at:
            checkpoint.save(manager, done, state._asdict() | {"totals": totals}, {}, None)
            manager.wait_until_finished()
        if save_at is not None and done == save_at + 3:
            os.kill(os.getpid(), signal.SIGKILL)
        if done % per_epoch == 0 and manager is None:
            accuracy = evaluate(state.params, data.test, BATCH)["accuracy"]
            now = time.perf_counter()
            curve.append([done // per_epoch, accuracy, now - started, now - begin])
    leaves = jax.tree.leaves((state, totals))
    arrays: dict[str, Any] = {str(n): np.asarray(leaf) for n, leaf in enumerate(leaves)}
    np.savez(out / "params.npz", **arrays)
    told = {"curve": curve, "first": first, "steps": steps, "device": device.device_kind}
    (out / "result.json").write_text(json.dumps(told))
    if manager is not None:
        manager.close()


def start(recorder: Recorder, out: Path, *more: str) -> subprocess.Popen:
    """A run in a process of its own."""
    out.mkdir(exist_ok=True)
    environment = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # two share the device
    if recorder.quick:  # compiled once: the full form lets each run compile and choose
        environment["JAX_COMPILATION_CACHE_DIR"] = str(out.parent / "cache")
        environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    epochs = str(1 if recorder.quick else EPOCHS)
    command = [sys.executable, "-m", "benchmarks.gpu.digits", "--out", str(out), "--epochs", epochs]
    command += [*more, *(["--quick"] if recorder.quick else [])]
    return subprocess.Popen(command, cwd=ROOT, env=environment)


def wait(recorder: Recorder, run: subprocess.Popen, what: str) -> int:
    """Its exit status; a run that has no time left is ended."""
    try:
        return run.wait(timeout=max(1.0, recorder.left()))
    except subprocess.TimeoutExpired:
        run.kill()
        run.wait()
        raise TimeoutError(f"{what}: no end within the part's time") from None


def straight(recorder: Recorder, out: Path) -> None:
    """The row of the time to the mark."""
    told = json.loads((out / "result.json").read_text())
    curve = told["curve"]
    what, best = f"digits to {MARK:.0%}", max(accuracy for _, accuracy, _, _ in curve)
    reached = [row for row in curve if row[1] >= MARK]
    if recorder.quick:
        recorder.row("digits, test accuracy after an epoch", "of 1", best)
    elif not reached:
        note = f"{best:.2%} at most in {len(curve)} epochs"
        recorder.write(what, "failed", note=note)
    else:
        epoch, accuracy, trained, whole = reached[0]
        note = f"{accuracy:.2%} after epoch {epoch}; {whole:.1f} s with imports and compilation"
        recorder.row(what, "s of training", trained, note=note, whole=whole)


def run(recorder: Recorder) -> None:
    """See the module."""
    with tempfile.TemporaryDirectory(prefix="jaxdl-digits-") as folder:
        one, two = Path(folder) / "straight", Path(folder) / "killed"
        runs: list[subprocess.Popen] = []
        try:
            orbax, status = importlib.util.find_spec("orbax") is not None, 0
            if orbax:
                runs.append(start(recorder, two, "--save-at", "12" if recorder.quick else "30"))
                if recorder.quick:  # its programs are compiled for the others, too
                    wait(recorder, runs[0], "run to be killed")
            with recorder.case("digits"):
                runs.append(start(recorder, one))
                status = wait(recorder, runs[-1], "straight run")
                if status:
                    raise ChildProcessError(f"the straight run ended with status {status}")
                straight(recorder, one)
            if status == 2:
                raise InputError(NO_GPU)
            if not orbax:
                recorder.skip("digits killed and resumed", "Orbax is not installed")
                return
            with recorder.case("digits killed and resumed"):
                status = wait(recorder, runs[0], "run to be killed")
                if status != -signal.SIGKILL:
                    raise ChildProcessError(
                        f"the run that should be killed ended with status {status}"
                    )
                runs.append(start(recorder, two))
                if status := wait(recorder, runs[-1], "resumed run"):
                    raise ChildProcessError(f"the resumed run ended with status {status}")
                compare(recorder, one, two)
        finally:
            for process in runs:
                if process.poll() is None:
                    process.kill()
                    process.wait()


def compare(recorder: Recorder, one: Path, two: Path) -> None:
    """The row of the largest difference of all arrays."""
    first = json.loads((two / "result.json").read_text())["first"]
    with np.load(one / "params.npz") as a, np.load(two / "params.npz") as b:
        names = [name for name in a.files if a[name].tobytes() != b[name].tobytes()]
        off = max((float(np.abs(a[n].astype(float) - b[n]).max()) for n in names), default=0.0)
        note = f"resumed at step {first}; " + (
            f"{len(names)} of {len(a.files)} arrays differ" if names else "every bit is the same"
        )
    recorder.row("digits killed and resumed", "largest difference", off, note=note, same=not names)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--save-at", type=int)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    try:
        train(args.out, args.epochs, args.save_at, args.quick)
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except Exception:
        traceback.print_exc()
        os._exit(1)  # the checkpoint manager's threads would keep the process
