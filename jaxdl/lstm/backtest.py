"""Forecasts from many origins beside what happened: errors, simple forecasts, bands.

NumPy alone, float64, in the series' own units. Forecasts are (l, o, f): steps, origins, columns. An
origin is the number of the first row that is forecast; a step beyond the known rows is NaN in the
truth, and counts nowhere.
"""

import warnings
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int

ORIGINS = 200  # at most so many are measured
COVERED = 0.8  # share that the bands are to cover


def origins_between(first: int, end: int, most: int = ORIGINS) -> Int[np.ndarray, " o"]:
    """At most `most` origins, evenly spaced from `first` to `end - 1`."""
    count = min(most, end - first)
    return np.unique(np.linspace(first, end - 1, count).round().astype(int))


def rows_after(
    values: Float[np.ndarray, "n f"], origins: Int[np.ndarray, " o"], length: int
) -> Float64[np.ndarray, "{length} o f"]:
    """What happened; NaN beyond the last row."""
    rows = origins[None] + np.arange(length)[:, None]
    found = np.asarray(values, np.float64)[np.minimum(rows, len(values) - 1)]
    return np.where((rows < len(values))[..., None], found, np.nan)


def seasonal_naive(
    values: Float[np.ndarray, "n f"], origins: Int[np.ndarray, " o"], period: int, length: int
) -> Float64[np.ndarray, "{length} o f"]:
    """The last period again and again; of period 1 the last value."""
    rows = origins[None] - period + np.arange(length)[:, None] % period
    return np.asarray(values, np.float64)[rows]


def drift(
    values: Float[np.ndarray, "n f"], origins: Int[np.ndarray, " o"], length: int
) -> Float64[np.ndarray, "{length} o f"]:
    """The straight line through the first and the last known row."""
    values = np.asarray(values, np.float64)
    last = values[origins - 1]
    slope = (last - values[0]) / np.maximum(1, origins - 1)[:, None]
    return last[None] + np.arange(1, length + 1)[:, None, None] * slope[None]


def naive_scale(training: Float[np.ndarray, "n f"], period: int) -> Float64[np.ndarray, " f"]:
    """MASE's scale: the mean absolute error of the seasonal naive forecast of one step on the
    training rows; 1 of a column that it forecasts without error.

    Source: Hyndman, Koehler 2006, "Another look at measures of forecast accuracy".
    """
    training = np.asarray(training, np.float64)
    lag = min(period, len(training) - 1)
    found = np.abs(training[lag:] - training[:-lag]).mean(0)
    return np.where(found > 1e-12 * np.abs(training).max(0), found, 1.0)


class Score(NamedTuple):
    """Errors of forecasts: by horizon (l, f) in own units, `mase` (l,) without a unit."""

    rmse: Float64[np.ndarray, "l f"]
    mae: Float64[np.ndarray, "l f"]
    mase: Float64[np.ndarray, " l"]
    total: dict[str, Any]  # the same over all steps and origins: rmse and mae by column, mase


def score(
    forecast: Float[np.ndarray, "l o f"],
    truth: Float[np.ndarray, "l o f"],
    scale: Float[np.ndarray, " f"],
) -> Score:
    """RMSE, MAE and MASE; MASE is the mean over the columns."""
    errors = np.where(np.isnan(truth), np.nan, forecast - truth)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a step without truth stays NaN
        rmse = np.sqrt(np.nanmean(errors**2, axis=1))
        mae = np.nanmean(np.abs(errors), axis=1)
    whole = np.nanmean(np.abs(errors), axis=(0, 1))
    total = {
        "rmse": np.sqrt(np.nanmean(errors**2, axis=(0, 1))).tolist(),
        "mae": whole.tolist(),
        "mase": float((whole / scale).mean()),
    }
    return Score(rmse, mae, (mae / scale).mean(1), total)


class Bands(NamedTuple):
    """How far a level is from its forecast: ``width * step ** growth * size``.

    Attributes:
        width, growth: of each column.
        sizes: absolute standardised errors, at 101 evenly spaced quantiles, of each column.
    """

    width: Float64[np.ndarray, " f"]
    growth: Float64[np.ndarray, " f"]
    sizes: Float64[np.ndarray, "101 f"]

    def half(self, length: int, covered: float = COVERED) -> Float64[np.ndarray, "{length} f"]:
        """Half of the band's height at each step, in levels."""
        steps = np.arange(1.0, length + 1)[:, None]
        at = covered * 100
        low = int(min(99, at))
        size = self.sizes[low] + (at - low) * (self.sizes[low + 1] - self.sizes[low])
        return self.width * steps**self.growth * size


def calibrate(errors: Float[np.ndarray, "l o f"]) -> Bands:
    """Bands from errors of levels on rows that were not learnt from; NaN where there is none.

    The root mean square error of each step is fitted by ``width * step ** growth`` (least squares
    of logarithms, steps weighted by their number of errors, growth 0 to 1): single steps have too
    few errors. The errors divided by it are then one sample, and its quantiles are the bands, as in
    split conformal prediction.
    """
    length = len(errors)
    width, growth, sizes = [], [], []
    steps = np.log(np.arange(1.0, length + 1))
    for column in np.moveaxis(errors, 2, 0):
        count = (~np.isnan(column)).sum(1)
        square = np.where(np.isnan(column), 0.0, column**2).sum(1) / np.maximum(count, 1)
        used = (count > 0) & (square > 0)
        if not used.any():
            width, growth, sizes = [*width, 0.0], [*growth, 0.0], [*sizes, np.zeros(101)]
            continue
        x, y, w = steps[used], 0.5 * np.log(square[used]), count[used] / count[used].sum()
        mx, my = (w * x).sum(), (w * y).sum()
        spread = (w * (x - mx) ** 2).sum()
        slope = float(np.clip((w * (x - mx) * (y - my)).sum() / spread, 0, 1)) if spread else 0.0
        own = float(np.exp(my - slope * mx))
        z = np.abs(column) / (own * np.exp(slope * steps))[:, None]
        z = np.sort(z[~np.isnan(z)])
        width.append(own)
        growth.append(slope)
        sizes.append(np.quantile(z, np.linspace(0, 1, 101)))
    return Bands(np.array(width), np.array(growth), np.stack(sizes, axis=1))


def coverage(
    low: Float[np.ndarray, "l #o f"],
    high: Float[np.ndarray, "l #o f"],
    truth: Float[np.ndarray, "l o f"],
) -> tuple[Float64[np.ndarray, " l"], float]:
    """The share of the truth between `low` and `high`, by step and over all."""
    known = ~np.isnan(truth)
    inside = known & (low <= truth) & (truth <= high)
    by_step = inside.sum((1, 2)) / np.maximum(1, known.sum((1, 2)))
    return np.where(known.any((1, 2)), by_step, np.nan), float(inside.sum() / known.sum())
