"""The LSTM experiment's work: the series, training, predictions, and what a run leaves behind."""

import dataclasses
from pathlib import Path
from statistics import median
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxdl.cli.progress import Bar
from jaxdl.devices import processes
from jaxdl.devices.mesh import gather_to_host, shard, shardings
from jaxdl.files import atomic
from jaxdl.files.fingerprint import of_files
from jaxdl.lstm import forecast_run
from jaxdl.lstm.config import Config
from jaxdl.lstm.data.calendar import show_time
from jaxdl.lstm.dataset import Dataset
from jaxdl.lstm.outcomes import WAYS, by_size, predictions, training_summary
from jaxdl.lstm.saved import SERIES, write_series
from jaxdl.lstm.series import to_float32
from jaxdl.lstm.setup import check_size, optimizer_of
from jaxdl.lstm.start import input_files as start_files
from jaxdl.lstm.start import read_start
from jaxdl.lstm.sweep import (
    Members,
    batches,
    members_of,
    spread_losses,
    spread_members,
    start_sweep,
    sweep_step,
    zero_losses,
)
from jaxdl.report import page
from jaxdl.training import checkpoint, run_folder, session
from jaxdl.training.loop import Epoch, EpochReport, Task
from jaxdl.training.step import TrainState

ROW = {"loss": {str: [(float, None)]}, "seconds?": float}  # of the metrics
INTERVALS = 50  # between checkpoints: as many lines of metrics leave the device together


def input_files(cfg: Config) -> list[Path]:
    """What decides the result besides the configuration."""
    start = () if cfg.start_from is None else start_files(cfg.start_from)
    return [*(() if cfg.data is None else (cfg.data,)), *start]


def train_run(
    cfg: Config,
    series: Dataset,
    config: dict[str, Any],
    record: dict[str, Any] | None,
    mesh: Mesh | None,
    bar: Bar,
) -> dict[str, Any]:
    """The run from the series to the report, from where it stopped."""
    check_size(dataclasses.replace(cfg, window=series.lengths.window))
    steps = len(series.training) + len(series.tail)
    begin = None if cfg.start_from is None else read_start(cfg.start_from, series)
    setup = None if cfg.data is None else forecast_run.setup_of(cfg, series, begin)
    if record is None and processes.is_main_process():
        record = run_folder.run_record("lstm_sine", config, None)
        record["series"] = {
            "source": series.source,
            "columns": list(series.series.names),
            "steps": steps,
            "training": len(series.training),
            "tail": len(series.tail),
            **({} if cfg.data is None else lengths_of(series)),
        }
        record["inputs"] = of_files(input_files(cfg), holds=[f"{steps:,} rows"] if cfg.data else ())
        atomic.write_json(cfg.out / "run.json", record)
    for text in [*series.told, *([begin.told] if begin else [])]:
        bar.line(text)
    bar.line(
        f"{series.source}: {len(series.training):,} steps to train on, {len(series.tail):,} held "
        f"out; {len(cfg.hidden) * cfg.seeds} networks in one program"
    )
    if setup is None:
        summary = _train_sweep(cfg, series, mesh, bar)
    else:
        bar.line(forecast_run.describe(setup))
        summary = forecast_run.train_ensemble(cfg, series, setup, begin, mesh, bar)
    if summary is None:
        return {}
    found: dict[str, Any] = {
        "lstm_sine": summary,
        "warnings": [
            *series.warnings,
            *(begin.warnings if begin else ()),
            *(
                f"column {name} is the same in all steps trained on: to predict it is no merit"
                for name, values in zip(series.series.names, series.training.T, strict=True)
                if not np.ptp(values)
            ),
        ],
    }
    if cfg.data is not None:
        atomic.write_bytes(cfg.out / SERIES, write_series(series.series))
    atomic.write_json(cfg.out / "summary.json", found)
    assert record is not None
    from jaxdl.lstm.report import lstm_section  # matplotlib takes long to import

    page.write_page(cfg.out / "report.html", "jaxdl", [lstm_section(cfg.out)], record)
    return found


