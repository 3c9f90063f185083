"""The FCN's loss: pure functions from scores and labels to a scalar."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdl.fcn.choices import Reduction


def pixel_xent(
    logits: Float[Array, "b h w c"], labels: Int[Array, "b h w"]
) -> tuple[Float[Array, ""], Int[Array, ""]]:
    """Softmax cross-entropy summed over the valid pixels, and their number.

    Args:
        logits: scores; computed in at least float32.
        labels: class of each pixel; negative is void and counts for nothing. Values of num_classes
            and above are refused where labels are read (`jaxdl.fcn.data.voc`), not here.
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
