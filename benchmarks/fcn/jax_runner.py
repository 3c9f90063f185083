"""Our side of the FCN benchmark: answers the parent's calls with the seconds of its batches."""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.process import forget_peak, own_peak_mb
from jaxdl.devices import cpu_memory
from jaxdl.fcn.data.batches import Batch
from jaxdl.fcn.metrics import empty_metrics
from jaxdl.fcn.models.fcn import FCN
from jaxdl.fcn.task import add_outcome, pixel_loss, predict_batch
from jaxdl.planner.jaxpr_cost import count_flops
from jaxdl.training import optimizers
from jaxdl.training.step import dense_step, start_state

MEAN = (123.68, 116.779, 103.939)


def read_batches(path: Path) -> list[Batch]:
    """What `benchmarks.fcn.workload.write_work` wrote."""
    kept = np.load(path)
    count = sum(name.startswith("images_") for name in kept)
    return [Batch(*(kept[f"{name}_{n}"] for name in Batch._fields)) for n in range(count)]


def random_params(model: FCN, seed: int) -> Any:
    """Parameters of a start's size, drawn by NumPy: to compile the model's own takes half a minute.

    Biases and the skips' scores are not zero, where a difference to a peer would not be seen.
    """
    image = jnp.zeros((1, 32, 32, 3))
    shapes: Any = jax.eval_shape(model.init, jax.random.key(0), image)["params"]
    rng = np.random.default_rng(seed)

    def draw(path: Any, array: Any) -> np.ndarray:
        scale = 0.01 if array.ndim == 1 else (2 / np.prod(array.shape[:-1])) ** 0.5
        if array.ndim > 1 and "conv1_1" in jax.tree_util.keystr(path):
            scale /= 64  # its input are bytes
        return (scale * rng.standard_normal(array.shape)).astype(np.float32)

    return jax.device_put(jax.tree_util.tree_map_with_path(draw, shapes))


def training(model: FCN, params: Any) -> tuple[Callable[[Any], Any], Any]:
    """A call that trains on a batch, and its jitted step (with an example of its arguments)."""
    optimizer = optimizers.momentum_sgd(momentum=0.9)
    mean = jnp.asarray(MEAN, jnp.float32)
    step = dense_step(pixel_loss(model, mean, "mean"), optimizer, add_outcome)
    state, totals = start_state(params, optimizer), empty_metrics(model.num_classes)
    example = jax.eval_shape(lambda: (state, totals))

    roomy = cpu_memory.reuse_temp_memory(step)

    def call(batch: Any) -> Any:
        nonlocal state, totals
        state, totals, loss = roomy(state, totals, batch, 1e-6)
        return loss

    return call, (step, lambda batch: (*example, batch, 1e-6))


def prediction(model: FCN, params: Any) -> tuple[Callable[[Any], Any], Any]:
    """A call that predicts a batch's classes, and its jitted function."""
    predict = jax.jit(predict_batch(model, jnp.asarray(MEAN, jnp.float32)))
    roomy = cpu_memory.reuse_temp_memory(predict)

    def call(batch: Any) -> Any:
        return roomy(params, batch.images, batch.sizes)

    return call, (predict, lambda batch: (params, batch.images, batch.sizes))


def main() -> None:
    """The command line: no defaults, the benchmark gives every value."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--what", choices=["step", "predict"], required=True)
    parser.add_argument("--stride", type=int, choices=[32, 16, 8], required=True)
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--remat", action="store_true")
    args = parser.parse_args()
    cpu_memory.start()
    batches = read_batches(args.work)
    model: Any = FCN(args.stride, width=args.width, remat=args.remat)
    params = random_params(model, seed=0)
    made = training(model, params) if args.what == "step" else prediction(model, params)
    call, (program, arguments) = made
    begin = time.perf_counter()
    by_shape = {batch.images.shape: batch for batch in batches}
    for batch in by_shape.values():
        jax.block_until_ready(call(batch))
    start = time.perf_counter() - begin
    compiled = program._cache_size()
    largest = max(batches, key=lambda batch: batch.images.size)
    memory = program.lower(*arguments(largest)).compile().memory_analysis()
    shapes = Counter(batch.images.shape for batch in batches)
    done = sum(
        count * count_flops(jax.make_jaxpr(program)(*arguments(by_shape[shape])))
        for shape, count in shapes.items()
    )
    start_peak = own_peak_mb()
    forget_peak()
    print(
        json.dumps(
            {
                "version": jax.__version__,
                "start_s": start,
                "start_peak_mb": start_peak,
                "compilations": compiled,
                "flops_done": done,
                "compiled_mb": (memory.temp_size_in_bytes + memory.argument_size_in_bytes) / 1e6,
            }
        ),
        flush=True,
    )
    for line in sys.stdin:
        first, last = map(int, line.split())
        begin, cpu = time.perf_counter(), time.process_time()
        jax.block_until_ready([call(batch) for batch in batches[first:last]])
        found = {"seconds": time.perf_counter() - begin, "cpu_s": time.process_time() - cpu}
        found |= {"peak_mb": own_peak_mb()}
        print(json.dumps(found | {"compilations": program._cache_size()}), flush=True)


if __name__ == "__main__":
    main()
