"""Convolutions of stride 1 that keep the size, as XLA's CPU backend runs them fastest.

They differ from the plain forms by rounding alone:

- From 256 inputs or outputs on, but for small maps: Winograd's products
  (`jaxdl.fcn.models.cpu.winograd`) forward and for the input's gradient.
- With few channels, several columns of the output at once (`_columns_together`).
- Unless a layer is narrow (`_quick`), its kernel's gradient is a convolution over an image's rows,
  whose columns are the channels: one large product, where XLA's own form of it takes 3 to 9 forward
  passes. Such layers follow one another strictly.

benchmarks/fcn/README.md has the measurements.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from jaxdl.fcn.models import vgg
from jaxdl.fcn.models.cpu import winograd
from jaxdl.fcn.models.cpu.ordering import after, apart

PIECE = 1 << 22  # numbers of a layer's output whose kernel's gradient is one convolution
SMALL = 1 << 9  # pixels below which Winograd's transforms of the kernel cost more than they save


def _product(x: Float[Array, "b h w i"], kernel: Float[Array, "3 3 i o"]) -> Array:
    """The convolution without bias."""
    if _suits(x, kernel):
        return winograd.convolve(x, kernel)
    return _columns_together(x, kernel)


def _columns_together(x: Float[Array, "b h w i"], kernel: Float[Array, "3 3 i o"]) -> Array:
    """`jaxdl.fcn.models.vgg.product`; with few channels, of several columns at once.

    A product of 8 columns runs at a twentieth to a fifth of the machine's rate. So n columns of the
    output are one place with n times the channels, and read n + 2 columns of the input: their
    kernel is this one n times, moved by a column each time. A quarter (2 columns) to 70 % (8) of it
    is zeros.
    """
    (b, h, w, i), o = x.shape, kernel.shape[3]
    n = max(1, (64 if i <= 4 else 32 if i <= 16 else 0) // o)
    while w % n:
        n -= 1
    if n == 1:
        return vgg.product(x, kernel)
    moved = [jnp.pad(kernel, ((0, 0), (m, n - 1 - m), (0, 0), (0, 0))) for m in range(n)]
    found = lax.conv_general_dilated(
        x,
        jnp.concatenate(moved, 3),
        (1, n),
        ((1, 1), (1, 1)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return found.reshape(b, h, w, o)


@jax.custom_vjp
def layer(
    x: Float[Array, "b h w i"],
    kernel: Float[Array, "3 3 i o"],
    bias: Float[Array, " o"],
    inside: Bool[Array, "b h w 1"] | None,
) -> Float[Array, "b h w o"]:
    """`jaxdl.fcn.models.vgg.layer`."""
    return vgg.layer(x, kernel, bias, inside, _product)


def _suits(x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 i o"]) -> bool:
    """Whether Winograd's products pay, and lose no accuracy that counts."""
    pixels = x.shape[0] * x.shape[1] * x.shape[2]
    wide = max(kernel.shape[-2:]) >= 256 and pixels >= SMALL
    return wide and kernel.dtype in (jnp.float32, jnp.float64)


_activate = apart(vgg.activate)  # else what is before the ReLU is kept beside what is after it


def _quick(y: Float[Array, "b h w o"]) -> bool:
    """Whether a layer's gradients are as fast in XLA's own forms, in the order that it chooses."""
    pixels, out = y.shape[0] * y.shape[1] * y.shape[2], y.shape[3]
    return out < 64 or (out < 128 and pixels <= 1 << 14)


def _forward(x, kernel, bias, inside):
    y = _product(x, kernel)
    y = (vgg.activate if _quick(y) else _activate)(y, bias, inside)
    return y, (x, kernel, y)  # where y is 0, nothing comes back: no mask need be kept


