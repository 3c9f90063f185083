"""Series made easier to learn, and back: logarithms, differences, scaling by window.

A network that is asked for values it never saw flattens a trend. Differences have no trend, and
logarithms make a swing that grows with the level constant. All functions are pure; those of whole
series are float64 on the host.

The order is: logarithm, difference, standardisation (`jaxdl.lstm.series.Scaling`), then the scale
of each window. Undone in the reverse order.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Float, Float64

from jaxdl.lstm.choices import Difference, Log

MEMORY = 4  # lags of the autoregression that chooses the difference
TREND = 0.5  # standard deviations
FLOOR = 0.3  # of a window's scale, in standard deviations of the series


class Transform(NamedTuple):
    """Logarithm and difference of a series.

    Attributes:
        log: whether logarithms are taken first.
        lag: a change is a level less the one so many rows before; 0 takes no difference.
        seasons: it is less the mean of those 1, 2, ... `seasons` lags before.
    """

    log: bool
    lag: int
    seasons: int = 1

    @property
    def reach(self) -> int:
        """Rows before a row that its change needs."""
        return self.lag * self.seasons

    def levels(self, values: Float[np.ndarray, "*n f"]) -> Float64[np.ndarray, "*n f"]:
        """Values, or their logarithms: what differences are taken of."""
        values = np.asarray(values, np.float64)
        return np.log(values) if self.log else values

    def values(self, levels: Float[np.ndarray, "*n f"]) -> Float64[np.ndarray, "*n f"]:
        """The inverse of `levels`; a level too high for a number becomes a very large one."""
        levels = np.asarray(levels, np.float64)
        return np.exp(np.minimum(levels, 700.0)) if self.log else levels

    def apply(self, values: Float[np.ndarray, "n f"]) -> Float64[np.ndarray, "k f"]:
        """The changes of the levels, n - reach rows."""
        levels = self.levels(values)
        if not self.lag:
            return levels
        rows = np.arange(self.reach, len(levels))
        return levels[rows] - _mean([levels[rows - k * self.lag] for k in self._back()])

    def undo(
        self, changes: Float[np.ndarray, "l *b f"], past: Float[np.ndarray, "k *b f"]
    ) -> Float64[np.ndarray, "l *b f"]:
        """Levels from the changes of successive rows, and the levels before them, at least `reach`
        rows.
        """
        changes = np.asarray(changes, np.float64)
        if not self.lag:
            return changes
        before = len(past)
        levels = np.concatenate([np.asarray(past, np.float64), changes])
        for row in range(before, len(levels)):
            levels[row] += _mean([levels[row - k * self.lag] for k in self._back()])
        return levels[before:]

    def integration(self, length: int) -> Float64[np.ndarray, "{length} {length}"]:
        """The matrix that makes errors of `length` levels from those of the changes.

        `undo` is linear, so an error of a change enters all levels that are built on it.
        """
        return self.undo(np.eye(length), np.zeros((self.reach, length)))

    def _back(self) -> range:
        return range(1, self.seasons + 1)


def _mean(arrays: list[np.ndarray]) -> np.ndarray:
    return sum(arrays[1:], arrays[0]) / len(arrays)


class WindowScale(NamedTuple):
    """``scaled = (value - level) / scale``, window by window."""

    level: Any  # (1, b, f)
    scale: Any

    def apply(self, values: Any) -> Any:
        return (values - self.level) / self.scale

    def undo(self, values: Any) -> Any:
        return values * self.scale + self.level


def window_scale(
    windows: Float[Array, "t b f"] | Float[np.ndarray, "t b f"], changes: bool
) -> WindowScale:
    """The level and scale of each window, of a standardised series; NumPy's or JAX's arrays.

    The level is the window's mean; 0 of `changes`, whose mean is what a trend is. The scale is
    their root mean square around it, with `FLOOR` added in squares: a flat window is not blown up.
    """
    level = windows.mean(0, keepdims=True)
    if changes:
        level = level * 0
    spread = ((windows - level) ** 2).mean(0, keepdims=True)
    return WindowScale(level, (spread + FLOOR**2) ** 0.5)


def grows_with_level(values: Float[np.ndarray, "n f"], period: int) -> bool:
    """Whether logarithms are to be taken.

    All values are positive, and in each column the spread grows with the level: the rows are cut
    into blocks of a period (of a tenth of the rows, at least 4, without one); a straight line is
    taken off each block; over the blocks, log(standard deviation) rises with log(mean) by a slope
    of at least .5 and a correlation of at least .4; and the largest mean is at least 1.3 times the
    smallest.
    """
    rows = period if period >= 4 else max(4, len(values) // 10)
    blocks = len(values) // rows
    if blocks < 4 or not (values > 0).all():
        return False
    cut = values[len(values) - blocks * rows :].reshape(blocks, rows, -1)
    means = cut.mean(1)
    at = np.arange(rows) - (rows - 1) / 2
    slope = (cut * at[None, :, None]).sum(1) / (at**2).sum()
    rest = cut - means[:, None] - slope[:, None] * at[None, :, None]
    spread = rest.std(1)
    for mean, deviation in zip(means.T, spread.T, strict=True):
        if deviation.min() <= 1e-12 * mean.max() or mean.max() < 1.3 * mean.min():
            return False
        x, y = np.log(mean), np.log(deviation)
        x, y = x - x.mean(), y - y.mean()
        if (x * y).sum() < 0.5 * (x * x).sum():
            return False
        if (x * y).sum() < 0.4 * np.sqrt((x * x).sum() * (y * y).sum()):
            return False
    return True


def choose(
    values: Float[np.ndarray, "n f"],
    period: int,
    *,
    horizon: int,
    difference: Difference = "auto",
    log: Log = "auto",
) -> Transform:
    """The transform of a series, from its training rows alone.

    Logarithms: see `grows_with_level`. The differences tried are none, of successive rows, and from
    the mean of the last one, two or three periods. The one is taken whose linear autoregression of
    `MEMORY` lags forecasts best: fitted by least squares on the first half of the rows, it
    forecasts from each row of the second half in closed loop, and the mean absolute error of the
    levels decides. None is not tried if there is a trend: the means of the two halves differ by
    more than `TREND` standard deviations. Such a regression remembers about as much as a network of
    a few units: it follows a cycle, but cannot carry the shape of a year.

    Args:
        values: training rows.
        period: 1 if none is known; then seasonal differences are not tried.
        horizon: rows to forecast.
        difference, log: what was asked for; auto chooses.
    """
    logs = log == "auto" and grows_with_level(values, period)
    tried = [Transform(logs, 1)]
    halves = np.split(tried[0].levels(values), [len(values) // 2])
    moved = np.abs(halves[0].mean(0) - halves[1].mean(0))
    if difference != "auto" or (moved <= TREND * np.concatenate(halves).std(0)).all():
        tried.insert(0, Transform(logs, 0))
    if period > 1:
        tried += [Transform(logs, period, seasons) for seasons in (1, 2, 3)]
    if difference != "auto":
        lag = {"none": 0, "first": 1, "seasonal": period}[difference]
        tried = [one for one in tried if one.lag == lag]
    least = 2 * MEMORY
    tried = [one for one in tried if len(values) // 2 - one.reach >= least] or tried[:1]
    return min(tried, key=lambda one: _error(one, values, horizon)) if tried[1:] else tried[0]


def _error(transform: Transform, values: np.ndarray, horizon: int) -> float:
    """Mean absolute error of the levels of the second half, by a linear autoregression."""
    changes, levels = transform.apply(values), transform.levels(values)
    reach = transform.reach
    cut = len(values) // 2 - reach
    origins = np.unique(np.linspace(cut, len(changes) - 1, 200).round().astype(int))
    rows = origins[None] + np.arange(horizon)[:, None]
    there = rows < len(changes)
    total = 0.0
    for own, level in zip(changes.T, levels.T, strict=True):
        mean = own[:cut].mean()
        seen = np.lib.stride_tricks.sliding_window_view(own - mean, MEMORY)
        inputs, targets = seen[: cut - MEMORY], own[MEMORY:cut] - mean
        ridge = 1e-3 * float((inputs**2).sum()) / MEMORY + 1e-300
        weights = np.linalg.solve(inputs.T @ inputs + ridge * np.eye(MEMORY), inputs.T @ targets)
        given, steps = seen[origins - MEMORY], []
        for _ in range(horizon):
            following = given @ weights
            steps.append(following + mean)
            given = np.concatenate([given[:, 1:], following[:, None]], axis=1)
        past = level[origins[None] + np.arange(reach)[:, None]]
        found = transform.undo(np.stack(steps), past)
        truth = level[np.minimum(rows + reach, len(level) - 1)]
        total += float(np.abs(found - truth)[there].mean()) / max(float(level.std()), 1e-300)
    return total if np.isfinite(total) else np.inf
