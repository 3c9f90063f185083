"""A run of an own series, read again: its networks, its series, how its file was read."""

import contextlib
import csv
import io
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np

from jaxdl.errors import InputError
from jaxdl.files.limits import read_bytes
from jaxdl.files.text import reason
from jaxdl.lstm import fit
from jaxdl.lstm.backtest import Bands
from jaxdl.lstm.choices import Decimal, Missing
from jaxdl.lstm.data.calendar import find_step, show_time
from jaxdl.lstm.series import Scaling, Series
from jaxdl.lstm.sweep import Members, members_of
from jaxdl.lstm.transform import Transform
from jaxdl.report.reading import part
from jaxdl.training.checkpoint import load_params
from jaxdl.training.opening import check_overwriting
from jaxdl.training.record import read_record, read_summary

DECIMALS, FILLS = get_args(Decimal), get_args(Missing)
LARGEST = 1 << 32  # bytes of a series
STEPS = 50  # that a sine's run predicts if nothing is said
SERIES = "trained_on.csv"  # in a run's folder: what it was trained on, sorted and filled


class Saved(NamedTuple):
    """An ensemble of a finished run.

    Attributes:
        meta: of its checkpoint: hidden, seeds, layers, cell, columns.
        summary: the part "forecast".
    """

    fitted: fit.Fitted
    meta: dict[str, Any]
    summary: dict[str, Any]


def read_finished(run: Path) -> dict[str, Any]:
    """The summary of a finished LSTM's run. InputError: it is not one."""
    if not (run / "summary.json").is_file():
        check_overwriting(run)
        raise InputError(f"{run}: holds no finished run; name one, or finish it first")
    summary = part(read_summary(run), "lstm_sine")
    if not part(summary, "loss"):
        raise InputError(f"{run}: is a run of another experiment; name an LSTM's")
    return summary


def load(run: Path) -> Saved:
    """The ensemble of a run.

    Raises:
        InputError: the folder holds no finished run of an own series.
    """
    found = part(read_finished(run), "forecast")
    if not found:
        raise InputError(f"{run}: is no run of an own series; name one of train --data")
    params, meta, _ = load_params(run / "checkpoints")
    try:
        fitted = from_json(found, params["best"])
        counts = [meta["hidden"], meta["seeds"], meta["layers"]]
        names = [str(name) for name in meta["columns"]]
        if len(fitted.errors) != len(counts[0]) * counts[1]:
            raise ValueError("numbers that do not go together")
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise not_a_run(run, error) from error
    return Saved(fitted, {"cell": "lstm"} | meta | {"columns": names}, found)


class Network(NamedTuple):
    """One network of a sine's run, or of a run of 0.1.

    Attributes:
        params: with a leading axis of 1.
        size, seed: which it is.
        window: steps that it was trained on.
        columns, scaling: of the series.
    """

    params: Any
    size: int
    seed: int
    window: int
    columns: list[str]
    scaling: Scaling

    @property
    def who(self) -> str:
        """In words."""
        return f"{self.size} hidden units (seed {self.seed}: the lowest training loss)"


def load_network(run: Path, network: str | None) -> Network:
    """The network of the lowest loss, of all or as ``--network`` says.

    Raises:
        InputError: it is no finished run, or has no such network.
    """
    losses = part(read_finished(run), "loss")
    params, meta, _ = load_params(run / "checkpoints")
    try:
        size, seed = choose(losses, network, run)
        scaling = Scaling(*(np.asarray(meta[k], np.float64) for k in ("mean", "deviation")))
        members = members_of(meta["hidden"], range(meta["seeds"]))
        (n,) = np.flatnonzero((members.units == size) & (members.seeds == seed))
        columns, window = list(meta["columns"]), int(meta["window"])
    except InputError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise not_a_run(run, error) from error
    own = {key: {k: v[n : n + 1] for k, v in layer.items()} for key, layer in params.items()}
    return Network(own, size, seed, window, columns, scaling)


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


def not_a_run(run: Path, error: Exception) -> InputError:
    """The refusal of a folder whose files do not go together."""
    text = f"is not what an LSTM's run leaves ({reason(error)}); name another run"
    return InputError(f"{run}: {text}")


