"""LSTM: the cell as a pure function, `lax.scan` over time, layers, and a linear readout.

With z = W_x x + W_h h + b for each of the four gates (Chainer's names; no peepholes):

    g = tanh(z_g)   i, f, o = sigmoid(z_i, z_f, z_o)   c' = f c + i g   h' = o tanh(c')

Source: Hochreiter, Schmidhuber 1997 and Gers et al. 2000; Chainer's `links.LSTM`, which the
LSTM post of 2016 uses, and its start: LeCun normal weights, forget bias 1, other biases 0.

Parameters are a plain tree, float32; gates in the order g, i, f, o, each a block of h rows:

    {"lstm_1": {"input": (4h, i), "recurrent": (4h, h), "bias": (4h,)}, "lstm_2": ...,
     "readout": {"kernel": (h, o), "bias": (o,)}}

Padding: a hidden unit whose weights and biases are all zero stays at h = c = 0 for ever, sends
nothing, and has gradient exactly zero everywhere; so momentum SGD, Adam and weight decay leave it
at zero too, and a padded network equals the smaller one. `init_params` and `with_units` make such
networks; nothing else has to know of them.

Inside, features come before the batch: the batch fills the vector lanes, however few the units.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Key

Params = dict[str, dict[str, Any]]


class Carry(NamedTuple):
    """One layer's state between two steps."""

    h: Float[Array, "b h"]
    c: Float[Array, "b h"]


def _fused(layer: dict[str, Any]) -> Float[Array, "g n"]:
    """[recurrent, input, bias] as one matrix."""
    return jnp.concatenate([layer["recurrent"], layer["input"], layer["bias"][:, None]], axis=1)


def _product(a: Float[Array, "m k"], b: Float[Array, "k n"]) -> Float[Array, "m n"]:
    return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)


def _seen(h: Float[Array, "h b"], x: Float[Array, "i b"]) -> Float[Array, "n b"]:
    """What the one matrix product multiplies: [h, x, 1]."""
    return jnp.concatenate([h, x, jnp.ones_like(x[:1])])


def _scale(weights: Float[Array, "g n"]) -> Float[Array, "g 1"]:
    """Of each gate's row: 1 for tanh, 1/2 for sigmoid(z) = (1 + tanh(z/2)) / 2."""
    candidate = jnp.arange(weights.shape[0]) < weights.shape[0] // 4
    return jnp.where(candidate, 1.0, 0.5).astype(weights.dtype)[:, None]


def _tanhs(scaled: Float[Array, "g n"], seen: Float[Array, "n b"]) -> Float[Array, "g b"]:
    """What all gates are made of: one product and one tanh.

    The scale is in the weights: XLA's CPU computes a tanh alone 3 times as fast as one of a scaled
    product (4 us against 12 us for 10,240 numbers on one thread).
    """
    return jnp.tanh(_product(scaled, seen))


def _gates(tanhs: Float[Array, "g b"], scale: Float[Array, "g 1"]) -> list[Array]:
    """g, i, f, o, each (h, b)."""
    return jnp.split(tanhs * scale + (1 - scale), 4)


def _under_each_other(parts: list[Float[Array, "h b"]]) -> Float[Array, "g b"]:
    """A concatenation by choice: XLA's CPU loops over a real one take several times as long."""
    number = jnp.arange(len(parts))[:, None, None]
    chosen = jnp.broadcast_to(parts[0][None], (len(parts), *parts[0].shape))
    for n, part in enumerate(parts[1:], start=1):
        chosen = jnp.where(number == n, part[None], chosen)
    return chosen.reshape(-1, chosen.shape[-1])


def _step(scaled: Array, scale: Array, h: Float[Array, "h b"], c: Float[Array, "h b"], x: Any):
    g, i, f, o = _gates(_tanhs(scaled, _seen(h, x)), scale)
    c = f * c + i * g
    return o * jnp.tanh(c), c


@jax.custom_vjp
def _scan(weights, x, h, c):
    """(all h: (t, h, b), last h, last c) of a layer; `x` is (t, i, b).

    Differentiated by hand (reverse mode alone): XLA's own derivative of the scan keeps eight arrays
    for each step; here h and c are kept and the gates computed again, which costs less than
    reading them back.
    """
    return _scan_forward(weights, x, h, c)[0]