def _train_sweep(
    cfg: Config, series: Dataset, mesh: Mesh | None, bar: Bar
) -> dict[str, Any] | None:
    """The post's sweep; the summary's part (process 0 alone)."""
    members = members_of(cfg.hidden, range(cfg.seeds))
    task = sweep_task(cfg, series, members, mesh)
    state = session.train(task, cfg.out, mesh=mesh, reporter=bar).state
    params = gather_to_host(state.params, shardings(None, mesh))
    if not processes.is_main_process():
        return None
    rows = run_folder.recorded_rows(cfg.out / "metrics.jsonl", ROW)
    found = predictions(cfg, series, members, params, rows[-1]["loss"])
    atomic.write_json(cfg.out / "predictions.json", found)
    errors = found["errors"]
    return training_summary(cfg, rows) | {
        "prediction_mse": {
            n: {way: median(float(np.mean(own)) for own in ways[way]) for way in WAYS}
            for n, ways in errors["sizes"].items()
        },
        "naive_mse": float(np.mean(errors["naive"])),
    }


def lengths_of(series: Dataset) -> dict[str, Any]:
    """Of an own series, for its record: what the lengths are, and how the file is read again."""
    axis, step = series.series.times, series.series.step
    times = None
    if axis is not None and step is not None:
        times = {"step": str(step), "first": show_time(axis[0]), "last": show_time(axis[-1])}
        times["dtype"] = str(axis.dtype)
    lengths = {
        k: list(v) if isinstance(v, tuple) else v for k, v in series.lengths._asdict().items()
    }
    return {**lengths, "times": times, "reading": series.took}


def sweep_task(cfg: Config, series: Dataset, members: Members, mesh: Mesh | None) -> Task:
    """What a sweep brings to `jaxdl.training.session.train`; its step is `--log-every` of ours."""
    layout, every = shardings(None, mesh), cfg.log_every
    optimizer, width = optimizer_of(cfg), len(series.series.names)
    drawn = {"seed": cfg.seed, "epochs": every, "batch": cfg.batch_size}
    spans = len(series.training) - series.lengths.window
    values = shard(jnp.asarray(to_float32(series.training)), layout and layout.replicated)

    def start(resumed: bool) -> TrainState:
        sizes = {"inputs": width, "outputs": width, "layers": cfg.layers, "cell": cfg.cell}
        return spread_members(start_sweep(cfg.seed, members, optimizer, **sizes), mesh)

    def end_epoch(epoch: Epoch) -> EpochReport:
        start = (epoch.done - 1) // INTERVALS * INTERVALS
        losses = gather_to_host(epoch.metrics, layout).astype(np.float64)
        losses = losses.reshape(INTERVALS, every, -1).mean(1)
        rows: dict[int, dict[str, Any]] = {
            n + 1: {"loss": by_size(members, losses[n - start])} for n in range(start, epoch.done)
        }
        last = rows[epoch.done]["loss"]
        rows[epoch.done] |= {"seconds": epoch.elapsed}
        shown = ", ".join(f"{n}: {np.log10(median(own)):.2f}" for n, own in last.items())
        line = f"step {epoch.done * every} of {cfg.steps}: log10 loss by size {shown}"
        return EpochReport(rows, float(losses[epoch.done - 1 - start].mean()), line)

    return Task(
        step=sweep_step(optimizer, window=series.lengths.window, mesh=mesh, sizes=cfg.hidden),
        start=start,
        metrics=lambda: spread_losses(zero_losses(INTERVALS, every, members), mesh),
        batches=lambda n: batches(values, members, n, **drawn, spans=spans, mesh=mesh),
        steps=cfg.steps // every,
        ends=lambda done: done % INTERVALS == 0,
        end_epoch=end_epoch,
        learning_rate=lambda _: cfg.learning_rate,
        describe=lambda n: f"steps {n * every} to {(n + 1) * every}",
        score=checkpoint.Score("loss", larger_is_better=False),
        meta={
            "hidden": list(cfg.hidden),
            "seeds": cfg.seeds,
            "layers": cfg.layers,
            "cell": cfg.cell,
            "window": series.lengths.window,
            "columns": list(series.series.names),
            "mean": series.scaling.mean.tolist(),
            "deviation": series.scaling.deviation.tolist(),
        },
        row=ROW,
        counts=every,
        items=every,
        unit="steps",
    )
