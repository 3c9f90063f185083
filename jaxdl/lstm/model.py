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
at zero too, and a padded network equals the smaller one. `with_units` makes such networks; nothing
else has to know of them.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Float32, Key

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


def start_biases(hidden: int) -> dict[str, Float32[np.ndarray, " g"]]:
    """The forget biases are 1, the others 0."""
    return {"bias": np.repeat(np.array([0, 0, 1, 0], np.float32), hidden)}


State = Carry | gru.State


def scan_layer(
    step: Callable[..., Any], layer: dict[str, Any], carry: State, x: Float[Array, "t b i"]
) -> tuple[State, Float[Array, "t b h"]]:
    """A cell over all steps: the state after the last one, and every h."""

    def one(carry: State, x: Float[Array, "b i"]) -> tuple[State, Array]:
        carry = step(layer, carry, x)
        return carry, carry.h

    return lax.scan(one, carry, x)


def scan_and_read(
    step: Callable[..., Any],
    layer: dict[str, Any],
    readout: dict[str, Any],
    carry: State,
    x: Float[Array, "t b i"],
) -> tuple[State, Float[Array, "t b o"]]:
    """`scan_layer` of the last layer, and the readout of each step."""
    carry, every = scan_layer(step, layer, carry, x)
    read = jnp.matmul(every, readout["kernel"], precision=lax.Precision.HIGHEST)
    return carry, read + readout["bias"][None, None, :]


class Scans(NamedTuple):
    """The scans of a kind of layer."""

    layer: Callable[..., tuple[Any, Array]]
    """``layer(layer, state, x)``: see `scan_layer`."""
    last: Callable[..., tuple[Any, Array]]
    """``last(layer, readout, state, x)``: see `scan_and_read`."""


class Cell(NamedTuple):
    """What tells one kind of layer from another."""

    gates: int
    """Blocks of h rows in each array."""
    state: type[State]
    """Its arrays are (b, h); h is the layer's output."""
    scans: Scans
    scans_on_cpu: Scans
    """The same as XLA's CPU backend runs it fastest, equal but for rounding."""
    start_biases: Callable[[int], dict[str, Any]]
    """The vectors at the start of a layer of so many units."""


def _scans(step: Callable[..., Any]) -> Scans:
    return Scans(partial(scan_layer, step), partial(scan_and_read, step))


_gru = _scans(gru.gru_cell)
CELLS = {
    "lstm": Cell(
        4, Carry, _scans(lstm_cell), Scans(cpu.scan_layer, cpu.scan_and_read), start_biases
    ),
    "gru": Cell(3, gru.State, _gru, _gru, gru.start_biases),
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
        for_cpu: scan as XLA's CPU backend runs it fastest (`Cell.scans_on_cpu`). None: if JAX's
            default device is a CPU.

    Returns:
        The outputs, and each layer's state after the last step, of its kind's type: a series in
        pieces, each with the state of the one before, gives what it gives in one.
    """
    name = cell_of(params)
    cell = CELLS[name]
    if for_cpu is None:
        for_cpu = jax.default_backend() == "cpu"
    scans = cell.scans_on_cpu if for_cpu else cell.scans
    sequence, after, layers = x, [], len(params) - 1
    for n in range(layers):
        layer = params[f"{name}_{n + 1}"]
        zero = jnp.zeros((x.shape[1], layer["recurrent"].shape[1]), x.dtype)
        start = cell.state(*[zero] * len(cell.state._fields)) if carry is None else carry[n]
        if n < layers - 1:
            end, sequence = scans.layer(layer, start, sequence)
        else:
            end, sequence = scans.last(layer, params["readout"], start, sequence)
        after.append(end)
    return sequence, tuple(after)


def start_params(
    draw: Callable[..., Any],
    *,
    inputs: int,
    hidden: int,
    outputs: int,
    layers: int = 1,
    cell: str = "lstm",
) -> Params:
    """Chainer's start: LeCun normal (not truncated, deviation 1 / sqrt(fan in)), forget bias 1.

    Args:
        draw: ``draw(rows, columns)`` gives so many normal numbers, float32, by NumPy or JAX.
        inputs: values of a step.
        hidden: units of each layer.
        outputs: values read out.
        layers: at least 1.
        cell: the kind of the layers, one of `CELLS`.
    """
    rows, params = CELLS[cell].gates * hidden, Params()
    for n in range(layers):
        width = hidden if n else inputs
        params[f"{cell}_{n + 1}"] = {
            "input": draw(rows, width) / np.float32(width**0.5),
            "recurrent": draw(rows, hidden) / np.float32(hidden**0.5),
            **CELLS[cell].start_biases(hidden),
        }
    params["readout"] = {
        "kernel": draw(hidden, outputs) / np.float32(hidden**0.5),
        "bias": np.zeros(outputs, np.float32),
    }
    return params


def init_params(
    key: Key[Array, ""],
    *,
    inputs: int,
    hidden: int,
    outputs: int,
    layers: int = 1,
    cell: str = "lstm",
) -> Params:
    """A network's start, float32, as the module's text has it: `start_params`, drawn by JAX.

    Args:
        key: the same key gives the same weights; may be traced.
        inputs, hidden, outputs, layers, cell: see `start_params`.

    Source: Chainer's `links.LSTM`, which the LSTM post of 2016 uses.
    """
    keys = iter(jax.random.split(key, 2 * layers + 1))

    def draw(*shape: int) -> Array:
        return jax.random.normal(next(keys), shape, jnp.float32)

    sizes = {"inputs": inputs, "hidden": hidden, "outputs": outputs, "layers": layers}
    return jax.tree.map(jnp.asarray, start_params(draw, **sizes, cell=cell))


def with_units(params: Params, hidden: int) -> Params:
    """The same network with `hidden` units a layer: padded with zeros, or cut to its first units.

    Cutting loses nothing where the units cut off are padding. Arrays of NumPy stay NumPy's.
    """
    name = cell_of(params)
    gates = CELLS[name].gates

    def fit(array: Any, axis: int) -> Any:
        array = array[(slice(None),) * axis + (slice(hidden),)]
        more = [(0, 0)] * array.ndim
        more[axis] = (0, hidden - array.shape[axis])
        return (jnp if isinstance(array, jax.Array) else np).pad(array, more)

    def rows(array: Any) -> Any:
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
