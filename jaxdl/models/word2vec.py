"""word2vec's two tables, and the loss of a block of neighbouring tokens from the tables' rows.

A block holds T centres and the T + 2w tokens around them. It is cut into groups of L centres; a
group shares K negatives, and its positives are a band of an L x (L + 2w) product. So a step is a
few batched matrix products on rows that were gathered once, instead of one small product for each
pair: about a sixth of the bytes, and the same expectation as k negatives drawn for each pair.

Orientation says which table sees which word:

- ``center``: the formula's: the centre's vector from the input table, the context's (and the
  negatives) from the output table.
- ``context``: that of Chainer, word2vec.c and gensim: the context word's vector from the input
  table, the centre (and the negatives) from the output table.

Source: Mikolov et al. 2013; the seed's posts on word2vec. Shared negatives: Ji et al. 2016.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key

Orientation = Literal["center", "context"]


class Tables(NamedTuple):
    """Word vectors (``inputs``, what is kept in the end) and output weights, float32 (V, D)."""

    inputs: Float[Array, "v d"]
    outputs: Float[Array, "v d"]


def init_tables(key: Key[Array, ""], words: int, width: int) -> Tables:
    """word2vec.c's start: inputs uniform in +-1/(2D), outputs zero."""
    inputs = jax.random.uniform(key, (words, width), minval=-0.5 / width, maxval=0.5 / width)
    return Tables(inputs, jnp.zeros((words, width)))


def positive_pairs(
    sentences: Int[Array, " t2w"], reach: Int[Array, " t"], group: int, window: int
) -> Bool[Array, "g l s"]:
    """Which (centre, context) pairs of a block count: a band of each group's product.

    Args:
        sentences: sentence number of the block's tokens with `window` more on each side; negative
            where there is no token.
        reach: how far each centre looks, 1..window.
        group: centres in a group, at least 2 * window; divides the block.
        window: the farthest reach.
    """
    centres = sentences[window : len(sentences) - window].reshape(-1, group)
    distance = jnp.arange(group + 2 * window)[None, :] - window - jnp.arange(group)[:, None]
    near = jnp.abs(distance)[None] <= reach.reshape(-1, group)[:, :, None]
    around = slabs(sentences[:, None], group, window)[:, :, 0]
    same = around[:, None, :] == centres[:, :, None]
    return near & same & (centres >= 0)[:, :, None] & (distance != 0)[None]


def slabs(rows: Array, group: int, window: int) -> Array:
    """(T + 2w, D) to (T / L, L + 2w, D): each group's tokens with their surroundings.

    By concatenation, so that the gradient is two additions and no scatter.
    """
    count = (rows.shape[0] - 2 * window) // group
    inner = rows[: count * group].reshape(count, group, -1)
    rest = jnp.pad(rows[group:], ((0, group - 2 * window), (0, 0)))
    return jnp.concatenate([inner, rest.reshape(count, group, -1)[:, : 2 * window]], axis=1)


def negative_weights(
    pairs: Bool[Array, "g l s"],
    negatives: Int[Array, "g k"],
    targets: Int[Array, "g n"],
    *,
    each: float,
    orientation: Orientation,
    masked: bool,
) -> Float[Array, "g i k"]:
    """Weight of each shared negative at each input token: its pairs' number times `each`.

    Args:
        pairs: see `positive_pairs`.
        negatives: words that the group shares.
        targets: the words that pairs predict: (G, L + 2w) contexts or (G, L) centres.
        each: k / K, negatives wanted for a pair over negatives shared.
        orientation: the input tokens are the centres (``center``) or those around (``context``).
        masked: leave a negative out of the pairs whose target it is (word2vec.c); Chainer does not.
    """
    by_input = pairs if orientation == "center" else pairs.swapaxes(1, 2)
    by_input = by_input.astype(float)
    count = by_input.sum(-1)[:, :, None]
    if not masked:
        return each * jnp.broadcast_to(count, (*count.shape[:2], negatives.shape[1]))
    same = (targets[:, :, None] == negatives[:, None, :]).astype(float)
    return each * (count - jnp.einsum("git,gtk->gik", by_input, same))


def block_loss(
    centres: Float[Array, "t d"],
    around: Float[Array, "t2w d"],
    negatives: Float[Array, "g k d"],
    pairs: Bool[Array, "g l s"],
    weights: Float[Array, "g i k"],
    *,
    window: int,
    orientation: Orientation,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Negative sampling loss summed over a block's pairs: (positive part, negative part).

    Args:
        centres: the centres' rows, of the input table (``center``) or the output table.
        around: the rows of the block's tokens with their surroundings, of the other table.
        negatives: output rows of each group's negatives.
        pairs: see `positive_pairs`.
        weights: see `negative_weights`.
        window: tokens on each side of the block.
        orientation: which side meets the negatives.
    """
    group = pairs.shape[1]
    inner, outer = centres.reshape(-1, group, centres.shape[-1]), slabs(around, group, window)
    exact = lax.Precision.HIGHEST
    score = jnp.einsum("gld,gsd->gls", inner, outer, precision=exact)
    side = inner if orientation == "center" else outer
    against = jnp.einsum("gid,gkd->gik", side, negatives, precision=exact)
    positive = jnp.where(pairs, jax.nn.softplus(-score), 0.0).sum()
    return positive, (weights * jax.nn.softplus(against)).sum()
