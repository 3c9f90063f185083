"""The LSTM experiment's work: the series, training, predictions, and what a run leaves behind."""

import contextlib
import itertools
import time
from pathlib import Path
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxdl.cli.progress import Bar
from jaxdl.devices import processes
from jaxdl.devices.mesh import fetch, put, shardings
from jaxdl.files import atomic
from jaxdl.files.fingerprint import of_files
from jaxdl.lstm.config import Config
from jaxdl.lstm.dataset import Series
from jaxdl.lstm.evaluate import WAYS, by_size, predictions
from jaxdl.lstm.series import to_float32
from jaxdl.lstm.setup import optimizer_of
from jaxdl.lstm.sweep import (
    Members,
    members_of,
    spread_members,
    start_sweep,
    sweep_step,
    zero_losses,
)
from jaxdl.report import page
from jaxdl.training import checkpoint, loop, run_folder, step

INTERVALS = 50  # between checkpoints: as many lines of metrics leave the device together


def input_files(cfg: Config) -> list[Path]:
    """What decides the result besides the configuration."""
    return [] if cfg.data is None else [cfg.data]


def train_run(
    cfg: Config,
    series: Series,
    config: dict[str, Any],
    record: dict[str, Any] | None,
    mesh: Mesh | None,
    bar: Bar,
) -> dict[str, Any]:
    """The run from the series to the report, from where it stopped."""
    steps = len(series.training) + len(series.tail)
    if record is None and processes.is_lead():
        record = run_folder.run_record("lstm_sine", config, None)
        record["series"] = {
            "source": series.source,
            "columns": series.columns,
            "steps": steps,
            "training": len(series.training),
            "tail": len(series.tail),
        }
        record["inputs"] = of_files(input_files(cfg))
        atomic.write_json(cfg.out / "run.json", record)
    bar.line(
        f"{series.source}: {len(series.training):,} steps to train on, {len(series.tail):,} held "
        f"out; {len(cfg.hidden) * cfg.seeds} networks in one program"
    )
    members = members_of(cfg.hidden, range(cfg.seeds))
    params = _fit(cfg, series, members, mesh, bar)
    if not processes.is_lead():
        return {}
    rows = run_folder.read_rows(cfg.out / "metrics.jsonl")
    losses = rows[-1]["loss"]
    found = predictions(cfg, series, members, params, losses)
    atomic.write_json(cfg.out / "predictions.json", found)
    seconds = sum(row.get("seconds", 0.0) for row in rows)
    errors = found["errors"]
    summary = {
        "lstm_sine": {
            "epochs": cfg.steps,
            "seeds": cfg.seeds,
            "seconds": seconds,
            "epochs_per_s": cfg.steps / max(seconds, 1e-9),
            "loss": losses,
            "log10_loss": {n: float(np.log10(median(own))) for n, own in losses.items()},
            "prediction_mse": {
                n: {way: median(float(np.mean(own)) for own in ways[way]) for way in WAYS}
                for n, ways in errors["sizes"].items()
            },
            "naive_mse": float(np.mean(errors["naive"])),
        },
        "warnings": [
            f"column {name} is the same in all steps trained on: to predict it is no merit"
            for name, values in zip(series.columns, series.training.T, strict=True)
            if not np.ptp(values)
        ],
    }
    atomic.write_json(cfg.out / "summary.json", summary)
    assert record is not None
    from jaxdl.lstm.report import lstm_section  # matplotlib takes long to import

    page.write_page(cfg.out / "report.html", "jaxdl", [lstm_section(cfg.out)], record)
    return summary