def write_series(series: Series) -> bytes:
    """A series as CSV, a row for each step, after its time where it has one."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    times = [] if series.times is None else [["time", *map(show_time, series.times)]]
    numbers = [
        [name, *map(repr, own)]
        for name, own in zip(series.names, series.values.T.tolist(), strict=True)
    ]
    lines.writerows(zip(*times, *numbers, strict=True))
    return text.getvalue().encode()


def load_series(run: Path) -> Series:
    """The series that a run was trained on, sorted and filled: what `write_series` wrote.

    Raises:
        InputError: the run is of an earlier version and has none, or it was changed.
    """
    path = run / SERIES
    if not path.is_file():
        raise InputError(f"{run}: holds no {SERIES}; name the table whose last rows go on")
    axis = part(part(read_record(run), "series"), "times")
    try:
        names, *rows = csv.reader(io.StringIO(read_bytes(path, LARGEST).decode()))
        columns = [list(column) for column in zip(*rows, strict=True)]
        times, step = None, None
        if axis:
            times = np.array(columns.pop(0), axis["dtype"])
            names = names[1:]
            found = find_step(times)
            step = None if found is None else found[0]
        values = np.array(columns, np.float64).T
        if (step is None and axis) or not np.isfinite(values).all() or len(names) != len(columns):
            raise ValueError("no regular series of numbers")
    except (OSError, LookupError, TypeError, ValueError) as error:
        text = f"is not what the run was trained on ({reason(error)}); name its table instead"
        raise InputError(f"{path}: {text}") from error
    return Series(values=np.ascontiguousarray(values), names=tuple(names), times=times, step=step)


def reading_of(run: Path) -> dict[str, Any]:
    """How the run's own series was read, and its period; columns alone in runs of 0.1."""
    series: dict[str, Any] = {}
    with contextlib.suppress(InputError):
        series = part(read_record(run), "series")
    took, columns, found = part(series, "reading"), series.get("columns"), dict[str, Any]()
    if isinstance(columns, list):
        names = took.get("column")
        same = isinstance(names, list) and len(names) == len(columns)
        found["column"] = [str(name) for name in (names if same else columns)]
    for name, allowed in (("time", None), ("id", None), ("decimal", DECIMALS), ("missing", FILLS)):
        value = took.get(name)
        if isinstance(value, str) and (allowed is None or value in allowed):
            found[name] = value
    period = series.get("period")
    return found | ({"period": period} if isinstance(period, int) and period > 1 else {})


def to_json(fitted: fit.Fitted) -> dict[str, Any]:
    """A fitted ensemble without its parameters; `from_json` reads it."""

    def bands(own: Bands) -> dict[str, Any]:
        return {name: array.tolist() for name, array in own._asdict().items()}

    setup = fitted.setup
    return {
        "setup": setup._asdict()
        | {
            "transform": setup.transform._asdict(),
            "scaling": {k: v.tolist() for k, v in setup.scaling._asdict().items()},
            "rows": list(setup.rows),
        },
        "members": [fitted.members.units.tolist(), fitted.members.seeds.tolist()],
        "errors": np.asarray(fitted.errors, np.float64).tolist(),
        "sizes": list(fitted.sizes),
        "unlearnt": fitted.unlearnt,
        "naive": fitted.naive,
        "validation": fitted.validation
        | {"sizes": {str(k): v for k, v in fitted.validation["sizes"].items()}},
        "bands": bands(fitted.bands),
        "naive_bands": bands(fitted.naive_bands),
    }


def from_json(found: dict[str, Any], params: Any) -> fit.Fitted:
    """What `to_json` wrote, with the parameters of its checkpoint.

    Raises:
        AttributeError, LookupError, TypeError, ValueError: it is not that.
    """
    own = found["setup"]
    setup = fit.Setup(
        Transform(**{k: type(v)(own["transform"][k]) for k, v in _PLAIN._asdict().items()}),
        Scaling(*(np.array(own["scaling"][k], np.float64) for k in Scaling._fields)),
        *(int(own[name]) for name in ("window", "horizon", "length", "period")),
        rows=tuple(map(int, own["rows"])),  # type: ignore
    )
    units, seeds = (np.array(numbers, np.int32) for numbers in found["members"])
    if not setup.transform.seasons > 0 <= setup.transform.lag or len(units) != len(seeds):
        raise ValueError("numbers that do not go together")

    def bands(name: str) -> Bands:
        return Bands(*(np.array(found[name][k], np.float64) for k in Bands._fields))

    return fit.Fitted(
        *(setup, Members(units, seeds), params, np.array(found["errors"], np.float64)),
        *(tuple(map(int, found["sizes"])), bool(found["unlearnt"])),
        *(bool(found["naive"]), dict(found["validation"])),
        *(bands("bands"), bands("naive_bands")),
    )


_PLAIN = Transform(log=False, lag=0)
