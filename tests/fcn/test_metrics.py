"""Metrics agree with hand-computed cases and do not depend on how pixels come in batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jaxdl.fcn.metrics import (
    Metrics,
    compute_metrics,
    confusion_matrix,
    empty_metrics,
    update_metrics,
)

# Two images, three classes. Class 2 is guessed once, on a void pixel: it does not occur.
LABELS = np.array(
    [[[0, 0, 1, 1], [0, -1, 1, 1]], [[-1, -1, -1, -1], [-1, -1, 0, 0]]],
    np.int32,
)
GUESSES = np.array(
    [[[0, 1, 1, 1], [0, 2, 0, 1]], [[1, 1, 1, 1], [1, 1, 0, 0]]],
    np.int32,
)


def add(totals: Metrics, guesses, labels, loss: float = 0.0) -> Metrics:
    return update_metrics(totals, jnp.asarray(guesses), jnp.asarray(labels), jnp.float32(loss))


def count(guesses, labels, classes: int, loss: float = 0.0) -> Metrics:
    return add(empty_metrics(classes), guesses, labels, loss)


def same(a: Metrics, b: Metrics) -> None:
    for name in ("low", "high", "images"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), name)
    np.testing.assert_allclose(a.loss, b.loss, rtol=1e-6)
    np.testing.assert_allclose(a.image_accuracy, b.image_accuracy, rtol=1e-6)


def pictures(classes: int = 4):
    """Four 3x5 images: classes predicted, and labels with void."""
    shape = (4, 3, 5)
    guesses = arrays(np.int32, shape, elements=st.integers(0, classes - 1))
    return st.tuples(guesses, arrays(np.int32, shape, elements=st.integers(-1, classes - 1)))


@pytest.mark.slow
def test_hand_computed_figures():
    """Confusion [[4, 1, 0], [1, 3, 0], [0, 0, 0]]; the images have 5/7 and 2/2 right."""
    figures = compute_metrics(count(GUESSES, LABELS, 3, loss=4.5))
    per_class = figures.pop("per_class_iu")
    assert figures == pytest.approx(
        {
            "loss": 4.5 / 9,
            "pixel_accuracy": 7 / 9,
            "mean_image_accuracy": (5 / 7 + 1) / 2,
            "mean_accuracy": (4 / 5 + 3 / 4) / 2,
            "mean_iu": (4 / 6 + 3 / 5) / 2,
            "fw_iu": 5 / 9 * 4 / 6 + 4 / 9 * 3 / 5,
            "background_share": 5 / 9,
        },
        rel=1e-6,
    )
    assert per_class == pytest.approx([4 / 6, 3 / 5, np.nan], nan_ok=True)


def test_class_only_guessed_lowers_mean_iu_and_not_mean_accuracy():
    """Class 2 has no pixel in the labels: its IU is 0, its accuracy is not defined."""
    figures = compute_metrics(count(np.array([[[0, 1, 2, 1]]]), np.array([[[0, 1, 1, 1]]]), 4))
    assert figures["per_class_iu"] == pytest.approx([1, 2 / 3, 0, np.nan], nan_ok=True)
    assert figures["mean_iu"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert figures["mean_accuracy"] == pytest.approx((1 + 2 / 3) / 2)
    assert figures["fw_iu"] == pytest.approx(1 / 4 * 1 + 3 / 4 * 2 / 3)


def test_class_never_guessed_counts_as_zero():
    figures = compute_metrics(count(np.zeros((1, 1, 4), int), np.array([[[0, 0, 0, 1]]]), 2))
    assert figures["per_class_iu"] == [3 / 4, 0]
    assert figures["mean_accuracy"] == pytest.approx(1 / 2)
    assert figures["background_share"] == 1


@pytest.mark.parametrize("batches", [0, 1])
def test_nothing_counted_is_nan(batches: int):
    """No batch at all, or one that is all void: NaN everywhere, and no warning."""
    totals = empty_metrics(3)
    for _ in range(batches):
        totals = add(totals, np.zeros((2, 3, 3), int), np.full((2, 3, 3), -1))
    figures = compute_metrics(totals)
    assert {"loss", "mean_iu", "per_class_iu"} <= set(figures)
    assert not {name for name, value in figures.items() if not np.isnan(value).all()}


@given(pictures())
@settings(deadline=None, max_examples=25)
def test_confusion_matrix_is_truth_by_guess(case):
    guesses, labels = case
    expected = np.zeros((4, 4), int)
    for guess, label in zip(guesses.ravel(), labels.ravel(), strict=True):
        if label >= 0:
            expected[label, guess] += 1
    got = confusion_matrix(jnp.asarray(guesses), jnp.asarray(labels), 4)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.slow
@given(pictures(), st.integers(0, 4))
@settings(deadline=None, max_examples=25)
def test_batches_sum_to_one_batch(case, cut: int):
    guesses, labels = case
    parts = count(guesses[:cut], labels[:cut], 4, 1.5)
    same(add(parts, guesses[cut:], labels[cut:], 2.0), count(guesses, labels, 4, 3.5))


@pytest.mark.slow
@given(pictures(), st.integers(0, 3))
@settings(deadline=None, max_examples=25)
def test_void_images_change_nothing(case, guess: int):
    """Whatever is predicted on them: they are what fills up a short batch."""
    guesses, labels = case
    more = np.concatenate([guesses, np.full((2, 3, 5), guess, np.int32)])
    void = np.concatenate([labels, np.full((2, 3, 5), -1, np.int32)])
    same(count(more, void, 4), count(guesses, labels, 4))


def test_mean_image_accuracy_weighs_images_and_not_pixels():
    """A small image that is right and a large one that is wrong: half, not 1 in 10."""
    labels = np.full((3, 1, 9), -1)
    labels[0, 0, 0], labels[1, 0, :] = 0, 0
    guesses = np.ones((3, 1, 9), int)
    guesses[0] = 0
    figures = compute_metrics(count(guesses, labels, 2))
    assert figures["pixel_accuracy"] == pytest.approx(1 / 10)
    assert figures["mean_image_accuracy"] == pytest.approx(1 / 2)


@pytest.mark.slow
@pytest.mark.parametrize("start", [2**32 - 6, 2**32 - 5, 2**32 - 4, 2**32 - 1])
def test_counts_carry_past_32_bits(start: int):
    """Five pixels are added to a cell that is nearly full; the others stay as they are."""
    totals = empty_metrics(2)._replace(
        low=jnp.array([[start, 7], [0, 2**31]], jnp.uint32),
        high=jnp.array([[3, 0], [1, 0]], jnp.uint32),
    )
    after = add(totals, np.zeros((1, 1, 5), int), np.zeros((1, 1, 5), int))
    words = np.asarray(after.high, object) * 2**32 + np.asarray(after.low, object)
    expected = [[3 * 2**32 + start + 5, 7], [2**32, 2**31]]
    assert words.tolist() == expected
    figures = compute_metrics(after)
    right, number = expected[0][0] + expected[1][1], sum(map(sum, expected))
    assert figures["pixel_accuracy"] == pytest.approx(right / number, rel=1e-12)
    expected_iu = [expected[0][0], 2**31] / np.array([number - 2**31, 2**31 + 2**32 + 7])
    np.testing.assert_allclose(figures["per_class_iu"], expected_iu, rtol=1e-12)


def test_low_word_counts_one_pixel_where_float32_cannot():
    totals = empty_metrics(1)._replace(low=jnp.array([[2**24]], jnp.uint32))
    after = add(totals, np.zeros((1, 1, 1), int), np.zeros((1, 1, 1), int))
    assert int(after.low[0, 0]) == 2**24 + 1


def test_totals_can_be_donated():
    """The training step donates them: no two fields share a buffer."""
    step = jax.jit(update_metrics, donate_argnums=0)
    totals = empty_metrics(3)
    for _ in range(2):
        totals = step(totals, jnp.asarray(GUESSES), jnp.asarray(LABELS), jnp.float32(1))
    once = count(GUESSES, LABELS, 3)
    np.testing.assert_array_equal(totals.low, 2 * once.low)
    assert int(totals.images) == 4


def test_totals_keep_their_types():
    """A checkpoint in mid-epoch stores and restores them; a step must not compile twice."""
    before, after = empty_metrics(3), count(GUESSES, LABELS, 3, 1.0)
    assert [(v.dtype, v.shape) for v in before] == [(v.dtype, v.shape) for v in after]
    assert not any(v.weak_type for v in after)
