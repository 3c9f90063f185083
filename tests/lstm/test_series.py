"""Series: the sine, windows, scaling without a look at the tail."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2

from jaxdl.errors import InputError
from jaxdl.lstm.series import (
    check_window,
    gather_windows,
    learn_scaling,
    sine,
    split_tail,
    to_float32,
    window_starts,
)


@pytest.mark.parametrize(("steps", "cycles"), [(50, 100), (7, 3)])
def test_the_sine_is_a_sine_of_so_many_steps_and_cycles(steps: int, cycles: int):
    series = sine(steps, cycles)
    assert series.shape == (steps * cycles, 1)
    assert series.dtype == np.float64
    exact = np.sin(2 * np.pi * np.arange(steps * cycles) / steps)
    np.testing.assert_allclose(series[:, 0], exact, atol=1e-11)
    np.testing.assert_array_equal(series[:steps], series[-steps:])


def test_float32_is_rounded_once():
    series = to_float32(sine())
    assert series.dtype == np.float32
    np.testing.assert_array_equal(series, sine().astype(np.float32))


@pytest.mark.parametrize(("steps", "cycles"), [(1, 100), (0, 1), (50, 0)])
def test_a_sine_of_nothing_is_refused(steps: int, cycles: int):
    with pytest.raises(InputError, match="give at least"):
        sine(steps, cycles)


def test_windows_are_pieces_of_the_series_with_the_step_after():
    series = np.arange(40.0).reshape(20, 2)
    windows = gather_windows(jnp.asarray(series), jnp.asarray([0, 14, 3]), 5)
    assert windows.shape == (6, 3, 2)
    for b, start in enumerate((0, 14, 3)):
        np.testing.assert_array_equal(windows[:, b], series[start : start + 6])


def test_starts_reach_every_window_and_no_further():
    """A window of 5 in a series of 12: the last start's target is step 11."""
    starts = window_starts(0, np.array([0, 1, 0]), 0, 20, 100, 12 - 5)
    assert starts.shape == (20, 3, 100)
    assert starts.dtype == np.int32
    assert set(starts[:, 0].ravel().tolist()) == set(range(7))
    np.testing.assert_array_equal(starts[:, 0], starts[:, 2])  # of one seed
    for other in (starts[:, 1], window_starts(1, np.array([0]), 0, 20, 100, 7)[:, 0]):
        assert abs((starts[:, 0] == other).mean() - 1 / 7) < 0.05  # independent: one in seven
    counts = np.bincount(starts[:, 0].ravel())
    assert ((counts - 2000 / 7) ** 2 / (2000 / 7)).sum() < chi2.isf(1e-6, 6)


@pytest.mark.parametrize("batch", [1, 8, 13])
def test_an_epochs_windows_do_not_depend_on_those_drawn_with_it(batch: int):
    seeds = np.array([-1, 4])
    whole = window_starts(3, seeds, 0, 9, batch, 1000)
    pieces = [window_starts(3, seeds, first, 3, batch, 1000) for first in (0, 3, 6)]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    assert len(np.unique(whole.reshape(18, batch), axis=0)) == 18


def test_several_lengths_share_the_draws():
    """Of a length that divides another, the starts are remainders."""
    starts = window_starts(0, np.array([5]), 2, 4, 50, [10, 100, 30])
    assert starts.shape == (4, 1, 3, 50)
    np.testing.assert_array_equal(starts[:, :, 0], starts[:, :, 1] % 10)
    np.testing.assert_array_equal(starts[:, :, 0], starts[:, :, 2] % 10)
    np.testing.assert_array_equal(starts[:, :, 1], window_starts(0, np.array([5]), 2, 4, 50, 100))


def test_scaling_makes_the_training_part_standard_and_comes_back():
    rng = np.random.default_rng(0)
    series = rng.normal([5, -300], [0.1, 40], (500, 2))
    scaling = learn_scaling(series)
    scaled = scaling.apply(series)
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.std(0), 1, rtol=1e-12)
    np.testing.assert_allclose(scaling.undo(scaled), series, rtol=1e-12)
    np.testing.assert_allclose(scaling.undo(scaled.reshape(5, 100, 2))[4, 99], series[-1])


def test_a_column_that_stands_still_becomes_zero():
    series = np.column_stack([np.full(30, 0.1), np.arange(30.0)])
    scaled = learn_scaling(series).apply(series)
    np.testing.assert_allclose(scaled[:, 0], 0, atol=1e-12)


def test_the_tail_decides_nothing():
    """What is learnt from the training part is the same whatever follows it."""
    series = np.random.default_rng(1).normal(size=(100, 2))
    other = series.copy()
    other[80:] = 1e9
    parts = [split_tail(s, 20, 10, "a series") for s in (series, other)]
    for training, tail in parts:
        assert len(training) == 80
        assert len(tail) == 20
    np.testing.assert_array_equal(np.concatenate(parts[0]), series)
    for a, b in zip(learn_scaling(parts[0][0]), learn_scaling(parts[1][0]), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("steps", "tail", "window", "message"),
    [
        (100, 0, 0, "window of 0 steps"),
        (100, 0, -3, "window of -3 steps"),
        (100, -1, 5, "tail of -1"),
        (10, 0, 10, "the file: 10 steps are too few for a window of 10 .* at least 11"),
        (20, 15, 10, "without its tail of 15: 5 steps are too few"),
        (20, 30, 10, "0 steps are too few"),
    ],
)
def test_no_window_fits(steps: int, tail: int, window: int, message: str):
    with pytest.raises(InputError, match=message):
        split_tail(np.zeros((steps, 1)), tail, window, "the file")


def test_the_shortest_series_that_fits():
    check_window(11, 10, "the file")
    assert not window_starts(0, np.array([0]), 0, 3, 5, 11 - 10).any()
