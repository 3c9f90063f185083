"""Losses of one word against many: negative samples, or all words."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int


def negative_sampling_loss(
    x: Float[Array, "b d"],
    positive: Float[Array, "b d"],
    negatives: Float[Array, "b k d"],
    valid: Bool[Array, " b"],
) -> Float[Array, " b"]:
    """Skip-gram negative sampling, each example's loss; 0 where it is not valid.

    ``-log sigmoid(x . w_positive) - sum_k log sigmoid(-x . w_negative_k)``. The positive may be
    among the negatives (Chainer keeps it, word2vec.c does not: the caller decides what it passes).
    Differentiating with respect to these rows, not to whole tables, is what keeps a step sparse.

    Source: Mikolov et al. 2013, equation 4; the 2016 posts, "Negative Sampling".
    """
    score = (x * positive).sum(-1)
    against = jnp.einsum("bd,bkd->bk", x, negatives, precision=lax.Precision.HIGHEST)
    loss = jax.nn.softplus(-score) + jax.nn.softplus(against).sum(-1)
    return jnp.where(valid, loss, 0.0)


def log_normaliser(
    x: Float[Array, "b d"], table: Float[Array, "v d"], chunk: int = 4096
) -> Float[Array, " b"]:
    """``log sum_v exp(x . w_v)`` over the whole vocabulary.

    Gathered over `chunk` words at a time, forwards and in the gradient (which computes the scores
    again), so that b x v scores never lie in memory.
    """
    words, width = table.shape
    chunk = min(chunk, words)
    count = -(-words // chunk)
    rows = jnp.pad(table, ((0, count * chunk - words), (0, 0))).reshape(count, chunk, width)
    used = (jnp.arange(count * chunk) < words).reshape(count, chunk)

    @jax.checkpoint
    def add(carry, part):
        top, total = carry
        scores = jnp.matmul(x, part[0].T, precision=lax.Precision.HIGHEST)
        scores = jnp.where(part[1][None, :], scores, -jnp.inf)
        # The shift changes no value, so no gradient goes through it.
        new = lax.stop_gradient(jnp.maximum(top, scores.max(-1)))
        total = total * jnp.exp(top - new) + jnp.exp(scores - new[:, None]).sum(-1)
        return (new, total), None

    start = jnp.full(x.shape[:1], -jnp.inf, x.dtype), jnp.zeros(x.shape[:1], x.dtype)
    (top, total), _ = lax.scan(add, start, (rows, used))
    return jnp.log(total) + top


def full_softmax_loss(
    x: Float[Array, "b d"], table: Float[Array, "v d"], target: Int[Array, " b"], chunk: int = 4096
) -> Float[Array, " b"]:
    """``log sum_v exp(x . w_v) - x . w_target`` over the whole vocabulary, each example's loss.

    The normaliser is `log_normaliser`'s, `chunk` words at a time. A negative target is ignored:
    loss 0.

    Source: the first word2vec post of 2016 (the softmax over all words).
    """
    score = (x * table[jnp.maximum(target, 0)]).sum(-1)
    return jnp.where(target >= 0, log_normaliser(x, table, chunk) - score, 0.0)