def _scan_forward(weights, x, h, c):
    scale = _scale(weights)
    scaled = weights * scale

    def step(carry, x):
        return _step(scaled, scale, carry[0], carry[1], x), carry

    (last_h, last_c), (hs, cs) = lax.scan(step, (h, c), x)
    every = jnp.concatenate([hs[1:], last_h[None]])
    return (every, last_h, last_c), (weights, x, hs, cs)


def _scan_backward(kept, grads):
    weights, x, hs, cs = kept
    every, last_h, last_c = grads
    hidden, scale = last_h.shape[0], _scale(weights)
    scaled = weights * scale
    # Turned once: a product with a turned matrix inside of the loop took three times as long.
    turned = lax.optimization_barrier(weights.T)
    back_h, back_x = turned[:hidden], turned[hidden:-1]

    def step(carry, now):
        dh, dc, dweights = carry
        grad, x, h, c = now
        seen = _seen(h, x)
        tanhs = _tanhs(scaled, seen)
        g, i, f, o = _gates(tanhs, scale)
        tc = jnp.tanh(f * c + i * g)
        dh = dh + grad
        dc = dc + dh * o * (1 - tc * tc)
        # A gate is scale * tanh(scale * z) + constant.
        slope = (1 - tanhs * tanhs) * (scale * scale)
        dz = _under_each_other([dc * i, dc * g, dc * c, dh * tc]) * slope
        # Two products: where no one asks for dx, the second is not compiled.
        dh, dx = _product(back_h, dz), _product(back_x, dz)
        return (dh, dc * f, dweights + _product(seen, dz.T)), dx

    start = last_h, last_c, jnp.zeros_like(turned)
    (dh, dc, dweights), dx = lax.scan(step, start, (every, x, hs, cs), reverse=True)
    return dweights.T, dx, dh, dc


_scan.defvjp(_scan_forward, _scan_backward)


def lstm_cell(layer: dict[str, Any], carry: Carry, x: Float[Array, "b i"]) -> Carry:
    """One step of one layer, in `x`'s dtype; the new h is the layer's output."""
    weights = _fused(layer)
    scale = _scale(weights)
    h, c = _step(weights * scale, scale, carry.h.T, carry.c.T, x.T)
    return Carry(h.T, c.T)


def forward(
    params: Params, x: Float[Array, "t b i"], carry: tuple[Carry, ...] | None = None
) -> tuple[Float[Array, "t b o"], tuple[Carry, ...]]:
    """All layers over all steps, and the readout of each step.

    Args:
        params: see the module; any number of layers.
        x: steps first; its dtype is that of the parameters.
        carry: each layer's state before the first step; None is zero.

    Returns:
        The outputs, and the state after the last step: a series in pieces, each with the state of
        the one before, gives what it gives in one.
    """
    sequence, after = x.swapaxes(1, 2), []
    for n in range(len(params) - 1):
        layer = params[f"lstm_{n + 1}"]
        if carry is None:
            zero = jnp.zeros((layer["recurrent"].shape[1], x.shape[1]), x.dtype)
            h, c = zero, zero
        else:
            h, c = carry[n].h.T, carry[n].c.T
        sequence, h, c = _scan(_fused(layer), sequence, h, c)
        after.append(Carry(h.T, c.T))
    kernel, bias = params["readout"]["kernel"], params["readout"]["bias"]
    read = jnp.einsum("ho,thb->tbo", kernel, sequence, precision=lax.Precision.HIGHEST)
    return read + bias[None, None, :], tuple(after)


def _entries(key: Key[Array, ""], rows: int, columns: Int[Array, " c"]) -> Float[Array, "4 r c"]:
    """Normal numbers, four for each (row, column), from a key of their own: padding with more rows
    and columns changes none of them.
    """

    def entry(row, column):
        own = jax.random.fold_in(key, (row << 16) + column)
        return jax.random.normal(own, (4,), jnp.float32)

    across = jax.vmap(entry, in_axes=(None, 0), out_axes=1)
    return jax.vmap(across, in_axes=(0, None), out_axes=1)(jnp.arange(rows), columns)


