"""The FCN experiment's work: data, the stages one after another, what each leaves behind."""

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxdl.cli.progress import Bar
from jaxdl.devices import processes
from jaxdl.devices.cpu_memory import reuse_temp_memory
from jaxdl.devices.mesh import Shardings, gather_to_host, join_rows, local_rows, shard, shardings
from jaxdl.fcn import rates
from jaxdl.fcn.config import Config
from jaxdl.fcn.data import batches
from jaxdl.fcn.dataset import Data, open_data, open_source
from jaxdl.fcn.frozen import Frozen, check_room
from jaxdl.fcn.images import draw_overview, draw_samples, draw_worst
from jaxdl.fcn.metrics import compute_metrics, doubts, empty_metrics
from jaxdl.fcn.models.fcn import FCN
from jaxdl.fcn.own import fit
from jaxdl.fcn.saved import load, meta_of
from jaxdl.fcn.setup import check_size, optimizer_of, stage_model
from jaxdl.fcn.start import (
    Start,
    first_start,
    kept_optimizer,
    start_params,
    write_record,
    write_start,
    zero_params,
)
from jaxdl.fcn.task import make_evaluate, make_predict, make_prepare, make_step
from jaxdl.fcn.worse import first_rise, never_warm, worse_than_start
from jaxdl.files.atomic import plain, write_json
from jaxdl.report import page
from jaxdl.training import checkpoint, optimizers, run_folder, session
from jaxdl.training.loop import Epoch, EpochReport, Task, stale, unchanged
from jaxdl.training.optimizers import set_multipliers
from jaxdl.training.step import TrainState, start_state

SCORE = checkpoint.Score("mean_iu")
SUMMARY = ("mean_iu", "pixel_accuracy", "mean_image_accuracy")

ROW = {"epoch": int, "train": dict, "test": dict.fromkeys(SUMMARY, (float, None)), "seconds": float}


