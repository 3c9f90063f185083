"""``make faults``: each way in which a run writes fails once, by a full disk and by a kill.

    python -m tests.faults                       all, two at once, within 30 minutes
    python -m tests.faults --only lstm --faults 10 --seed 7

It needs strace 5 or newer (``apt-get install strace``), which acts on the calls to the system
of all threads and processes, those of Orbax's C++ writers too. A tiny run is listed twice; each
distinct pair of (call, kind of file) is a fault. Then the run is made once for each: the call fails
with ENOSPC, or a kill comes in its place. The same command, run again, must end as a run that
nothing met, bit for bit, or refuse in one line.

How a call is met: strace counts calls for each thread, so a number alone would meet another one
each time. Where the file's name is the same in both listings (the process's number aside), calls
are met by name (``-P``), and the number counts those alone. Names that are made up (TensorStore's
data, TensorBoard's events) are met by the number that fits most threads of the listings. strace's
own log then says what was met, and the table has that.

Each subject has a core of its own, and a process that has imported all; it is forked into each run
(`tests.faults.server`), and strace is attached to that. So nothing fails while Python imports.
"""

import concurrent.futures
import contextlib
import json
import os
import queue
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import tyro

from jaxdl.training.opening import ASIDE, MOVING
from jaxdl.training.steps import steps
from tests.faults.calls import CALLS, Call, aims, listed, met
from tests.helpers import processes
from tests.soak.__main__ import Failed, compare

SECONDS = 120  # that a run may take
# Name -> words after `jaxdl`; each trains through two checkpoints or more.
CASES: dict[str, str] = {
    "fcn": "fcn train --preset demo --stages 32 16 --scenes 4 2 --width-divisor 32 --batch-size 2 "
    "--epochs 1 --canvases 1 --samples 1 --warmup 1 --data-dir {data}",
    "word2vec": "word2vec train --data {text} --data-dir {data} --dim 8 --epochs 2 "
    "--logs-per-epoch 1 --held-out 200 --block 256 --save-seconds 0",
    "lstm": "lstm train --hidden 2 4 --seeds 1 --steps 100 --log-every 4 --batch-size 8",
    "digits": "digits --epochs 2 --batch-size 512",
    # Over a finished run with another seed.
    "overwrite": "lstm train --hidden 2 --seeds 1 --steps 100 --log-every 4 --batch-size 8 "
    "--overwrite",
}
OLD = "overwrite"  # the subject that has an old run to lose


class Run(NamedTuple):
    """What a run did; its status is below 0 if a signal ended it."""

    pid: int
    status: int
    errors: str  # standard error
    log: str  # strace's

    def line(self) -> str:
        return self.errors.strip().replace("\n", " / ")

    def check(self, *allowed: int) -> None:
        """Raise `Failed` for another status, a traceback, or more than one line of error."""
        lines = self.errors.count("\n")
        if self.status not in allowed or "Traceback" in self.errors or (self.status > 0) != lines:
            raise Failed(f"status {self.status}, {lines} lines: {self.errors[-1500:]}")


