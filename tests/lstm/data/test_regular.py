"""Arrays as a series: order, gaps, fills, periods, and what is not worth learning."""

import numpy as np
import pytest

from jaxdl.errors import InputError
from jaxdl.lstm.data.missing import fill, find_period
from jaxdl.lstm.data.regular import check_learnable, make_series
from jaxdl.lstm.series import Series

DAYS = np.arange("2000-01-01", "2000-03-01", dtype="datetime64[D]").astype("datetime64[ns]")
LEVEL = np.sin(np.arange(60) * 2 * np.pi / 7)[:, None]


def test_arrays_are_sorted_and_their_gaps_filled():
    order = np.random.default_rng(0).permutation(np.delete(np.arange(60), [20, 21]))
    with pytest.raises(InputError, match=r"2 of 60 times have no row \(2000-01-21 to 2000-01-22\)"):
        make_series(LEVEL[order], times=DAYS[order])
    made = make_series(LEVEL[order], times=DAYS[order], missing="seasonal")
    assert made.series.times is not None
    np.testing.assert_array_equal(made.series.times, DAYS)
    assert np.datetime_data(made.series.times.dtype)[0] == "D"
    np.testing.assert_allclose(made.series.values, LEVEL, atol=0.05)
    assert any("sorted" in text for text in made.told)


def test_fills():
    column = np.array([1, np.nan, np.nan, 4, 5])
    values = np.stack([column, 10 * column], axis=1)
    np.testing.assert_allclose(fill(values, "interpolate", None)[:, 1], [10, 20, 30, 40, 50])
    np.testing.assert_array_equal(fill(values, "ffill", None)[:, 0], [1, 1, 1, 4, 5])
    # A trend and a season: what was taken away comes back.
    at = np.arange(96)
    truth = (0.1 * at + 3 * np.sin(at * 2 * np.pi / 12))[:, None]
    holed = truth.copy()
    holed[40:46] = np.nan
    np.testing.assert_allclose(fill(holed, "seasonal", 12), truth, atol=0.15)
    assert np.abs(fill(holed, "interpolate", None) - truth).max() > 1


def test_the_first_and_last_rows_are_not_invented():
    column = np.array([np.nan, 2, np.nan, 4, np.nan, np.nan])[:, None]
    made = make_series(column, missing="interpolate")
    np.testing.assert_array_equal(made.series.values[:, 0], [2, 3, 4])
    assert "left out: 1 rows before the first whole one and 2 after the last" in made.told


def waves(period: int, rows: int, noise: float, trend: float = 0.0) -> np.ndarray:
    at, rng = np.arange(rows), np.random.default_rng(period)
    shape = np.sin(at * 2 * np.pi / period) + 0.5 * np.cos(at * 4 * np.pi / period)
    return (shape + noise * rng.normal(size=rows) + trend * at**2)[:, None]


@pytest.mark.parametrize(
    ("period", "rows", "noise", "trend"),
    [(12, 144, 0.3, 0.0), (12, 40, 0.1, 0.001), (7, 400, 0.5, 0.0), (24, 2000, 0.8, 1e-5)],
)
def test_a_period_is_found_through_noise_and_trend(period, rows, noise, trend):
    found = find_period(waves(period, rows, noise, trend))
    assert found is not None
    assert found[0] == period


def test_no_period_is_found_where_there_is_none():
    rng = np.random.default_rng(0)
    for _ in range(20):
        noise = rng.normal(size=(120, 1))
        for values in (noise, np.cumsum(noise, 0), np.exp(np.linspace(0, 3, 120))[:, None]):
            assert find_period(values) is None
    assert find_period(np.full((60, 1), 5.0)) is None


def series(values) -> Series:
    return Series(values=np.asarray(values, float)[:, None], names=("y",))


def test_what_cannot_be_learnt():
    with pytest.raises(InputError, match=r"x: 5 rows are too few to learn from; give 30 or more"):
        check_learnable(series([1, 2, 1, 2, 1]), "x")
    with pytest.raises(InputError, match=r"'y' holds one value, 3, in all 40 rows"):
        check_learnable(series(np.full(40, 3)), "x")
    (line,) = check_learnable(series(np.arange(40)), "x")
    assert "may only count the rows" in line
    (line,) = check_learnable(series(np.exp(np.arange(40) / 9)), "x")
    assert "'y' always rises" in line
    assert check_learnable(series(LEVEL[:, 0]), "x") == []


@pytest.mark.parametrize(("value", "warned"), [(-999, True), (-99.99, True), (-3, False)])
def test_sentinels_are_warned_of_and_outliers_are_not(value: float, warned: bool):
    values = LEVEL.copy()
    values[[7, 30]] = value
    warnings = make_series(values).warnings
    assert bool(warnings) is warned
