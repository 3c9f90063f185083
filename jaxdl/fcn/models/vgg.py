"""The VGG-16 convolutions (no fc6, fc7) with ceil-mode pooling, exact on padded canvases.

Source: Simonyan, Zisserman 2014, configuration D; the network table of the 2016 posts. A canvas may
be larger than the image in it: with `sizes` given, everything outside an image's own part is set to
zero before and after every layer, so that each image gets what it would get alone. (Zero is the
convolution's own padding, and never the maximum of a ReLU's output, so that pooling is exact too.)
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxdl.fcn.models.convolution import layer
from jaxdl.fcn.models.ordering import after

# Channels and convolutions of each block.
BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
BANDS = 4  # of the first block, where it is computed again for the gradient on a CPU

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

    Written as selections so that the gradient goes to the first maximum in row-major order
    (Chainer's rule, and XLA's), through elementwise code: XLA's own gradient of a pooling
    (select-and-scatter) took 13 times the pooling's time on a CPU.
    """
    b, h, w, c = x.shape
    low = jnp.array(-jnp.inf, x.dtype)
    x = lax.pad(x, low, ((0, 0, 0), (0, h % 2, 0), (0, w % 2, 0), (0, 0, 0)))

    def first_larger(a, b):
        return jnp.where((a >= b) | jnp.isnan(a), a, b)

    # Columns before rows: of four equal values the first in row-major order wins either way.
    x = x.reshape(b, size_after(h, 1), 2, size_after(w, 1), 2, c)
    pairs = first_larger(x[:, :, :, :, 0], x[:, :, :, :, 1])
    return first_larger(pairs[:, :, 0], pairs[:, :, 1])


def _block(x, layers, sizes, poolings: int, for_cpu: bool):
    """A block's convolutions with ReLU at one resolution, then the pooling that ends it."""
    inside = None
    if sizes is not None:
        inside = valid_mask(size_after(sizes, poolings), x.shape[1], x.shape[2])
    for params in layers:
        x = layer(x, params["kernel"], params["bias"], inside, for_cpu=for_cpu)
    return max_pool(x)


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _block_again(x, layers, sizes, poolings: int, for_cpu: bool):
    """`_block` that is computed again for its gradient, also where `jax.checkpoint` does not."""
    return _block(x, layers, sizes, poolings, for_cpu)


def _block_forward(x, layers, sizes, poolings, for_cpu):
    return _block(x, layers, sizes, poolings, for_cpu), (x, layers, sizes)


def _block_backward(poolings, for_cpu, kept, g):
    x, layers, sizes = kept
    if for_cpu and poolings == 0 and x.shape[1] >= 16 * BANDS:
        return *_in_bands(x, layers, sizes, g), None
    _, pull = jax.vjp(
        lambda x, layers: _block(x, layers, sizes, poolings, for_cpu), after(x, g), layers
    )
    return *pull(g), None


def _in_bands(x, layers, sizes, g):
    """The first block's gradients on a CPU, one band of rows after the other.

    Each band is computed with as many rows more on both sides as there are convolutions: their
    outermost rows lack a neighbour and are cut off before the pooling. Rows outside the canvas are
    zero after every layer, as those outside an image are.
    """
    (b, h, w, _), halo = x.shape, len(layers)
    tall = 2 * -(-h // (2 * BANDS))  # a band's rows, an even number
    edges = ((0, 0), (halo, tall * BANDS - h + halo), (0, 0), (0, 0))
    limits = jnp.array([[h, w]], jnp.int32) if sizes is None else sizes
    inside = jnp.pad(valid_mask(limits, h, w), edges)
    x = jnp.pad(x, edges)
    g = jnp.pad(g, ((0, 0), (0, tall // 2 * BANDS - g.shape[1]), (0, 0), (0, 0)))
    back, total = jnp.zeros_like(x), None
    for first in range(0, tall * BANDS, tall):
        rows = slice(first, first + tall + 2 * halo)
        mask = jnp.broadcast_to(inside[:, rows], (b, tall + 2 * halo, w, 1))

        def band(x, layers, mask=mask):
            for params in layers:
                x = layer(x, params["kernel"], params["bias"], mask, for_cpu=True)
            return max_pool(x[:, halo:-halo])

        start = after(x[:, rows], g if total is None else total[0]["kernel"])
        _, pull = jax.vjp(band, start, layers)
        part, found = pull(g[:, first // 2 : (first + tall) // 2])
        back = back.at[:, rows].add(part)
        total = found if total is None else jax.tree.map(jnp.add, total, found)
    return back[:, halo : halo + h], total


_block_again.defvjp(_block_forward, _block_backward)


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
        remat: keep the poolings alone for the gradient and compute the rest again.
        for_cpu: see `jaxdl.fcn.models.convolution`.
    """

    width: int = 1
    remat: bool = False
    for_cpu: bool = False

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w 3"], sizes: Int[Array, "b 2"] | None = None
    ) -> list[Array]:
        """Images (preprocessed) to [pool1, ..., pool5], of ceil(h / 2^k) rows each."""
        run = _block_again if self.remat else _block
        channels, pools = x.shape[-1], []
        for block, (features, count) in enumerate(BLOCKS, 1):
            layers = []
            for number in range(1, count + 1):
                out = max(1, features // self.width)
                name = f"conv{block}_{number}"
                start = HE_NORMAL if block > 1 or number > 1 else HE_NORMAL_BYTES
                params = ConvParams(3, (channels, out), start, name=name)
                layers.append(params(x.dtype))
                channels = out
            x = run(x, layers, sizes, block - 1, self.for_cpu)
            pools.append(x)
        return pools
