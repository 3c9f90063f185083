"""``jaxdl lstm predict``: what comes after a series, by a trained run."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxdl.cli.progress import Bar
from jaxdl.devices.memory import check_memory
from jaxdl.errors import InputError
from jaxdl.files.results import Results
from jaxdl.files.text import reason
from jaxdl.lstm import fit, forecast, forecast_run, predicted, sweep
from jaxdl.lstm.choices import Decimal, Missing, Mode
from jaxdl.lstm.data.read import read_series
from jaxdl.lstm.series import Scaling, to_float32
from jaxdl.report.reading import part
from jaxdl.training.checkpoint import load_params
from jaxdl.training.opening import check_overwriting
from jaxdl.training.record import read_record, read_summary

DECIMALS, FILLS = get_args(Decimal), get_args(Missing)


def choose(losses: dict[str, list[float]], network: str | None, run: Path) -> tuple[int, int]:
    """(hidden size, seed) of the lowest loss, of all or of one size; or of SIZE:SEED.

    Raises:
        InputError: the run has no such network.
    """
    size, _, seed = ("" if network in (None, "best") else network).partition(":")
    found = [
        (loss, int(s), n)
        for s, own in losses.items()
        for n, loss in enumerate(own)
        if size in ("", s) and seed in ("", str(n))
    ]
    if not found:
        raise InputError(
            f"--network {network}: {run} has sizes {', '.join(losses)}; give best, SIZE or "
            "SIZE:SEED"
        )
    return min(found)[1:]


def predict(
    run: Path,
    table: Path,
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
        table: file with the run's columns; its last steps are given to the network.
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
    results, picture = Results("jaxdl lstm predict", [table]), out.with_suffix(".png")
    for path in (out, picture):
        results.check(path)
    summary = _summary(run)
    if found := part(summary, "forecast"):
        if context is not None or mode != "carry":
            option = "--context" if context is not None else "--mode window"
            raise InputError(
                f"{option}: {run} has learnt to continue its own windows; leave it out"
            )
        asked = _ensemble(run, found, network)
    else:
        asked = _network(run, summary, network, context, mode)
    length = asked.length if horizon is None else horizon
    check_memory(f"--horizon {length}", 64.0 * length, "lower it", host=True)
    like = _recorded(run, asked.columns)
    options = {"column": column, "time": time, "id": id, "decimal": decimal, "missing": missing}
    read = read_series(table, **options, period=like.get("period"), like=like)
    series, names = read.series, read.series.names
    steps = len(series.values)
    if len(names) != len(asked.columns):
        raise InputError(
            f"{table}: {len(names)} columns were chosen, but {run} learnt {len(asked.columns)}; "
            "name as many with --column"
        )
    if not 1 <= asked.given <= steps:
        give = "a longer series"
        if not found:
            give = f"--context 1 to {steps}, or {give}"
        raise InputError(
            f"{table}: {steps} steps, and {asked.given} are to be given to the network; give {give}"
        )
    told = asked.call(series.values, length, str(table))
    bands = () if told.low is None or told.high is None else (told.low, told.high)
    results.write(out, predicted.table(names, (told.median, *bands), series))
    results.write(picture, predicted.draw(series, told.median, 4 * asked.given, bands))
    bar = Bar()
    for line in read.told:
        bar.line(line)
    warnings = [*read.warnings, *told.warnings]
    if found and length > asked.length:
        warnings.append(
            f"{length} steps are predicted; the run measured its errors over {asked.length}"
        )
    bar.warn(warnings)
    bar.line(f"{table}: {asked.given} steps given, {length} predicted by {asked.who}")
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


def _summary(run: Path) -> dict[str, Any]:
    """Of a finished LSTM's run. InputError: it is not one."""
    if not (run / "summary.json").is_file():
        check_overwriting(run)
        raise InputError(f"{run}: holds no finished run; name one, or finish it first")
    summary = part(read_summary(run), "lstm_sine")
    if not part(summary, "loss"):
        raise InputError(f"{run}: is a run of another experiment; name an LSTM's")
    return summary


def _not_a_run(run: Path, error: Exception) -> InputError:
    text = f"is not what an LSTM's run leaves ({reason(error)}); name another run"
    return InputError(f"{run}: {text}")


def _ensemble(run: Path, found: dict[str, Any], network: str | None) -> _Asked:
    """The ensemble of a run, the naive forecast if validation preferred it, or some networks."""
    params, meta, _ = load_params(run / "checkpoints")
    try:
        fitted = forecast_run.from_json(found, params["best"])
        picked = forecast_run.pick(fitted, network, run)
        columns = [str(name) for name in meta["columns"]]
    except InputError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise _not_a_run(run, error) from error
    setup, (units, seeds) = fitted.setup, fitted.members
    chosen = fit.kept(fitted) if picked is None else picked
    who = f"the median of {len(chosen)} networks (sizes {', '.join(map(str, fitted.sizes))})"
    if picked is not None:
        who = ", ".join(f"{units[n]}:{seeds[n]}" for n in picked) + " (hidden units:seed)"
    elif fitted.unlearnt and not fitted.naive:
        who = "the mean change alone, which the validation part preferred to all that the networks "
        who += "learnt"
    elif fitted.naive:
        who = "the seasonal naive forecast" if setup.period > 1 else "the last value"
        who += ", which the validation part preferred to the networks"

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

    given = max(setup.window + setup.transform.reach, setup.period)
    return _Asked(columns, given, setup.length, who, call)


def _network(
    run: Path, summary: dict[str, Any], network: str | None, context: int | None, mode: Mode
) -> _Asked:
    """One network of a sine's run, or of a run of 0.1: that of the lowest loss."""
    params, meta, _ = load_params(run / "checkpoints")
    try:
        size, seed = choose(part(summary, "loss"), network, run)
        scaling = Scaling(*(np.asarray(meta[k], np.float64) for k in ("mean", "deviation")))
        members = sweep.members_of(meta["hidden"], range(meta["seeds"]))
        (n,) = np.flatnonzero((members.units == size) & (members.seeds == seed))
        columns, window = list(meta["columns"]), int(meta["window"])
    except InputError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise _not_a_run(run, error) from error
    own = {key: {k: v[n : n + 1] for k, v in layer.items()} for key, layer in params.items()}
    given = window if context is None else context

    def call(values: np.ndarray, length: int, source: str) -> _Told:
        windows = jnp.asarray(to_float32(scaling.apply(values[-given:])))[:, None]
        found = forecast.predict(own, windows, length=length, way=mode)
        return _Told(scaling.undo(np.asarray(found[0, :, 0])))

    who = f"{size} hidden units (seed {seed}: the lowest training loss)"
    return _Asked(columns, given, 50, who, call)


def _recorded(run: Path, columns: Sequence[str]) -> dict[str, Any]:
    """How the run's own series was read; its columns alone in runs of 0.1."""
    series: dict[str, Any] = {}
    with contextlib.suppress(InputError):
        series = part(read_record(run), "series")
    took = part(series, "reading")
    found: dict[str, Any] = {"column": [str(name) for name in columns]}
    if isinstance(names := took.get("column"), list) and len(names) == len(columns):
        found["column"] = [str(name) for name in names]
    for name, allowed in (("time", None), ("id", None), ("decimal", DECIMALS), ("missing", FILLS)):
        value = took.get(name)
        if isinstance(value, str) and (allowed is None or value in allowed):
            found[name] = value
    period = series.get("period")
    return found | ({"period": period} if isinstance(period, int) and period > 1 else {})
