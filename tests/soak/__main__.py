"""``make soak``: every experiment is killed 20 times and ends as a run that nothing interrupted.

    python -m tests.soak                     all four, two at once, within 15 minutes
    python -m tests.soak --only fcn --kills 5 --seed 7

Each experiment runs in processes of its own, word2vec with its second one. SIGKILL, or a signal to
the whole group, comes at moments drawn from the seed: while the process starts, in training, and as
a checkpoint is being written. Now and then a byte of the
newest checkpoint is flipped as well. At the end parameters, metrics, figures and files are compared
with those of a straight run, bit for bit; clocks and paths are left out. Then SIGTERM, once each.
"""

import concurrent.futures
import contextlib
import dataclasses
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro

from jaxdl.training import checkpoint
from jaxdl.training.record import read_summary
from jaxdl.training.run_folder import read_rows
from tests.helpers import processes

SAVING = "*.orbax-checkpoint-tmp*"
TERM_SECONDS = 10  # that a run has to save and leave
# How a run is ended: the signal, and whether its second process gets it too.
WAYS = (
    (signal.SIGKILL, False),
    (signal.SIGKILL, False),
    (signal.SIGKILL, True),
    (signal.SIGTERM, True),
    (signal.SIGHUP, True),
    (signal.SIGINT, True),
)
# Name -> Python's words, arguments, and text of the line that training begins after.
CASES: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "digits": (("-m", "jaxdl", "digits"), ("--epochs", "40", "--batch-size", "128"), "to train on"),
    "lstm_sine": (
        ("-m", "jaxdl", "lstm", "train"),
        (
            *("--hidden", "2", "4", "--seeds", "2", "--steps", "3000", "--log-every", "2"),
            *("--batch-size", "8"),
        ),
        "in one program",
    ),
    "word2vec": (
        processes.TWO_PROCESSES,
        (
            *("--data", "{shared}/text.txt", "--data-dir", "{shared}/data", "--dim", "16"),
            *(
                "--epochs",
                "40",
                "--logs-per-epoch",
                "2",
                "--held-out",
                "500",
                "--save-seconds",
                "0",
            ),
        ),
        "an epoch after subsampling",
    ),
    "fcn": (
        ("-m", "jaxdl", "fcn", "train"),
        (
            *(
                "--preset",
                "demo",
                "--scenes",
                "12",
                "4",
                "--width-divisor",
                "32",
                "--batch-size",
                "4",
            ),
            *("--epochs", "6", "--canvases", "1", "--samples", "2", "--warmup", "2"),
            *("--data-dir", "{shared}/data"),
        ),
        "canvases",
    ),
}


class Failed(Exception):
    """What a run did that it must not do."""


@dataclasses.dataclass
class Told:
    """The figures of one experiment."""

    kills: int = 0
    mid_save: int = 0  # kills that left a half-written checkpoint
    damaged: int = 0  # checkpoints of which a byte was flipped
    runs: int = 0  # that were compared with the straight one
    term_seconds: float = 0.0