def sources(
    cfg: Config, number: int, data: Data, mesh: Mesh | None
) -> tuple[batches.BatchSource, batches.BatchSource]:
    """The batches of a stage's training and test images, this process's rows of them."""
    size = 1 if mesh is None else mesh.size
    filled = -(-cfg.batch_size // size) * size  # rows that the devices divide

    def of(side: str, seed: int | None, epochs: int, updates: int) -> batches.BatchSource:
        return batches.BatchSource(
            data.examples,
            data.rows(side),
            data.canvases,
            cfg.batch_size * updates,
            seed=seed,
            epochs=epochs,
            cache=cfg.cache,
            kept=data.decoded,
            rows=filled * updates,
            part=local_rows(filled * updates, mesh),
        )

    seed = cfg.seed + cfg.stages[number]
    return of("train", seed, cfg.epochs[number], cfg.steps_per_dispatch), of("test", None, 1, 1)


def stage_step(
    cfg: Config,
    model: FCN,
    class_weights: Sequence[float],
    colour: jax.Array,
    layout: Shardings | None,
) -> Any:
    """The jitted training step of a stage; without class weights all pixels count alike."""
    draws = jax.random.fold_in(jax.random.key(cfg.seed), 1000 + model.stride)
    step = make_step(
        model,
        optimizer_of(cfg, cfg.stages.index(model.stride)),
        mean=colour,
        reduction=cfg.reduction,
        class_weights=class_weights or None,
        dice=cfg.dice,
        layout=layout,
        prepare=make_prepare(
            draws, cfg.steps_per_dispatch, flip=cfg.flip, scale=cfg.scale, crop=cfg.crop
        ),
        updates=cfg.steps_per_dispatch,
    )
    return reuse_temp_memory(step) if layout is None else step


def epoch_line(name: str, row: dict[str, Any], epochs: int) -> str:
    """What is printed of an epoch's row of metrics."""
    test = row["test"]
    return (
        f"{name} epoch {row['epoch']}/{epochs}: loss {row['train']['loss']:.3f}, test loss "
        f"{test['loss']:.3f}, mean IU {test['mean_iu']:.1%}, background "
        f"{test['background_share']:.0%} of predictions, {row['images_per_s']:.0f} images/s"
    )


def stage_task(
    cfg: Config, number: int, data: Data, begin: Start, mesh: Mesh | None, bar: Bar
) -> tuple[Task, FCN]:
    """What a stage brings to `jaxdl.training.session.train`, and its network."""
    stride, epochs = cfg.stages[number], cfg.epochs[number]
    name, model = f"fcn{stride}s", stage_model(cfg, number, len(data.classes))
    colour, optimizer = jnp.asarray(begin.mean, jnp.float32), optimizer_of(cfg, number)
    zeros = zero_params(model)
    frozen = Frozen(model, zeros["trunk"], colour) if cfg.freeze == "trunk" else None
    shapes = jax.eval_shape(lambda params: start_state(params, optimizer), zeros)
    layout = shardings(shapes, mesh, cfg.fsdp)
    whole = None if layout is None else layout.replicated
    training, test = sources(cfg, number, data, mesh)
    steps, per_epoch = len(training), training.per_epoch
    evaluate, rise = make_evaluate(model, colour, whole), first_rise(cfg, number)

    def rate(n: int) -> float:
        peak, rest = cfg.learning_rate[number], {"warmup": cfg.warmup, "schedule": cfg.schedule}
        return optimizers.learning_rate(n, peak=peak, steps=steps, **rest)

    def read(source: batches.BatchSource, first: int = 0) -> Iterator[Any]:
        if frozen is not None:
            return frozen.read(source, first)
        return (join_rows(batch, layout) for batch in batches.read_ahead(source, first))

    def start(resumed: bool) -> TrainState:
        if resumed:
            like = zeros if frozen is None else frozen.scores(zeros)
            return shard(start_state(like, optimizer), layout and layout.state)
        params, moved = start_params(cfg, name, model, begin, data.classes, bar)
        laid, some = shard(params, whole), min(-(-rates.IMAGES // cfg.batch_size), per_epoch)
        plain_batches = (join_rows(b, layout) for b in batches.read_ahead(training))
        slower = {}
        if cfg.skip_rates == "measured":
            slower = rates.skip_multipliers(model, laid, plain_batches, colour, whole)
        if frozen is not None:
            laid = params = frozen.take(params)
        loss = plain(evaluate(laid, itertools.islice(read(training), some))["loss"])
        write_start(cfg.out / name, {**moved, "loss": loss, "multipliers": slower}, bar)
        state = start_state(params, optimizer)
        if cfg.optimizer == "kept" and not number:
            state = kept_optimizer(begin.saved, state)
        state = state._replace(opt_state=set_multipliers(state.opt_state, slower))
        return shard(state, layout and layout.state)

    def end_epoch(epoch: Epoch) -> EpochReport:
        began = time.monotonic()
        found, at = evaluate(epoch.state.params, read(test)), -(-epoch.done // per_epoch)
        speed = epoch.steps / per_epoch * len(data.split.train) / epoch.seconds
        row = {
            "epoch": at,
            "train": compute_metrics(epoch.metrics),
            "test": found,
            "learning_rate": rate(epoch.done - 1),
            "images_per_s": speed,
            "seconds": epoch.elapsed + time.monotonic() - began,
        }
        bar.warn(rise(at, row["train"]["loss"]))
        line = epoch_line(name, row, epochs)
        return EpochReport({epoch.done: row}, plain(found["mean_iu"]), line)

    return Task(
        step=stage_step(cfg, model, [*data.class_weights.values()], colour, layout),
        start=start,
        metrics=lambda: shard(empty_metrics(len(data.classes)), whole),
        batches=lambda first: read(training, first),
        steps=steps,
        ends=lambda done: done % per_epoch == 0,
        end_epoch=end_epoch,
        learning_rate=rate,
        describe=lambda n: f"images {', '.join(training.ids(n))}",
        gather=unchanged if frozen is None else frozen.gather,
        scatter=unchanged if frozen is None else frozen.scatter,
        score=SCORE,
        enough=partial(stale, score=SCORE, epochs=cfg.early_stop),
        meta=meta_of(model, begin.mean, data.classes),
        row=ROW,
        items=cfg.batch_size * cfg.steps_per_dispatch,
        epoch_steps=per_epoch,
    ), model


def train_stage(
    cfg: Config, number: int, data: Data, begin: Start, mesh: Mesh | None, bar: Bar
) -> tuple[dict[str, float], list[str]]:
    """Train one stage to its end, from where it stopped.

    Every process of a mesh computes and saves; process 0 alone records, prints and draws.

    Returns:
        Its line of the summary, and what makes its result no good one.
    """
    name = f"fcn{cfg.stages[number]}s"
    task, model = stage_task(cfg, number, data, begin, mesh, bar)
    folder = cfg.out / name
    state = task.gather(session.train(task, folder, mesh=mesh, reporter=bar, name=name).state)
    params = gather_to_host(state.params, shardings(None, mesh))
    if not processes.is_main_process():
        return {}, []
    predict = make_predict(model, jnp.asarray(begin.mean, jnp.float32))
    done = int(state.step)
    with run_folder.Recorder(folder, done) as recorder:
        draw_samples(
            cfg.out / "samples",
            folder / "samples",
            data,
            cfg.samples,
            lambda image: predict(params, image),
            lambda id, picture: recorder.image(done, f"predictions/{id}", picture),
        )
    if number == len(cfg.stages) - 1:
        with bar.task("the worst test images") as progress:
            draw_worst(folder, data, lambda image: predict(params, image), progress)
    rows = run_folder.recorded_rows(folder / "metrics.jsonl", ROW)
    last = rows[-1]["test"]
    seconds = sum(row["seconds"] for row in rows)
    found = [f"{name}: {text}" for text in doubts(last, data.classes)]
    found += never_warm(cfg, number, task.steps) + worse_than_start(cfg, number, rows)
    return {**{key: last[key] for key in SUMMARY}, "seconds": seconds}, found


def train_stages(
    cfg: Config, data: Data, begin: Start, mesh: Mesh | None, bar: Bar
) -> Iterator[tuple[str, dict[str, float], list[str]]]:
    """Train each stage from the best checkpoint of the one before it.

    Yields:
        Its name, its line of the summary, and what makes its result no good one.
    """
    for number, stride in enumerate(cfg.stages):
        name = f"fcn{stride}s"
        yield name, *train_stage(cfg, number, data, begin, mesh, bar)
        if stride != cfg.stages[-1]:
            begin = Start(load(cfg.out / name, say=bar.line), None, begin.mean)


def run_stages(
    cfg: Config,
    config: dict[str, Any],
    record: dict[str, Any] | None,
    mesh: Mesh | None,
    bar: Bar,
) -> dict[str, Any]:
    """All stages, each from the one before; the summary and the page are written after each."""
    check_size(cfg)
    begin, imported = first_start(cfg, bar)
    source, split = processes.main_process_first(lambda: open_source(cfg, bar))
    data = processes.main_process_first(lambda: open_data(cfg, source, split, bar))
    cfg = fit(cfg, data, bar)
    bar.line(
        f"{len(data.split.train)} training and {len(data.split.test)} test images, "
        f"{len(data.classes)} classes, canvases {list(data.canvases)}"
    )
    check_size(cfg, max(data.canvases, key=math.prod))
    if cfg.freeze == "trunk":
        check_room(data.examples.sizes, data.canvases, cfg.width_divisor)
    bar.warn(data.warnings)
    if mesh is not None:
        bar.line(f"{mesh.size} devices of {jax.process_count()} process(es)")
        if cfg.batch_size % mesh.size:
            void = -cfg.batch_size % mesh.size
            bar.line(f"--batch-size {cfg.batch_size}: {void} void images fill up each batch")
    lead = processes.is_main_process()
    if record is None and lead:
        record = write_record(cfg, config, source, data, imported, bar)
    path = cfg.out / "summary.json"
    summary: dict[str, Any] = {}
    warnings = list(data.warnings)
    for name, line, found in train_stages(cfg, data, begin, mesh, bar):
        summary[name] = line
        warnings += found
        summary["warnings"] = warnings
        if record is not None and lead:
            write_json(path, summary)
            from jaxdl.fcn.report import fcn_section  # matplotlib takes long to import

            page.write_page(cfg.out / "report.html", "jaxdl", [fcn_section(cfg.out)], record)
    if not lead:
        return {}
    draw_overview(cfg.out, [f"fcn{stride}s" for stride in cfg.stages])
    return summary
