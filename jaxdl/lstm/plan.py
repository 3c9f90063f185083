"""The abstract steps of the LSTM sweep, for the planner and the compile check."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdl.lstm import sweep
from jaxdl.lstm.model import init_params
from jaxdl.planner.steps import Step
from jaxdl.training import optimizers
from jaxdl.training.step import TrainState


def lstm(
    sizes: Sequence[int] = (2, 3, 4, 5),
    seeds: int = 1,
    epochs: int = 100,
    batch: int = 32,
    *,
    window: int = 50,
    columns: int = 1,
    layers: int = 1,
    cell: str = "lstm",
    most: int | None = None,
    optimizer: optax.GradientTransformation | None = None,
) -> Step:
    """The sweep over hidden sizes and seeds: `epochs` mini-batches of windows.

    Args:
        sizes: hidden sizes; the smaller are padded to the largest.
        seeds: networks of each size.
        epochs: mini-batches.
        batch: windows in a mini-batch.
        window: steps of a window.
        columns: values of a step.
        layers: recurrent layers.
        cell: their kind, one of `jaxdl.lstm.model.CELLS`.
        most: train no more than so many of the networks: a device's share of the sweep.
        optimizer: None for momentum SGD.
    """
    members = sweep.members_of(sizes, range(seeds))
    members = sweep.Members(members.units[:most], members.seeds[:most])
    count = len(members.units)
    optimizer = optimizers.momentum_sgd() if optimizer is None else optimizer
    call = sweep.sweep_step(optimizer, window=window, for_cpu=False)
    shape = {"inputs": columns, "outputs": columns, "layers": layers, "cell": cell}

    def start(keys):
        params = jax.vmap(lambda key: init_params(key, hidden=max(sizes), **shape))(keys)
        return TrainState(jnp.int32(0), params, jax.vmap(optimizer.init)(params))

    state = jax.eval_shape(lambda: start(jax.random.split(jax.random.key(0), count)))
    metrics = jax.ShapeDtypeStruct((epochs, count), np.float32)
    series = jax.ShapeDtypeStruct((max(5000, 2 * window), columns), np.float32)
    given = sweep.Batch(series, jax.ShapeDtypeStruct((epochs, count, batch), np.int32))
    args = (state, metrics, given, jax.ShapeDtypeStruct((), np.float32))
    return Step(f"{cell} sweep of {count}", call, args, epochs, "epochs")
