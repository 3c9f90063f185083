"""Where the FCN's time goes: each layer's forward, input gradient and filter gradient.

`python -m benchmarks.fcn.layers --help`. Each is compiled and timed alone, so the sum is not the
step's time, but says which of them is far from the roof.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from rich.console import Console
from rich.table import Table

from benchmarks.roof import measure_rates
from jaxdl.cli import command
from jaxdl.devices.heap import keep_freed_memory
from jaxdl.fcn.losses import pixel_xent
from jaxdl.fcn.models import vgg
from jaxdl.fcn.models.bilinear import upsample
from jaxdl.fcn.models.cpu.convolution import input_gradient, kernel_gradient, layer
from jaxdl.fcn.models.fcn import forms
from jaxdl.fcn.models.vgg import BLOCKS, convolve, max_pool
from jaxdl.files.results import Results
from jaxdl.planner.jaxpr_cost import count_flops


class Timed(NamedTuple):
    """A layer in one direction: seconds of the fastest call, and flops (0 where none count)."""

    layer: str
    direction: str
    seconds: float
    flops: float


def timed(call: Callable[..., Any], *args: Any, budget: float = 0.5) -> float:
    """Seconds of the fastest call in so many; compiled before."""
    jax.block_until_ready(call(*args))
    best, end = float("inf"), time.perf_counter() + budget
    while True:
        begin = time.perf_counter()
        jax.block_until_ready(call(*args))
        best = min(best, time.perf_counter() - begin)
        if time.perf_counter() >= end:
            return best


def pull(call: Callable[..., Any], number: int) -> Callable[..., Any]:
    """The gradient's product with one argument: ``(g, *args) -> ...``."""

    def back(g, *args):
        def of_one(value):
            return call(*args[:number], value, *args[number + 1 :])

        return jax.vjp(of_one, args[number])[1](g)[0]

    return back


FORMS = forms(None, remat=False)
convolution = partial(layer if jax.default_backend() == "cpu" else vgg.layer, inside=None)
OF_INPUT, OF_KERNEL = jax.jit(input_gradient), jax.jit(kernel_gradient)


def layers(size: int, batch: int, width: int, budget: float = 0.5) -> Iterator[Timed]:
    """VGG-16's convolutions and poolings, then the upsampling and the loss of FCN-32s."""
    fastest = partial(timed, budget=budget)
    channels, keys = 3, iter(jax.random.split(jax.random.key(0), 99))
    for block, (features, count) in enumerate(BLOCKS, 1):
        for number in range(1, count + 1):
            out = features // width
            x = jax.random.normal(next(keys), (batch, size, size, channels))
            kernel = (
                jax.random.normal(next(keys), (3, 3, channels, out)) * (2 / (9 * channels)) ** 0.5
            )
            bias, g = jnp.zeros(out), jax.random.normal(next(keys), (batch, size, size, out))
            flops = count_flops(jax.make_jaxpr(convolve)(x, kernel, bias))
            name = f"conv{block}_{number}"
            yield Timed(name, "forward", fastest(jax.jit(convolution), x, kernel, bias), flops)
            if name != "conv1_1":
                yield Timed(name, "input", fastest(OF_INPUT, g, kernel), flops)
            yield Timed(name, "filter", fastest(OF_KERNEL, x, g), flops)
            channels = out
        x = jax.random.normal(next(keys), (batch, size, size, channels))
        yield Timed(f"pool{block}", "forward", fastest(jax.jit(max_pool), x), 0.0)
        size = -(-size // 2)
        g = jax.random.normal(next(keys), (batch, size, size, channels))
        yield Timed(f"pool{block}", "input", fastest(jax.jit(pull(max_pool, 0)), g, x), 0.0)
    full, scores = 32 * size, jax.random.normal(next(keys), (batch, size, size, 21))
    labels = jax.random.randint(next(keys), (batch, full, full), -1, 21)

    def head(scores):
        return pixel_xent(
            upsample(scores, 32, (full, full), interpolate=FORMS.interpolate), labels
        )[0]

    yield Timed("upsampling, loss", "forward", fastest(jax.jit(head), scores), 0.0)
    yield Timed("upsampling, loss", "both", fastest(jax.jit(jax.value_and_grad(head)), scores), 0.0)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=224, help="side of the square images")
    parser.add_argument("--batch", type=int, default=1, help="images in a batch")
    parser.add_argument("--width", type=int, default=1, help="divides the channels")
    parser.add_argument("--json", type=Path, help="write the rows here")
    args = parser.parse_args()
    results = Results("benchmarks.fcn.layers")
    if args.json is not None:
        results.check(args.json)
    keep_freed_memory()
    rates = measure_rates(os.cpu_count() or 1)
    roof = rates.flops
    console = Console(highlight=False, markup=False)
    rows = []
    table = Table(title=f"{args.size}x{args.size}, batch {args.batch}; roof {rates.described()}")
    for name in ("layer", "direction", "ms", "Gflop", "Gflop/s", "of the roof"):
        table.add_column(name, justify="left" if name in ("layer", "direction") else "right")
    for row in layers(args.size, args.batch, args.width):
        rate = row.flops / row.seconds
        rows.append(row._asdict() | {"share_of_roof": rate / roof})
        cells = [f"{row.flops / 1e9:.2f}", f"{rate / 1e9:.0f}", f"{rate / roof:.0%}"]
        shown = cells if row.flops else ["", "", ""]
        table.add_row(row.layer, row.direction, f"{row.seconds * 1e3:.2f}", *shown)
    console.print(table)
    for direction in ("forward", "input", "filter"):
        of = [row for row in rows if row["direction"] == direction and row["flops"]]
        seconds, flops = (sum(row[name] for row in of) for name in ("seconds", "flops"))
        console.print(
            f"{direction}: {seconds * 1e3:.0f} ms, {flops / seconds / roof:.0%} of the roof"
        )
    if args.json is not None:
        results.write_json(args.json, rows)


if __name__ == "__main__":
    command.main(main)
