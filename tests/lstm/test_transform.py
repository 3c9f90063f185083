"""Transforms of a series: what they do, that they can be undone, and the rule that chooses."""

import numpy as np
import pytest

from jaxdl.lstm.transform import Transform, choose, grows_with_level, window_scale

ROWS = np.arange(240)
NOISE = np.random.default_rng(0).normal(size=(240, 1))
SEASON = np.array([3.0, 1, -2, 0, 5, 4, -1, -3, -4, 2, -6, 1])[ROWS % 12][:, None]


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("lag", [(0, 1), (1, 1), (12, 1), (12, 3)])
def test_what_is_applied_is_undone(log: bool, lag: tuple[int, int]):
    transform = Transform(log, *lag)
    values = np.exp(np.random.default_rng(1).normal(size=(80, 2)))
    changes = transform.apply(values)
    assert changes.dtype == np.float64
    assert len(changes) == 80 - transform.reach
    levels = transform.undo(changes[-20:], transform.levels(values[:60]))
    np.testing.assert_allclose(transform.values(levels), values[60:], rtol=1e-12)


def test_a_seasonal_change_is_from_the_mean_of_the_last_seasons():
    values = np.array([1.0, 10, 3, 20, 5, 60])[:, None]
    assert Transform(False, 2, 2).apply(values)[:, 0].tolist() == [3.0, 45.0]
    assert Transform(False, 2).apply(values)[:, 0].tolist() == [2.0, 10.0, 2.0, 40.0]


def test_an_error_of_the_changes_becomes_that_of_the_levels():
    transform, rng = Transform(False, 4, 2), np.random.default_rng(2)
    past, changes, errors = rng.normal(size=(8, 1)), *rng.normal(size=(2, 11, 1))
    apart = transform.undo(changes + errors, past) - transform.undo(changes, past)
    np.testing.assert_allclose(transform.integration(11) @ errors, apart, atol=1e-12)


def test_a_window_is_scaled_by_its_own_level_and_spread():
    windows = np.random.default_rng(3).normal(size=(30, 4, 1)) * [[[1.0], [2], [5], [0]]] + 7
    scale = window_scale(windows, changes=False)
    scaled = scale.apply(windows)
    assert np.abs(scaled.mean(0)).max() < 1e-9
    assert scaled.std(0)[2] > 0.99  # the floor counts little beside a large spread
    assert np.abs(scaled[:, 3]).max() < 1e-9  # a flat window stays flat
    np.testing.assert_allclose(scale.undo(scaled), windows)
    assert not window_scale(windows, changes=True).level.any()


def test_logarithms_are_taken_where_the_spread_grows_with_the_level():
    level = np.exp(ROWS / 80)[:, None] * 50
    assert grows_with_level(level * (1 + SEASON / 30), 12)
    assert not grows_with_level(level + SEASON, 12)
    assert not grows_with_level(level * (1 + SEASON / 30) - 100, 12)  # not positive


@pytest.mark.parametrize(
    ("values", "period", "lag"),
    [
        (100 + SEASON + 0.3 * NOISE, 12, 12),
        (NOISE.cumsum(0) + 0.5 * ROWS[:, None], 1, 1),
        (100 + NOISE, 1, 0),
    ],
    ids=["season", "trend", "noise"],
)
def test_the_difference_fits_the_series(values: np.ndarray, period: int, lag: int):
    assert choose(values, period, horizon=24).lag == lag
    asked = choose(values, period, horizon=24, difference="first")
    assert asked == Transform(False, 1)


def test_noise_in_the_season_is_averaged_over_periods():
    assert choose(100 + SEASON + 3 * NOISE, 12, horizon=24).seasons > 1
