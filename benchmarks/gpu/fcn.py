"""Part 3: FCN training and prediction, planned and measured, and what share of the roof that is."""

import itertools
import time
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.gpu import planned
from benchmarks.gpu.correct import random_params
from benchmarks.gpu.record import Recorder, measure, rates
from jaxdl.fcn import task
from jaxdl.fcn.data.batches import Batch, Canvas
from jaxdl.fcn.metrics import empty_metrics
from jaxdl.fcn.plan import VOC_CLASSES, fcn, fcn_loss
from jaxdl.planner import plan
from jaxdl.planner.cards import Card, Dtype
from jaxdl.planner.choices import VOC_CANVASES, Kind, Stride
from jaxdl.planner.steps import Step
from jaxdl.training import optimizers
from jaxdl.training.step import dense_step, start_state

RATE = 1e-6
DISPATCHED = 8  # steps of one dispatch
STREAM = "VOC stream"
# In each canvas of VOC: the most frequent true size, and how many of 20 batches are of it, about
# as in VOC2012 (benchmarks/fcn/workload.py).
SHARES = {(384, 512): ((375, 500), 13), (512, 384): ((500, 375), 6), (512, 512): ((500, 500), 1)}


class Case(NamedTuple):
    """What is timed: a step of one program, or of VOC's stream with a program for each canvas."""

    stride: Stride
    kind: Kind
    size: str  # "512x512", or "VOC stream"
    dtype: Dtype
    batch: int
    updates: int = 1

    @property
    def name(self) -> str:
        """As the rows have it."""
        many = f", {self.updates} steps a dispatch" if self.updates > 1 else ""
        model = f"fcn{self.stride}s {self.kind}"
        return f"{model} {self.size} {self.dtype} batch {self.batch}{many}"


def cases(quick: bool) -> list[Case]:
    """In falling value, and by growing memory at first: a process's peak only rises."""
    square, stream = "512x512", STREAM
    if quick:
        small = "32x64, narrow"
        return [Case(32, "train", small, "float32", 1), Case(8, "predict", small, "bfloat16", 2)]
    first = [
        Case(32, "train", square, "float32", 1),
        Case(32, "train", square, "bfloat16", 8),
        Case(32, "train", square, "float32", 8),
        Case(32, "train", square, "bfloat16", 32),
        Case(8, "train", square, "bfloat16", 8),
        Case(32, "predict", square, "bfloat16", 8),
        Case(32, "train", square, "float32", 1, DISPATCHED),
        Case(32, "train", square, "bfloat16", 1),
        Case(32, "train", stream, "bfloat16", 8),
        Case(32, "predict", square, "float32", 1),
        Case(32, "train", square, "float32", 32),
        Case(32, "predict", square, "bfloat16", 32),
    ]
    grid = itertools.product((square, stream), ("train", "predict"), (32, 8))
    rest = (
        Case(stride, kind, size, dtype, batch, updates)  # type: ignore[arg-type]
        for size, kind, stride in grid
        for dtype in ("bfloat16", "float32")
        for batch in (8, 1, 32)
        for updates in ((1, DISPATCHED) if (kind, size) == ("train", square) else (1,))
    )
    return list(dict.fromkeys([*first, *rest]))


def canvases(case: Case, quick: bool) -> dict[Canvas, int]:
    """Heights and widths of the padded images, and how many batches of each are in a round."""
    if quick:
        return {(32, 64): 1}
    if case.size == STREAM:
        return {canvas: SHARES[canvas][1] for canvas in VOC_CANVASES}
    return {(512, 512): 1}


def draw(canvas: Canvas, case: Case) -> Batch:
    """A batch of noise, on the host; outside the images void."""
    rng = np.random.default_rng(0)
    count = case.batch * case.updates
    height, width = SHARES[canvas][0] if case.size == STREAM else canvas
    images = np.zeros((count, *canvas, 3), np.uint8)
    labels = np.full((count, *canvas), 255, np.uint8)
    images[:, :height, :width] = rng.integers(0, 256, (count, height, width, 3), np.uint8)
    labels[:, :height, :width] = rng.integers(0, VOC_CLASSES, (count, height, width), np.uint8)
    return Batch(images, labels, np.tile(np.array([[height, width]], np.int32), (count, 1)))


class Program(NamedTuple):
    """Compiled for one canvas, and what was found on the way."""

    call: Callable[[], Any]  # dispatches a step; returns its loss or classes
    compile_s: float
    memory: int  # bytes by the compiler


@cache
def plan_of(case: Case, canvas: Canvas, width: int) -> tuple[Step, plan.Work]:
    """The step with abstract arguments, and its work; of one update."""
    shape = case.stride, case.kind, canvas, case.batch, case.dtype
    step = fcn(*shape, width=width)
    if case.kind == "predict":
        return step, planned.prediction(step)
    loss, _, _ = fcn_loss(case.stride, case.dtype, width=width)
    return step, plan.dense(step, jax.value_and_grad(loss, has_aux=True))


