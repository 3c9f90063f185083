"""One session of training, the same for all subjects, for one process or many.

It opens the checkpoints, resumes from the newest, obeys signals, records each epoch, shows the
progress and saves, around the loop of `jaxdl.training.loop`.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
from jax.sharding import Mesh

from jaxdl.devices import processes
from jaxdl.errors import InputError, Stopped, writing
from jaxdl.signals import Deferral
from jaxdl.training import checkpoint, loop
from jaxdl.training.loop import Task
from jaxdl.training.opening import give_up
from jaxdl.training.record import home_of, run_id
from jaxdl.training.run_folder import Recorder
from jaxdl.training.step import TrainState
from jaxdl.training.steps import read_meta


@runtime_checkable
class Reporter(Protocol):
    """Where a session tells what it does; `jaxdl.cli.progress.Bar` prints it."""

    def line(self, text: str) -> None:
        """A line of text."""
        ...

    def training(
        self, name: str, first: int, steps: int, *, epoch: int | None, items: float | int, unit: str
    ) -> contextlib.AbstractContextManager[Any]:
        """A function to call with (steps done, loss) after each step, of `items` `unit`."""
        ...


class Silent:
    """A `Reporter` that tells nothing."""

    def line(self, text: str) -> None:
        """Nothing."""

    def training(self, name: str, first: int, steps: int, **_: Any) -> Any:
        """Nothing after each step."""
        return contextlib.nullcontext(lambda done, loss: None)


class Trained(NamedTuple):
    """The end of a session."""

    state: TrainState
    first_step_seconds: float  # with its compilation; 0 if there was no step left


class _Clock:
    """Times the steps of an epoch, the first step of the process apart; see `loop.Epoch`."""

    def __init__(self, first: int) -> None:
        self.first_step = 0.0
        self._first, self._steps_from, self._seconds_from = first, first, time.monotonic()
        self._epoch_from = self._seconds_from

    def around(self, step: Any, begun: Callable[[], None]) -> Any:
        """The step, whose first call waits for its result."""

        def timed(*arguments):
            result = step(*arguments)
            if not self.first_step:
                jax.block_until_ready(result)
                begun()
                now = time.monotonic()
                self.first_step, self._seconds_from = now - self._seconds_from, now
                self._steps_from = self._first + 1
            return result

        return timed

    def epoch(self, done: int, state: TrainState, metrics: Any) -> loop.Epoch:
        jax.block_until_ready(state.params)
        now = time.monotonic()
        steps, seconds = done - self._steps_from, now - self._seconds_from
        if not steps:
            steps, seconds = 1, self.first_step
        return loop.Epoch(done, state, metrics, steps, seconds, now - self._epoch_from)

    def start(self, done: int) -> None:
        """A new epoch."""
        self._steps_from, self._seconds_from = done, time.monotonic()
        self._epoch_from = self._seconds_from


def train(
    task: Task,
    folder: Path,
    *,
    mesh: Mesh | None = None,
    reporter: Reporter | None = None,
    name: str = "training",
) -> Trained:
    """Train a task to its end, from the newest checkpoint of `folder` if there is one.

    Args:
        task: what the subject brings.
        folder: gets ``checkpoints/``, ``metrics.jsonl`` and ``tensorboard/``; made if missing.
            With several processes it is shared: all save, process 0 alone records.
        mesh: the devices of the state.
        reporter: where to tell the progress; None: nowhere.
        name: of the training, in what is told.

    Raises:
        Stopped: a signal came to a command (`jaxdl.signals`); a checkpoint was saved.
        TrainingError: a loss was not finite, or a checkpoint could not be saved.
        InputError: `folder` has checkpoints, and none is sound or one is another run's; it has had
            checkpoints or rows of metrics that are gone.
    """
    reporter, run = Silent() if reporter is None else reporter, run_id(folder)
    meta = task.meta | {"score": task.score._asdict(), "run": run}
    with (
        Deferral() as deferral,
        checkpoint.open_manager(folder / "checkpoints", task.score, reporter.line, run) as manager,
        processes.abort_on_error(),
        contextlib.ExitStack() as opened,
    ):
        if jax.process_count() > 1:  # all stop after the same step
            deferral.begin()
        state, metrics, scores = _first(manager, task, folder)
        first, recorder = int(state.step), None
        if processes.is_main_process():
            recorder = opened.enter_context(_recorder(task, folder, first))
        show = opened.enter_context(_progress(task, first, reporter, name))
        clock, vote, saved_at = _Clock(first), processes.stop_vote(mesh), time.monotonic()

        def save(done: int, state: TrainState, metrics: Any, score: Any = None) -> None:
            nonlocal saved_at
            saved_at = time.monotonic()
            _give_up_overwritten(folder)
            own = meta | {"step": done, "rows": recorder.rows if recorder else 0}
            if task.enough is not loop.never:
                own |= {"scores": [*scores]}  # a copy: it is written in the background
            checkpoint.save(manager, done, _saved(task, state, metrics), own, score)

        def end_epoch(done: int, state: TrainState, metrics: Any) -> bool:
            report = task.end_epoch(clock.epoch(done, state, metrics))
            scores.append(report.score)
            last = done == task.steps or task.enough(scores)
            _tell(report, recorder, reporter, task.counts)
            clock.start(done)
            # Clocks differ, and all processes must save, or none.
            due = jax.process_count() == 1 and time.monotonic() - saved_at >= task.save_seconds
            if report.save or due or last:
                save(done, state, task.metrics(), {task.score.name: report.score})
            if last and done < task.steps:
                reporter.line(f"{name}: ends at {_place(task, done)}: no better {task.score.name}")
            return last

        try:
            if not task.enough(scores):
                state = loop.fit(
                    dataclasses.replace(task, step=clock.around(task.step, deferral.begin)),
                    *(state, metrics),
                    end_epoch=end_epoch,
                    save=save,
                    stop=lambda: vote(deferral.number is not None),
                    show=lambda done, loss: show(done * task.counts, loss),
                )
        except Stopped as stopped:
            stopped.number = deferral.number or stopped.number
            raise
    _give_up_overwritten(folder)
    return Trained(state, clock.first_step)


def _progress(task: Task, first: int, reporter: Reporter, name: str) -> Any:
    """What shows each step's loss, after a line on where training resumes."""
    if first:
        reporter.line(f"{name}: resumes at {_place(task, first)}")
    span = (name, first * task.counts, task.steps * task.counts)
    speed = {"items": task.items / task.counts, "unit": task.unit}
    return reporter.training(*span, epoch=task.epoch_steps, **speed)


