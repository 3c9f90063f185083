"""Convolutions of stride 1 that keep the size, as XLA's CPU backend runs them fastest.

They differ from the plain forms by rounding alone:

- 3x3 from 64 to 128 channels on: Winograd's products (`jaxdl.fcn.models.cpu.winograd`), all
  directions.
- With fewer channels, XLA's convolution. The kernel's gradient is computed in pieces of the image,
  because at once it takes 3 to 9 times as long as a forward pass on a large image.

benchmarks/fcn/README.md has the measurements.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from jaxdl.fcn.models import vgg
from jaxdl.fcn.models.cpu import winograd
from jaxdl.fcn.models.cpu.ordering import after

PIECE = 1 << 14  # pixels whose kernel's gradient is one convolution


def _product(x: Float[Array, "b h w i"], kernel: Float[Array, "3 3 i o"]) -> Array:
    """The convolution without bias."""
    if _suits(kernel.shape, kernel.dtype):
        return winograd.convolve(x, kernel)
    return vgg.product(x, kernel)


@jax.custom_vjp
def layer(
    x: Float[Array, "b h w i"],
    kernel: Float[Array, "3 3 i o"],
    bias: Float[Array, " o"],
    inside: Bool[Array, "b h w 1"] | None,
) -> Float[Array, "b h w o"]:
    """`jaxdl.fcn.models.vgg.layer`."""
    return vgg.layer(x, kernel, bias, inside, _product)


def _suits(shape: tuple[int, ...], dtype: Any) -> bool:
    """Whether Winograd's products pay, and lose no accuracy that counts."""
    into, out = shape[-2:]
    return into >= 64 and out >= 128 and dtype in (jnp.float32, jnp.float64)


def _forward(x, kernel, bias, inside):
    y = layer(x, kernel, bias, inside)
    return y, (x, kernel, y)  # where y is 0, nothing comes back: no mask need be kept


def _backward(kept, g):
    x, kernel, y = kept
    g = jnp.where(y > 0, g, jnp.zeros((), g.dtype))
    back = input_gradient(g, kernel)
    return back, kernel_gradient(x, g, back), g.sum((0, 1, 2)), None


layer.defvjp(_forward, _backward)


def input_gradient(
    g: Float[Array, "b h w o"], kernel: Float[Array, "3 3 i o"]
) -> Float[Array, "b h w i"]:
    """Of a 3x3 convolution, as a CPU runs it."""
    if _suits(kernel.shape, kernel.dtype):
        return winograd.input_gradient(g, kernel)
    return vgg.product(g, jnp.flip(kernel, (0, 1)).swapaxes(2, 3))


def kernel_gradient(
    x: Float[Array, "b h w i"], g: Float[Array, "b h w o"], before: Array | None = None
) -> Float[Array, "3 3 i o"]:
    """Of a 3x3 convolution, as a CPU runs it: in pieces of wide images; narrow ones go in one.

    `before`: see `winograd.kernel_gradient`.
    """
    if _suits((x.shape[3], g.shape[3]), x.dtype):
        return winograd.kernel_gradient(x, g, before)
    x = after(x, g)
    b, h, w, _ = x.shape
    wide = g.shape[3] >= 64 and b * h * w > PIECE
    count = max(1, h * w // PIECE) if wide else 1
    tall = -(-h // count)
    x = jnp.pad(x, ((0, 0), (1, count * tall - h + 1), (1, 1), (0, 0)))
    g = jnp.pad(g, ((0, 0), (0, count * tall - h), (0, 0), (0, 0)))

    def piece(images: slice, first: int) -> Array:
        xs, gs = x[images, first : first + tall + 2], g[images, first : first + tall]
        return lax.conv_general_dilated(
            xs, gs, (1, 1), "VALID", dimension_numbers=("CHWN", "IHWO", "HWNC")
        )

    groups = [slice(n, n + 1) for n in range(b)] if wide else [slice(None)]
    pieces = [piece(images, n * tall) for images in groups for n in range(count)]
    return jnp.sum(jnp.stack(pieces), 0)
