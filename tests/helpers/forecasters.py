"""Forecasters of a known series that were not trained: random networks, at no cost."""

from pathlib import Path
from typing import Any

import numpy as np

import jaxdl
from jaxdl.lstm import backtest, fit, saved
from jaxdl.lstm.data.regular import make_series
from jaxdl.lstm.sweep import members_of

ROWS = np.arange(90)
TREND = 40 + 0.2 * ROWS + 5 * np.sin(ROWS * np.pi / 3) + np.random.default_rng(0).normal(size=90)


def random_fitted(
    columns: int = 1, *, cell: str = "lstm", layers: int = 1, naive: bool = False, **options: Any
) -> tuple[fit.Fitted, np.ndarray]:
    """An ensemble of networks of 2 and 4 units, 3 seeds each, and its series (90, columns).

    Args:
        columns: of the series.
        cell, layers: of the networks.
        naive: whether validation prefers the naive forecast.
        options: of `jaxdl.lstm.fit.prepare`.
    """
    rng = np.random.default_rng(1)
    values = np.stack([TREND, TREND[::-1] * 1e3][:columns], axis=1)
    given: dict[str, Any] = {"period": 6, "window": 12, "horizon": 8} | options
    setup, members = fit.prepare(values, 18, **given), members_of((2, 4), range(3))
    gates = {"lstm": 4, "gru": 3}[cell]

    def drawn(*shape: int) -> np.ndarray:
        return rng.normal(scale=0.7, size=(6, 3, *shape)).astype(np.float32)

    params: dict[str, Any] = {}
    for n in range(layers):
        layer = {"input": drawn(gates * 4, 4 if n else columns), "bias": drawn(gates * 4)}
        layer["recurrent"] = drawn(gates * 4, 4)
        if cell == "gru":
            layer["recurrent_bias"] = drawn(gates * 4)
        for array in layer.values():  # what is beyond a network's units is zero
            array.reshape(6, 3, gates, 4, -1)[members.units == 2, :, :, 2:] = 0
        params[f"{cell}_{n + 1}"] = layer
    params["readout"] = {"kernel": drawn(4, columns), "bias": drawn(columns)}
    bands = [backtest.calibrate(rng.normal(size=(8, 20, columns)) * 0.1) for _ in range(2)]
    validation: dict[str, Any] = {"networks": 1.0, "sizes": {2: 1.0, 4: 1.0}, "naive": 1.0}
    errors = np.linspace(1, 0.5, 6)
    return fit.Fitted(
        *(setup, members, params, errors, (2, 4), False, naive, validation, *bands)
    ), values


def save(
    fitted: fit.Fitted,
    values: np.ndarray,
    folder: Path,
    names: tuple[str, ...],
    times: np.ndarray | None = None,
) -> Path:
    """A RUN for the commands, as `jaxdl.Forecaster.save` writes it."""
    (cell,) = {name.split("_")[0] for name in fitted.params} - {"readout"}
    meta = {"hidden": [2, 4], "seeds": 3, "layers": len(fitted.params) - 1, "cell": cell}
    own = jaxdl.Forecaster(**meta)
    found = {"forecast": saved.to_json(fitted), "loss": {"2": [1.0] * 3, "4": [1.0] * 3}}
    own._saved = saved.Saved(fitted, meta | {"columns": list(names)}, found["forecast"])
    own._series = make_series(values, names=names, times=times, missing="error").series
    own._summary = found
    record: dict[str, Any] = {"columns": list(names)}
    if own._series.times is not None:
        record["times"] = {"dtype": str(own._series.times.dtype)}
    own._record = record
    own.save(folder)
    return folder
