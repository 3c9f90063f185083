"""The masked cross-entropy agrees with float64 NumPy, in value and gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jaxdl.fcn.choices import Reduction
from jaxdl.fcn.losses import pixel_xent, reduce_pixels
from jaxdl.word2vec.full_softmax import full_softmax_loss, negative_sampling_loss

SHAPE, CLASSES = (2, 3, 4), 5


def cases(low: int = -1):
    """Scores and labels; labels from `low` up (-1 is void)."""
    score = st.floats(-30, 30, width=32)
    return st.tuples(
        arrays(np.float32, (*SHAPE, CLASSES), elements=score),
        arrays(np.int32, SHAPE, elements=st.integers(low, CLASSES - 1)),
    )


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def expected(logits: np.ndarray, labels: np.ndarray) -> tuple[float, int]:
    """Sum over valid pixels, one by one, and their number."""
    table = log_softmax(logits)
    valid = np.argwhere(labels >= 0)
    return -sum(float(table[(*p, labels[tuple(p)])]) for p in valid), len(valid)


def loss(logits, labels, reduction: Reduction = "mean"):
    return reduce_pixels(*pixel_xent(logits, labels), reduction)


@pytest.mark.slow
@given(cases())
@settings(deadline=None, max_examples=30)
def test_sum_and_number_of_valid_pixels(case):
    logits, labels = case
    total, number = pixel_xent(jnp.asarray(logits), jnp.asarray(labels))
    want, pixels = expected(logits, labels)
    np.testing.assert_allclose(total, want, rtol=1e-5, atol=1e-4)
    assert int(number) == pixels
    assert total.dtype == jnp.float32


@pytest.mark.slow
@given(cases())
@settings(deadline=None, max_examples=20)
def test_gradient_is_softmax_minus_onehot(case):
    """Of the mean: over the number of valid pixels; zero where void."""
    logits, labels = case
    got = jax.grad(loss)(jnp.asarray(logits), jnp.asarray(labels))
    onehot = np.eye(CLASSES)[np.maximum(labels, 0)]
    valid = (labels >= 0)[..., None]
    want = valid * (np.exp(log_softmax(logits)) - onehot) / max(1, valid.sum())
    np.testing.assert_allclose(got, want, atol=1e-6)


@pytest.mark.slow
@given(cases(), st.floats(-30, 30, width=32))
@settings(deadline=None, max_examples=20)
def test_scores_of_void_pixels_do_not_matter(case, other: float):
    logits, labels = case
    changed = np.where((labels < 0)[..., None], np.float32(other), logits)
    a, b = (loss(jnp.asarray(v), jnp.asarray(labels)) for v in (logits, changed))
    np.testing.assert_array_equal(a, b)


@pytest.mark.slow
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_all_void_gives_zero_and_no_nan(reduction: Reduction):
    logits = jnp.linspace(-5, 5, 2 * 3 * 3 * 4).reshape(2, 3, 3, 4)
    value, grads = jax.value_and_grad(loss)(logits, jnp.full((2, 3, 3), -1), reduction)
    assert float(value) == 0
    np.testing.assert_array_equal(grads, np.zeros(logits.shape))


@pytest.mark.slow
def test_mean_is_over_valid_pixels_of_the_batch():
    """Uniform scores cost log(classes) a pixel: 3 valid pixels of 8, in two images."""
    labels = jnp.array([[[0, 1], [-1, -1]], [[-1, -1], [-1, 3]]])
    logits = jnp.zeros((2, 2, 2, 4))
    assert float(loss(logits, labels, "sum")) == pytest.approx(3 * np.log(4))
    assert float(loss(logits, labels, "mean")) == pytest.approx(np.log(4))


@pytest.mark.slow
def test_sum_is_mean_times_valid_pixels_in_value_and_gradient():
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.normal(size=(2, 4, 4, 3)), jnp.float32)
    labels = jnp.asarray(rng.integers(-1, 3, (2, 4, 4)))
    number = int((labels >= 0).sum())
    assert 0 < number < labels.size
    mean, slope = jax.value_and_grad(loss)(logits, labels, "mean")
    total, steep = jax.value_and_grad(loss)(logits, labels, "sum")
    np.testing.assert_allclose(total, number * mean, rtol=1e-6)
    np.testing.assert_allclose(steep, number * slope, atol=1e-6)


@pytest.mark.slow
def test_bfloat16_scores_are_computed_in_float32():
    """Same loss as the rounded scores in float32; the gradient comes back as bfloat16."""
    rng = np.random.default_rng(0)
    logits = jnp.asarray(3 * rng.normal(size=(2, 16, 16, 21)), jnp.bfloat16)
    labels = jnp.asarray(rng.integers(-1, 21, (2, 16, 16)))
    total, _ = pixel_xent(logits, labels)
    assert total.dtype == jnp.float32
    want, _ = expected(np.asarray(logits.astype(jnp.float32)), np.asarray(labels))
    np.testing.assert_allclose(total, want, rtol=1e-5)
    assert jax.grad(loss)(logits, labels).dtype == jnp.bfloat16


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_float64_scores_stay_float64():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(1, 5, 5, 3)), rng.integers(-1, 3, (1, 5, 5))
    total, _ = pixel_xent(jnp.asarray(logits), jnp.asarray(labels))
    assert total.dtype == jnp.float64
    np.testing.assert_allclose(total, expected(logits, labels)[0], rtol=1e-12)


@pytest.mark.slow
def test_large_scores_do_not_overflow():
    logits = jnp.array([[[[1e4, 0.0, -1e4], [-1e4, 0.0, 1e4]]]])
    value, grads = jax.value_and_grad(loss)(logits, jnp.array([[[0, 0]]]), "sum")
    assert float(value) == pytest.approx(2e4)
    np.testing.assert_array_equal(grads, [[[[0, 0, 0], [-1, 0, 1]]]])


# --- word2vec ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("chunk", [1, 3, 7, 100])
def test_full_softmax_equals_numpy_with_its_gradients(chunk: int):
    """Whatever the chunk, with a target in each chunk and an ignored one."""
    rng = np.random.default_rng(0)
    x, table = rng.normal(size=(5, 4)), 3 * rng.normal(size=(7, 4))
    target = np.array([0, 6, 3, -1, 2])
    scores = x @ table.T
    log_p = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    kept = target >= 0
    want = np.where(kept, -log_p[np.arange(5), target], 0.0)
    delta = (np.exp(log_p) - np.eye(7)[target]) * kept[:, None]

    def total(x, table):
        each = full_softmax_loss(x, table, jnp.asarray(target), chunk)
        return each.sum(), each

    run = jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))
    (grad_x, grad_table), each = run(jnp.asarray(x), jnp.asarray(table))
    np.testing.assert_allclose(each, want, atol=1e-12)
    np.testing.assert_allclose(grad_x, delta @ table, atol=1e-12)
    np.testing.assert_allclose(grad_table, delta.T @ x, atol=1e-12)


@pytest.mark.slow
def test_full_softmax_never_holds_all_scores():
    """Memory of the compiled gradient: bounded by the chunk, not by batch x vocabulary."""
    batch, words, chunk = 512, 1 << 17, 1024
    x, table = jnp.zeros((batch, 8)), jnp.zeros((words, 8))
    target = jnp.zeros(batch, jnp.int32)

    def total(x, table):
        return full_softmax_loss(x, table, target, chunk).sum()

    memory = jax.jit(jax.grad(total, argnums=(0, 1))).lower(x, table).compile().memory_analysis()
    assert memory is not None
    assert memory.temp_size_in_bytes < batch * words * 4 / 8


@pytest.mark.slow
def test_full_softmax_survives_large_scores():
    table = jnp.asarray([[1000.0], [-1000.0]])
    loss = full_softmax_loss(jnp.asarray([[1.0], [-1.0]]), table, jnp.asarray([0, 0]))
    np.testing.assert_allclose(loss, [0.0, 2000.0], atol=1e-4)


def test_negative_sampling_loss_has_no_overflow():
    x, row = jnp.asarray([[1000.0]]), jnp.asarray([[-1.0]])
    loss = negative_sampling_loss(x, row, -row[:, None], jnp.asarray([True]))
    np.testing.assert_allclose(loss, [2000.0])
