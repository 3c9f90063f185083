"""Series of numbers: the posts' sine, a user's own; scaling, a held-out tail, windows.

The values of a series are (n, f): n steps of f values, float64 on the host until `to_float32`.
How a file or arrays become a `Series` is in `jaxdl.lstm.data`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Float64, Int, Int32

from jaxdl.errors import InputError
from jaxdl.lstm.data.calendar import Step


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """Regular rows without holes: what is trained on and what a forecast continues.

    Attributes:
        values: finite, below 1e100 in size, in order of time.
        names: of the columns.
        times: of the rows, a step apart: datetime64 in years, months, days, seconds or
            microseconds, or int64 of a column that counts; None if the rows have no times.
        step: from a row's time to the next one's; None without times.
    """

    values: Float64[np.ndarray, "n f"]
    names: tuple[str, ...]
    times: np.ndarray | None = None
    step: Step | None = None


def sine(steps_per_cycle: int = 50, cycles: int = 100) -> Float64[np.ndarray, "n 1"]:
    """The training data of the 2016 posts: one cycle of a sine, repeated.

    Source: the LSTM post of 2016 (``make_data.py``: steps_per_cycle, number_of_cycles).

    Raises:
        InputError: less than two steps a cycle, or no cycle.
    """
    if steps_per_cycle < 2:
        raise InputError(f"{steps_per_cycle} steps a cycle hold no wave; give at least 2")
    if cycles < 1:
        raise InputError(f"a sine of {cycles} cycles is empty; give at least 1")
    cycle = np.sin(2 * np.pi * np.arange(steps_per_cycle) / steps_per_cycle)
    return np.tile(cycle, cycles)[:, None]


def to_float32(series: Float[np.ndarray, "*n f"]) -> Float32[np.ndarray, "*n f"]:
    """What the network is given; rounded once, here."""
    return np.ascontiguousarray(series, np.float32)


class Scaling(NamedTuple):
    """``scaled = (value - mean) / deviation``, column by column; float64, JSON by ``tolist``."""

    mean: Float64[np.ndarray, " f"]
    deviation: Float64[np.ndarray, " f"]

    def apply(self, series: Float[np.ndarray, "*n f"]) -> Float64[np.ndarray, "*n f"]:
        return (np.asarray(series, np.float64) - self.mean) / self.deviation

    def undo(self, series: Float[np.ndarray, "*n f"]) -> Float64[np.ndarray, "*n f"]:
        return np.asarray(series, np.float64) * self.deviation + self.mean


def learn_scaling(training: Float[np.ndarray, "n f"]) -> Scaling:
    """Mean and standard deviation of the training part (give it nothing else).

    A column that does not change has deviation 1, so that it becomes 0 and not NaN.
    """
    deviation = training.std(axis=0, dtype=np.float64)
    mean = training.mean(axis=0, dtype=np.float64)
    # Rounding alone gives a constant column a deviation of about 1e-16 of its size.
    flat = deviation <= 1e-12 * np.maximum(np.abs(mean), 1e-300)
    return Scaling(mean, np.where(flat, 1.0, deviation))


def check_window(steps: int, window: int, source: str) -> None:
    """A window takes `window` steps and the one after them, which is the last target.

    Args:
        steps: of the series or of the part that windows are cut from.
        window: steps that the network is given.
        source: what the series is, for the message (a file, "the sine", ...).

    Raises:
        InputError: a window below 1, or a series that is too short for it.
    """
    if window < 1:
        raise InputError(f"a window of {window} steps shows the network nothing; give at least 1")
    if steps < window + 1:
        raise InputError(
            f"{source}: {steps} steps are too few for a window of {window} and the step after it; "
            f"give at least {window + 1} steps, or a window of at most {max(1, steps - 1)}"
        )


def split_tail(
    series: Float[np.ndarray, "n f"], tail: int, window: int, source: str
) -> tuple[Float[np.ndarray, "m f"], Float[np.ndarray, "k f"]]:
    """(training part, the last `tail` steps); no step is in both.

    Args:
        series: in order of time.
        tail: steps held out; 0 holds out none.
        window: the training part must hold one, see `check_window`.
        source: what the series is, for the message.

    Raises:
        InputError: a negative tail, or nothing to train on beside it.
    """
    if tail < 0:
        raise InputError(f"a held-out tail of {tail} steps; give 0 or more")
    cut = max(0, len(series) - tail)
    check_window(cut, window, f"{source} without its tail of {tail}" if tail else source)
    return series[:cut], series[cut:]


def generator(seed: int, member: int, purpose: int) -> np.random.Philox:
    """A stream of random numbers for each seed of a run, seed of a member, and purpose."""
    key = np.array([seed % 2**64, member % 2**64], np.uint64)
    return np.random.Philox(key=key, counter=np.array([0, 0, 0, purpose], np.uint64))


def window_starts(
    seed: int,
    seeds: Int[np.ndarray, " m"],
    first: int,
    epochs: int,
    batch: int,
    spans: int | Sequence[int],
) -> Int32[np.ndarray, "{epochs} m *p {batch}"]:
    """First steps of random windows: uniform, with replacement; drawn on the host.

    Args:
        seed: of the run.
        seeds: of the members; equal seeds give equal windows.
        first: the first epoch. An epoch's windows do not depend on the epochs drawn with it.
        epochs: mini-batches.
        batch: windows in a mini-batch.
        spans: how many starts there are: in a series of n steps, n - window. Several give an axis
            more: the same draws for several lengths.

    Some starts are likelier than others by one part in 2^32 / span.
    """
    blocks = -(-batch // 8)  # of Philox, 256 bits each
    own = {}
    for member in np.unique(seeds).tolist():
        bits = generator(seed, member, 1)
        bits.advance(first * blocks)
        raw = bits.random_raw(epochs * blocks * 4).astype("<u8").view("<u4")
        own[member] = raw.reshape(epochs, -1)[:, :batch]
    drawn = np.stack([own[member] for member in np.asarray(seeds).tolist()], axis=1)
    count = np.asarray(spans, np.uint32)
    if count.ndim:
        drawn, count = drawn[:, :, None], count[:, None]
    return (drawn % count).astype(np.int32)


def gather_windows(
    series: Float[Array, "n f"], starts: Int[Array, " b"], window: int
) -> Float[Array, "{window}+1 b f"]:
    """Windows with the step after each, steps first: [:-1] are inputs and [1:] targets."""
    rows = starts[None, :] + jnp.arange(window + 1)[:, None]
    return series.at[rows].get(mode="promise_in_bounds")
