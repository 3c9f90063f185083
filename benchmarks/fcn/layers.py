"""Where the FCN's time goes: each layer's forward, input gradient and filter gradient.

`python -m benchmarks.fcn.layers --help`. Each is compiled and timed alone, so the sum is not the
step's time, but says which of them is far from the roof.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from rich.table import Table

from benchmarks import shape
from benchmarks.fcn.workload import too_small
from benchmarks.process import own_peak_mb
from benchmarks.roof import measure_rates
from jaxdl.cli.command import main
from jaxdl.cli.options import Range
from jaxdl.devices.heap import keep_freed_memory
from jaxdl.fcn.losses import pixel_xent
from jaxdl.fcn.models import vgg
from jaxdl.fcn.models.bilinear import upsample
from jaxdl.fcn.models.cpu.convolution import input_gradient, kernel_gradient, layer
from jaxdl.fcn.models.fcn import forms
from jaxdl.fcn.models.vgg import BLOCKS, convolve, max_pool
from jaxdl.planner.jaxpr_cost import count_flops


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(shape.Options):
    """Where the FCN's time goes: each layer's forward pass, input's and filter's gradient."""

    size: Annotated[int, Range(1)] = 224
    """Side of the square images."""
    batch: Annotated[int, Range(1)] = 1
    """Images in a batch."""
    width: Annotated[int, shape.WIDTH] = 1
    """Divides the channels; 1 is VGG-16."""
    budget: Annotated[float, Range(0)] = 0.5
    """Seconds for which each layer and direction is timed; its fastest call counts."""


class Best(NamedTuple):
    """The fastest call: its seconds, and those of its CPUs."""

    seconds: float
    cpu_s: float


class Timed(NamedTuple):
    """A layer in one direction: its fastest call, and flops (0 where none count)."""

    layer: str
    direction: str
    best: Best
    flops: float


def timed(call: Callable[..., Any], *args: Any, budget: float = 0.5) -> Best:
    """The fastest call in so many seconds; compiled before."""
    jax.block_until_ready(call(*args))
    best, end = Best(float("inf"), 0.0), time.perf_counter() + budget
    while True:
        begin, cpu = time.perf_counter(), time.process_time()
        jax.block_until_ready(call(*args))
        best = min(best, Best(time.perf_counter() - begin, time.process_time() - cpu))
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


def run(cfg: Config) -> None:
    """All layers in turn; prints the table."""
    cfg = shape.settled(cfg, size=64, width=16, budget=0.0)
    bench = shape.begin(cfg, "benchmarks.fcn.layers")
    if small := too_small(str(cfg.size), cfg.batch, cfg.width):
        bench.console.print(small)
    keep_freed_memory()
    rates = measure_rates(len(shape.cores()))
    table = Table(title=f"{cfg.size}x{cfg.size}, batch {cfg.batch}; roof {rates.described()}")
    for name in ("layer", "direction", "ms", "CPU ms", "Gflop", "Gflop/s", "of the roof"):
        table.add_column(name, justify="left" if name in ("layer", "direction") else "right")
    rows: list[dict[str, Any]] = []
    for name, direction, best, flops in layers(cfg.size, cfg.batch, cfg.width, cfg.budget):
        row = {"layer": name, "direction": direction, **best._asdict(), "flops": flops}
        rate = flops / best.seconds
        rows.append(row | {"share_of_roof": rate / rates.flops, "version": jax.__version__})
        cells = [f"{flops / 1e9:.2f}", f"{rate / 1e9:.0f}", f"{rate / rates.flops:.0%}"]
        times = (f"{1e3 * number:.2f}" for number in best)
        table.add_row(name, direction, *times, *(cells if flops else ["", "", ""]))
    bench.add(*(row | {"peak_mb": own_peak_mb()} for row in rows))
    bench.console.print(table)
    for direction in ("forward", "input", "filter"):
        of = [row for row in rows if row["direction"] == direction and row["flops"]]
        seconds, flops = (sum(row[name] for row in of) for name in ("seconds", "flops"))
        bench.console.print(
            f"{direction}: {seconds * 1e3:.0f} ms, {flops / seconds / rates.flops:.0%} of the roof"
        )
    bench.console.print(f"peak of the process: {own_peak_mb():.0f} MB")
    bench.end()


if __name__ == "__main__":
    example = "python -m benchmarks.fcn.layers --size 384  # larger images"
    main(lambda: run(shape.options(Config, "benchmarks.fcn.layers", example)))
