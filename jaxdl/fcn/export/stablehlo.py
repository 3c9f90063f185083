"""An FCN as a program of StableHLO, by `jax.export`: any JAX runs it, without jaxdl.

The program is for one size of canvas. Images that are smaller lie in its upper left corner, and
their true sizes are given too, so that each gets what it would get alone.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import export

from jaxdl.fcn.choices import Output, Platform
from jaxdl.fcn.models.fcn import FCN
from jaxdl.fcn.task import apply

FILE = "model.jax"


def to_bytes(
    model: FCN,
    params: Any,
    mean: Sequence[float],
    output: Output,
    *,
    batch: int,
    size: tuple[int, int],
    platforms: Sequence[Platform],
) -> bytes:
    """The program, its parameters inside, as `jax.export.deserialize` reads it.

    It takes images, uint8 (batch, *size, 3), RGB, and their sizes, int32 (batch, 2): height and
    width. It gives float32 (batch, *size, classes), or uint8 (batch, *size) if `output` is classes;
    what lies outside an image means nothing.

    Args:
        model: the network.
        params: its parameters, NumPy arrays.
        mean: colour that is subtracted, RGB 0..255.
        output: logits, probabilities or classes.
        batch: images at once.
        size: height and width of the canvas.
        platforms: that the program is lowered for; none of them need be here.
    """
    plain = model.clone(for_cpu=False, remat=False)  # one form for all platforms
    own, centre = jax.tree.map(jnp.asarray, params), jnp.asarray(mean, jnp.float32)

    def call(images, sizes):
        logits = apply(plain, own, images, sizes, mean=centre)
        if output == "logits":
            return logits
        if output == "probabilities":
            return jax.nn.softmax(logits)
        return logits.argmax(-1).astype(jnp.uint8)

    images = jax.ShapeDtypeStruct((batch, *size, 3), jnp.uint8)
    sizes = jax.ShapeDtypeStruct((batch, 2), jnp.int32)
    made = export.export(jax.jit(call), platforms=[*dict.fromkeys(platforms)])(images, sizes)
    return bytes(made.serialize())
