"""GRU: the other cell that `jaxdl.lstm.model` can be made of, in the form of PyTorch and cuDNN.

    r = sigmoid(W_r x + b_r + U_r h + d_r)         reset gate
    z = sigmoid(W_z x + b_z + U_z h + d_z)         update gate
    n = tanh(W_n x + b_n + r (U_n h + d_n))        new state
    h' = (1 - z) n + z h

Source: Cho et al. 2014, there U_n (r h). Here r multiplies the product with its own bias d_n, as in
PyTorch's `nn.GRU`: all products of a step are one.

A layer's parameters are PyTorch's, unchanged, gates in the order r, z, n:

    {"input": (3h, i), "recurrent": (3h, h), "bias": (3h,), "recurrent_bias": (3h,)}
      weight_ih_l0      weight_hh_l0           bias_ih_l0     bias_hh_l0

Padding is exact as in `jaxdl.lstm.model`: without weights and biases n = 0 and z = 1/2, so h stays
0 and no gradient arrives.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Float32


class State(NamedTuple):
    """One layer's state between two steps."""

    h: Float[Array, "b h"]


def gru_cell(layer: dict[str, Any], state: State, x: Float[Array, "b i"]) -> State:
    """One step of one layer, in `x`'s dtype; the new h is the layer's output."""
    into = jnp.matmul(x, layer["input"].T, precision=lax.Precision.HIGHEST)
    again = jnp.matmul(state.h, layer["recurrent"].T, precision=lax.Precision.HIGHEST)
    of_x = jnp.split(into + layer["bias"][None, :], 3, axis=1)
    of_h = jnp.split(again + layer["recurrent_bias"][None, :], 3, axis=1)
    r = jax.nn.sigmoid(of_x[0] + of_h[0])
    z = jax.nn.sigmoid(of_x[1] + of_h[1])
    n = jnp.tanh(of_x[2] + r * of_h[2])
    return State((1 - z) * n + z * state.h)


def start_biases(hidden: int) -> dict[str, Float32[np.ndarray, " g"]]:
    """All are 0, as in Chainer's GRU."""
    zero = np.zeros(3 * hidden, np.float32)
    return {"bias": zero, "recurrent_bias": zero}
