"""Training: the one loop.

A subject brings a `Task`, and the loop does the rest for any of them: it dispatches step n, then
reads the loss of n - 1 (so that the device never waits for the host), stops on a non-finite loss,
and ends epochs. Everything that training continues from is in the arrays that it hands out for
saving. `jaxdl.training.session.train` puts checkpoints, records and signals around it.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np
from jaxtyping import Array

from jaxdl.errors import Stopped, TrainingError
from jaxdl.files.schema import Schema
from jaxdl.signals import Signalled
from jaxdl.training.checkpoint import Score
from jaxdl.training.step import TrainState


class Epoch(NamedTuple):
    """What a subject is given at the end of an epoch.

    The first step of a process is left out of `steps` and `seconds`, since it waits for the
    compilation; an epoch of this step alone has its time.
    """

    done: int  # steps
    state: TrainState
    metrics: Any
    steps: int  # timed steps of the epoch
    seconds: float  # their time
    elapsed: float  # seconds since the end of the epoch before, all included


class EpochReport(NamedTuple):
    """What a subject makes of an epoch."""

    rows: dict[int, dict[str, Any]]  # steps done -> row of metrics.jsonl
    score: float | None  # ranks the checkpoint; None: there is none
    line: str = ""  # printed, if there is any
    save: bool = True  # False: only after `Task.save_seconds` without a checkpoint


def unchanged(state: TrainState) -> TrainState:
    """The state as it is: one device's arrays are what a checkpoint holds."""
    return state


def never(scores: Sequence[float | None]) -> bool:
    """No scores end the training before its last step."""
    return False


def stale(scores: Sequence[float | None], score: Score, epochs: int | None) -> bool:
    """Whether none of the last `epochs` scores is better than all before them; None: never."""
    if epochs is None or not scores:
        return False
    ranks = [score.rank({score.name: each}) for each in scores]
    return len(ranks) - 1 - ranks.index(max(ranks)) >= epochs


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a subject brings to training."""

    step: Callable[[TrainState, Any, Any, float], tuple[TrainState, Any, Array]]
    """``step(state, metrics, batch, learning_rate) -> (state, metrics, loss)``, jitted; it may
    donate the state and the metrics (`jaxdl.training.step.dense_step`)."""
    start: Callable[[bool], TrainState]
    """``start(resumed)``: the state of step 0, on its devices. If `resumed`, a checkpoint takes
    its place, and only its shapes, dtypes and devices count."""
    metrics: Callable[[], Any]
    """The metrics of a new epoch, on their devices."""
    batches: Callable[[int], Iterator[Any]]
    """``batches(n)``: the batch of step n and those after it, in order."""
    steps: int
    """Where to end."""
    ends: Callable[[int], bool]
    """Whether an epoch ends when so many steps are done; the last step ends one in any case."""
    end_epoch: Callable[[Epoch], EpochReport]
    """Evaluates. On several processes all call it."""
    learning_rate: Callable[[int], float]
    """The learning rate of a step."""
    describe: Callable[[int], str]
    """Names the inputs of a step, for the message on a loss that is not finite."""
    row: Schema = dict
    """What each row of the run's metrics must hold (`jaxdl.files.schema`)."""
    score: Score
    """What ranks the checkpoints."""
    enough: Callable[[Sequence[float | None]], bool] = never
    """Whether to end before the last step, after an epoch; given the score of every epoch so far.
    Checkpoints hold the scores, so that a resumed run decides alike, and so do all processes."""
    meta: dict[str, Any]
    """JSON that is saved with each checkpoint: what prediction needs."""
    gather: Callable[[TrainState], TrainState] = unchanged
    """The state as a checkpoint holds it, which is the same for any number of devices."""
    scatter: Callable[[TrainState], TrainState] = unchanged
    """The inverse of `gather`."""
    save_seconds: float | int = 0
    """See `EpochReport.save`."""
    counts: int = 1
    """What a step counts for in messages and rows (a step of the LSTM: many mini-batches)."""
    items: float | int = 1
    """How many `unit` a step trains on, for the speed that is shown."""
    unit: str = "images"
    epoch_steps: int | None = None
    """Steps in an epoch, for the epoch that is shown; None shows none."""


def fit(
    task: Task,
    state: TrainState,
    metrics: Any,
    *,
    end_epoch: Callable[[int, TrainState, Any], bool | None],
    save: Callable[[int, TrainState, Any], None],
    stop: Callable[[], bool],
    show: Callable[[int, float], None],
) -> TrainState:
    """Train from ``state.step`` to ``task.steps``, or to the epoch that is told to be the last.

    Args:
        task: see `Task`; its `end_epoch` is left to the caller's.
        state: where to start; donated.
        metrics: those of the running epoch so far; donated.
        end_epoch: ``end_epoch(done, state, metrics)``: evaluates, records and saves; true ends
            the training.
        save: ``save(done, state, metrics)``, called before a stop.
        stop: called once a step: whether to save and stop after it. Several processes must do so
            after the same step (`jaxdl.devices.processes.stop_vote`).
        show: ``show(done, loss)`` after each step, one step late.

    Raises:
        TrainingError: a loss was not finite; names the step and its inputs. Nothing is saved.
        Stopped: after saving.
    """
    waiting: tuple[int, Any] | None = None

    def settle() -> None:
        """Read the loss that is still on its way, and look at it."""
        nonlocal waiting
        if waiting is None:
            return
        n, on_device = waiting
        waiting, loss = None, float(np.asarray(on_device))
        if not math.isfinite(loss):
            raise TrainingError(
                f"loss {loss} at step {n}, {task.describe(n)}: stopped; the last checkpoint is "
                "sound. Lower the learning rate (--help lists it), or look at these inputs"
            )
        show(n + 1, loss)

    def leave(done: int) -> NoReturn:
        settle()
        save(done, state, metrics)
        at, end = done * task.counts, task.steps * task.counts
        raise Stopped(f"stopped at step {at} of {end}; run the same command to resume")

    first = int(state.step)
    batches = task.batches(first)
    for n in range(first, task.steps):
        try:
            batch = next(batches)
        except Signalled:  # it waited for a batch
            if n == first:
                raise
            leave(n)
        state, metrics, loss = task.step(state, metrics, batch, task.learning_rate(n))
        settle()
        waiting = n, loss
        done = n + 1
        if task.ends(done) or done == task.steps:
            settle()
            if end_epoch(done, state, metrics):
                return state
            metrics = task.metrics()
        if stop() and done < task.steps:
            leave(done)
    return state