def _backward(kept, g):
    x, kernel, y = kept
    g = jnp.where(y > 0, g, jnp.zeros((), g.dtype))
    if _quick(y):  # written out: 5 % faster than what JAX derives, and compiled sooner
        back = _columns_together(g, jnp.flip(kernel, (0, 1)).swapaxes(2, 3))
        x = jnp.pad(after(x, g), ((0, 0), (1, 1), (1, 1), (0, 0)))
        spec = ("CHWN", "IHWO", "HWNC")
        found = lax.conv_general_dilated(x, g, (1, 1), "VALID", dimension_numbers=spec)
    else:  # one after the other, this layer's before the next one's: that bounds the memory
        back = input_gradient(g, kernel)
        found = kernel_gradient(x, after(g, back))
        back = after(back, found)
    return back, found, g.sum((0, 1, 2)), None


layer.defvjp(_forward, _backward)


@apart
def _turned(kernel: Float[Array, "3 3 i o"], g: Array) -> Float[Array, "3 3 o i"]:
    """Turned about, each tap from the outputs to the inputs; when `g` is there."""
    return after(jnp.flip(kernel, (0, 1)), g).swapaxes(2, 3)


def input_gradient(
    g: Float[Array, "b h w o"], kernel: Float[Array, "3 3 i o"]
) -> Float[Array, "b h w i"]:
    """Of a 3x3 convolution, as a CPU runs it."""
    if _suits(g, kernel):
        return winograd.input_gradient(g, kernel)
    return vgg.product(g, _turned(kernel, g))


@partial(apart, static_argnames=("image", "rows"))
def _channels_first(
    x: Float[Array, "b h w i"], before: Array, image: int, rows: tuple[int, int]
) -> Float[Array, "i r w"]:
    """Rows of an image when `before` is there; else they are kept from the forward pass on."""
    return after(x[image, rows[0] : rows[1]], before).transpose(2, 0, 1)


def _three_columns(g: Float[Array, "h w o"]) -> Float[Array, "h w 3*o"]:
    """g, beside itself one column later and one column earlier; zeros outside the image."""
    zero, out = jnp.zeros((), g.dtype), g.shape[2]
    first, second, third = (
        lax.pad(g, zero, ((0, 0, 0), (n - 1, 1 - n, 0), (n * out, (2 - n) * out, 0)))
        for n in range(3)
    )
    return first + second + third


def kernel_gradient(
    x: Float[Array, "b h w i"], g: Float[Array, "b h w o"]
) -> Float[Array, "3 3 i o"]:
    """Of a 3x3 convolution, as a CPU runs it.

    The input's channels are the images of a convolution along the rows: its kernel are the outputs'
    gradients of all rows, its channels are the columns. It has a place for each of the kernel's
    three rows; the kernel's columns are the outputs' gradient moved by a column. A large image goes
    in pieces of rows, one after the other, which bounds the memory.
    """
    (b, h, w, _), out = x.shape, g.shape[3]
    if b > 1 and h * w * out < PIECE:  # as one image, with a row of zeros below each
        x, g = (jnp.pad(v, ((0, 0), (0, 1), (0, 0), (0, 0))) for v in (after(x, g), g))
        x, g = (v.reshape(1, b * (h + 1), w, v.shape[3]) for v in (x, g))
    rows = x.shape[1]
    tall = -(-rows // max(1, rows * w * out // PIECE))
    total = None
    for image in range(x.shape[0]):
        for first in range(0, rows, tall):
            last = min(rows, first + tall)
            above, below = int(first == 0), int(last == rows)  # rows of zeros outside the image
            xs = first - 1 + above, last + 1 - below
            gs = g[image, first:last]
            gs = gs if total is None else after(gs, total)
            found = lax.conv_general_dilated(
                _channels_first(x, gs if total is None else total, image=image, rows=xs),
                _three_columns(gs),
                (1,),
                [(above, below)],
                dimension_numbers=("NHC", "HIO", "HNC"),
            )
            total = found if total is None else total + found
    assert total is not None  # there are rows
    return total.reshape(3, -1, 3, out).transpose(0, 2, 1, 3)
