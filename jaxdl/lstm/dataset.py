"""The series that is trained on, and what is held out."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxdl.devices.memory import check_memory
from jaxdl.lstm.config import Config
from jaxdl.lstm.data.missing import find_period
from jaxdl.lstm.data.read import Read, read_series
from jaxdl.lstm.data.regular import check_learnable
from jaxdl.lstm.lengths import Lengths, fit_lengths
from jaxdl.lstm.saved import reading_of
from jaxdl.lstm.series import Scaling, Series, learn_scaling, sine, split_tail


class Dataset(NamedTuple):
    """A series; what is trained on and what is held out, scaled; and how to undo the scaling.

    Attributes:
        source: the file, or which sine.
        series: in its own units.
        training, tail: its first and last rows, scaled.
        lengths: see `jaxdl.lstm.lengths`.
        told, warnings: how a file was read, in lines.
        took: the options that read the file again.
    """

    source: str
    series: Series
    training: Float[np.ndarray, "n f"]
    tail: Float[np.ndarray, "k f"]
    scaling: Scaling
    lengths: Lengths
    told: list[str]
    warnings: list[str]
    took: dict[str, Any]


def open_series(cfg: Config) -> Dataset:
    """The sine, or the user's file.

    Raises:
        InputError: the file, its columns or values, or a series too short for what was asked.
    """
    return _sine(cfg) if cfg.data is None else _own(cfg)


def _sine(cfg: Config) -> Dataset:
    assert cfg.window is not None  # `jaxdl.lstm.config.check`
    most, steps = max(cfg.horizon), cfg.steps_per_cycle
    # A cycle more than the longest prediction: their errors are measured at every phase.
    tail = steps + most
    cycles = cfg.cycles + -(-tail // steps)
    check_memory(
        f"--steps-per-cycle {steps} --cycles {cfg.cycles} --horizon {most}",
        16.0 * cycles * steps,
        "lower them",
        host=True,
    )
    series = Series(values=sine(steps, cycles)[: cfg.cycles * steps + tail], names=("sine",))
    source = f"sine of {steps} steps a cycle"
    training, held = split_tail(series.values, tail, max(cfg.window, *cfg.context), source)
    period = (steps if steps <= cfg.window else 1) if cfg.period is None else cfg.period
    lengths = Lengths(cfg.window, cfg.context, cfg.horizon, tail, period)
    flat = Scaling(np.zeros(1), np.ones(1))
    return Dataset(
        source, series, flat.apply(training), flat.apply(held), flat, lengths, [], [], {}
    )


def _own(cfg: Config) -> Dataset:
    assert cfg.data is not None
    like = None if cfg.start_from is None else reading_of(cfg.start_from)
    read = read_series(
        cfg.data,
        column=cfg.column,
        time=cfg.time,
        id=cfg.id,
        decimal=cfg.decimal,
        missing=cfg.missing,
        period=cfg.period,
        like=like,
    )
    return arrange(cfg, read, str(cfg.data))


def arrange(cfg: Config, read: Read, source: str) -> Dataset:
    """A series that was read, with the lengths that fit it, split and scaled.

    Raises:
        InputError: it is too short for what was asked, or holds nothing to learn.
    """
    values = read.series.values
    warnings = read.warnings + check_learnable(read.series, source)
    rows = len(values)
    # Of the rows that are surely trained on: the held-out ones decide nothing.
    held = rows // 5 if cfg.test_steps is None else min(cfg.test_steps, rows - 1)
    found = None if cfg.period is not None else find_period(values[: rows - held])
    lengths = fit_lengths(
        rows,
        found and found[0],
        source,
        window=cfg.window,
        context=cfg.context,
        horizon=cfg.horizon,
        test_steps=cfg.test_steps,
        period=cfg.period,
    )
    training, tail = split_tail(
        values, lengths.test_steps, max(lengths.window, *lengths.context), source
    )
    scaling = learn_scaling(training)
    told = [*read.told, _told_lengths(lengths, found, given=cfg.period is not None)]
    return Dataset(
        *(source, read.series, scaling.apply(training), scaling.apply(tail), scaling, lengths),
        *(told, warnings, read.took),
    )


def _told_lengths(lengths: Lengths, found: tuple[int, float] | None, *, given: bool) -> str:
    """The lengths in a line."""
    if given:
        period = f"period {lengths.period}"
    elif found is None:
        period = "no period found (--period names one)"
    else:
        period = f"period {found[0]} found (autocorrelation {found[1]:.2f}; --period names another)"
    ways = ", ".join(
        f"{horizon} steps predicted from {context}"
        for context, horizon in zip(lengths.context, lengths.horizon, strict=True)
    )
    return f"{period}; windows of {lengths.window} steps; {ways}"
