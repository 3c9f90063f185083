"""Negative samples from the unigram^0.75 distribution, drawn inside the compiled program.

The table is Walker's: a draw is a row i, uniform over the words, and a uniform number u in [0, 1);
the word is i if u < threshold[i], else alias[i]. Two draws and two gathers for any vocabulary, and
exact: word2vec.c's table of 1e8 slots rounds the rare words of a large vocabulary away, and
Chainer's alias sampler takes row and fraction from one float32, too coarse for 1e6 words.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from jaxdl.errors import InputError


class UnigramTable(NamedTuple):
    """An alias table over V words; arrays only, an argument of the compiled program."""

    threshold: Float[Array, " v"]  # float32, in [0, 1]
    alias: Int[Array, " v"]  # int32


def unigram_probabilities(
    counts: Int[np.ndarray, " v"], power: float = 0.75
) -> Float[np.ndarray, " v"]:
    """``counts**power`` normalised, float64. A word of count 0 is never drawn.

    Source: the 2016 posts, "Negative Sampling", p(w) = U(w)^0.75 / sum U^0.75; Mikolov et al. 2013.

    Raises:
        InputError: a negative count, or nothing but zeros.
    """
    if (counts < 0).any() or not counts.any():
        raise InputError("the word counts must be 0 or more, and not all 0")
    # 0**0 is 1: with power 0 (uniform) a word that never occurs would be drawn.
    weights = np.where(counts > 0, counts.astype(np.float64) ** power, 0.0)
    return weights / weights.sum()


def unigram_table(counts: Int[np.ndarray, " v"], power: float = 0.75) -> UnigramTable:
    """The table for word counts; built in float64 on the host, in time linear in V.

    Source: Walker 1977, in Vose's (1991) construction.
    """
    scaled = (unigram_probabilities(counts, power) * len(counts)).tolist()
    threshold, alias = np.ones(len(counts)), np.arange(len(counts), dtype=np.int32)
    small = [i for i, p in enumerate(scaled) if p < 1.0]
    large = [i for i, p in enumerate(scaled) if p >= 1.0]
    while small and large:
        low, high = small.pop(), large[-1]
        threshold[low], alias[low] = scaled[low], high
        scaled[high] -= 1.0 - scaled[low]
        if scaled[high] < 1.0:
            small.append(large.pop())
    # What is left is 1 up to rounding: those rows keep threshold 1 and draw themselves.
    return UnigramTable(jnp.asarray(threshold, jnp.float32), jnp.asarray(alias))


def table_probabilities(table: UnigramTable) -> Float[np.ndarray, " v"]:
    """What the table draws, from its own arrays, float64: for tests and reports."""
    threshold, alias = np.asarray(table.threshold, np.float64), np.asarray(table.alias)
    given = np.bincount(alias, 1.0 - threshold, minlength=len(alias))
    return (threshold + given) / len(alias)


def sample(table: UnigramTable, key: Key[Array, ""], shape: tuple[int, ...]) -> Int[Array, "..."]:
    """Words of the given shape, int32, independent and with replacement (inside jit)."""
    row_key, fraction_key = jax.random.split(key)
    size = table.alias.shape[0]
    row = jax.random.randint(row_key, shape, 0, size)
    fraction = jax.random.uniform(fraction_key, shape)
    keep = fraction < table.threshold.at[row].get(mode="promise_in_bounds")
    return jnp.where(keep, row, table.alias.at[row].get(mode="promise_in_bounds"))
