"""Fixed bilinear upsampling: a transposed convolution with no parameters, for any output size.

A stride-s upsampling has the kernel ``1 - |i + 1/2 - s| / s`` (2s taps) on each axis, the same for
every channel. It is separable, so it runs as rows then columns: 2s + 2s products for each output
pixel where the two-dimensional kernel needs 4s^2, and channels are folded into an axis that the
kernel does not touch, so there is no (C, C, 2s, 2s) kernel of zeros.

Where the crop starts (`crop_start`) is all that distinguishes the two alignments:

- ``exact``: s/2 on both axes. Output pixel y then sits at input coordinate ``(y + 1/2)/s - 1/2``,
  pixel centre over pixel centre, for every image size.
- ``center``: the middle of the full transposed convolution, as a Chainer of 2016 had to crop
  (up to s/2 - 1/2 pixels off, depending on the image's size).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from jaxdl.fcn.choices import Align


def bilinear_taps(stride: int) -> Float[np.ndarray, " taps"]:
    """The one-axis kernel, float64, 2 * stride taps that sum to `stride`."""
    return 1 - np.abs(np.arange(2 * stride) + 0.5 - stride) / stride


def crop_start(size, stride: int, align: Align):
    """First row of the full transposed convolution that belongs to the output.

    Args:
        size: output size on one axis, an int or an int array (one for each image).
        stride: upsampling factor; the input has ``ceil(size / stride)`` rows.
        align: see the module's text.
    """
    if align == "exact":
        return stride // 2 + 0 * size
    rows_in = -(-size // stride)
    full = stride * (rows_in + 1)
    return (full - size + 1) // 2


def _upsample_rows(x: Float[Array, "b h wc 1"], stride: int, start: int, size: int):
    """Axis 1 of x, upsampled, rows [start, start + size) of the full transposed convolution."""
    taps = 2 * stride
    kernel = jnp.asarray(bilinear_taps(stride), x.dtype).reshape(taps, 1, 1, 1)
    before = taps - 1 - start
    after = size + start - (stride * (x.shape[1] - 1) + taps) + taps - 1
    return lax.conv_transpose(
        x, kernel, (stride, 1), ((before, after), (0, 0)), precision=lax.Precision.HIGHEST
    )


def interpolate(
    x: Float[Array, "b h w c"], stride: int, starts: tuple[int, int], size: tuple[int, int]
) -> Float[Array, "b out_h out_w c"]:
    """The part of x's full transposed convolution that begins at `starts`, rows then columns."""
    b, h, w, c = x.shape
    rows = _upsample_rows(x.reshape(b, h, w * c, 1), stride, starts[0], size[0])
    columns = _upsample_rows(rows.reshape(b * size[0], w, c, 1), stride, starts[1], size[1])
    return columns.reshape(b, *size, c)


def upsample(
    x: Float[Array, "b h w c"],
    stride: int,
    size: tuple[int, int],
    align: Align = "exact",
    sizes: Int[Array, "b 2"] | None = None,
    interpolate: Callable[..., Array] = interpolate,
) -> Float[Array, "b out_h out_w c"]:
    """Upsample by `stride` to exactly `size`.

    Args:
        x: maps of ``ceil(size / stride)`` rows and columns (zero outside each image's own part).
        stride: factor; even.
        size: output height and width.
        align: "exact" or "center".
        sizes: true output heights and widths inside the canvas, (B, 2); matters to "center" alone,
            where the crop depends on the size of each image. None means the whole canvas.
        interpolate: `interpolate`, or another form of it (`jaxdl.fcn.models.fcn.forms`).

    Source: the 2016 posts, "Fully Convolutional Networks by Chainer, revisit 1" (fixed bilinear
    ``deconvolution_2d`` with ``outsize``); Long, Shelhamer, Darrell 2015, section 3.3.
    """
    _, h, w, c = x.shape
    if align == "exact" or sizes is None:
        starts = int(crop_start(size[0], stride, align)), int(crop_start(size[1], stride, align))
        return interpolate(x, stride, starts, size)
    full = interpolate(x, stride, (0, 0), (stride * (h + 1), stride * (w + 1)))
    first = crop_start(sizes, stride, align)
    return jax.vmap(lambda a, s: lax.dynamic_slice(a, (s[0], s[1], 0 * s[0]), (*size, c)))(
        full, first
    )
