"""LSTM: the cell as a pure function, `lax.scan` over time, layers, and a linear readout.

`CELLS` has the kinds of layer: this module's LSTM, and the GRU of `jaxdl.lstm.gru`. All functions
work with each; a network's layers are named after its kind, so parameters tell what they are of.

With z = W_x x + W_h h + b for each of the four gates (Chainer's names; no peepholes):

    g = tanh(z_g)   i, f, o = sigmoid(z_i, z_f, z_o)   c' = f c + i g   h' = o tanh(c')

Source: Hochreiter, Schmidhuber 1997 and Gers et al. 2000; Chainer's `links.LSTM`, which the
LSTM post of 2016 uses, and its start: LeCun normal weights, forget bias 1, other biases 0.

Parameters are a plain tree, float32; gates in the order g, i, f, o, each a block of h rows:

    {"lstm_1": {"input": (4h, i), "recurrent": (4h, h), "bias": (4h,)}, "lstm_2": ...,
     "readout": {"kernel": (h, o), "bias": (o,)}}

A GRU has "gru_1", ..., with the arrays of `jaxdl.lstm.gru`.

Padding: a hidden unit whose weights and biases are all zero stays at h = c = 0 for ever, sends
nothing, and has gradient exactly zero everywhere; so momentum SGD, Adam and weight decay leave it
at zero too, and a padded network equals the smaller one. `init_params` and `with_units` make such
networks; nothing else has to know of them.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Key

from jaxdl.errors import InputError
from jaxdl.lstm import cpu, gru

Params = dict[str, dict[str, Any]]


class Carry(NamedTuple):
    """One layer's state between two steps."""

    h: Float[Array, "b h"]
    c: Float[Array, "b h"]


def lstm_cell(layer: dict[str, Any], carry: Carry, x: Float[Array, "b i"]) -> Carry:
    """One step of one layer, in `x`'s dtype; the new h is the layer's output."""
    z = (
        jnp.matmul(x, layer["input"].T, precision=lax.Precision.HIGHEST)
        + jnp.matmul(carry.h, layer["recurrent"].T, precision=lax.Precision.HIGHEST)
        + layer["bias"][None, :]
    )
    g, i, f, o = jnp.split(z, 4, axis=1)
    c = jax.nn.sigmoid(f) * carry.c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return Carry(jax.nn.sigmoid(o) * jnp.tanh(c), c)


def start_biases(live: Float[Array, " h"]) -> dict[str, Float[Array, " g"]]:
    """The forget bias is 1 where a unit is in use, the others are 0."""
    return {"bias": jnp.zeros((4, live.shape[0]), jnp.float32).at[2].set(live).reshape(-1)}


State = Carry | gru.State


def scan_layer(
    step: Callable[..., Any], layer: dict[str, Any], carry: State, x: Float[Array, "t b i"]
) -> tuple[State, Float[Array, "t b h"]]:
    """A cell over all steps: the state after the last one, and every h."""

    def one(carry: State, x: Float[Array, "b i"]) -> tuple[State, Array]:
        carry = step(layer, carry, x)
        return carry, carry.h

    return lax.scan(one, carry, x)


class Cell(NamedTuple):
    """What tells one kind of layer from another."""

    gates: int
    """Blocks of h rows in each array."""
    state: type[State]
    """Its arrays are (b, h); h is the layer's output."""
    scan: Callable[..., tuple[Any, Array]]
    """``scan(layer, state, x)``: see `scan_layer`."""
    scan_on_cpu: Callable[..., tuple[Any, Array]]
    """The same as XLA's CPU backend runs it fastest, equal but for rounding."""
    start_biases: Callable[..., dict[str, Array]]
    """The vectors at the start, of h numbers: 1 for a unit in use, 0 for padding."""


_gru_scan = partial(scan_layer, gru.gru_cell)
CELLS = {
    "lstm": Cell(4, Carry, partial(scan_layer, lstm_cell), cpu.scan_layer, start_biases),
    "gru": Cell(3, gru.State, _gru_scan, _gru_scan, gru.start_biases),
}


def cell_of(params: Params) -> str:
    """The kind of a network's layers, by their names. InputError: they are none of `CELLS`."""
    for name in CELLS:
        if f"{name}_1" in params:
            return name
    raise InputError(f"a network of {', '.join(params)}: its layers must be of {', '.join(CELLS)}")


