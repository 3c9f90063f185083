"""Negative sampling against an independent implementation (Chainer 7.8.1, float64), file by file.

Every file of ``$JAXDL_ORACLE_DIR/word2vec/*.npz`` is run, with its negatives replayed.
"""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl.word2vec.full_softmax import negative_sampling_loss
from jaxdl.word2vec.negative_sampling import (
    table_probabilities,
    unigram_probabilities,
    unigram_table,
)

FOLDER = Path(os.environ.get("JAXDL_ORACLE_DIR", Path(__file__).parents[1] / "fixtures" / "oracle"))
FILES = sorted((FOLDER / "word2vec").glob("*.npz"))


def test_there_are_files():
    assert FILES, f"no oracle files in {FOLDER / 'word2vec'}"


def numpy_gradients(x: np.ndarray, table: np.ndarray, target: np.ndarray, samples: np.ndarray):
    """Of the summed loss, row by row: (sigmoid(score) - label) times the other side's row."""
    grad_x, grad_table = np.zeros_like(x), np.zeros_like(table)
    for i, word in enumerate(target):
        if word < 0:
            continue
        for other, label in [(word, 1.0), *((n, 0.0) for n in samples[i])]:
            error = 1 / (1 + np.exp(-x[i] @ table[other])) - label
            grad_x[i] += error * table[other]
            grad_table[other] += error * x[i]
    return grad_x, grad_table


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_oracle(path: Path):
    with np.load(path) as file:
        target, samples = jnp.asarray(file["t"]), jnp.asarray(file["samples"])

        def loss_fn(x, table):
            rows = table[jnp.maximum(target, 0)]
            each = negative_sampling_loss(x, rows, table[samples], target >= 0)
            return each.sum(), each

        run = jax.jit(jax.value_and_grad(loss_fn, argnums=(0, 1), has_aux=True))
        (total, each), grads = run(jnp.asarray(file["x"]), jnp.asarray(file["W"]))
        np.testing.assert_allclose(each, file["loss_no"], rtol=1e-6, atol=1e-9)
        assert float(total) == pytest.approx(float(file["loss_sum"]), rel=1e-6)
        formula = numpy_gradients(file["x"], file["W"], file["t"], file["samples"])
        for got, name, ours in zip(grads, ("grad_x", "grad_W"), formula, strict=True):
            np.testing.assert_allclose(got, ours, rtol=0, atol=1e-12)
            # sgns_a.npz came with grad_W all NaN: that array says nothing.
            if np.isfinite(want := file[name]).all():
                np.testing.assert_allclose(got, want, rtol=0, atol=1e-6 * np.abs(want).max())
        np.testing.assert_allclose(unigram_probabilities(file["counts"]), file["p"], rtol=1e-12)
        table = unigram_table(file["counts"])
        np.testing.assert_allclose(table_probabilities(table), file["p"], atol=1e-8)
