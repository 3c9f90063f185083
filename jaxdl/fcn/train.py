"""The FCN experiment's work: data, the stages one after another, what each leaves behind."""

import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxdl.cli.progress import Bar
from jaxdl.devices import processes
from jaxdl.devices.cpu_memory import reuse_temp_memory
from jaxdl.devices.mesh import Shardings, gather_to_host, join_rows, local_rows, shard, shardings
from jaxdl.fcn.config import Config
from jaxdl.fcn.data import batches, voc
from jaxdl.fcn.data.unchanged import record_pictures
from jaxdl.fcn.dataset import Data, open_data, open_source
from jaxdl.fcn.images import draw_overview, draw_samples
from jaxdl.fcn.metrics import compute_metrics, doubts, empty_metrics
from jaxdl.fcn.models.fcn import FCN
from jaxdl.fcn.own import fit
from jaxdl.fcn.setup import optimizer_of
from jaxdl.fcn.stages import find
from jaxdl.fcn.start import Start, fresh_params, start_mean, start_params
from jaxdl.fcn.task import make_evaluate, make_predict, make_prepare, make_step
from jaxdl.fcn.weights import vgg16
from jaxdl.files.atomic import plain, read_json, write_json
from jaxdl.files.fingerprint import of_files
from jaxdl.report import page
from jaxdl.training import checkpoint, optimizers, run_folder, session
from jaxdl.training.loop import Epoch, EpochReport, Task, stale
from jaxdl.training.network import describe
from jaxdl.training.step import TrainState, start_state

VGG_MEAN = (123.68, 116.779, 103.939)  # RGB
SCORE = checkpoint.Score("mean_iu")
SUMMARY = ("mean_iu", "pixel_accuracy", "mean_image_accuracy")


def stage_model(cfg: Config, number: int, classes: int) -> FCN:
    """The network of a stage."""
    dtype = jnp.bfloat16 if cfg.bfloat16 else None
    stride = cfg.stages[number]
    return FCN(stride, classes, cfg.width_divisor, cfg.align, remat=cfg.remat, compute_dtype=dtype)


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


def stage_task(
    cfg: Config, number: int, data: Data, begin: Start, mesh: Mesh | None, bar: Bar
) -> tuple[Task, FCN]:
    """What a stage brings to `jaxdl.training.session.train`, and its network."""
    stride, epochs = cfg.stages[number], cfg.epochs[number]
    name, model = f"fcn{stride}s", stage_model(cfg, number, len(data.classes))
    colour, optimizer = jnp.asarray(begin.mean, jnp.float32), optimizer_of(cfg, number)
    fresh = fresh_params(model, cfg.seed)
    layout = shardings(start_state(fresh, optimizer), mesh, cfg.fsdp)
    whole = None if layout is None else layout.replicated
    training, test = sources(cfg, number, data, mesh)
    steps, per_epoch = len(training), training.per_epoch
    evaluate = make_evaluate(model, colour, whole)

    def rate(n: int) -> float:
        peak, rest = cfg.learning_rate[number], {"warmup": cfg.warmup, "schedule": cfg.schedule}
        return optimizers.learning_rate(n, peak=peak, steps=steps, **rest)

    def read(source: batches.BatchSource, first: int = 0) -> Iterator[Any]:
        return (join_rows(batch, layout) for batch in batches.read_ahead(source, first))

    def start(resumed: bool) -> TrainState:
        params = fresh
        if not resumed:
            params, moved = start_params(cfg, name, fresh, begin, bar)
            if processes.is_main_process():
                write_json(cfg.out / name / "transfer.json", moved)
        return shard(start_state(params, optimizer), layout and layout.state)

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
        line = (
            f"{name} epoch {at}/{epochs}: loss {row['train']['loss']:.3f}, test loss "
            f"{found['loss']:.3f}, mean IU {found['mean_iu']:.1%}, background "
            f"{found['background_share']:.0%} of predictions, {speed:.0f} images/s"
        )
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
        score=SCORE,
        enough=partial(stale, score=SCORE, epochs=cfg.early_stop),
        meta={
            "model": describe(model),
            "mean": list(begin.mean),
            "classes": list(data.classes),
            "palette": voc.palette()[: len(data.classes)].tolist(),
        },
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
    state = session.train(task, folder, mesh=mesh, reporter=bar, name=name).state
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
    rows = run_folder.read_rows(folder / "metrics.jsonl")
    last = rows[-1]["test"]
    seconds = sum(row["seconds"] for row in rows)
    found = [f"{name}: {text}" for text in doubts(last, data.classes)]
    return {**{key: last[key] for key in SUMMARY}, "seconds": seconds}, found


