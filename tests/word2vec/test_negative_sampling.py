"""Negatives: the table's probabilities, and the distribution of what is drawn in the graph."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from jaxdl.errors import InputError
from jaxdl.word2vec.negative_sampling import (
    sample,
    table_probabilities,
    unigram_probabilities,
    unigram_table,
)

draw = jax.jit(sample, static_argnames="shape")


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(0, 10**9), min_size=1, max_size=60).filter(any),
    st.sampled_from([0.0, 0.5, 0.75, 1.0]),
)
def test_the_table_holds_the_probabilities(counts: list[int], power: float):
    p = unigram_probabilities(np.asarray(counts), power)
    assert p.sum() == pytest.approx(1.0)
    table = unigram_table(np.asarray(counts), power)
    # float32 thresholds: 6e-8 of a row each.
    np.testing.assert_allclose(table_probabilities(table), p, atol=1e-7)
    assert float(table.threshold.min()) >= 0
    assert not table_probabilities(table)[np.asarray(counts) == 0].any()


def zipf(size: int) -> np.ndarray:
    return np.maximum(1, 1e9 / np.arange(1, size + 1) ** 1.1).astype(np.int64)


@pytest.mark.slow
@pytest.mark.parametrize("size", [10, 1000, 1_000_000])
def test_draws_follow_the_distribution(size: int):
    """Chi-square over cells of equal probability; a wrong power or a coarse table is far off."""
    counts, number = zipf(size), 1 << 21
    p = unigram_probabilities(counts)
    words = np.asarray(draw(unigram_table(counts), jax.random.key(0), shape=(number,)))
    # Cells of neighbouring words with an expectation of at least 200 draws.
    cells = np.minimum((np.cumsum(p) - p / 2) * 5000, 4999).astype(int)
    _, cells = np.unique(cells, return_inverse=True)
    expected = np.bincount(cells, p * number)
    found = np.bincount(cells, np.bincount(words, minlength=size), minlength=len(expected))
    statistic = ((found - expected) ** 2 / expected).sum()
    assert statistic < chi2.isf(1e-6, len(expected) - 1)
    # The check can fail: against power 1 it does, by far.
    other = np.bincount(cells, unigram_probabilities(counts, 1.0) * number)
    assert ((found - other) ** 2 / other).sum() > 10 * chi2.isf(1e-6, len(expected) - 1)


def test_rare_words_of_a_large_vocabulary_are_drawn_evenly():
    """Within a million words of the same count no part is favoured, by position or low bits."""
    size, number = 1_000_000, 1 << 21
    table = unigram_table(np.full(size, 3))
    words = np.asarray(draw(table, jax.random.key(1), shape=(number,)))
    for cells in (words // 1000, words % 1000):
        found = np.bincount(cells, minlength=1000)
        statistic = ((found - number / 1000) ** 2 / (number / 1000)).sum()
        assert chi2.isf(1 - 1e-6, 999) < statistic < chi2.isf(1e-6, 999)


def test_draws_are_a_function_of_the_key():
    table = unigram_table(np.arange(1, 50))
    one, two = (draw(table, jax.random.key(k), shape=(64,)) for k in (5, 5))
    other = draw(table, jax.random.key(6), shape=(64,))
    np.testing.assert_array_equal(one, two)
    assert (np.asarray(one) != np.asarray(other)).any()
    assert one.dtype == jnp.int32


@pytest.mark.parametrize("counts", [[0, 0], [1, -1]])
def test_counts_without_a_distribution_are_refused(counts: list[int]):
    with pytest.raises(InputError, match="counts must be 0 or more"):
        unigram_table(np.asarray(counts))
