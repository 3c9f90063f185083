"""Flips, scales and crops of a batch, inside the step: seeded, on the device, exact at the rims.

Everything is drawn from a key, so that a step's images are a function of (seed, step) and a run
that resumes sees the same ones.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from jaxdl.fcn.data.batches import Batch, Canvas
from jaxdl.fcn.data.decode import VOID


def augment(
    key: Key[Array, ""],
    batch: Batch,
    *,
    flip: bool = True,
    scale: tuple[float, float] = (1.0, 1.0),
    canvas: Canvas | None = None,
) -> Batch:
    """Each image scaled, cut and mirrored by a draw of its own.

    A factor is drawn between the two of `scale`, evenly in its logarithm. Of the scaled image
    (bilinear, without smoothing where it shrinks; labels by the nearest pixel) a window as large as
    the canvas is cut at random, or the image stays whole where it fits. Half of the images are
    mirrored if `flip` is set.

    Args:
        key: of this step.
        batch: uint8 images (b, h, w, 3), uint8 labels (b, h, w), int32 sizes (b, 2). An image of
            size 0 stays void.
        flip: mirror left and right.
        scale: least and largest factor, both above 0.
        canvas: height and width of the result; None keeps the batch's.

    Returns:
        A batch on that canvas: 0 and void outside each image.
    """
    images, labels, sizes = map(jnp.asarray, batch)
    height, width = images.shape[1:3] if canvas is None else canvas
    keys = jax.vmap(lambda n: jax.random.fold_in(key, n))(jnp.arange(images.shape[0]))
    low, high = jnp.log(jnp.asarray(scale, jnp.float32))

    def one(key, image, label, size):
        by_scale, by_place, by_flip = jax.random.split(key, 3)
        factor = jnp.exp(jax.random.uniform(by_scale, (), jnp.float32, low, high))
        scaled = jnp.maximum(jnp.round(size * factor), jnp.minimum(size, 1)).astype(jnp.int32)
        cut = jnp.minimum(scaled, jnp.array([height, width]))
        first = jax.random.randint(by_place, (2,), 0, scaled - cut + 1)
        mirrored = flip & jax.random.bernoulli(by_flip)
        rows, columns = (
            jnp.arange(length) + first[axis] for axis, length in enumerate((height, width))
        )
        columns = jnp.where(mirrored, scaled[1] - 1 - columns, columns)
        image = _between(image.astype(jnp.float32), rows, size[0], scaled[0], 0)
        image = _between(image, columns, size[1], scaled[1], 1)
        label = label[_nearest(rows, size[0], scaled[0])][:, _nearest(columns, size[1], scaled[1])]
        inside = (jnp.arange(height) < cut[0])[:, None] & (jnp.arange(width) < cut[1])[None, :]
        image = jnp.where(inside[..., None], jnp.round(image), 0).astype(jnp.uint8)
        return image, jnp.where(inside, label, VOID).astype(jnp.uint8), cut

    return Batch(*jax.vmap(one)(keys, images, labels, sizes))


def _source(places: Int[Array, " n"], size: Int[Array, ""], scaled: Int[Array, ""]) -> Array:
    """Where the centres of these pixels of the scaled image are in the original, in pixels."""
    return (places + 0.5) * (size / jnp.maximum(scaled, 1)) - 0.5


def _between(
    image: Float[Array, "h w 3"],
    places: Int[Array, " n"],
    size: Int[Array, ""],
    scaled: Int[Array, ""],
    axis: int,
) -> Float[Array, "..."]:
    """Linear interpolation along an axis; the image's rim continues outside it."""
    at = jnp.clip(_source(places, size, scaled), 0, jnp.maximum(size - 1, 0))
    low = jnp.floor(at).astype(jnp.int32)
    high = jnp.minimum(low + 1, jnp.maximum(size - 1, 0))
    share = (at - low)[:, None, None] if axis == 0 else (at - low)[None, :, None]
    return image.take(low, axis) * (1 - share) + image.take(high, axis) * share


def _nearest(places: Int[Array, " n"], size: Int[Array, ""], scaled: Int[Array, ""]) -> Array:
    """The original pixel that covers the centre of each."""
    at = jnp.floor(_source(places, size, scaled) + 0.5).astype(jnp.int32)
    return jnp.clip(at, 0, jnp.maximum(size - 1, 0))
