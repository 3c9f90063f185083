"""The VGG-16 convolutions (no fc6, fc7) with ceil-mode pooling, exact on padded canvases.

Source: Simonyan, Zisserman 2014, configuration D; the network table of the 2016 posts. A canvas may
be larger than the image in it: with `sizes` given, everything outside an image's own part is set to
zero before and after every layer, so that each image gets what it would get alone. (Zero is the
convolution's own padding, and never the maximum of a ReLU's output, so that pooling is exact too.)
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

# Channels and convolutions of each block.
BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))

HE_NORMAL = nn.initializers.he_normal()
# The images are bytes less their mean, about 64 in spread: conv1_1 brings them to 1.
HE_NORMAL_BYTES = nn.initializers.variance_scaling(2.0 / 64**2, "fan_in", "truncated_normal")


def size_after(size, poolings: int):
    """Exactly ``ceil(size / 2**poolings)``: the size after that many ceil-mode poolings."""
    return -(-size // 2**poolings)


def valid_mask(sizes: Int[Array, "b 2"], height: int, width: int) -> Bool[Array, "b h w 1"]:
    """True inside each image's own part of a (height, width) canvas."""
    rows = jnp.arange(height)[None, :] < sizes[:, :1]
    columns = jnp.arange(width)[None, :] < sizes[:, 1:]
    return (rows[:, :, None] & columns[:, None, :])[..., None]


def keep_valid(
    x: Float[Array, "b h w c"], sizes: Int[Array, "b 2"] | None, poolings: int
) -> Float[Array, "b h w c"]:
    """Zero outside each image; `sizes` are full-resolution sizes, x is after `poolings`."""
    if sizes is None:
        return x
    mask = valid_mask(size_after(sizes, poolings), x.shape[1], x.shape[2])
    return jnp.where(mask, x, jnp.zeros((), x.dtype))


def max_pool(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    """2x2 max pooling, stride 2, ceil mode; NaN passes through.

    The gradient goes to the first maximum in row-major order (Chainer's rule, and XLA's).
    """
    _, h, w, _ = x.shape
    low = jnp.array(-jnp.inf, x.dtype)
    return _pool(lax.pad(x, low, ((0, 0, 0), (0, h % 2, 0), (0, w % 2, 0), (0, 0, 0))))


@jax.custom_vjp
def _pool(x: Float[Array, "b h w c"]) -> Float[Array, "b h/2 w/2 c"]:
    """`max_pool` of even sides.

    It keeps which of the four was the largest: XLA's own gradient of a pooling (select-and-scatter)
    took 13 times the pooling's time on a CPU, and that of the selections compiles for longer.
    """
    return _pool_and_places(x)[0]


def _pool_and_places(x):
    """The largest of each four, and its place: 0 to 3 in row-major order, uint8."""

    def first_larger(a, b):
        first = (a[0] >= b[0]) | jnp.isnan(a[0])
        return jnp.where(first, a[0], b[0]), jnp.where(first, a[1], b[1])

    b, h, w, c = x.shape
    x = x.reshape(b, h // 2, 2, w // 2, 2, c)
    fours = [(x[:, :, n // 2, :, n % 2], jnp.uint8(n)) for n in range(4)]
    return first_larger(first_larger(*fours[:2]), first_larger(*fours[2:]))


def _pool_gradient(places, g):
    b, h, w, c = g.shape
    here = jnp.arange(4, dtype=jnp.uint8).reshape(1, 1, 2, 1, 2, 1)
    chosen = places[:, :, None, :, None] == here
    back = jnp.where(chosen, g[:, :, None, :, None], jnp.zeros((), g.dtype))
    return (back.reshape(b, 2 * h, 2 * w, c),)


_pool.defvjp(_pool_and_places, _pool_gradient)


def product(x: Float[Array, "b h w i"], kernel: Float[Array, "k k i o"]) -> Float[Array, "b h w o"]:
    """Convolution of stride 1 with zero padding that keeps the size; kernels of odd side."""
    return lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def convolve(
    x: Float[Array, "b h w i"], kernel: Float[Array, "k k i o"], bias: Float[Array, " o"]
) -> Float[Array, "b h w o"]:
    """`product`, plus bias."""
    return product(x, kernel) + bias[None, None, None, :]


def activate(
    y: Float[Array, "b h w o"], bias: Float[Array, " o"], inside: Bool[Array, "b h w 1"] | None
) -> Float[Array, "b h w o"]:
    """Bias, ReLU, and zero if not `inside` (None: everything is)."""
    y = jax.nn.relu(y + bias[None, None, None, :])
    return y if inside is None else jnp.where(inside, y, jnp.zeros((), y.dtype))


def layer(
    x: Float[Array, "b h w i"],
    kernel: Float[Array, "3 3 i o"],
    bias: Float[Array, " o"],
    inside: Bool[Array, "b h w 1"] | None,
    product: Callable[..., Array] = product,
) -> Float[Array, "b h w o"]:
    """Convolution, ReLU, and zero if not `inside` (None: everything is)."""
    return activate(product(x, kernel), bias, inside)


def block(
    x: Float[Array, "b h w i"],
    layers: list[dict[str, Array]],
    sizes: Int[Array, "b 2"] | None,
    poolings: int,
    layer: Callable[..., Array] = layer,
) -> Float[Array, "b h2 w2 o"]:
    """A block's convolutions with ReLU at one resolution, then the pooling that ends it."""
    inside = None
    if sizes is not None:
        inside = valid_mask(size_after(sizes, poolings), x.shape[1], x.shape[2])
    for params in layers:
        x = layer(x, params["kernel"], params["bias"], inside)
    return max_pool(x)


class ConvParams(nn.Module):
    """Declares a convolution's ``kernel`` (k, k, in, out) and ``bias`` (out,), float32."""

    size: int
    features: tuple[int, int]
    kernel_init: Any

    @nn.compact
    def __call__(self, dtype) -> dict[str, Array]:
        shape = (self.size, self.size, *self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, self.features[1:], jnp.float32)
        return {"kernel": kernel.astype(dtype), "bias": bias.astype(dtype)}


class Trunk(nn.Module):
    """conv1_1 .. conv5_3 and five poolings.

    Attributes:
        width: divides every channel count (1 is VGG-16).
        block: `block`, or another form of it (`jaxdl.fcn.models.fcn.forms`).
    """

    width: int = 1
    block: Callable[..., Array] = block

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w 3"], sizes: Int[Array, "b 2"] | None = None
    ) -> list[Array]:
        """Images (preprocessed) to [pool1, ..., pool5], of ceil(h / 2^k) rows each."""
        channels, pools = x.shape[-1], []
        for number, (features, count) in enumerate(BLOCKS, 1):
            layers = []
            for n in range(1, count + 1):
                out = max(1, features // self.width)
                start = HE_NORMAL if number > 1 or n > 1 else HE_NORMAL_BYTES
                params = ConvParams(3, (channels, out), start, name=f"conv{number}_{n}")
                layers.append(params(x.dtype))
                channels = out
            x = self.block(x, layers, sizes, number - 1)
            pools.append(x)
        return pools