def init_params(
    key: Key[Array, ""],
    *,
    inputs: int,
    hidden: int,
    outputs: int,
    layers: int = 1,
    units: int | Int[Array, ""] | None = None,
) -> Params:
    """Chainer's start: LeCun normal (not truncated, deviation 1 / sqrt(fan in)), forget bias 1.

    Args:
        key: the same key gives the same weights with any padding.
        inputs: values of a step.
        hidden: units of each layer's arrays.
        outputs: values read out.
        layers: at least 1.
        units: how many of `hidden` are in use (the rest is zero, see the module), perhaps traced;
            None uses all.
    """
    used = hidden if units is None else units
    fan = jnp.asarray(used, jnp.float32)
    live = (jnp.arange(hidden) < used).astype(jnp.float32)
    params: Params = {}
    for n in range(layers):
        width = hidden if n else inputs
        # One draw, as each compiles for half a second: columns 3k are the weights of input k,
        # 3k + 1 those of unit k, 3k + 2 those of the readout (of which the first is used).
        kinds = [3 * jnp.arange(width), 3 * jnp.arange(hidden) + 1, 3 * jnp.arange(outputs) + 2]
        drawn = _entries(jax.random.fold_in(key, n), hidden, jnp.concatenate(kinds))
        drawn = drawn * live[None, :, None]
        into, again, out = jnp.split(drawn, (width, width + hidden), axis=2)
        columns = live if n else jnp.ones(width, jnp.float32)
        into = into * (columns / jnp.sqrt(fan if n else jnp.float32(inputs)))[None, None]
        again = again * (live / jnp.sqrt(fan))[None, None]
        params[f"lstm_{n + 1}"] = {
            "input": into.reshape(-1, width),
            "recurrent": again.reshape(-1, hidden),
            "bias": jnp.zeros((4, hidden), jnp.float32).at[2].set(live).reshape(-1),
        }
        params["readout"] = {
            "kernel": out[0] / jnp.sqrt(fan),
            "bias": jnp.zeros(outputs, jnp.float32),
        }
    return params


def with_units(params: Params, hidden: int) -> Params:
    """The same network with `hidden` units a layer: padded with zeros, or cut to its first units.

    Cutting loses nothing where the units cut off are padding.
    """

    def fit(array: Array, axis: int) -> Array:
        array = lax.slice_in_dim(array, 0, min(hidden, array.shape[axis]), axis=axis)
        more = [(0, 0)] * array.ndim
        more[axis] = (0, hidden - array.shape[axis])
        return jnp.pad(array, more)

    def rows(array: Array) -> Array:
        blocks = fit(array.reshape(4, -1, *array.shape[1:]), 1)
        return blocks.reshape(4 * hidden, *array.shape[1:])

    new: Params = {}
    for n in range(len(params) - 1):
        layer = params[f"lstm_{n + 1}"]
        new[f"lstm_{n + 1}"] = {
            "input": rows(fit(layer["input"], 1) if n else layer["input"]),
            "recurrent": rows(fit(layer["recurrent"], 1)),
            "bias": rows(layer["bias"]),
        }
    readout = params["readout"]
    new["readout"] = {"kernel": fit(readout["kernel"], 0), "bias": readout["bias"]}
    return new


class LSTM(nn.Module):
    """`init_params` and `forward` as a linen module, with the same tree of parameters.

    Attributes:
        hidden: units of each layer.
        outputs: values read out of each step.
        layers: at least 1.
    """

    hidden: int
    outputs: int = 1
    layers: int = 1

    @nn.compact
    def __call__(
        self, x: Float[Array, "t b i"], carry: tuple[Carry, ...] | None = None
    ) -> tuple[Float[Array, "t b o"], tuple[Carry, ...]]:
        """See `forward`."""

        def start(key, name):
            sizes = {"hidden": self.hidden, "outputs": self.outputs, "layers": self.layers}
            return init_params(key, inputs=x.shape[-1], **sizes)[name]

        names = [*(f"lstm_{n + 1}" for n in range(self.layers)), "readout"]
        return forward({name: self.param(name, start, name) for name in names}, x, carry)
