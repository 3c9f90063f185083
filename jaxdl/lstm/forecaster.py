"""Forecasts from Python: an ensemble of networks that is fitted to an array or a pandas object.

It holds a fitted ensemble and its series; each method is one call of public functions, and the
numbers are the command's. Nothing is printed unless asked, and nothing of the process is changed.
"""

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxdl.cli.keywords import values_of
from jaxdl.cli.progress import Bar
from jaxdl.devices.memory import check_memory
from jaxdl.errors import InputError
from jaxdl.files import atomic
from jaxdl.lstm import forecast_run, saved
from jaxdl.lstm.choices import Missing
from jaxdl.lstm.config import PRESETS, Config, check
from jaxdl.lstm.data import python
from jaxdl.lstm.data.calendar import next_times
from jaxdl.lstm.data.read import Read
from jaxdl.lstm.data.regular import make_series
from jaxdl.lstm.dataset import arrange
from jaxdl.lstm.fit import Fitted, forecast
from jaxdl.lstm.series import Series
from jaxdl.lstm.setup import check_size
from jaxdl.lstm.start import read_start, settle
from jaxdl.lstm.train import lengths_of
from jaxdl.report.reading import part
from jaxdl.training import checkpoint, run_folder
from jaxdl.training.record import read_record

HIDDEN, SEEDS = (2, 3, 4, 5), 8
SCORE = checkpoint.Score("loss", larger_is_better=False)
# Options of the command that a series in memory has no use for.
NOT_HERE = {"preset", "out", "resume", "overwrite", "data", "column", "time", "id", "decimal"}