def forward(
    params: Params,
    x: Float[Array, "t b i"],
    carry: tuple[State, ...] | None = None,
    *,
    for_cpu: bool | None = None,
) -> tuple[Float[Array, "t b o"], tuple[Any, ...]]:
    """All layers over all steps, and the readout of each step.

    Args:
        params: see the module; any number of layers, all of one of `CELLS`.
        x: steps first; its dtype is that of the parameters.
        carry: each layer's state before the first step; None is zero.
        for_cpu: scan as XLA's CPU backend runs it fastest (`Cell.scan_on_cpu`). None: if JAX's
            default device is a CPU.

    Returns:
        The outputs, and each layer's state after the last step, of its kind's type: a series in
        pieces, each with the state of the one before, gives what it gives in one.
    """
    name = cell_of(params)
    cell = CELLS[name]
    if for_cpu is None:
        for_cpu = jax.default_backend() == "cpu"
    scan = cell.scan_on_cpu if for_cpu else cell.scan
    sequence, after = x, []
    for n in range(len(params) - 1):
        layer = params[f"{name}_{n + 1}"]
        zero = jnp.zeros((x.shape[1], layer["recurrent"].shape[1]), x.dtype)
        start = cell.state(*[zero] * len(cell.state._fields)) if carry is None else carry[n]
        end, sequence = scan(layer, start, sequence)
        after.append(end)
    kernel, bias = params["readout"]["kernel"], params["readout"]["bias"]
    read = jnp.matmul(sequence, kernel, precision=lax.Precision.HIGHEST)
    return read + bias[None, None, :], tuple(after)


def _entries(
    key: Key[Array, ""], gates: int, rows: int, columns: Int[Array, " c"]
) -> Float[Array, "{gates} r c"]:
    """Normal numbers, one for each gate, row and column; those of a row and column have a key of
    their own: padding with more rows and columns changes none of them.
    """

    def entry(row, column):
        own = jax.random.fold_in(key, (row << 16) + column)
        return jax.random.normal(own, (gates,), jnp.float32)

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
    cell: str = "lstm",
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
        cell: the kind of the layers, one of `CELLS`.
    """
    gates, start_biases = CELLS[cell].gates, CELLS[cell].start_biases
    used = hidden if units is None else units
    fan = jnp.asarray(used, jnp.float32)
    live = (jnp.arange(hidden) < used).astype(jnp.float32)
    params: Params = {}
    for n in range(layers):
        width = hidden if n else inputs
        # One draw, as each compiles for half a second: columns 3k are the weights of input k,
        # 3k + 1 those of unit k, 3k + 2 those of the readout (of which the first is used).
        kinds = [3 * jnp.arange(width), 3 * jnp.arange(hidden) + 1, 3 * jnp.arange(outputs) + 2]
        drawn = _entries(jax.random.fold_in(key, n), gates, hidden, jnp.concatenate(kinds))
        drawn = drawn * live[None, :, None]
        into, again, out = jnp.split(drawn, (width, width + hidden), axis=2)
        columns = live if n else jnp.ones(width, jnp.float32)
        into = into * (columns / jnp.sqrt(fan if n else jnp.float32(inputs)))[None, None]
        again = again * (live / jnp.sqrt(fan))[None, None]
        params[f"{cell}_{n + 1}"] = {
            "input": into.reshape(-1, width),
            "recurrent": again.reshape(-1, hidden),
            **start_biases(live),
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
    name = cell_of(params)
    gates = CELLS[name].gates

    def fit(array: Array, axis: int) -> Array:
        array = lax.slice_in_dim(array, 0, min(hidden, array.shape[axis]), axis=axis)
        more = [(0, 0)] * array.ndim
        more[axis] = (0, hidden - array.shape[axis])
        return jnp.pad(array, more)

    def rows(array: Array) -> Array:
        blocks = fit(array.reshape(gates, -1, *array.shape[1:]), 1)
        return blocks.reshape(gates * hidden, *array.shape[1:])

    new: Params = {}
    for n in range(len(params) - 1):
        layer = dict(params[f"{name}_{n + 1}"])
        layer["recurrent"] = fit(layer["recurrent"], 1)
        if n:
            layer["input"] = fit(layer["input"], 1)
        new[f"{name}_{n + 1}"] = {key: rows(array) for key, array in layer.items()}
    readout = params["readout"]
    new["readout"] = {"kernel": fit(readout["kernel"], 0), "bias": readout["bias"]}
    return new


class LSTM(nn.Module):
    """`init_params` and `forward` as a linen module, with the same tree of parameters.

    Attributes:
        hidden: units of each layer.
        outputs: values read out of each step.
        layers: at least 1.
        cell: one of `CELLS`.
    """

    hidden: int
    outputs: int = 1
    layers: int = 1
    cell: str = "lstm"

    @nn.compact
    def __call__(
        self, x: Float[Array, "t b i"], carry: tuple[State, ...] | None = None
    ) -> tuple[Float[Array, "t b o"], tuple[Any, ...]]:
        """See `forward`."""

        def start(key, name):
            sizes = {"hidden": self.hidden, "outputs": self.outputs, "layers": self.layers}
            return init_params(key, inputs=x.shape[-1], cell=self.cell, **sizes)[name]

        names = [*(f"{self.cell}_{n + 1}" for n in range(self.layers)), "readout"]
        return forward({name: self.param(name, start, name) for name in names}, x, carry)
