"""An ensemble on arrays: what it may see, what it is compared with, and its bands."""

import jax
import numpy as np
import pytest

from jaxdl.errors import InputError
from jaxdl.lstm import arrays, backtest, fit, forecast_run, saved
from jaxdl.lstm.measure import measure

RNG = np.random.default_rng(0)
ROWS = np.arange(160)
TREND = (10 + 0.4 * ROWS + 3 * np.sin(ROWS * np.pi / 3) + RNG.normal(size=160))[:, None]
HELD = 32


def fitted_to(values: np.ndarray) -> fit.Fitted:
    return arrays.fit(
        *(values, HELD),
        period=6,
        window=12,
        horizon=12,
        hidden=(2, 3),
        seeds=2,
        steps=120,
        every=20,
        batch=8,
    )


@pytest.fixture(scope="module")
def fitted() -> fit.Fitted:
    return fitted_to(TREND)


def test_simple_forecasts_by_hand():
    values, origins = np.array([1.0, 2, 4, 8, 16])[:, None], np.array([3, 5])
    naive = backtest.seasonal_naive(values, origins, 2, 3)
    assert naive[:, 0, 0].tolist() == [2, 4, 2]
    assert naive[:, 1, 0].tolist() == [8, 16, 8]
    assert backtest.drift(values, origins, 2)[:, 0, 0].tolist() == [5.5, 7]
    truth = backtest.rows_after(values, origins, 3)
    np.testing.assert_array_equal(truth[:, 0, 0], [8, 16, np.nan])
    assert np.isnan(truth[:, 1]).all()
    scale = backtest.naive_scale(values[:4], 1)
    assert scale.tolist() == [7 / 3]
    score = backtest.score(naive, truth, scale)
    assert score.total["mae"] == [(6 + 12) / 2]
    assert score.total["rmse"] == [np.sqrt((36 + 144) / 2)]
    assert score.total["mase"] == 9 / (7 / 3)
    assert score.mae[:2, 0].tolist() == [6, 12]
    assert np.isnan(score.mase[2])


def test_bands_cover_what_they_are_to_cover():
    steps = np.arange(1, 11)[:, None, None]
    errors = 3 * steps**0.5 * np.random.default_rng(1).normal(size=(10, 400, 1))
    bands = backtest.calibrate(errors[:, :200])
    assert abs(bands.growth[0] - 0.5) < 0.1
    for share in (0.5, 0.8):
        half = bands.half(10, share)[:, None]
        by_step, whole = backtest.coverage(-half, half, errors[:, 200:])
        assert abs(whole - share) < 0.04
        assert np.abs(by_step - share).max() < 0.12
    none = backtest.calibrate(np.zeros((4, 5, 1)))
    assert not none.half(4).any()


@pytest.mark.slow
def test_the_networks_follow_a_trend_that_the_naive_forecast_misses(fitted: fit.Fitted):
    found = measure(fitted, TREND)
    totals = {name: one["total"]["mase"] for name, one in found["methods"].items()}
    assert fitted.setup.transform.lag
    assert not fitted.naive
    assert totals["networks"] < 0.9 * totals["naive"]
    assert 0.4 < found["coverage"]["total"] <= 1
    ahead = fit.forecast(fitted, TREND, 24)
    assert ahead.median.shape == (24, 1)
    assert (ahead.low < ahead.median).all()
    assert (ahead.median < ahead.high).all()
    assert ahead.median[-6:].mean() > TREND[-6:].mean() + 3


@pytest.mark.slow
def test_the_tail_decides_nothing_but_the_last_networks(fitted: fit.Fitted):
    other = TREND.copy()
    other[-HELD:] = 5 - other[-HELD:]
    theirs = fitted_to(other)
    assert theirs.sizes == fitted.sizes
    assert theirs.setup.transform == fitted.setup.transform
    np.testing.assert_array_equal(theirs.errors, fitted.errors)
    np.testing.assert_array_equal(theirs.bands.sizes, fitted.bands.sizes)
    for part, same in ((0, True), (1, True), (2, False)):
        pairs = zip(
            jax.tree.leaves(fit.part_of(fitted.params, part)),
            jax.tree.leaves(fit.part_of(theirs.params, part)),
            strict=True,
        )
        assert all(np.array_equal(a, b) for a, b in pairs) == same


@pytest.mark.slow
def test_a_forecast_sees_nothing_after_its_origin(fitted: fit.Fitted):
    origins = np.array([130, 140])
    ours = fit.forecast(fitted, TREND, 12, part=1, origins=origins)
    other = TREND.copy()
    other[140:] = 1e3
    theirs = fit.forecast(fitted, other, 12, part=1, origins=origins)
    np.testing.assert_array_equal(ours.median, theirs.median)
    alone = fit.forecast(fitted, TREND[:140], 12, part=1)
    np.testing.assert_allclose(alone.median, ours.median[:, 1], rtol=1e-5)


@pytest.mark.slow
def test_what_is_saved_forecasts_the_same(fitted: fit.Fitted, tmp_path):
    again = saved.from_json(saved.to_json(fitted), fitted.params)
    ours, theirs = (fit.forecast(own, TREND, 30) for own in (fitted, again))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)
    one = forecast_run.pick(fitted, "3:1", tmp_path)
    assert one is not None
    assert fitted.members.units[one].tolist() == [3]
    assert fitted.members.seeds[one].tolist() == [1]
    assert forecast_run.pick(fitted, None, tmp_path) is None
    assert forecast_run.pick(fitted, "best", tmp_path) == [int(np.argmin(fitted.errors))]
    with pytest.raises(InputError, match=r"--network 9:1: .* has sizes 2, 3, seeds 0 to 1"):
        forecast_run.pick(fitted, "9:1", tmp_path)


@pytest.mark.slow
def test_a_start_that_validation_prefers_is_named(fitted: fit.Fitted):
    """Networks that read out zeros forecast what the difference alone does."""
    assert not fitted.unlearnt
    zeros = jax.tree.map(np.zeros_like, fitted.params)
    start = fit.conclude(fitted.setup, fitted.members, zeros, fitted.errors, TREND)
    assert start.unlearnt
    found = saved.to_json(start) | {"test": measure(start, TREND)}
    assert "The mean change alone beats the seasonal naive forecast" in forecast_run.verdict(found)
    assert "The networks beat" in forecast_run.verdict(found | {"unlearnt": False})


def test_short_series_get_shorter_windows():
    setup = fit.prepare(TREND[:30], 6, period=1, window=12, horizon=6)
    first = setup.rows[0] - setup.transform.reach
    assert setup.window + setup.horizon < first
    assert fit.data_of(setup, TREND[:30]).windows.shape[0] == setup.window
