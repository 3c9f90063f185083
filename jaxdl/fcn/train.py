"""The FCN experiment's work: data, the stages one after another, what each leaves behind."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxdl.cli.progress import Bar
from jaxdl.devices import processes
from jaxdl.devices.cpu_memory import in_one_room
from jaxdl.devices.mesh import fetch, join_rows, local_rows, put, shardings
from jaxdl.fcn.config import Config
from jaxdl.fcn.data import batches, voc
from jaxdl.fcn.dataset import Data, open_data
from jaxdl.fcn.images import draw_overview, draw_samples
from jaxdl.fcn.init import fresh_params, start_mean, start_params
from jaxdl.fcn.metrics import Totals, doubts, summarise, zero_totals
from jaxdl.fcn.models.fcn import FCN
from jaxdl.fcn.setup import optimizer_of
from jaxdl.fcn.task import add_figures, make_evaluate, make_predict, make_prepare, pixel_loss
from jaxdl.fcn.weights import vgg16
from jaxdl.files.atomic import plain, read_json, write_bytes, write_json
from jaxdl.report import page
from jaxdl.training import checkpoint, loop, optimizers, run_folder
from jaxdl.training.step import TrainState, dense_step, start_state

VGG_MEAN = (123.68, 116.779, 103.939)  # RGB
SUMMARY = ("mean_iu", "pixel_accuracy", "mean_image_accuracy")


def train_stage(
    cfg: Config,
    number: int,
    data: Data,
    mean: tuple[float, ...],
    source: Path | None,
    trunk: Any,
    mesh: Mesh | None,
    agree: Callable[[bool], bool],
    bar: Bar,
    warnings: list[str],
) -> dict[str, float]:
    """Train one stage to its end, from where it stopped; returns its line of the summary.

    `warnings` gets what makes its result no good one.

    Every process of a mesh computes and saves; process 0 alone records, prints and draws.
    """
    stride, epochs = cfg.stages[number], cfg.epochs[number]
    name, folder = f"fcn{stride}s", cfg.out / f"fcn{stride}s"
    dtype = jnp.bfloat16 if cfg.bfloat16 else None
    model = FCN(
        stride,
        len(data.classes),
        cfg.width_divisor,
        cfg.align,
        remat=cfg.remat,
        compute_dtype=dtype,
    )
    colour = jnp.asarray(mean, jnp.float32)
    optimizer = optimizer_of(cfg)
    fresh = fresh_params(cfg, model)
    layout = shardings(start_state(fresh, optimizer), mesh, cfg.fsdp)
    whole = None if layout is None else layout.whole
    loss = pixel_loss(model, colour, cfg.reduction)
    draws = jax.random.fold_in(jax.random.key(cfg.seed), 1000 + stride)
    step = dense_step(
        loss,
        optimizer,
        add_figures,
        layout,
        prepare=make_prepare(
            draws, cfg.steps_per_dispatch, flip=cfg.flip, scale=cfg.scale, crop=cfg.crop
        ),
        updates=cfg.steps_per_dispatch,
    )
    if mesh is None:
        step = in_one_room(step)
    evaluate = make_evaluate(model, colour, whole)
    size = 1 if mesh is None else mesh.size
    filled = -(-cfg.batch_size // size) * size  # rows that the devices divide
    training, test = (
        batches.BatchSource(
            data.examples,
            data.rows(side),
            data.canvases,
            cfg.batch_size * updates,
            seed=seed,
            epochs=count,
            cache=cfg.cache,
            kept=data.decoded,
            rows=filled * updates,
            part=local_rows(filled * updates, mesh),
        )
        for side, seed, count, updates in (
            ("train", cfg.seed + stride, epochs, cfg.steps_per_dispatch),
            ("test", None, 1, 1),
        )
    )
    steps = len(training)
    meta = {
        "model": {
            "stride": stride,
            "num_classes": len(data.classes),
            "width": cfg.width_divisor,
            "align": cfg.align,
        },
        "mean": list(mean),
        "classes": list(data.classes),
        "palette": voc.palette()[: len(data.classes)].tolist(),
    }

    def rate(n: int) -> float:
        return optimizers.learning_rate(
            n,
            peak=cfg.learning_rate[number],
            steps=steps,
            warmup=cfg.warmup,
            schedule=cfg.schedule,
        )

    def read(source: batches.BatchSource, first: int = 0) -> Iterator[Any]:
        return (join_rows(batch, layout) for batch in batches.read_ahead(source, first))

    def zero() -> Totals:
        return put(zero_totals(len(data.classes)), whole)

    with (
        checkpoint.open_manager(folder / "checkpoints", lambda m: m["mean_iu"] or 0.0) as manager,
        loop.stop_on_signal() as stop,
        processes.leave_at_once(),
    ):
        if manager.latest_step() is None:
            fresh, moved = start_params(cfg, name, fresh, mean, source, trunk, bar)
            if processes.is_lead():
                write_json(folder / "transplant.json", moved)
        state = start_state(fresh, optimizer)
        state, totals = put(state, layout and layout.state), zero()
        if manager.latest_step() is not None:
            kept = checkpoint.restore(manager, {**state._asdict(), "totals": totals})
            totals = kept.pop("totals")
            state = TrainState(**kept)
            bar.line(f"{name}: goes on from step {int(state.step)} of {steps}")
        first = int(state.step)
        began = time.monotonic()

        def end_epoch(done: int, state: TrainState, totals: Totals) -> dict[str, Any]:
            nonlocal began
            trained = time.monotonic() - began
            figures = evaluate(state.params, read(test))
            # After a resume in mid-epoch the clock has seen a part of the epoch's steps.
            share = min(training.per_epoch, done - first) / training.per_epoch
            speed = share * len(data.split.train) / trained
            epoch = -(-done // training.per_epoch)
            row = {
                "epoch": epoch,
                "train": summarise(totals),
                "test": figures,
                "learning_rate": rate(done - 1),
                "images_per_s": speed,
                "seconds": time.monotonic() - began,
            }
            if recorder is not None:
                recorder.row(done, row)
            bar.line(
                f"{name} epoch {epoch}/{epochs}: loss {row['train']['loss']:.3f}, test loss "
                f"{figures['loss']:.3f}, mean IU {figures['mean_iu']:.1%}, background "
                f"{figures['background_share']:.0%} of predictions, {speed:.0f} images/s"
            )
            began = time.monotonic()
            return plain({"mean_iu": figures["mean_iu"]})

        def save(done: int, state: TrainState, totals: Totals, metrics: Any) -> None:
            kept = {**state._asdict(), "totals": totals}
            checkpoint.save(manager, done, kept, meta, metrics)

        with contextlib.ExitStack() as opened:
            recorder = None
            if processes.is_lead():
                recorder = opened.enter_context(run_folder.Recorder(folder, first))
            with bar.training(
                name, first, steps, training.per_epoch, cfg.batch_size * cfg.steps_per_dispatch
            ) as show:
                state = loop.fit(
                    step,
                    state,
                    totals,
                    read(training, first),
                    rate=rate,
                    steps=steps,
                    ends=lambda done: done % training.per_epoch == 0,
                    end_epoch=end_epoch,
                    zero=zero,
                    save=save,
                    stop=stop,
                    show=show,
                    inputs=lambda n: f"images {', '.join(training.ids(n))}",
                    agree=agree,
                )
            params = fetch(state.params, layout)
            if recorder is None:
                return {}
            predict = make_predict(model, colour)
            draw_samples(
                cfg.out / "samples",
                folder / "samples",
                data,
                cfg.samples,
                lambda image: predict(params, image),
                lambda id, picture: recorder.image(steps, f"predictions/{id}", picture),
            )
    rows = run_folder.read_rows(folder / "metrics.jsonl")
    warnings += [f"{name}: {text}" for text in doubts(rows[-1]["test"], data.classes)]
    return {
        **{key: rows[-1]["test"][key] for key in SUMMARY},
        "seconds": sum(row["seconds"] for row in rows),
    }


def run_stages(
    cfg: Config,
    config: dict[str, Any],
    record: dict[str, Any] | None,
    mesh: Mesh | None,
    bar: Bar,
) -> dict[str, Any]:
    """All stages, each from the one before; the summary and the page are written after each."""
    trunk, mean, imported = None, VGG_MEAN, None
    if cfg.weights is not None:
        found = vgg16.load_vgg16(cfg.weights, format=cfg.weights_format)
        trunk, mean, imported = found.trunk, tuple(found.mean), found.record
        bar.line(vgg16.describe(imported))
    source = None
    if cfg.start_from is not None:
        source = checkpoint.find(cfg.start_from)
        mean = start_mean(cfg, source)
    elif trunk is None and cfg.preset != "demo":
        bar.line(
            "WARNING: no --weights: the trunk starts at random, without VGG-16's ImageNet weights. "
            "On photographs expect little but background; see the README on where to get them."
        )
    data = processes.lead_first(lambda: open_data(cfg, bar))
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
    if record is None and processes.is_lead():
        record = run_folder.run_record("fcn", config, data.classes)
        for side in ("train", "test"):
            ids = "".join(f"{i}\n" for i in getattr(data.split, side))
            write_bytes(cfg.out / "splits" / f"{side}.txt", ids.encode())
        counts = {"train": len(data.split.train), "test": len(data.split.test)}
        record |= {"splits": counts, "weights": imported}
        write_json(cfg.out / "run.json", record)
    path = cfg.out / "summary.json"
    summary = read_json(path) if path.is_file() and processes.is_lead() else {}
    agree, warnings = processes.agreement(mesh), list(data.warnings)
    for number, stride in enumerate(cfg.stages):
        name = f"fcn{stride}s"
        summary[name] = train_stage(
            cfg, number, data, mean, source, trunk, mesh, agree, bar, warnings
        )
        summary["warnings"] = warnings
        source, trunk = cfg.out / name / "checkpoints", None
        if record is not None and processes.is_lead():
            write_json(path, summary)
            from jaxdl.fcn.report import fcn_section  # matplotlib takes long to import

            page.write_page(cfg.out / "report.html", "jaxdl", [fcn_section(cfg.out)], record)
    if not processes.is_lead():
        return {}
    draw_overview(cfg.out, [f"fcn{stride}s" for stride in cfg.stages])
    return summary