def first_start(cfg: Config, bar: Bar) -> tuple[Start, dict[str, Any] | None]:
    """Where the first stage starts, and the record of the imported weights."""
    imported = None
    if cfg.weights is not None:
        found = vgg16.load_vgg16(cfg.weights, format=cfg.weights_format)
        bar.line(vgg16.describe(found.record))
        start, imported = Start(None, found.trunk, tuple(found.mean)), found.record
    else:
        start = Start(None, None, VGG_MEAN)
    if cfg.start_from is not None:
        source = find(cfg.start_from)
        start = start._replace(source=source, mean=start_mean(cfg, source))
    elif start.trunk is None and cfg.preset != "demo":
        bar.line(
            "WARNING: no --weights: the trunk starts at random, without VGG-16's ImageNet weights. "
            "On photographs expect little but background; see the README on where to get them."
        )
    return start, imported


def input_files(cfg: Config) -> list[Path]:
    """What decides the result besides the configuration and the pictures."""
    start = () if cfg.start_from is None else checkpoint.newest_sums(find(cfg.start_from))
    return [*(() if cfg.weights is None else (cfg.weights,)), *start]


def write_record(
    cfg: Config,
    config: dict[str, Any],
    source: voc.Source,
    data: Data,
    imported: dict[str, Any] | None,
    bar: Bar,
) -> dict[str, Any]:
    """run.json and the lists of images."""
    record = run_folder.run_record("fcn", config, data.classes)
    with bar.task("hashing images") as progress:
        pictures = record_pictures(cfg.out, source, data.split, progress)
    counts = {"train": len(data.split.train), "test": len(data.split.test)}
    record |= {"splits": counts, "weights": imported, "pictures": pictures}
    record["class_weights"] = data.class_weights
    record["inputs"] = of_files(input_files(cfg))
    write_json(cfg.out / "run.json", record)
    return record


def run_stages(
    cfg: Config,
    config: dict[str, Any],
    record: dict[str, Any] | None,
    mesh: Mesh | None,
    bar: Bar,
) -> dict[str, Any]:
    """All stages, each from the one before; the summary and the page are written after each."""
    begin, imported = first_start(cfg, bar)
    source, split = processes.main_process_first(lambda: open_source(cfg, bar))
    data = processes.main_process_first(lambda: open_data(cfg, source, split, bar))
    cfg = fit(cfg, data, bar)
    bar.line(
        f"{len(data.split.train)} training and {len(data.split.test)} test images, "
        f"{len(data.classes)} classes, canvases {list(data.canvases)}"
    )
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
    summary = read_json(path) if path.is_file() and lead else {}
    warnings = list(data.warnings)
    for number, stride in enumerate(cfg.stages):
        name = f"fcn{stride}s"
        summary[name], found = train_stage(cfg, number, data, begin, mesh, bar)
        warnings += found
        summary["warnings"] = warnings
        begin = Start(cfg.out / name / "checkpoints", None, begin.mean)
        if record is not None and lead:
            write_json(path, summary)
            from jaxdl.fcn.report import fcn_section  # matplotlib takes long to import

            page.write_page(cfg.out / "report.html", "jaxdl", [fcn_section(cfg.out)], record)
    if not lead:
        return {}
    draw_overview(cfg.out, [f"fcn{stride}s" for stride in cfg.stages])
    return summary