class Forecaster:
    """Networks of several hidden sizes and seeds that forecast a series together.

    Args:
        hidden: hidden sizes.
        seeds: networks of each size.
        horizon: steps whose error is measured; None: two periods, or what the rows allow.
        period: steps of a season; None: it is found.
        quantiles: of the forecasts, between 0 and 1.
        seed: of all starts and windows: the same seed gives the same numbers.
        missing: what is done with missing values and times: "error", "interpolate", "ffill",
            "seasonal"; see `jaxdl.lstm.data.regular.make_series`.
        **options: other fields of `jaxdl.lstm.config.Config`: window, test_steps, difference, log,
            cell, layers, steps, batch_size, learning_rate, start_from (a run, or what `save`
            wrote, whose networks are trained on).

    Attributes:
        told: how the series was read, in lines, after `fit`.
        warnings: what may be wrong with it.

    Raises:
        InputError: an option that there is not, or a value that it does not take.
    """

    def __init__(
        self,
        hidden: Sequence[int] = HIDDEN,
        seeds: int = SEEDS,
        *,
        horizon: int | None = None,
        period: int | None = None,
        quantiles: Sequence[float] = (0.1, 0.5, 0.9),
        seed: int = 0,
        missing: Missing = "error",
        **options: Any,
    ) -> None:
        self.quantiles = tuple(map(float, quantiles))
        if not self.quantiles or not all(0 < q < 1 for q in self.quantiles):
            raise InputError(f"quantiles {quantiles!r}: give numbers between 0 and 1")
        for name in options.keys() & NOT_HERE:
            raise InputError(f"Forecaster has no option {name!r}: it is for files")
        given = {"horizon": horizon, "period": period, "seed": seed, "missing": missing, **options}
        usual = (tuple(hidden), seeds) == (HIDDEN, SEEDS)
        if options.get("start_from") is None or not usual:  # that run has its own
            given |= {"hidden": hidden, "seeds": seeds}
        values = values_of(Config, given, "Forecaster")
        self._cfg = dataclasses.replace(PRESETS["series"], **values, data=Path("the series"))
        check(self._cfg)
        self.told: list[str] = []
        self.warnings: list[str] = []
        self._kind: dict[str, Any] = {}
        self._series: Series | None = None
        self._saved: saved.Saved | None = None
        self._summary: dict[str, Any] = {}
        self._record: dict[str, Any] = {}

    def fit(self, series: Any, *, progress: bool = False) -> "Forecaster":
        """Train from the start, and measure the last rows; the bits of ``jaxdl lstm train``.

        Args:
            series: an array (steps,) or (steps, columns), or pandas' Series or DataFrame, whose
                index has the times.
            progress: print what the command prints.

        Calls `jaxdl.lstm.forecast_run.train_ensemble`.

        Raises:
            InputError: a series that cannot be learnt from; the message says why.
        """
        given, bar = python.take(series), Bar()
        bar.console.quiet = not progress
        cfg = settle(self._cfg)
        check(cfg)
        made = make_series(
            given.values,
            names=given.names,
            times=given.times,
            missing=cfg.missing or "error",
            period=cfg.period,
        )
        read = Read(made.series, made.told, made.warnings, {"column": list(given.names)})
        with tempfile.TemporaryDirectory(prefix="jaxdl-") as folder:
            cfg = dataclasses.replace(cfg, out=Path(folder) / "run")
            data = arrange(cfg, read, "the series")
            check_size(dataclasses.replace(cfg, window=data.lengths.window))
            begin = None if cfg.start_from is None else read_start(cfg.start_from, data)
            setup = forecast_run.setup_of(cfg, data, begin)
            summary = forecast_run.train_ensemble(cfg, data, setup, begin, None, bar)
            params, meta, _ = checkpoint.load_params(cfg.out / "checkpoints", say=bar.line)
        assert summary is not None
        fitted = saved.from_json(summary["forecast"], params["best"])
        self._saved = saved.Saved(fitted, meta, summary["forecast"])
        self._kind, self._series, self._summary = given.kind, made.series, summary
        self.told = [*data.told, *([begin.told] if begin else [])]
        self.warnings = [*data.warnings, *(begin.warnings if begin else ())]
        self._record = {"source": data.source, "columns": list(given.names)}
        self._record |= {"steps": len(made.series.values), **lengths_of(data), "python": given.kind}
        return self

    def predict(self, n: int | None = None) -> Any:
        """The steps that follow the series.

        Args:
            n: how many; None: as many as were measured (`horizon`).

        Calls `jaxdl.lstm.fit.forecast`.

        Returns:
            An array (n, quantiles) of a series of one dimension, (n, columns, quantiles) of two; or
            a DataFrame whose index goes on with the series', with a column for each quantile, or
            for each column and quantile. In the series' own units, float64. Ends of bands have the
            same distance from the median, in logarithms if the networks learnt these.
        """
        fitted, series = self._fitted()
        length = fitted.setup.length if n is None else n
        if length < 1:
            raise InputError(f"n {n}: give 1 or more")
        check_memory(f"n {length}", 64.0 * length * len(self.quantiles), "lower it", host=True)
        ends = []
        for q in self.quantiles:
            found = forecast(fitted, series.values, length, covered=abs(2 * q - 1))
            ends.append(found.low if q < 0.5 else found.high if q > 0.5 else found.median)
        found = np.stack(ends, axis=2)
        return python.give_back(found, self.quantiles, self.times(length), self._kind)

    def times(self, n: int) -> np.ndarray | None:
        """The times of the next n steps: datetime64 or int64; None if the series has none."""
        _, series = self._fitted()
        if series.times is None or series.step is None:
            return None
        return next_times(series.times, series.step, n)

    def backtest(self) -> dict[str, Any]:
        """How good forecasts of the held-out last rows were, by networks that had not seen them.

        Returns:
            What `jaxdl.lstm.measure.measure` says: rmse, mae and mase by horizon and in total, of
            the forecast beside the seasonal naive one and a straight line, and the bands' coverage.
        """
        self._fitted()
        return self._summary["forecast"]["test"]

    def save(self, run: str | Path) -> None:
        """Write a folder that the commands read as a RUN, and `load` too.

        Raises:
            InputError: the folder holds something already, or cannot be written.
        """
        fitted, series = self._fitted()
        folder = Path(run)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder}: holds something already; name another folder")
        assert self._saved is not None
        config = dataclasses.asdict(dataclasses.replace(self._cfg, out=folder, data=None))
        config |= {name: self._saved.meta[name] for name in ("hidden", "seeds", "layers", "cell")}
        record = run_folder.run_record("lstm_sine", config, None) | {"series": self._record}
        meta = self._saved.meta | {"score": SCORE._asdict(), "step": 1}
        with checkpoint.open_manager(folder / "checkpoints", SCORE, lambda line: None) as manager:
            state = {"step": jnp.ones((), jnp.int32), "params": {"best": fitted.params}}
            checkpoint.save(manager, 1, state, meta, None)
        atomic.write_json(folder / "run.json", record)
        atomic.write_bytes(folder / saved.SERIES, saved.write_series(series))
        atomic.write_json(folder / "summary.json", {"lstm_sine": self._summary})

    @classmethod
    def load(cls, run: str | Path, quantiles: Sequence[float] = (0.1, 0.5, 0.9)) -> "Forecaster":
        """Of a finished run of ``jaxdl lstm train --data``, or what `save` wrote.

        It gives forecasts in the form of what was saved; of a command's run as arrays (n, columns,
        quantiles), and `times` has their times.

        Raises:
            InputError: it is no such run.
        """
        folder = Path(run)
        found = saved.load(folder)
        meta = found.meta
        own = cls(
            **{name: meta[name] for name in ("hidden", "seeds", "layers", "cell")},
            quantiles=quantiles,
        )
        own._saved, own._series = found, saved.load_series(folder)
        own._summary = saved.read_finished(folder)
        own._record = part(read_record(folder), "series")
        own._kind = part(own._record, "python") or {"pandas": False, "flat": False}
        return own

    def _fitted(self) -> tuple[Fitted, Series]:
        if self._saved is None or self._series is None:
            raise InputError("the Forecaster has no networks: fit it, or use Forecaster.load")
        return self._saved.fitted, self._series
