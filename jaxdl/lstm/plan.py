"""``plan`` of the LSTM sweep, and its step with abstract arguments."""

import dataclasses
import functools
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
import optax

from jaxdl.cli.command import check_least
from jaxdl.cli.plan import Options, finish, read
from jaxdl.lstm import sweep
from jaxdl.lstm.setup import optimizer_of as lstm_optimizer
from jaxdl.planner import plan
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
        layers: LSTM layers.
        most: train no more than so many of the networks: a device's share of the sweep.
        optimizer: None for momentum SGD.
    """
    members = sweep.members_of(sizes, range(seeds))
    members = sweep.Members(members.units[:most], members.seeds[:most])
    key = jax.random.key(0)
    optimizer = optimizers.momentum_sgd() if optimizer is None else optimizer
    call = sweep.sweep_step(key, members, optimizer, epochs=epochs, batch=batch, window=window)
    shape = {"inputs": columns, "outputs": columns, "layers": layers}
    start = partial(sweep.initial_sweep, optimizer=optimizer, hidden=max(sizes), **shape)
    state = jax.eval_shape(start, key, *members)
    totals = jax.eval_shape(lambda: sweep.zero_losses(1, epochs, members))
    series = jax.ShapeDtypeStruct((max(5000, 2 * window), columns), np.float32)
    args = (state, totals, series, jax.ShapeDtypeStruct((), np.float32))
    return Step(f"lstm sweep of {len(members.units)}", call, args, epochs, "epochs")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SweepOptions(Options):
    __doc__ = Options.__doc__

    columns: int = 1
    """Of the series."""


def run(argv: Sequence[str], prog: str, config_type: type, presets: dict[str, Any]) -> None:
    """The LSTM sweep's plan: its members spread over the devices."""
    options, cfg = read(SweepOptions, config_type, presets, argv, prog)
    check_least(options, 1, ("columns",))
    check_least(cfg, 1, ("seeds", "layers", "window", "batch", "every", "hidden"))
    members = len(cfg.hidden) * cfg.seeds

    @functools.cache
    def share(most: int) -> Step:
        return lstm(
            *(cfg.hidden, cfg.seeds, cfg.every, cfg.batch),
            window=cfg.window,
            columns=options.columns,
            layers=cfg.layers,
            most=most,
            optimizer=lstm_optimizer(cfg),
        )

    def work(devices: int) -> plan.Work:
        return plan.sweep(share(-(-members // devices)), members, devices)

    told = [
        f"{members} networks, spread over the devices: a device beyond them has nothing to do. A "
        f"step is {cfg.every} epochs; only the mean loss is exchanged.",
    ]
    finish("LSTM sweep", options, work, "float32", told)