def _tell(
    report: loop.EpochReport, recorder: Recorder | None, reporter: Reporter, counts: int
) -> None:
    """Record an epoch's rows, and print its line."""
    if recorder is not None:
        for number, row in report.rows.items():
            recorder.row(number * counts, row)
    if report.line:
        reporter.line(report.line)


def _place(task: Task, done: int) -> str:
    return f"step {done * task.counts} of {task.steps * task.counts}"


def _saved(task: Task, state: TrainState, metrics: Any) -> dict[str, Any]:
    """What a checkpoint holds: what has arrays in it (sparse SGD has no optimiser's state)."""
    kept = task.gather(state)._asdict() | {"metrics": metrics}
    return {name: tree for name, tree in kept.items() if jax.tree.leaves(tree)}


def _give_up_overwritten(folder: Path) -> None:
    """From the first checkpoint on, an overwritten run is given up."""
    if processes.is_main_process() and checkpoint.steps(folder / "checkpoints"):
        give_up(home_of(folder) or folder)


def _first(manager: Any, task: Task, folder: Path) -> tuple[TrainState, Any, list[float | None]]:
    """State, metrics and scores to begin with: the newest checkpoint's, or those of step 0."""
    step = manager.latest_step()
    if step is None and (folder / checkpoint.SAVED).exists():
        raise InputError(
            f"{folder / 'checkpoints'}: is empty, though the run has saved; restore it from a "
            "copy, or train again with --overwrite"
        )
    state, metrics = task.start(step is not None), task.metrics()
    if step is None:
        return state, metrics, []
    if processes.is_main_process():  # a kill or a full disk may have come before the mark
        with writing(folder):
            (folder / checkpoint.SAVED).touch()
    kept = checkpoint.restore(manager, _saved(task, state, metrics))
    if int(kept["step"]) != step:
        raise InputError(
            f"{folder / 'checkpoints' / str(step)}: is step {int(kept['step'])} under another "
            "name; give it its own"
        )
    metrics = kept.pop("metrics", metrics)
    scores = read_meta(folder / "checkpoints" / str(step)).get("scores", [])
    return task.scatter(state._replace(**kept)), metrics, scores


def _recorder(task: Task, folder: Path, first: int) -> Recorder:
    """It continues after step `first`, with all rows that there were when that was saved."""
    rows = read_meta(folder / "checkpoints" / str(first)).get("rows") if first else None
    return Recorder(folder, _recorded(task, first), task.row, rows)


def _recorded(task: Task, first: int) -> int:
    """The last row that stays when step `first` is the newest saved: that of an epoch's end."""
    last = next((done for done in range(first, 0, -1) if task.ends(done)), 0)
    return (first if first == task.steps else last) * task.counts
