"""Prediction of what comes next in closed loop, its error by distance, and the naive baseline."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxdl.errors import InputError
from jaxdl.lstm.choices import Mode
from jaxdl.lstm.model import Params, State, forward


def slide_window(
    params: Params, window: Float[Array, "t b f"], length: int
) -> Float[Array, "{length} b f"]:
    """The prediction of the LSTM post: the last output for the window is the next value. It is
    added at the end of the window, the first value leaves it, and the state starts from zero again.

    Source: the LSTM post of 2016, "prediction" (``predict.py``). The network always sees windows as
    in training, at the price of a run over the window for each value.
    """

    def step(window, _):
        value = forward(params, window)[0][-1]
        return jnp.concatenate([window[1:], value[None]]), value

    return lax.scan(step, window, length=length)[1]


def carry_state(
    params: Params, window: Float[Array, "t b f"], length: int
) -> Float[Array, "{length} b f"]:
    """The usual prediction: the window is read once, then each value is the next step's input."""
    first, carry = forward(params, window)

    def step(now: tuple[Array, tuple[State, ...]], _):
        value, carry = now
        outputs, carry = forward(params, value[None], carry)
        return (outputs[0], carry), value

    return lax.scan(step, (first[-1], carry), length=length)[1]


@partial(jax.jit, static_argnames=("length", "way"))
def predict(
    params: Any, windows: Float[Array, "t b f"], *, length: int, way: Mode = "window"
) -> Float[Array, "m {length} b f"]:
    """What follows each window, by each member, in closed loop; one program.

    Args:
        params: a sweep's, with the leading member axis.
        windows: given to every member; the network must read out as many values as it is given.
        length: steps to predict.
        way: ``window`` is `slide_window`, ``carry`` is `carry_state`; their first values agree.
    """
    one = slide_window if way == "window" else carry_state
    return jax.vmap(lambda own: one(own, windows, length))(params)


def evaluate(
    params: Any,
    windows: Float[Array, "t b f"],
    truth: Float[Array, "l b f"],
    *,
    way: Mode = "window",
) -> Float[Array, "m l"]:
    """`error_by_distance` of what each member predicts after the windows; see `predict`."""
    return error_by_distance(predict(params, windows, length=len(truth), way=way), truth)


def error_by_distance(
    predicted: Float[Array, "m l b f"], truth: Float[Array, "l b f"]
) -> Float[Array, "m l"]:
    """Mean squared error of each member at each step after the window, over windows and values."""
    return jnp.square(predicted - truth[None]).mean((2, 3))


def seasonal_naive(
    windows: Float[Array, "t b f"], period: int, length: int
) -> Float[Array, "{length} b f"]:
    """The baseline: the window's last `period` steps, over and over; period 1 is "as it was".

    Raises:
        InputError: a period below 1 or longer than the window.
    """
    steps = windows.shape[0]
    if not 1 <= period <= steps:
        raise InputError(f"a period of {period} steps; give 1 to {steps}, the window's length")
    return windows[steps - period + jnp.arange(length) % period]