def _fit(
    cfg: Config, series: Series, members: Members, mesh: Mesh | None, bar: Bar
) -> dict[str, Any]:
    """Train from the last checkpoint, if there is one, to the end; a step is `every` epochs.

    Every process of a mesh computes and saves, process 0 alone records; all get the parameters.
    """
    layout = shardings(None, mesh)
    optimizer, key = optimizer_of(cfg), jax.random.key(cfg.seed)
    steps, width = cfg.steps // cfg.log_every, len(series.columns)
    values = jnp.asarray(to_float32(series.training))
    meta = {
        "hidden": list(cfg.hidden),
        "seeds": cfg.seeds,
        "layers": cfg.layers,
        "window": cfg.window,
        "columns": series.columns,
        "mean": series.scaling.mean.tolist(),
        "deviation": series.scaling.deviation.tolist(),
    }

    def zero():
        totals = zero_losses(INTERVALS, cfg.log_every, members)
        return spread_members(blank, totals, mesh)[1]

    with (
        checkpoint.open_manager(cfg.out / "checkpoints", lambda m: m["score"]) as manager,
        loop.stop_on_signal() as stop,
    ):
        sizes = {"inputs": width, "outputs": width, "layers": cfg.layers}
        state = start_sweep(key, members, optimizer, **sizes)
        blank = step.TrainState(state.step, {}, ())
        state, totals = spread_members(state, zero_losses(INTERVALS, cfg.log_every, members), mesh)
        if manager.latest_step() is not None:
            kept = checkpoint.restore(manager, state._asdict() | {"totals": totals})
            totals = kept.pop("totals")
            state = step.TrainState(**kept)
            bar.line(f"goes on from epoch {int(state.step) * cfg.log_every} of {cfg.steps}")
        first = int(state.step)
        clock = time.monotonic()

        def end_epoch(done: int, state: step.TrainState, totals: Any) -> dict[str, float]:
            nonlocal clock
            start = (done - 1) // INTERVALS * INTERVALS
            totals = fetch(totals, layout).astype(np.float64)
            losses = totals.reshape(INTERVALS, cfg.log_every, -1).mean(1)
            seconds, clock = time.monotonic() - clock, time.monotonic()
            for n in range(start, done):
                row: dict[str, Any] = {"loss": by_size(members, losses[n - start])}
                if n + 1 == done:
                    row |= {"seconds": seconds}
                if recorder is not None:
                    recorder.row((n + 1) * cfg.log_every, row)
            last = by_size(members, losses[done - 1 - start])
            shown = ", ".join(f"{n}: {np.log10(median(own)):.2f}" for n, own in last.items())
            bar.line(f"epoch {done * cfg.log_every} of {cfg.steps}: log10 loss by size {shown}")
            return {"score": -float(losses[done - 1 - start].mean())}

        def save(done: int, state: step.TrainState, totals: Any, metrics: Any) -> None:
            checkpoint.save(manager, done, state._asdict() | {"totals": totals}, meta, metrics)

        with contextlib.ExitStack() as opened:
            recorder = None
            if processes.is_lead():
                # Rows after the last checkpoint are written again.
                kept_rows = first // INTERVALS * INTERVALS * cfg.log_every
                recorder = opened.enter_context(run_folder.Recorder(cfg.out, kept_rows))
            show = opened.enter_context(
                bar.training("training", first * cfg.log_every, cfg.steps, 1, 1, "epochs")
            )
            state = loop.fit(
                sweep_step(
                    *(key, members, optimizer),
                    epochs=cfg.log_every,
                    batch=cfg.batch_size,
                    window=cfg.window,
                    mesh=mesh,
                ),
                state,
                totals,
                itertools.repeat(put(values, None if layout is None else layout.whole)),
                rate=lambda _: cfg.learning_rate,
                steps=steps,
                ends=lambda done: done % INTERVALS == 0,
                end_epoch=end_epoch,
                zero=zero,
                save=save,
                stop=stop,
                show=lambda done, loss: show(done * cfg.log_every, loss),
                inputs=lambda n: f"epochs {n * cfg.log_every} to {(n + 1) * cfg.log_every}",
                agree=processes.agreement(mesh),
            )
        return fetch(state.params, layout)
