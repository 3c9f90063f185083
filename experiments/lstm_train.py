"""The LSTM experiment's work: the series, training, predictions, and what a run leaves behind."""

import contextlib
import itertools
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jaxtyping import Float

from experiments.lstm_results import WAYS, by_size, predictions
from jaxdl import checkpoint, forecast, hosts, report, train
from jaxdl.data import sine
from jaxdl.fingerprint import of_files
from jaxdl.forecast import Members
from jaxdl.mesh import fetch, put, shardings

if TYPE_CHECKING:
    from experiments.command import Bar
    from experiments.lstm_sine import Config

INTERVALS = 50  # between checkpoints: as many lines of metrics leave the device together


class Series(NamedTuple):
    """What is trained on and what is held out, scaled; and how to undo the scaling."""

    source: str
    columns: list[str]
    training: Float[np.ndarray, "n f"]
    tail: Float[np.ndarray, "k f"]
    scaling: sine.Scaling
    period: int


def open_series(cfg: "Config") -> Series:
    """The sine, or the user's file.

    Raises:
        InputError: the file, its columns or values, or a series too short for what was asked.
    """
    most = max(cfg.length)
    if cfg.csv is None:
        source, columns = f"sine of {cfg.steps_per_cycle} steps a cycle", ["sine"]
        # A cycle more than the longest prediction: their errors are measured at every phase.
        tail = cfg.steps_per_cycle + most
        cycles = cfg.cycles + -(-tail // cfg.steps_per_cycle)
        whole = sine.sine(cfg.steps_per_cycle, cycles)
        whole = whole[: cfg.cycles * cfg.steps_per_cycle + tail]
        default = cfg.steps_per_cycle if cfg.steps_per_cycle <= cfg.window else 1
    else:
        source, default = str(cfg.csv), 1
        columns, whole = sine.read_csv(cfg.csv, cfg.column or None)
        tail = max(most, len(whole) // 5) if cfg.tail is None else cfg.tail
    training, held = sine.split_tail(whole, tail, max(cfg.window, *cfg.given), source)
    flat = sine.Scaling(np.zeros(len(columns)), np.ones(len(columns)))
    scaling = flat if cfg.csv is None else sine.learn_scaling(training)
    period = default if cfg.period is None else cfg.period
    return Series(source, columns, scaling.apply(training), scaling.apply(held), scaling, period)


def input_files(cfg: "Config") -> list[Path]:
    """What decides the result besides the configuration."""
    return [] if cfg.csv is None else [cfg.csv]


def optimizer_of(cfg: "Config") -> optax.GradientTransformation:
    """Momentum SGD, or Chainer's Adam."""
    if cfg.optimizer == "adam":
        return forecast.adam()
    return train.momentum_sgd(momentum=cfg.momentum)


def train_run(
    cfg: "Config",
    series: Series,
    config: dict[str, Any],
    record: dict[str, Any] | None,
    mesh: Mesh | None,
    bar: "Bar",
) -> dict[str, Any]:
    """The run from the series to the report, from where it stopped."""
    steps = len(series.training) + len(series.tail)
    if record is None and hosts.is_lead():
        record = report.run_record("lstm_sine", config, None)
        record["series"] = {
            "source": series.source,
            "columns": series.columns,
            "steps": steps,
            "training": len(series.training),
            "tail": len(series.tail),
        }
        record["inputs"] = of_files(input_files(cfg))
        report.write_json(cfg.out / "run.json", record)
    bar.line(
        f"{series.source}: {len(series.training):,} steps to train on, {len(series.tail):,} held "
        f"out; {len(cfg.hidden) * cfg.seeds} networks in one program"
    )
    members = forecast.members_of(cfg.hidden, range(cfg.seeds))
    params = _fit(cfg, series, members, mesh, bar)
    if not hosts.is_lead():
        return {}
    rows = report.read_rows(cfg.out / "metrics.jsonl")
    losses = rows[-1]["loss"]
    found = predictions(cfg, series, members, params, losses)
    report.write_json(cfg.out / "predictions.json", found)
    seconds = sum(row.get("seconds", 0.0) for row in rows)
    errors = found["errors"]
    summary = {
        "lstm_sine": {
            "epochs": cfg.epochs,
            "seeds": cfg.seeds,
            "seconds": seconds,
            "epochs_per_s": cfg.epochs / max(seconds, 1e-9),
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
    report.write_json(cfg.out / "summary.json", summary)
    assert record is not None
    from jaxdl.sinefigures import lstm_section  # matplotlib takes long to import

    report.write_page(cfg.out / "report.html", "jaxdl", [lstm_section(cfg.out)], record)
    return summary


def _fit(
    cfg: "Config", series: Series, members: Members, mesh: Mesh | None, bar: "Bar"
) -> dict[str, Any]:
    """Train from the last checkpoint, if there is one, to the end; a step is `every` epochs.

    Every process of a mesh computes and saves, process 0 alone records; all get the parameters.
    """
    layout = shardings(None, mesh)
    optimizer, key = optimizer_of(cfg), jax.random.key(cfg.seed)
    steps, width = cfg.epochs // cfg.every, len(series.columns)
    values = jnp.asarray(sine.to_float32(series.training))
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
        totals = forecast.zero_losses(INTERVALS, cfg.every, members)
        return forecast.spread_members(blank, totals, mesh)[1]

    with (
        checkpoint.open_manager(cfg.out / "checkpoints", lambda m: m["score"]) as manager,
        train.stop_on_signal() as stop,
    ):
        sizes = {"inputs": width, "outputs": width, "layers": cfg.layers}
        state = forecast.start_sweep(key, members, optimizer, **sizes)
        blank = train.TrainState(state.step, {}, ())
        state, totals = forecast.spread_members(
            state, forecast.zero_losses(INTERVALS, cfg.every, members), mesh
        )
        if manager.latest_step() is not None:
            kept = checkpoint.restore(manager, state._asdict() | {"totals": totals})
            totals = kept.pop("totals")
            state = train.TrainState(**kept)
            bar.line(f"goes on from epoch {int(state.step) * cfg.every} of {cfg.epochs}")
        first = int(state.step)
        clock = time.monotonic()

        def end_epoch(done: int, state: train.TrainState, totals: Any) -> dict[str, float]:
            nonlocal clock
            start = (done - 1) // INTERVALS * INTERVALS
            totals = fetch(totals, layout).astype(np.float64)
            losses = totals.reshape(INTERVALS, cfg.every, -1).mean(1)
            seconds, clock = time.monotonic() - clock, time.monotonic()
            for n in range(start, done):
                row: dict[str, Any] = {"loss": by_size(members, losses[n - start])}
                if n + 1 == done:
                    row |= {"seconds": seconds}
                if recorder is not None:
                    recorder.row((n + 1) * cfg.every, row)
            last = by_size(members, losses[done - 1 - start])
            shown = ", ".join(f"{n}: {np.log10(median(own)):.2f}" for n, own in last.items())
            bar.line(f"epoch {done * cfg.every} of {cfg.epochs}: log10 loss by size {shown}")
            return {"score": -float(losses[done - 1 - start].mean())}

        def save(done: int, state: train.TrainState, totals: Any, metrics: Any) -> None:
            checkpoint.save(manager, done, state._asdict() | {"totals": totals}, meta, metrics)

        with contextlib.ExitStack() as opened:
            recorder = None
            if hosts.is_lead():
                # Rows after the last checkpoint are written again.
                kept_rows = first // INTERVALS * INTERVALS * cfg.every
                recorder = opened.enter_context(report.Recorder(cfg.out, kept_rows))
            show = opened.enter_context(
                bar.training("training", first * cfg.every, cfg.epochs, 1, 1, "epochs")
            )
            state = train.fit(
                forecast.sweep_step(
                    *(key, members, optimizer),
                    epochs=cfg.every,
                    batch=cfg.batch,
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
                show=lambda done, loss: show(done * cfg.every, loss),
                inputs=lambda n: f"epochs {n * cfg.every} to {(n + 1) * cfg.every}",
                agree=hosts.agreement(mesh),
            )
        return fetch(state.params, layout)
