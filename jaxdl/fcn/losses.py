"""The FCN's loss: pure functions from scores and labels to a scalar."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

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
    each, valid = _each_pixel(logits, labels)
    return each.sum(), valid.sum(dtype=jnp.int32)


def _each_pixel(
    logits: Float[Array, "b h w c"], labels: Int[Array, "b h w"]
) -> tuple[Float[Array, "b h w"], Bool[Array, "b h w"]]:
    """Softmax cross-entropy of each pixel, 0 where void, and which are valid."""
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    valid = labels >= 0
    picked = jnp.where(_hits(logits, labels), logits, 0.0).sum(-1)
    return jnp.where(valid, jax.nn.logsumexp(logits, axis=-1) - picked, 0.0), valid


def _hits(logits: Float[Array, "b h w c"], labels: Int[Array, "b h w"]) -> Bool[Array, "b h w c"]:
    """Where the class is the label: no gather, so that a gradient is elementwise, no scatter."""
    return labels[..., None] == jnp.arange(logits.shape[-1])[None, None, None, :]


def weighted_xent(
    logits: Float[Array, "b h w c"],
    labels: Int[Array, "b h w"],
    weights: Float[Array, " c"],
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """``sum(w[label] * cross-entropy)`` over the valid pixels, and ``sum(w[label])``.

    `reduce_pixels` makes their quotient the mean: equal weights of any size are the plain loss.

    Args:
        logits: as in `pixel_xent`, and so the labels.
        labels: class of each pixel.
        weights: of each class, 0 or more.
    """
    each, valid = _each_pixel(logits, labels)
    pixels = jnp.where(valid, weights.astype(each.dtype)[jnp.maximum(labels, 0)], 0.0)
    return (pixels * each).sum(), pixels.sum()


SMOOTH = 1.0  # pixel, in both parts of the Dice coefficient: a class of few pixels jumps less


def soft_dice_loss(
    logits: Float[Array, "b h w c"], labels: Int[Array, "b h w"]
) -> Float[Array, ""]:
    """1 minus the mean soft Dice coefficient of the classes that occur in the labels; 0 if none do.

    ``D = (2 sum(p g) + SMOOTH) / (sum(p p) + sum(g) + SMOOTH)`` of each class, p its softmax and g
    1 where it is the label; the sums are over the valid pixels of all images together, so that on
    several devices it is the Dice of all rows.

    Args:
        logits: as in `pixel_xent`, and so the labels.
        labels: class of each pixel.

    Source: Milletari, Navab, Ahmadi 2016 (V-Net), section 3, with SMOOTH beside it.
    """
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    p = jnp.where((labels >= 0)[..., None], jax.nn.softmax(logits), 0.0)
    hit, places = _hits(logits, labels), (0, 1, 2)
    common, squares = jnp.where(hit, p, 0.0).sum(places), jnp.square(p).sum(places)
    truth = hit.sum(places, dtype=logits.dtype)
    each = 1 - (2 * common + SMOOTH) / (squares + truth + SMOOTH)
    there = truth > 0
    return jnp.where(there, each, 0.0).sum() / jnp.maximum(there.sum(), 1)


def reduce_pixels(
    total: Float[Array, ""], weight: Int[Array, ""] | Float[Array, ""], reduction: Reduction
) -> Float[Array, ""]:
    """``mean``: over the batch's valid pixels (Chainer's ``normalize=True``; 0 if there are none).
    ``sum``: over pixels (Caffe's, as in the papers' code). A sum's learning rate times the number
    of valid pixels is the mean's: 1e-10 x 187,500 = 1.9e-5.

    Args:
        total: of `pixel_xent` or `weighted_xent`.
        weight: likewise: the number of valid pixels, or the sum of their weights.
        reduction: mean or sum.
    """
    return total if reduction == "sum" else total / jnp.where(weight > 0, weight, 1)


def median_frequency(pixels: Int[np.ndarray, "n c"]) -> Float[np.ndarray, " c"]:
    """Class weights by median frequency balancing, float64.

    A class's frequency is its share of the valid pixels of the images that hold it; its weight is
    the median of all frequencies over its own. A class without a pixel has no part in the median,
    and gets 1.

    Args:
        pixels: of each class in each image, void left out.

    Source: Eigen, Fergus 2015, section 6.3.2.
    """
    pixels = pixels.astype(np.float64)
    own, around = pixels.sum(0), pixels.sum(1) @ (pixels > 0)
    weights = np.ones(len(own))
    if (there := own > 0).any():
        frequency = own[there] / around[there]
        weights[there] = np.median(frequency) / frequency
    return weights
