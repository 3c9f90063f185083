"""A block of the trunk, and one that is computed again for its gradient, in bands of rows."""

from functools import partial

import jax
import jax.numpy as jnp

from jaxdl.fcn.models import vgg
from jaxdl.fcn.models.cpu.convolution import layer
from jaxdl.fcn.models.cpu.ordering import after
from jaxdl.fcn.models.vgg import max_pool, valid_mask

BANDS = 4  # of the first block

block = partial(vgg.block, layer=layer)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def block_again(x, layers, sizes, poolings: int):
    """`block`, computed again for its gradient: XLA's CPU backend undoes `jax.checkpoint`."""
    return block(x, layers, sizes, poolings)


def _forward(x, layers, sizes, poolings):
    return block(x, layers, sizes, poolings), (x, layers, sizes)


def _backward(poolings, kept, g):
    x, layers, sizes = kept
    if poolings == 0 and x.shape[1] >= 16 * BANDS:
        return *_in_bands(x, layers, sizes, g), None
    _, pull = jax.vjp(lambda x, layers: block(x, layers, sizes, poolings), after(x, g), layers)
    return *pull(g), None


def _in_bands(x, layers, sizes, g):
    """The first block's gradients, one band of rows after the other.

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
                x = layer(x, params["kernel"], params["bias"], mask)
            return max_pool(x[:, halo:-halo])

        start = after(x[:, rows], g if total is None else total[0]["kernel"])
        _, pull = jax.vjp(band, start, layers)
        part, found = pull(g[:, first // 2 : (first + tall) // 2])
        back = back.at[:, rows].add(part)
        total = found if total is None else jax.tree.map(jnp.add, total, found)
    return back[:, halo : halo + h], total


block_again.defvjp(_forward, _backward)
