"""Training: the one loop.

A task brings a step, ``step(state, totals, batch, learning_rate) -> (state, totals, loss)``, and
the loop does the rest for any of them: it dispatches step n, then reads the loss of n - 1 (so that
the device never waits for the host), stops on a non-finite loss, ends epochs, saves, and leaves
cleanly on SIGTERM. Everything that training continues from is in the arrays it saves.
"""

import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from jaxtyping import Array

from jaxdl.errors import Stopped, TrainingError
from jaxdl.training.step import TrainState


@contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """An event that SIGTERM, SIGHUP and Ctrl-C set, for `fit`; a second Ctrl-C interrupts at once.

    `fit` takes the signal's number from it. A SIGHUP that is ignored, as under nohup, stays so.
    """
    event: Any = threading.Event()

    def ask(number, frame):
        if event.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        event.number = number
        event.set()

    asking = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        asking.append(signal.SIGHUP)
    before = {number: signal.signal(number, ask) for number in asking}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def fit(
    step: Callable[[TrainState, Any, Any, float], tuple[TrainState, Any, Array]],
    state: TrainState,
    totals: Any,
    batches: Iterator[Any],
    *,
    rate: Callable[[int], float],
    steps: int,
    ends: Callable[[int], bool],
    end_epoch: Callable[[int, TrainState, Any], Any],
    zero: Callable[[], Any],
    save: Callable[[int, TrainState, Any, Any], None],
    stop: threading.Event,
    show: Callable[[int, float], None],
    inputs: Callable[[int], str],
    agree: Callable[[bool], bool] = bool,
) -> TrainState:
    """Train from ``state.step`` to `steps`.

    Args:
        step: see `dense_step`.
        state: where to start; donated.
        totals: the running epoch's sums so far; donated.
        batches: batch ``state.step`` and those after it, in order.
        rate: learning rate of a step.
        steps: where to end.
        ends: whether an epoch ends when so many steps are done; the last step ends one anyway.
        end_epoch: ``end_epoch(step, state, totals) -> metrics``: evaluates and records.
        zero: totals of a new epoch.
        save: ``save(step, state, totals, metrics)``; metrics is None in mid-epoch.
        stop: when set, the loop saves and raises `Stopped`.
        show: ``show(step, loss)`` after each step, one step late.
        inputs: names the inputs of a step, for the error message.
        agree: ``agree(asked)``, called once a step with whether `stop` is set: whether to stop now
            (`jaxdl.devices.processes.agreement`: several processes must do so after the same step).

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
                f"loss {loss} at step {n}, {inputs(n)}: stopped; the last checkpoint is sound. "
                "Lower the learning rate (--help lists it), or look at these inputs"
            )
        show(n + 1, loss)

    for n in range(int(state.step), steps):
        state, totals, loss = step(state, totals, next(batches), rate(n))
        settle()
        waiting = n, loss
        done = n + 1
        if at_end := ends(done) or done == steps:
            settle()
            metrics = end_epoch(done, state, totals)
            totals = zero()
            save(done, state, totals, metrics)
        if agree(stop.is_set()) and done < steps:
            if not at_end:
                settle()
                save(done, state, totals, None)
            stopped = Stopped(f"stopped at step {done} of {steps}; run the same command to go on")
            stopped.number = getattr(stop, "number", stopped.number)
            raise stopped
    return state
