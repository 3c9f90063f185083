"""Values that are missing: filled as the user says, never silently. And a series' period."""

import numpy as np
from jaxtyping import Bool, Float64

from jaxdl.lstm.choices import Missing

_LEAST = 0.3  # autocorrelation of a period
_ROWS, _LAGS, _TRIES = 200_000, 20_000, 20  # of a long series


def runs(rows: np.ndarray) -> list[tuple[int, int]]:
    """First and last of each run of successive numbers; `rows` is sorted."""
    if not len(rows):
        return []
    cuts = np.flatnonzero(np.diff(rows) > 1)
    first, last = np.r_[0, cuts + 1], np.r_[cuts, len(rows) - 1]
    return [(int(rows[a]), int(rows[b])) for a, b in zip(first, last, strict=True)]


def interpolate(values: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Straight lines over the gaps; beyond the first and last value, that value."""
    at, there = np.arange(len(values)), ~np.isnan(values)
    return np.where(there, values, np.interp(at, at[there], values[there]))


def fill(
    values: Float64[np.ndarray, "n f"], how: Missing, period: int | None
) -> Float64[np.ndarray, "n f"]:
    """Values without NaN.

    Args:
        values: whose first and last rows have none.
        how: "interpolate" draws straight lines; "ffill" repeats the last value; "seasonal" draws
            the lines with the mean of each step of the period taken off, and adds it again.
        period: of "seasonal".
    """
    return np.stack([_fill(column, how, period) for column in values.T], axis=1)


def _fill(values: Float64[np.ndarray, " n"], how: Missing, period: int | None) -> np.ndarray:
    gaps = np.isnan(values)
    if not gaps.any():
        return values
    if how == "ffill":
        return values[np.maximum.accumulate(np.where(gaps, 0, np.arange(len(values))))]
    if how == "interpolate" or period is None:
        return interpolate(values)
    season = _season(values, period)
    return np.where(gaps, interpolate(values - season) + season, values)


def _season(values: Float64[np.ndarray, " n"], period: int) -> Float64[np.ndarray, " n"]:
    """Mean of what the values are above their trend, at each step of the period."""
    away = values - _smooth(interpolate(values), period)
    phase = np.arange(len(values)) % period
    there = ~np.isnan(away)
    sums = np.bincount(phase[there], away[there], period)
    means = sums / np.maximum(1, np.bincount(phase[there], minlength=period))
    return (means - means.mean())[phase]


def _smooth(values: Float64[np.ndarray, " n"], period: int) -> Float64[np.ndarray, " n"]:
    """Mean of a period around each step; near the ends, of what is there of it."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    low = np.maximum(0, at - period // 2)
    high = np.minimum(len(values), low + period)
    low = np.maximum(0, high - period)
    return (sums[high] - sums[low]) / (high - low)


def _autocorrelation(values: Float64[np.ndarray, " n"], most: int) -> Float64[np.ndarray, " m"]:
    """At lags 0 to `most`, each over the pairs that there are; zeros for a constant."""
    size = 1 << int(2 * len(values) - 1).bit_length()
    spectrum = np.fft.rfft(values - values.mean(), size)
    sums = np.fft.irfft(spectrum * spectrum.conj(), size)[: most + 1]
    sums /= len(values) - np.arange(most + 1)
    return sums / sums[0] if sums[0] > 0 else np.zeros(most + 1)


def _mean_autocorrelation(values: Float64[np.ndarray, "n f"], most: int) -> np.ndarray:
    found = [_autocorrelation(column, most) for column in values.T]
    return np.mean(found, axis=0)


def find_period(values: Float64[np.ndarray, "n f"]) -> tuple[int, float] | None:
    """The period of a series and its autocorrelation; None if none is clear.

    A parabola is taken off each column. A period is the lag of a peak of the autocorrelation, at
    least .3, after the first trough, and no longer than a third of the series. The changes over a
    quarter of it must show it too, beyond two standard errors, as those of a random walk do not.
    The shortest lag within a tenth of the highest wins, so that it is no multiple; its multiples
    then make it more exact.

    Args:
        values: without NaN; of several columns the mean autocorrelation counts.
    """
    values = values[-_ROWS:]
    rows, most = len(values), min(len(values) // 3, _LAGS)
    if most < 3:
        return None
    at = np.linspace(-1, 1, rows)
    scaled = values / np.maximum(np.abs(values).max(axis=0), 1e-300)
    trend = np.polynomial.polynomial.polyfit(at, scaled, 2)
    rest = scaled - np.polynomial.polynomial.polyval(at, trend).T
    rest = rest[:, rest.std(axis=0) > 1e-9]
    if not rest.size:
        return None
    found = _mean_autocorrelation(rest, most)
    troughs = np.flatnonzero((found[1:-1] <= found[:-2]) & (found[1:-1] < found[2:])) + 1
    if not len(troughs):
        return None
    lags = np.arange(1, most)
    peak = (found[lags] >= found[lags - 1]) & (found[lags] > found[lags + 1])
    lags = lags[peak & (lags > troughs[0]) & (found[lags] >= _LEAST)]
    if not len(lags):
        return None
    for lag in lags[found[lags] >= 0.9 * found[lags].max()][:_TRIES].tolist():
        quarter = max(1, lag // 4)
        changes = _mean_autocorrelation(rest[quarter:] - rest[:-quarter], lag)
        if changes[lag] >= max(0.1, 2 * np.sqrt(quarter / rows)):
            return _exact(found, lag), float(found[lag])
    return None


def _exact(found: Float64[np.ndarray, " m"], lag: int) -> int:
    """The period by the peaks at twice, four times, ... a lag that noise may have moved."""
    far, times, around = lag, 1, max(1, lag // 4)
    while 2 * far + around < len(found) // 2:
        far, times = 2 * far, 2 * times
        far += int(found[far - around : far + around + 1].argmax()) - around
    return round(far / times)


def gaps(values: Float64[np.ndarray, "n f"]) -> Bool[np.ndarray, " n"]:
    """The rows in which a value is missing."""
    return np.asarray(np.isnan(values).any(axis=1))
