"""The series that is trained on, and what is held out."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxdl.devices.memory import check_memory
from jaxdl.lstm import series
from jaxdl.lstm.config import Config


class Series(NamedTuple):
    """What is trained on and what is held out, scaled; and how to undo the scaling."""

    source: str
    columns: list[str]
    training: Float[np.ndarray, "n f"]
    tail: Float[np.ndarray, "k f"]
    scaling: series.Scaling
    period: int


def open_series(cfg: Config) -> Series:
    """The sine, or the user's file.

    Raises:
        InputError: the file, its columns or values, or a series too short for what was asked.
    """
    most = max(cfg.horizon)
    if cfg.data is None:
        source, columns = f"sine of {cfg.steps_per_cycle} steps a cycle", ["sine"]
        # A cycle more than the longest prediction: their errors are measured at every phase.
        tail = cfg.steps_per_cycle + most
        cycles = cfg.cycles + -(-tail // cfg.steps_per_cycle)
        check_memory(
            f"--steps-per-cycle {cfg.steps_per_cycle} --cycles {cfg.cycles} --horizon {most}",
            16.0 * cycles * cfg.steps_per_cycle,
            "lower them",
            host=True,
        )
        whole = series.sine(cfg.steps_per_cycle, cycles)
        whole = whole[: cfg.cycles * cfg.steps_per_cycle + tail]
        default = cfg.steps_per_cycle if cfg.steps_per_cycle <= cfg.window else 1
    else:
        source, default = str(cfg.data), 1
        columns, whole = series.read_csv(cfg.data, cfg.column or None)
        tail = max(most, len(whole) // 5) if cfg.test_steps is None else cfg.test_steps
    training, held = series.split_tail(whole, tail, max(cfg.window, *cfg.context), source)
    flat = series.Scaling(np.zeros(len(columns)), np.ones(len(columns)))
    scaling = flat if cfg.data is None else series.learn_scaling(training)
    period = default if cfg.period is None else cfg.period
    return Series(source, columns, scaling.apply(training), scaling.apply(held), scaling, period)
