"""``jaxdl lstm predict``: what comes after a series, by a trained run."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxdl.cli.options import flag_of
from jaxdl.cli.progress import Bar
from jaxdl.devices.memory import check_memory
from jaxdl.errors import InputError
from jaxdl.files.results import Results
from jaxdl.lstm import fit, forecast, forecast_run, predicted, saved
from jaxdl.lstm.choices import Decimal, Missing, Mode
from jaxdl.lstm.data.read import read_series
from jaxdl.lstm.series import Series, to_float32
from jaxdl.report.reading import part


def predict(
    run: Path,
    table: Path | None = None,
    *,
    column: Sequence[str] = (),
    time: str | None = None,
    id: str | None = None,
    decimal: Decimal | None = None,
    missing: Missing | None = None,
    horizon: int | None = None,
    context: int | None = None,
    network: str | None = None,
    mode: Mode = "carry",
    out: Path = Path("prediction.csv"),
) -> None:
    """Write the steps that follow a series, and a picture of them beside it.

    Args:
        run: folder of a finished run.
        table: file with the run's columns; its last steps are given to the network. None: what the
            run was trained on.
        column, time, id, decimal, missing: see `jaxdl.lstm.data.read.read_series`; what is not
            given is as in the run.
        horizon: steps to predict; None for those that the run measured, or 50.
        context: last steps that a sine's network is given; None for the run's window.
        network: best, SIZE or SIZE:SEED; None for the ensemble, and of a sine's run for the
            network of the lowest loss.
        mode: see `jaxdl.lstm.forecast.predict`; of a sine's run.
        out: a line for each predicted step; the picture has the same name with .png. Earlier
            results of this command are replaced, no other files.
    """
    if out.suffix.lower() == ".png":
        raise InputError(f"--out {out}: is for the predicted steps; name it .csv")
    results, picture = (
        Results("jaxdl lstm predict", [] if table is None else [table]),
        out.with_suffix(".png"),
    )
    for path in (out, picture):
        results.check(path)
    if horizon is not None:
        check_memory(f"--horizon {horizon}", 64.0 * horizon, "lower it", host=True)
    summary = saved.read_finished(run)
    if ensemble := part(summary, "forecast"):
        if context is not None or mode != "carry":
            option = "--context" if context is not None else "--mode window"
            raise InputError(
                f"{option}: {run} has learnt to continue its own windows; leave it out"
            )
        asked = _ensemble(run, network)
    else:
        asked = _network(run, network, context, mode)
    length = asked.length if horizon is None else horizon
    options = {"column": column, "time": time, "id": id, "decimal": decimal, "missing": missing}
    series, told, doubts = _series_of(run, table, asked.columns, options)
    source, steps = str(table or run / saved.SERIES), len(series.values)
    if not 1 <= asked.given <= steps:
        give = "a longer series"
        if not ensemble:
            give = f"--context 1 to {steps}, or {give}"
        raise InputError(
            f"{source}: {steps} steps, and {asked.given} are to be given to the network; give "
            f"{give}"
        )
    found = asked.call(series.values, length, source)
    bands = () if found.low is None or found.high is None else (found.low, found.high)
    results.write(out, predicted.table(series.names, (found.median, *bands), series))
    results.write(picture, predicted.draw(series, found.median, 4 * asked.given, bands))
    bar = Bar()
    for line in told:
        bar.line(line)
    warnings = [*doubts, *found.warnings]
    if ensemble and length > asked.length:
        warnings.append(
            f"{length} steps are predicted; the run measured its errors over {asked.length}"
        )
    bar.warn(warnings)
    bar.line(f"{source}: {asked.given} steps given, {length} predicted by {asked.who}")
    bar.line(f"written: {out}, {picture}")


class _Told(NamedTuple):
    """Predicted steps; an ensemble's with a band."""

    median: Float[np.ndarray, "l f"]
    low: Float[np.ndarray, "l f"] | None = None
    high: Float[np.ndarray, "l f"] | None = None
    warnings: Sequence[str] = ()


class _Asked(NamedTuple):
    """Who predicts, and how.

    Attributes:
        columns: of the run.
        given: last steps that are needed.
        length: steps to predict if nothing is said.
        who: in words.
        call: of the series' values, the number of steps and the file's name.
    """

    columns: list[str]
    given: int
    length: int
    who: str
    call: Callable[[np.ndarray, int, str], _Told]


def _series_of(
    run: Path, table: Path | None, columns: list[str], options: dict[str, Any]
) -> tuple[Series, list[str], list[str]]:
    """The series that is continued, how it was read, and what may be wrong with it."""
    if table is None:
        for name, value in options.items():
            if value:
                raise InputError(f"{flag_of(name)} goes with a table; name it after {run}")
        return saved.load_series(run), [], []
    like: dict[str, Any] = {"column": columns, **saved.reading_of(run)}
    read = read_series(table, **options, period=like.get("period"), like=like)
    if (count := len(read.series.names)) != len(columns):
        raise InputError(
            f"{table}: {count} columns were chosen, but {run} learnt {len(columns)}; "
            "name as many with --column"
        )
    return read.series, read.told, read.warnings


def _ensemble(run: Path, network: str | None) -> _Asked:
    """The ensemble of a run, the naive forecast if validation preferred it, or some networks."""
    fitted, meta, _ = saved.load(run)
    picked = forecast_run.pick(fitted, network, run)
    setup, who = fitted.setup, forecast_run.who(fitted, picked)

    def call(values: np.ndarray, length: int, source: str) -> _Told:
        if setup.transform.log and not (values > 0).all():
            raise InputError(
                f"{source}: holds values that are not positive, and {run} learnt logarithms; train "
                "with --log none"
            )
        warnings = []
        if (unlike := fit.unlike(setup, values)) > 3:
            text = f"the last steps vary {unlike:.3g} times as much as those learnt from"
            warnings.append(f"{source}: {text}; the forecast is outside of what was learnt")
        got = fit.forecast(fitted, values, length, picked=picked)
        return _Told(*got, warnings)

    return _Asked(meta["columns"], setup.given, setup.length, who, call)


def _network(run: Path, network: str | None, context: int | None, mode: Mode) -> _Asked:
    """One network of a sine's run, or of a run of 0.1: that of the lowest loss."""
    found = saved.load_network(run, network)
    scaling, given = found.scaling, found.window if context is None else context

    def call(values: np.ndarray, length: int, source: str) -> _Told:
        windows = jnp.asarray(to_float32(scaling.apply(values[-given:])))[:, None]
        steps = forecast.predict(found.params, windows, length=length, way=mode)
        return _Told(scaling.undo(np.asarray(steps[0, :, 0])))

    return _Asked(found.columns, given, saved.STEPS, found.who, call)
