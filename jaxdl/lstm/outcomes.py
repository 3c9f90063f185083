"""What the LSTM experiment makes of trained networks: losses by size, predictions, the table."""

from collections.abc import Sequence
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from rich.table import Table

from jaxdl.cli.progress import Bar
from jaxdl.lstm.choices import Mode
from jaxdl.lstm.config import Config
from jaxdl.lstm.dataset import Dataset
from jaxdl.lstm.forecast import error_by_distance, evaluate, predict, seasonal_naive
from jaxdl.lstm.series import to_float32
from jaxdl.lstm.sweep import Members

ORIGINS = 200  # at most so many windows measure the error by distance
WAYS: tuple[Mode, ...] = ("window", "carry")


def by_size(members: Members, values: Float[np.ndarray, " m"]) -> dict[str, list[float]]:
    """A value for each seed, by hidden size."""
    found: dict[str, list[float]] = {}
    for units, value in zip(members.units.tolist(), values.tolist(), strict=True):
        found.setdefault(str(units), []).append(value)
    return found


def training_summary(cfg: Config, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What summary.json says of a finished training, from its rows of metrics."""
    losses, seconds = rows[-1]["loss"], sum(row.get("seconds", 0.0) for row in rows)
    return {
        "epochs": cfg.steps,
        "seeds": cfg.seeds,
        "seconds": seconds,
        "epochs_per_s": cfg.steps / max(seconds, 1e-9),
        "loss": losses,
        "log10_loss": {n: float(np.log10(median(own))) for n, own in losses.items()},
    }


def predictions(
    cfg: Config, series: Dataset, members: Members, params: Any, losses: dict[str, list[float]]
) -> dict[str, Any]:
    """predictions.json: curves of each size's middle seed, errors of all; see `jaxdl.lstm.report`.

    The curves are in the series' own units; errors are of scaled values, so that columns count
    alike.
    """
    whole, lengths = np.concatenate([series.training, series.tail]), series.lengths
    cut = len(series.training)
    # The seed whose loss is in the middle.
    picked = {
        str(size): int(np.flatnonzero(members.units == size)[np.argsort(own)[(len(own) - 1) // 2]])
        for size, own in ((size, losses[str(size)]) for size in cfg.hidden)
    }

    def ask(windows: np.ndarray, length: int) -> dict[str, jax.Array]:
        given = jnp.asarray(windows, jnp.float32)
        return {way: predict(params, given, length=length, way=way) for way in WAYS}

    settings = []
    for given, length in zip(lengths.context, lengths.horizon, strict=True):
        found = ask(whole[cut - given : cut, None], length)
        settings.append(
            {
                "given": given,
                "length": length,
                "input": series.scaling.undo(whole[cut - given : cut]).tolist(),
                "truth": series.scaling.undo(whole[cut : cut + length]).tolist(),
                "members": {
                    size: {
                        "seed": int(members.seeds[n]),
                        **{
                            w: series.scaling.undo(np.asarray(found[w][n, :, 0])).tolist()
                            for w in WAYS
                        },
                    }
                    for size, n in picked.items()
                },
            }
        )
    most, window = max(lengths.horizon), lengths.window
    origins = np.arange(len(series.tail) - most + 1)
    if len(origins) > ORIGINS:
        origins = np.unique(np.linspace(0, origins[-1], ORIGINS).astype(int))
    starts = cut - window + origins
    whole = to_float32(whole)
    windows = np.stack([whole[s : s + window] for s in starts], axis=1)
    truth = np.stack([whole[s + window :][:most] for s in starts], axis=1)
    errors = {
        way: np.asarray(evaluate(params, jnp.asarray(windows), jnp.asarray(truth), way=way))
        for way in WAYS
    }
    naive = seasonal_naive(jnp.asarray(windows), lengths.period, most)
    sizes = {
        str(size): {way: errors[way][members.units == size].tolist() for way in WAYS}
        for size in cfg.hidden
    }
    distance = np.asarray(error_by_distance(naive[None], jnp.asarray(truth)))[0]
    return {
        "settings": settings,
        "errors": {"windows": len(starts), "sizes": sizes, "naive": distance.tolist()},
    }


def tell(summary: dict[str, Any], bar: Bar) -> None:
    """The results, as a table."""
    found = summary["lstm_sine"]
    table = Table(title=f"{found['epochs']:,} epochs, median of {found['seeds']} seeds")
    for name in ("hidden", "log10 loss", "error, window", "error, carry"):
        table.add_column(name, justify="right")
    for size, loss in found["log10_loss"].items():
        errors = found["prediction_mse"][size]
        table.add_row(size, f"{loss:.2f}", *(f"{errors[way]:.2e}" for way in WAYS))
    table.add_row("naive", "", *[f"{found['naive_mse']:.2e}"] * 2)
    bar.console.print(table)
    bar.line(f"{found['seconds']:.1f} s of training, {found['epochs_per_s']:,.0f} epochs/s")
