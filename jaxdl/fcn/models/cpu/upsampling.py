"""Upsampling by two matrix products.

XLA's CPU backend computes a transposed convolution with the zeros between the rows; these take a
tenth of its time there.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jaxdl.fcn.models.bilinear import bilinear_taps


def _matrix(rows: int, stride: int, start: int, size: int) -> Float[np.ndarray, "size rows"]:
    """What a transposed convolution does to a column of so many rows, as a matrix."""
    full = np.zeros((max(stride * (rows + 1), start + size), rows))
    for row in range(rows):
        full[stride * row : stride * (row + 2), row] = bilinear_taps(stride)
    return full[start : start + size]


def interpolate(
    x: Float[Array, "b h w c"], stride: int, starts: tuple[int, int], size: tuple[int, int]
) -> Float[Array, "b out_h out_w c"]:
    """`jaxdl.fcn.models.bilinear.interpolate`."""
    down, across = (
        jnp.asarray(_matrix(x.shape[1 + n], stride, starts[n], size[n]), x.dtype) for n in (0, 1)
    )
    rows = jnp.einsum("yh,bhwc->bywc", down, x, precision=lax.Precision.HIGHEST)
    return jnp.einsum("xw,bywc->byxc", across, rows, precision=lax.Precision.HIGHEST)
