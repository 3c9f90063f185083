"""The abstract steps of the LSTM sweep, for the planner and the compile check."""

from collections.abc import Sequence
from functools import partial

import jax
import numpy as np
import optax

from jaxdl.lstm import sweep
from jaxdl.planner.steps import Step
from jaxdl.training import optimizers


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
    key = jax.random.key(0)
    optimizer = optimizers.momentum_sgd() if optimizer is None else optimizer
    length = {"epochs": epochs, "batch": batch, "window": window}
    call = sweep.sweep_step(key, members, optimizer, **length, for_cpu=False)
    shape = {"inputs": columns, "outputs": columns, "layers": layers, "cell": cell}
    start = partial(sweep.initial_sweep, optimizer=optimizer, hidden=max(sizes), **shape)
    state = jax.eval_shape(start, key, *members)
    metrics = jax.eval_shape(lambda: sweep.zero_losses(1, epochs, members))
    series = jax.ShapeDtypeStruct((max(5000, 2 * window), columns), np.float32)
    args = (state, metrics, series, jax.ShapeDtypeStruct((), np.float32))
    return Step(f"{cell} sweep of {len(members.units)}", call, args, epochs, "epochs")
