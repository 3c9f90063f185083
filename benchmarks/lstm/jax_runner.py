"""Our side of the LSTM benchmark: a sweep from the start to its last loss, compilation and all."""

import argparse
import json
import time
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxdl.devices.mesh import core_mesh, shard, shardings
from jaxdl.lstm.model import forward, init_params
from jaxdl.lstm.series import sine, to_float32
from jaxdl.lstm.sweep import (
    batches,
    mean_squared_error,
    members_of,
    spread_losses,
    spread_members,
    start_sweep,
    sweep_step,
    zero_losses,
)
from jaxdl.training import optimizers

INTERVAL = 100  # steps a dispatch


def sweep(args: argparse.Namespace) -> dict[str, Any]:
    """Seconds with compilation, and of the same work once compiled if asked; the last losses."""
    members = members_of(args.hidden, range(args.seeds))
    mesh = core_mesh(len(members.units))  # first: afterwards JAX has its devices
    adam = args.optimizer == "adam"
    optimizer = optimizers.adam() if adam else optimizers.momentum_sgd(momentum=0.9)
    series = jnp.asarray(np.load(args.series))
    interval = min(INTERVAL, args.steps)
    drawn = {"seed": args.seed, "epochs": interval, "batch": args.batch}
    spans = len(series) - args.window  # where a window can start
    step = sweep_step(optimizer, window=args.window, mesh=mesh, sizes=args.hidden)
    layout = shardings(None, mesh)

    def once() -> tuple[float, Any]:
        begin = time.perf_counter()
        state = start_sweep(args.seed, members, optimizer)
        totals = spread_losses(zero_losses(1, interval, members), mesh)
        state = spread_members(state, mesh)
        values = shard(series, None if layout is None else layout.replicated)
        given = batches(values, members, 0, **drawn, spans=spans, mesh=mesh)
        for batch in islice(given, args.steps // interval):
            state, totals, _ = step(state, totals, batch, args.learning_rate)
        last = np.asarray(totals[-1])
        return time.perf_counter() - begin, last

    seconds, losses = once()
    again = {"compiled_seconds": once()[0]} if args.again else {}
    return {"seconds": seconds, "losses": losses.tolist(), **again}


def empty_scan(args: argparse.Namespace) -> float:
    """Seconds of scans of the same lengths over states of the same size that only add one.

    A step goes over its window once forward and once back; the loops themselves are what a sweep
    of so little arithmetic cannot do without.
    """
    shape = (len(args.hidden) * args.seeds, max(args.hidden), args.batch)

    @jax.jit
    def scans(state):
        def step(state, _):
            for _ in range(2):
                state = lax.scan(lambda s, _: (s + 1, None), state, length=args.window)[0]
            return state, None

        return lax.scan(step, state, length=args.steps)[0]

    state = jnp.zeros(shape)
    jax.block_until_ready(scans(state))
    begin = time.perf_counter()
    jax.block_until_ready(scans(state))
    return time.perf_counter() - begin


def write_example(path: Path) -> None:
    """Weights, inputs, outputs, states and gradients in float64, for the peer to compare with."""
    with jax.enable_x64(True):
        params = init_params(jax.random.key(3), inputs=1, hidden=5, outputs=1)
        params = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), params)
        rng = np.random.default_rng(0)
        x, target = jnp.asarray(rng.normal(size=(2, 40, 7, 1)))

        def loss(params):
            return mean_squared_error(forward(params, x)[0], target)

        outputs, (carry,) = forward(params, x)
        grads = jax.grad(loss)(params)
        named = {"x": x, "target": target, "outputs": outputs, "h": carry.h, "c": carry.c}
        named |= params["lstm_1"] | {"kernel": params["readout"]["kernel"]}
        named["readout_bias"] = params["readout"]["bias"]
        named |= {f"grad_{name}": grad for name, grad in grads["lstm_1"].items()}
        named["grad_kernel"] = grads["readout"]["kernel"]
        arrays: dict[str, Any] = {name: np.asarray(array) for name, array in named.items()}
        np.savez(path, **arrays)


def main() -> None:
    """The command line: no defaults, the benchmark gives every value."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, required=True, nargs="+")
    for name in ("steps", "batch", "window", "seed", "seeds"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--optimizer", choices=["momentum", "adam"], required=True)
    parser.add_argument("--learning-rate", type=float, required=True)
    parser.add_argument("--series", required=True)
    parser.add_argument("--again", action="store_true", help="once compiled too, and empty scans")
    args = parser.parse_args()
    found = sweep(args) | {"version": jax.__version__}
    print(json.dumps(found | ({"roof_seconds": empty_scan(args)} if args.again else {})))


def series_file(folder: Path) -> Path:
    """The post's sine."""
    path = folder / "sine.npy"
    np.save(path, to_float32(sine()))
    return path


if __name__ == "__main__":
    main()
