"""word2vec's two tables, which pairs of a block of tokens count, and the loss of its pairs.

A block holds T tokens with w more on each side, cut into groups of L. A group's L inner tokens are
scored against its ``S = L + 2w`` outer tokens (its own and those around), of which a band counts,
and against K negatives that the group shares: one batched L x (S + K) matrix product on rows that
were gathered once, instead of a small product for each pair. The expectation is that of k negatives
drawn for each pair.

Orientation says which table sees which word of a (centre, context) pair:

- ``center``: the formula's: the centre's vector from the input table, the context's (and the
  negatives) from the output table.
- ``context``: that of Chainer, word2vec.c and gensim: the context word's vector from the input
  table, the centre (and the negatives) from the output table.

Inner tokens are always the inputs of skip-gram, so orientation only says whose reach decides
whether a pair counts: the inner token's (``center``) or the outer token's (``context``). With a
fixed window both are the same program.

Source: Mikolov et al. 2013; the 2016 posts on word2vec. Shared negatives: Ji et al. 2016.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key

from jaxdl.word2vec.choices import Orientation

EXACT = lax.Precision.HIGHEST


class Tables(NamedTuple):
    """Word vectors (``inputs``, what is kept in the end) and output weights, float32 (V, D)."""

    inputs: Float[Array, "v d"]
    outputs: Float[Array, "v d"]


def init_tables(key: Key[Array, ""], words: int, width: int) -> Tables:
    """gensim's start: inputs uniform in +-1/D (word2vec.c's are half as wide), outputs zero."""
    inputs = jax.random.uniform(key, (words, width), minval=-1 / width, maxval=1 / width)
    return Tables(inputs, jnp.zeros((words, width)))


def spread(tokens: Array, group: int, window: int) -> Array:
    """(T + 2w, ...) to (T / L, L + 2w, ...): each group's tokens with those around them."""
    groups = (tokens.shape[0] - 2 * window) // group
    place = jnp.arange(groups)[:, None] * group + jnp.arange(group + 2 * window)[None, :]
    return tokens[place]


def positive_pairs(
    sentences: Int[Array, " t2w"],
    reach: Int[Array, " t2w"],
    *,
    group: int,
    window: int,
    orientation: Orientation,
) -> Bool[Array, "g l s"]:
    """Which (inner, outer) pairs of a block count: a band of each group's product.

    Args:
        sentences: sentence number of the block's tokens with `window` more on each side; negative
            where there is no token.
        reach: how far each of them looks as a centre, 1..window.
        group: inner tokens in a group; divides the block.
        window: the farthest reach.
        orientation: the inner tokens are the centres (``center``) or the contexts.
    """
    size = len(sentences) - 2 * window
    own = sentences[window : window + size].reshape(-1, group)
    if orientation == "center":
        far = reach[window : window + size].reshape(-1, group)[:, :, None]
    else:
        far = spread(reach, group, window)[:, None, :]
    distance = jnp.arange(group + 2 * window)[None, :] - window - jnp.arange(group)[:, None]
    near = jnp.abs(distance)[None] <= far
    same = spread(sentences, group, window)[:, None, :] == own[:, :, None]
    return near & same & (own >= 0)[:, :, None] & (distance != 0)[None]


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def pair_loss(
    inner: Float[Array, "g l d"],
    outer: Float[Array, "g m d"],
    weights: Float[Array, "g l m"],
    targets: int,
) -> Float[Array, ""]:
    """``sum weights * softplus(s)``, less s where a target counts, over ``s = inner . outer``.

    The first `targets` outer rows are targets, and a pair that counts weighs 1: its term is
    ``-log sigmoid(s)``. The others are negatives: ``-log sigmoid(-s)`` for each draw, by weight.
    Differentiable in the rows.
    """
    score = scores(inner, outer)
    return (weights * _softplus(score) - _positive(weights, targets) * score).sum()


def pair_sums(
    inner: Float[Array, "g l d"],
    outer: Float[Array, "g m d"],
    weights: Float[Array, "g l m"],
    targets: int,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """`pair_loss` in its two parts, of the positives and of the negatives."""
    score, positive = scores(inner, outer), _positive(weights, targets)
    each = _softplus(score)
    return (positive * (each - score)).sum(), ((weights - positive) * each).sum()


def _positive(weights, targets):
    # A choice by column: XLA's CPU loops over a concatenation or a padding are three times slower.
    return jnp.where(jnp.arange(weights.shape[-1]) < targets, weights, 0)


def scores(inner: Float[Array, "g l d"], outer: Float[Array, "g m d"]) -> Float[Array, "g l m"]:
    """Products of input and output rows: the log-odds that a pair is real and no negative.

    Source: Mikolov et al. 2013, equation 4.
    """
    return jnp.einsum("gld,gmd->glm", inner, outer, precision=EXACT)


def _softplus(x):
    # jax.nn.softplus also minds infinities, which costs it five times the time.
    return jnp.maximum(x, 0) + jnp.log(1 + jnp.exp(-jnp.abs(x)))


def _slope(score, weights, positive):
    return weights * jax.nn.sigmoid(score) - positive


def pair_changes(
    inner: Float[Array, "g l d"],
    outer: Float[Array, "g m d"],
    weights: Float[Array, "g l m"],
    targets: int,
    by_inner: Float[Array, "g l"],
    by_outer: Float[Array, "g m"],
) -> tuple[Float[Array, "g l d"], Float[Array, "g m d"]]:
    """`pair_loss`'s gradients by the inner and the outer rows, each row times a factor of its own.

    The outer rows' factors go into their slopes, before the product with D numbers for each: a
    tenth of a step's time less than as a pass over the gradients.
    """
    score, positive = scores(inner, outer), _positive(weights, targets)
    slope = _slope(score, weights, positive)
    # Barriers: XLA's CPU product of a transposed first factor takes twice the time, and without the
    # inner one it goes over the slopes three times, not twice.
    scaled = lax.optimization_barrier(slope) * by_outer[:, None, :]
    turned = lax.optimization_barrier(scaled.swapaxes(1, 2))
    inners = jnp.einsum("glm,gmd->gld", slope, outer, precision=EXACT) * by_inner[:, :, None]
    return inners, jnp.einsum("gml,gld->gmd", turned, inner, precision=EXACT)


def _forward(inner, outer, weights, targets):
    # The gradient by the scores in one pass; the loss itself is dropped where nobody asks for it.
    score, positive = scores(inner, outer), _positive(weights, targets)
    slope = _slope(score, weights, positive)
    return (weights * _softplus(score) - positive * score).sum(), (inner, outer, slope)


def _backward(targets, kept, cotangent):
    inner, outer, slope = kept
    slope = cotangent * slope
    turned = lax.optimization_barrier(slope.swapaxes(1, 2))  # see `pair_changes`
    by_inner = jnp.einsum("glm,gmd->gld", slope, outer, precision=EXACT)
    by_outer = jnp.einsum("gml,gld->gmd", turned, inner, precision=EXACT)
    return by_inner, by_outer, None


pair_loss.defvjp(_forward, _backward)