class Subject:
    """One experiment, always in the same folder, so that its files have the same names."""

    def __init__(self, name: str, folder: Path, core: int) -> None:
        self.core = core
        self.home, self.straight = folder / name, folder / f"{name}-straight"
        self.out, self.log = self.home / "run", folder / f"{name}.log"
        places = {"data": self.home / "data", "text": folder / "text.txt"}
        self.words = [word.format(**places) for word in CASES[name].split()]
        self.server = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.server", str(core)],
            cwd=processes.ROOT,
            env={**processes.environment(), "TF_CPP_MIN_LOG_LEVEL": "3"},  # of kept programs
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.old: Path | None = None
        if name == OLD:
            self.clean()
            self.run(more=("--seed", "1")).check(0)
            self.old = shutil.copytree(self.out, folder / f"{name}-old", dirs_exist_ok=True)

    def close(self) -> None:
        """End the server."""
        self.server.communicate()

    def clean(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir()
        if self.old is not None:
            shutil.copytree(self.old, self.out)

    def check_kept(self) -> None:
        """Raise `Failed` if neither the old run is whole nor the new one has a checkpoint."""
        if self.old is None or steps(self.out / "checkpoints"):
            return  # ours or the old one's
        places = [self.out / name for name in ("", ASIDE, MOVING)]
        for path in (p for p in self.old.rglob("*") if p.is_file()):
            inner = path.relative_to(self.old)
            if not any(
                (p / inner).is_file() and (p / inner).read_bytes() == path.read_bytes()
                for p in places
            ):
                raise Failed(f"the old run's {inner} is lost, and the new run has no checkpoint")

    def run(self, *strace: str, more: Sequence[str] = ()) -> Run:
        """Run it to its end, under strace with these options if there are any."""
        request = {
            "words": [*self.words, *more, "--out", str(self.out)],
            # word2vec has a second process if there are two cores; the others keep to one.
            "cores": sorted(os.sched_getaffinity(0)) if "word2vec" in self.words else [self.core],
            "strace": strace,
            "log": str(self.log),
            "seconds": SECONDS,
        }
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        print(json.dumps(request), file=self.server.stdin, flush=True)
        done = json.loads(self.server.stdout.readline())
        if done["status"] is None:
            raise Failed(f"no end within {SECONDS} s")
        log = self.log.read_text(errors="replace") if strace else ""
        return Run(done["pid"], done["status"], done["errors"], log)

    def list_calls(self) -> tuple[list[Call], list[Call]]:
        """The calls of two runs that nothing meets; the second one's files are `straight`."""

        def once() -> list[Call]:
            self.clean()
            shutil.rmtree(self.straight, ignore_errors=True)
            run = self.run("-e", "trace=" + ",".join(f"?{name}" for name in CALLS))
            run.check(0)
            self.out.rename(self.straight)
            return listed(run.log, self.home, run.pid)

        return once(), once()

    def again(self) -> str:
        """Run it once more, and compare it with the straight run."""
        run = self.run()
        run.check(0, 2, 3)
        if run.status:
            return f"{run.status}: {run.line()}"
        compare(self.out, self.straight)
        for name in ("report.html", "tensorboard"):
            missing = [
                p.parent.relative_to(self.straight)
                for p in self.straight.rglob(name)
                if not (self.out / p.relative_to(self.straight)).exists()
            ]
            if missing:
                raise Failed(f"{name}: is missing in {missing}")
        return "same bits"

    def fault(self, call: Call, kill: bool) -> tuple[str, str, str]:
        """What was met, what the run said, and the outcome of the same command run again."""
        self.clean()
        how = f"inject={call.name}:{'signal=KILL' if kill else 'error=ENOSPC'}:when={call.number}"
        path = () if call.path is None else ("-P", call.path)
        told = ""
        try:
            run = self.run("-e", f"trace={call.name}", "-e", how, *path)
            found = sorted(set(met(run.log, self.home, run.pid)))
            told = f"{run.status}: {run.line()}" if run.status else "0"
            # The kill may have met the second process.
            run.check(*((-signal.SIGKILL, 3) if kill and found else (0, 3)))
            self.check_kept()
            return ", ".join(found) or "nothing", told, self.again()
        except Failed as error:
            return call.kind, told, f"FAILED: {error}"


def meet(subject: Subject, name: str, faults: int, seed: int, deadline: float) -> list[str]:
    """All faults of one subject, drawn by the seed until the time is up; rows of the table."""
    draw, rows = random.Random(f"{seed} {name}"), list[str]()
    found = aims(*subject.list_calls(), draw)
    # To be killed while closing a file is to be killed after the call before.
    every = [(c, kill) for c in found for kill in (False, True) if not (kill and c.name == "close")]
    draw.shuffle(every)
    longest, tried = 0.0, Counter[str]()
    for call, kill in every[:faults]:
        began = time.monotonic()
        if began + longest > deadline:
            break
        found, told, outcome = subject.fault(call, kill)
        longest = max(longest, time.monotonic() - began)
        kind = call.kind if found == call.kind else f"{call.kind} (met: {found})"
        fault = "kill" if kill else "ENOSPC"
        told = told.replace(f"{subject.home}/", "")
        outcome = outcome.replace(f"{subject.home}/", "")
        rows.append(f"| {name} | {call.name} | {kind} | {fault} | {told} | {outcome} |")
        print(rows[-1], flush=True)
        tried["FAILED" if "FAILED" in outcome else outcome.split(":")[0]] += 1
        tried["as aimed"] += found == call.kind
    print(f"{name}: {len(every)} faults, {len(rows)} tried: {dict(tried)}", flush=True)
    return rows


def main(
    only: tuple[str, ...] = tuple(CASES),
    faults: int = 60,
    seed: int = 0,
    minutes: float = 30.0,
    jobs: int = 2,
    keep: Path | None = None,
) -> None:
    """Meet every subject's calls, and print the table.

    Args:
        only: subjects.
        faults: of each, at most.
        seed: of which, and of their order.
        minutes: after these the rest is left out.
        jobs: subjects at once.
        keep: work in this folder, and keep the last run and its log.
    """
    if shutil.which("strace") is None:
        sys.exit("error: strace is missing; install it: apt-get install strace")
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault("JAXDL_TEST_CACHE", str(folder / "compiled"))
        words = random.Random(0)
        lines = (" ".join(t + words.choice("abcdefghij") for _ in range(12)) for t in "ab" * 300)
        (folder / "text.txt").write_text("\n".join(lines))
        print("| subject | call | kind | fault | status and line | run again |")
        print("|---|---|---|---|---|---|")
        failed, deadline, cores = False, began + 60 * minutes, queue.SimpleQueue[int]()
        own = sorted(os.sched_getaffinity(0))
        for n in range(jobs):
            cores.put(own[n % len(own)])
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:

            def one(name: str) -> list[str]:
                core = cores.get()
                try:
                    with contextlib.closing(Subject(name, folder.resolve(), core)) as subject:
                        return meet(subject, name, faults, seed, deadline)
                finally:
                    cores.put(core)

            for name, done in [(name, pool.submit(one, name)) for name in only]:
                try:
                    failed |= any("FAILED" in row for row in done.result())
                except Failed as error:
                    failed = True
                    print(f"{name}: FAILED before any fault: {error}", flush=True)
    print(f"{time.monotonic() - began:.0f} s, seed {seed}")
    sys.exit(failed)


if __name__ == "__main__":
    tyro.cli(main, prog="python -m tests.faults")