class Process:
    """A run of an experiment; its output is read by a thread."""

    def __init__(self, name: str, out: Path, shared: Path) -> None:
        words, arguments, self.begins = CASES[name]
        options = [argument.format(shared=shared) for argument in arguments]
        self.out, self.lines, self.training = out, [], threading.Event()
        self.process = subprocess.Popen(
            [sys.executable, *words, *options, "--out", str(out)],
            cwd=processes.ROOT,
            env=processes.environment(""),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if self.begins in line:
                self.training.set()
        self.training.set()

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.reader.join()

    def end(self, seconds: float) -> int:
        """The exit status, within so many seconds."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.out.name}: no end within {seconds:.0f} s") from None
        self.reader.join()
        return status

    def text(self) -> str:
        return "".join(self.lines[-15:])


def checkpoints(out: Path) -> list[Path]:
    return [p for p in (out / "checkpoints", *sorted(out.glob("*/checkpoints"))) if p.is_dir()]


def kill(run: Process, draw: random.Random, length: float, left: float) -> bool:
    """End the run at a drawn moment, in a drawn way; False if it ended by itself before."""
    moment, give_up = draw.random(), time.monotonic() + left
    number, whole_group = draw.choice(WAYS)
    if moment < 0.15:  # imports, data, compilation; Python's own start takes no signals
        time.sleep(draw.uniform(0 if number == signal.SIGKILL else 0.5, 4))
    else:
        run.training.wait(left)
        if moment < 0.55:
            time.sleep(draw.uniform(0, length / 6))
        else:  # the n-th save from here on
            seen: set[Path] = set()
            saves, wait = draw.randint(1, 4), draw.uniform(0, 0.06)
            while len(seen) < saves and run.process.poll() is None:
                seen |= {path for folder in checkpoints(run.out) for path in folder.glob(SAVING)}
                if time.monotonic() > give_up:
                    break
                time.sleep(0.001)
            time.sleep(wait)
    killed = number == signal.SIGKILL
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if whole_group else os.kill)(run.process.pid, number)
    status = run.end(left if killed else TERM_SECONDS)
    if status not in (0, -number if killed else 128 + number) or "Traceback" in run.text():
        raise Failed(f"{number.name}, status {status}:\n{run.text()}")
    return status != 0


def flip(out: Path, draw: random.Random) -> bool:
    """Flip a bit of the newest step somewhere; not of the only one of its folder."""
    folders = [folder for folder in checkpoints(out) if len(checkpoint.steps(folder)) > 1]
    if not folders:
        return False
    newest = folders[-1] / str(checkpoint.steps(folders[-1])[-1])
    path = draw.choice(sorted(p for p in newest.rglob("*") if p.is_file()))
    content = bytearray(path.read_bytes())
    if content:
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
    return bool(content)


def without_clock(tree: Any) -> Any:
    """A JSON tree without the entries that are times and speeds."""
    if isinstance(tree, dict):
        kept = {k: v for k, v in tree.items() if not k.endswith(("seconds", "_per_s"))}
        return {k: without_clock(v) for k, v in kept.items()}
    return [without_clock(v) for v in tree] if isinstance(tree, list) else tree


def compare(out: Path, straight: Path) -> None:
    """Raise `Failed` at the first thing in which the two finished runs differ."""

    def say_no(line: str) -> None:
        raise Failed(f"{out.name}: a finished run has a damaged checkpoint: {line}")

    for folder in checkpoints(straight):
        inner = folder.relative_to(straight)
        ours, theirs = (checkpoint.load_params(p, say=say_no) for p in (out / inner, folder))
        same = jax.tree.map(np.array_equal, ours[0], theirs[0])
        told = [(meta | {"run": ""}, step) for _, meta, step in (ours, theirs)]
        if not all(jax.tree.leaves(same)) or told[0] != told[1]:
            raise Failed(f"{out.name}/{inner}: other parameters than the straight run's")
    for path in sorted(p for p in straight.rglob("*") if p.is_file()):
        inner = path.relative_to(straight)
        other = out / inner
        if {"checkpoints", "tensorboard"} & set(inner.parts) or path.suffix == ".html":
            continue
        if not other.is_file():
            raise Failed(f"{out.name}/{inner}: is missing")
        if path.name == "metrics.jsonl":
            same = without_clock(read_rows(other)) == without_clock(read_rows(path))
        elif path.name == "summary.json":
            ours, theirs = (read_summary(p.parent) for p in (other, path))
            same = without_clock(ours) == without_clock(theirs)
        elif path.name in ("run.json", "transfer.json"):  # versions, argv, paths
            same = True
        else:
            same = other.read_bytes() == path.read_bytes()
        if not same:
            raise Failed(f"{out.name}/{inner}: differs from the straight run's")
    left = [p for p in out.rglob("*") if p.name.endswith(".tmp") or p.match(SAVING)]
    if left:
        raise Failed(f"{left[0]}: was left behind")


def soak(name: str, folder: Path, kills: int, seed: int, deadline: float) -> Told:
    """All of one experiment."""
    draw, told, shared = random.Random(f"{seed} {name}"), Told(), folder / "shared"

    def left() -> float:
        seconds = deadline - time.monotonic()
        if seconds <= 0:
            raise Failed(f"the time is up after {told.kills} of {kills} kills")
        return seconds

    def finish(out: Path) -> float:
        """Run to the end; seconds from the beginning of the training."""
        with Process(name, out, shared) as run:
            run.training.wait(left())
            began = time.monotonic()
            if status := run.end(left()):
                raise Failed(f"{out.name}: status {status}:\n{run.text()}")
            return time.monotonic() - began

    straight = folder / f"{name}-straight"
    length = finish(straight)
    while told.kills < kills:
        out = folder / f"{name}-{told.runs}"
        for _ in range(kills - told.kills):
            with Process(name, out, shared) as run:
                if not kill(run, draw, length, left()):
                    break
            told.kills += 1
            told.mid_save += any(list(f.glob(SAVING)) for f in checkpoints(out))
            if draw.random() < 0.15:
                told.damaged += flip(out, draw)
        finish(out)
        compare(out, straight)
        shutil.rmtree(out)
        told.runs += 1
    out = folder / f"{name}-term"
    with Process(name, out, shared) as run:
        while not any(re.search(r"(epoch|step) \d", line) for line in run.lines):
            if run.process.poll() is not None or not left():
                break
            time.sleep(0.01)
        asked = time.monotonic()
        run.process.send_signal(signal.SIGTERM)
        status = run.end(left())
        told.term_seconds = time.monotonic() - asked
    if status != 128 + signal.SIGTERM or told.term_seconds > TERM_SECONDS:
        raise Failed(f"SIGTERM: status {status} after {told.term_seconds:.1f} s:\n{run.text()}")
    finish(out)
    compare(out, straight)
    return told


def main(
    only: tuple[str, ...] = tuple(CASES),
    kills: int = 20,
    seed: int = 0,
    minutes: float = 15.0,
    jobs: int = 2,
) -> None:
    """Kill and compare.

    Args:
        only: experiments.
        kills: of each.
        seed: of the moments.
        minutes: after these it fails.
        jobs: experiments at once.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "shared").mkdir()
        # Each program is compiled once: most of a run that starts again is compilation.
        os.environ["JAXDL_TEST_CACHE"] = str(folder / "compiled")
        words = random.Random(0)
        letters = "abcdefghijklmnopqrst"
        lines = (" ".join(t + words.choice(letters) for _ in range(12)) for t in "ab" * 2000)
        (folder / "shared" / "text.txt").write_text("\n".join(lines))
        failed = False
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            deadline = began + 60 * minutes
            started = {
                pool.submit(soak, name, folder, kills, seed, deadline): name for name in only
            }
            for done in concurrent.futures.as_completed(started):
                name, seconds = started[done], time.monotonic() - began
                try:
                    print(f"{name}: sound after {seconds:.0f} s, {done.result()}", flush=True)
                except Failed as error:
                    failed = True
                    print(f"{name}: FAILED after {seconds:.0f} s: {error}", flush=True)
    print(f"{time.monotonic() - began:.0f} s, seed {seed}")
    sys.exit(failed)


if __name__ == "__main__":
    tyro.cli(main, prog="python -m tests.soak")
