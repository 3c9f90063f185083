"""Class weights and Dice against float64 NumPy, pixel by pixel; the plain loss: test_losses.py."""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl.errors import InputError
from jaxdl.fcn.checks import check
from jaxdl.fcn.choices import Reduction
from jaxdl.fcn.config import PRESETS, for_each_stage
from jaxdl.fcn.data.batches import Batch
from jaxdl.fcn.dataset import class_weights
from jaxdl.fcn.losses import (
    SMOOTH,
    median_frequency,
    pixel_xent,
    reduce_pixels,
    soft_dice_loss,
    weighted_xent,
)
from jaxdl.fcn.metrics import compute_metrics, empty_metrics
from jaxdl.fcn.models.fcn import FCN, init
from jaxdl.fcn.setup import optimizer_of
from jaxdl.fcn.task import apply, pixel_loss
from jaxdl.fcn.train import stage_step
from jaxdl.training.optimizers import accumulate, momentum_sgd
from jaxdl.training.step import dense_step, start_state

CLASSES = 4
WEIGHTS = np.array([0.25, 3.0, 0.0, 7.5])


def case(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores (2, 5, 6, 4), float64; labels with void, and class 3 in none of them."""
    rng = np.random.default_rng(seed)
    return 3 * rng.normal(size=(2, 5, 6, CLASSES)), rng.integers(-1, 3, (2, 5, 6))


def softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def numpy_xent(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> tuple[float, float, np.ndarray]:
    """Weighted sum, sum of the weights, and the gradient of the first."""
    total, weight, slope = 0.0, 0.0, np.zeros(logits.shape)
    for place in np.argwhere(labels >= 0):
        at, label = tuple(place), labels[tuple(place)]
        p = softmax(logits[at])
        total -= weights[label] * np.log(p[label])
        weight += weights[label]
        slope[at] = weights[label] * (p - np.eye(CLASSES)[label])
    return total, weight, slope


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_weighted_cross_entropy_is_numpys_with_its_gradient():
    logits, labels = case()
    want, weight, slope = numpy_xent(logits, labels, WEIGHTS)

    def loss(logits, reduction: Reduction):
        sums = weighted_xent(logits, jnp.asarray(labels), jnp.asarray(WEIGHTS))
        return reduce_pixels(*sums, reduction), sums

    run = jax.jit(jax.value_and_grad(loss, has_aux=True), static_argnums=1)
    for reduction, divisor in (("sum", 1.0), ("mean", weight)):
        (got, sums), grads = run(jnp.asarray(logits), reduction)
        np.testing.assert_allclose(sums, (want, weight), rtol=1e-12)
        np.testing.assert_allclose(got, want / divisor, rtol=1e-12)
        np.testing.assert_allclose(grads, slope / divisor, atol=1e-12)


def test_equal_weights_are_the_plain_loss_and_none_weigh_what_is_void():
    logits, labels = (jnp.asarray(a) for a in case())
    logits = logits.astype(jnp.float32)
    plain = reduce_pixels(*pixel_xent(logits, labels), "mean")
    for weight, tolerance in ((1.0, 0.0), (0.25, 0.0), (0.3, 1e-6)):
        sums = weighted_xent(logits, labels, jnp.full(CLASSES, weight))
        np.testing.assert_allclose(reduce_pixels(*sums, "mean"), plain, rtol=tolerance)
    nothing = weighted_xent(logits, jnp.full_like(labels, -1), jnp.ones(CLASSES))
    assert [float(n) for n in (*nothing, reduce_pixels(*nothing, "mean"))] == [0, 0, 0]


def numpy_dice(logits: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """The soft Dice loss, and its gradient by the scores."""
    valid = np.argwhere(labels >= 0)
    occurring = sorted({int(labels[tuple(place)]) for place in valid})
    p, loss, slope_p = softmax(logits), 0.0, np.zeros(logits.shape)
    for c in occurring:
        top, bottom = SMOOTH, SMOOTH
        for place in valid:
            at, hit = tuple(place), float(labels[tuple(place)] == c)
            top += 2 * p[at][c] * hit
            bottom += p[at][c] ** 2 + hit
        loss += (1 - top / bottom) / len(occurring)
        for place in valid:
            at, hit = tuple(place), float(labels[tuple(place)] == c)
            change = 2 * hit / bottom - top * 2 * p[at][c] / bottom**2
            slope_p[at][c] = -change / len(occurring)
    inner = (slope_p * p).sum(-1, keepdims=True)
    return loss, p * (slope_p - inner)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_soft_dice_is_numpys_with_its_gradient():
    """Void pixels, and classes that no label has, change nothing."""
    run = jax.jit(jax.value_and_grad(soft_dice_loss))
    for seed in range(3):
        logits, labels = case(seed)
        want, slope = numpy_dice(logits, labels)
        got, grads = run(jnp.asarray(logits), jnp.asarray(labels))
        np.testing.assert_allclose(got, want, rtol=1e-12)
        np.testing.assert_allclose(grads, slope, atol=1e-13)
        assert np.abs(slope).max() > 1e-4
        assert not np.asarray(grads)[labels < 0].any()


@pytest.mark.slow
def test_soft_dice_is_0_of_the_truth_1_of_its_opposite_and_0_of_nothing():
    labels = jnp.asarray(np.arange(2000).reshape(2, 20, 50) % 2)
    right = 1e3 * jax.nn.one_hot(labels, 3)
    run = jax.jit(jax.value_and_grad(soft_dice_loss))
    assert float(run(right, labels)[0]) == 0
    assert float(run(-right, labels)[0]) > 0.99
    none, grads = run(right, jnp.full_like(labels, -1))
    assert float(none) == 0
    assert not np.asarray(grads).any()


def test_dice_and_accumulate_are_refused_together():
    cfg = dataclasses.replace(PRESETS["demo"], dice=0.5)
    check(cfg)
    with pytest.raises(InputError, match=r"--dice 0.5: .* --accumulate 2 cannot be exact"):
        check(dataclasses.replace(cfg, accumulate=2))


def test_accumulated_weights_below_one_are_a_mean_over_their_union():
    """Batches whose weights add up to .3 in all: no floor of one pixel."""
    batches = [(3.0, 0.1), (5.0, 0.2)]  # value of the mean, sum of the weights
    optimizer = accumulate(momentum_sgd(), 2)
    step = dense_step(
        lambda params, b: (params["w"] * b[0], (b[1], ())), optimizer, lambda totals, _: totals
    )
    state: Any = start_state({"w": jnp.float32(0)}, optimizer)
    for batch in batches:
        state, _, _ = step(state, (), jnp.asarray(batch), 1.0)
    np.testing.assert_allclose(state.params["w"], -(3 * 0.1 + 5 * 0.2) / 0.3, rtol=1e-6)


def numpy_median_frequency(pixels: np.ndarray) -> list[float]:
    frequencies = {}
    for c in range(pixels.shape[1]):
        holding = [row for row in pixels if row[c]]
        if holding:
            frequencies[c] = sum(r[c] for r in holding) / sum(sum(r) for r in holding)
    middle = float(np.median(list(frequencies.values())))
    return [middle / frequencies[c] if c in frequencies else 1.0 for c in range(pixels.shape[1])]


def test_median_frequency_is_over_the_images_that_hold_a_class():
    pixels = np.array([[90, 10, 0, 0], [50, 0, 50, 0], [100, 0, 0, 0], [60, 20, 20, 0]], np.int32)
    got = median_frequency(pixels)
    np.testing.assert_allclose(got, numpy_median_frequency(pixels), rtol=1e-14)
    np.testing.assert_allclose(got[:2], [0.35 / 0.75, 0.35 / 0.15])  # the median is class 2's
    assert got[2:].tolist() == [1.0, 1.0]
    large = np.full((40, 3), 2**30, np.int32)  # their sums are above 32 bits
    np.testing.assert_allclose(median_frequency(large), 1.0)
    assert median_frequency(np.zeros((2, 3), np.int32)).tolist() == [1, 1, 1]


NAMES = ("ground", "cell", "rim")


def counted(*rows: tuple[int, ...]) -> np.ndarray:
    """Pixels of each value in each label; the last is void."""
    pixels = np.zeros((len(rows), 256), np.int32)
    pixels[:, : len(NAMES)] = rows
    pixels[:, -1] = 1000
    return pixels


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ((), {}),
        (("0.5", "2", "0"), {"ground": 0.5, "cell": 2.0, "rim": 0.0}),
        (("auto",), {"ground": 0.5 / 0.75, "cell": 0.5 / 0.25, "rim": 1.0}),
    ],
)
def test_class_weights_are_named(words: tuple[str, ...], found: dict[str, float]):
    cfg = dataclasses.replace(PRESETS["demo"], class_weights=words)
    check(cfg)
    assert class_weights(cfg, NAMES, counted((75, 25, 0))) == pytest.approx(found)


@pytest.mark.parametrize("words", [("auto", "1"), ("-1", "2"), ("nan",), ("a",), ("0", "0")])
def test_class_weights_that_are_none_are_refused_before_data_is_read(words: tuple[str, ...]):
    with pytest.raises(InputError, match=f"--class-weights {' '.join(words)}: give auto, or a"):
        check(dataclasses.replace(PRESETS["demo"], class_weights=words))


def test_class_weights_that_do_not_fit_the_data_are_refused():
    for words, why in (
        (("1", "2"), "give 3 numbers, one for each of ground, cell, rim"),
        (("0", "0", "1"), "no training pixel has a weight above 0"),
    ):
        cfg = dataclasses.replace(PRESETS["demo"], class_weights=words)
        with pytest.raises(InputError, match=why):
            class_weights(cfg, NAMES, counted((75, 25, 0)))


@pytest.mark.slow
def test_a_step_trains_on_weights_and_dice_and_reports_the_plain_loss():
    """The step's loss is NumPy's of the network's scores; the metrics' is plain."""
    rng = np.random.default_rng(1)
    batch = Batch(
        rng.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8),
        rng.choice(np.array([0, 1, 2, 255], np.uint8), (2, 32, 32)),
        np.array([[32, 32], [20, 32]], np.int32),
    )
    batch.labels[1, 20:] = 255
    cfg = dataclasses.replace(for_each_stage(PRESETS["demo"]), dice=2.0)
    model, mean, optimizer = FCN(32, CLASSES, 32), jnp.full(3, 120.0), optimizer_of(cfg, 0)
    with pytest.raises(ValueError, match="3 class weights of 4 classes"):
        pixel_loss(model, mean, "mean", class_weights=(1, 2, 3))({}, batch)
    params = init(model, jax.random.key(0))
    scores = jax.jit(partial(apply, model, mean=mean))(params, batch.images, batch.sizes)
    logits = np.asarray(scores, np.float64)
    labels = np.where(batch.labels == 255, -1, batch.labels.astype(int))
    want, weight, _ = numpy_xent(logits, labels, WEIGHTS)
    plain, pixels, _ = numpy_xent(logits, labels, np.ones(CLASSES))
    step = stage_step(cfg, model, WEIGHTS.tolist(), mean, None)
    _, metrics, loss = step(start_state(params, optimizer), empty_metrics(CLASSES), batch, 0.1)
    whole = want / weight + 2.0 * numpy_dice(logits, labels)[0]
    np.testing.assert_allclose(loss, whole, rtol=1e-4)
    assert abs(whole - plain / pixels) > 1e-2
    np.testing.assert_allclose(compute_metrics(metrics)["loss"], plain / pixels, rtol=1e-4)
