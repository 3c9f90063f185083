"""Losses: pure functions from scores and targets to a scalar."""

from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

Reduction = Literal["mean", "sum"]


def pixel_xent(
    logits: Float[Array, "b h w c"], labels: Int[Array, "b h w"]
) -> tuple[Float[Array, ""], Int[Array, ""]]:
    """Softmax cross-entropy summed over the valid pixels, and their number.

    Args:
        logits: scores; computed in at least float32.
        labels: class of each pixel; negative is void and counts for nothing. Values of num_classes
            and above are refused where labels are read (`jaxdl.data.voc`), not here.
    """
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    valid = labels >= 0
    # A comparison instead of a gather: its gradient is elementwise, not a scatter.
    hit = labels[..., None] == jnp.arange(logits.shape[-1])[None, None, None, :]
    picked = jnp.where(hit, logits, 0.0).sum(-1)
    each = jnp.where(valid, jax.nn.logsumexp(logits, axis=-1) - picked, 0.0)
    return each.sum(), valid.sum(dtype=jnp.int32)


def reduce_pixels(
    total: Float[Array, ""], count: Int[Array, ""], reduction: Reduction
) -> Float[Array, ""]:
    """``mean``: over the batch's valid pixels (Chainer's ``normalize=True``; 0 if there are none).
    ``sum``: over pixels (Caffe's, as in the papers' code). A sum's learning rate times the number
    of valid pixels is the mean's: 1e-10 x 187,500 = 1.9e-5.
    """
    return total if reduction == "sum" else total / jnp.maximum(count, 1)


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

    Source: Mikolov et al. 2013, equation 4; the seed, "Negative Sampling".
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

    Source: the seed's first word2vec post (the softmax over all words).
    """
    score = (x * table[jnp.maximum(target, 0)]).sum(-1)
    return jnp.where(target >= 0, log_normaliser(x, table, chunk) - score, 0.0)