def programs(case: Case, width: int, shapes: Iterable[Canvas]) -> list[Program]:
    """Compiled and ready; all train the same parameters."""
    loss, _, model = fcn_loss(case.stride, case.dtype, width=width)
    params = jax.device_put(random_params(model, np.random.default_rng(1)))
    optimizer = optimizers.momentum_sgd()
    prepare = None
    if case.updates > 1:
        options: Any = {"flip": False, "scale": (1.0, 1.0), "crop": None}
        prepare = task.make_prepare(jax.random.key(0), case.updates, **options)
    carried = [start_state(params, optimizer), empty_metrics(VOC_CLASSES)]
    jitted: Any = dense_step(
        *(loss, optimizer, task.add_outcome), prepare=prepare, updates=case.updates
    )
    predict = jax.jit(task.predict_batch(model, jnp.zeros(3)))

    def one(canvas: Canvas) -> Program:
        # VOC's stream comes from the host's memory, as in training; the squares are on the device.
        batch = draw(canvas, case)
        batch = batch if case.size == STREAM else jax.device_put(batch)
        begin = time.perf_counter()
        rate = jnp.float32(RATE)
        if case.kind == "predict":
            compiled = predict.lower(params, batch.images, batch.sizes).compile()

            def call() -> Any:
                return compiled(params, batch.images, batch.sizes)

        else:
            compiled = jitted.lower(*carried, batch, rate).compile()

            def call() -> Any:
                carried[0], carried[1], loss = compiled(*carried, batch, rate)
                return loss

        seconds = time.perf_counter() - begin
        found: Any = compiled.memory_analysis()
        memory = (
            found.temp_size_in_bytes + found.argument_size_in_bytes + found.output_size_in_bytes
        )
        return Program(call, seconds, memory - found.alias_size_in_bytes)

    return [one(canvas) for canvas in shapes]


def plan_row(
    case: Case, card: Card | None, width: int, shapes: dict[Canvas, int]
) -> tuple[float | None, int, float]:
    """Planned images a second (None without a card) and bytes, and flops of a round."""
    works = [(plan_of(case._replace(updates=1), c, width)[1], n) for c, n in shapes.items()]
    flops = case.updates * sum(n * work.flops for work, n in works)
    memory = max(work.memory.total for work, _ in works)
    if card is None:
        return None, memory, flops
    rows = [(plan.rows(lambda _, w=w: w, (1,), card, case.dtype, 1.0)[0], n) for w, n in works]
    seconds = sum(n * row.step_s for row, n in rows)
    return case.batch * sum(shapes.values()) / seconds, memory, flops


def one(recorder: Recorder, case: Case, card: Card | None, device: Any) -> None:
    """Compile, time, and write the rate and the memory."""
    width = 32 if recorder.quick else 1
    shapes = canvases(case, recorder.quick)
    per_s, memory, flops = plan_row(case, card, width, shapes)
    ready = programs(case, width, shapes)
    before = planned.peak_bytes(device)
    out: Any = None

    def call() -> Any:
        nonlocal out
        for program, times in zip(ready, shapes.values(), strict=True):
            for _ in range(times):
                out = program.call()
        return out

    timing = measure(call, 0.2 if recorder.quick else 1.5)
    after = planned.peak_bytes(device)
    if case.kind == "train" and not np.isfinite(np.asarray(out)).all():
        raise ArithmeticError(f"loss {np.asarray(out)}")
    images = case.batch * case.updates * sum(shapes.values())
    roof = rates(recorder.rows).get("tf32" if case.dtype == "float32" else "bfloat16")
    share = flops / timing.median / roof if roof else None
    compile_s = sum(program.compile_s for program in ready)
    note = f"compiled in {compile_s:.1f} s"
    note += "" if share is None else f", {share:.0%} of the measured roof"
    about = {"case": case._asdict(), "share_of_roof": share, "compile_s": compile_s}
    recorder.rate(case.name, "images/s", images, timing, per_s, note=note, **about)
    needs = max(program.memory for program in ready)
    what, note = f"{case.name}: memory", f"peak of the device; {needs / 1e9:.3g} GB by the compiler"
    if after is None or before is None or after <= before:
        # On a CPU; or the search for algorithms, or a case before, took more.
        after, note = needs, "by the compiler; the device's own count is no higher than before"
    recorder.row(what, "B", after, memory, note=note, **about)


def run(recorder: Recorder) -> None:
    """See the module."""
    device = planned.start(recorder.quick)
    card = planned.find_card(device.device_kind, rates(recorder.rows))
    wanted = cases(recorder.quick)
    recorder.run(wanted, lambda c: c.name, lambda c: one(recorder, c, card, device))
