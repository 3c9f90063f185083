"""``jaxdl lstm predict``: what comes after a series, by a trained run."""

import contextlib
import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxdl.cli.progress import Bar
from jaxdl.devices.memory import check_memory
from jaxdl.errors import InputError
from jaxdl.files.results import Results
from jaxdl.files.text import clip, reason
from jaxdl.lstm import forecast, sweep
from jaxdl.lstm.choices import Decimal, Missing, Mode
from jaxdl.lstm.data.calendar import next_times, show_time
from jaxdl.lstm.data.read import read_series
from jaxdl.lstm.series import Scaling, Series, to_float32
from jaxdl.report.reading import part
from jaxdl.training.checkpoint import load_params
from jaxdl.training.opening import check_overwriting
from jaxdl.training.record import read_record, read_summary

DECIMALS, FILLS = get_args(Decimal), get_args(Missing)


def choose(losses: dict[str, list[float]], hidden: int | None, run: Path) -> tuple[int, int]:
    """(hidden size, seed) of the lowest loss.

    Raises:
        InputError: the run has no such size.
    """
    if hidden is not None and str(hidden) not in losses:
        raise InputError(f"--hidden {hidden}: {run} has {', '.join(losses)}")
    sizes = losses if hidden is None else [str(hidden)]
    _, size, seed = min((loss, int(s), n) for s in sizes for n, loss in enumerate(losses[s]))
    return size, seed


def predict(
    run: Path,
    table: Path,
    *,
    column: Sequence[str] = (),
    time: str | None = None,
    id: str | None = None,
    decimal: Decimal | None = None,
    missing: Missing | None = None,
    horizon: int = 50,
    context: int | None = None,
    hidden: int | None = None,
    mode: Mode = "carry",
    out: Path = Path("prediction.csv"),
) -> None:
    """Write the steps that follow a series, and a picture of them beside it.

    Args:
        run: folder of a finished run.
        table: file with the run's columns; its last steps are given to the network.
        column, time, id, decimal, missing: see `jaxdl.lstm.data.read.read_series`; what is not
            given is as in the run.
        horizon: steps to predict.
        context: last steps that the network is given; None for the run's window.
        hidden: size of the network; None for that of the lowest loss.
        mode: see `jaxdl.lstm.forecast.predict`.
        out: a line for each predicted step; the picture has the same name with .png. Earlier
            results of this command are replaced, no other files.
    """
    if out.suffix.lower() == ".png":
        raise InputError(f"--out {out}: is for the predicted steps; name it .csv")
    check_memory(f"--horizon {horizon}", 16.0 * horizon, "lower it", host=True)
    results, picture = Results("jaxdl lstm predict", [table]), out.with_suffix(".png")
    for path in (out, picture):
        results.check(path)
    network = read_network(run, hidden)
    columns, scaling = network.columns, network.scaling
    given = network.window if context is None else context
    like = _recorded(run, columns)
    options = {"column": column, "time": time, "id": id, "decimal": decimal, "missing": missing}
    read = read_series(table, **options, period=like.get("period"), like=like)
    series, names = read.series, read.series.names
    steps = len(series.values)
    if len(names) != len(columns):
        raise InputError(
            f"{table}: {len(names)} columns were chosen, but {run} learnt {len(columns)}; name as "
            "many with --column"
        )
    if not 1 <= given <= steps:
        raise InputError(
            f"{table}: {steps} steps, and {given} are to be given to the network; "
            f"give --context 1 to {steps}, or a longer series"
        )
    window = jnp.asarray(to_float32(scaling.apply(series.values[-given:])))[:, None]
    found = forecast.predict(network.params, window, length=horizon, way=mode)
    values = scaling.undo(np.asarray(found[0, :, 0]))
    results.write(out, _table(names, values, series))
    results.write(picture, draw(series, values, 4 * given))
    bar = Bar()
    for line in read.told:
        bar.line(line)
    bar.warn(read.warnings)
    who = f"{network.size} hidden units (seed {network.seed}: the lowest training loss)"
    bar.line(f"{table}: {given} steps given, {horizon} predicted by {who}")
    bar.line(f"written: {out}, {picture}")


class Network(NamedTuple):
    """One network of a run, with a leading axis of 1, and what it was trained on."""

    params: dict[str, dict[str, Any]]
    size: int
    seed: int
    window: int
    columns: list[str]
    scaling: Scaling


def read_network(run: Path, hidden: int | None) -> Network:
    """The network of the lowest loss. InputError: the run is not finished, or not an LSTM's."""
    if not (run / "summary.json").is_file():
        check_overwriting(run)
        raise InputError(f"{run}: holds no finished run; name one, or finish it first")
    losses = part(part(read_summary(run), "lstm_sine"), "loss")
    if not losses:
        raise InputError(f"{run}: is a run of another experiment; name an LSTM's")
    params, meta, _ = load_params(run / "checkpoints")
    try:
        size, seed = choose(losses, hidden, run)
        scaling = Scaling(*(np.asarray(meta[k], np.float64) for k in ("mean", "deviation")))
        members = sweep.members_of(meta["hidden"], range(meta["seeds"]))
        (n,) = np.flatnonzero((members.units == size) & (members.seeds == seed))
        columns, window = list(meta["columns"]), int(meta["window"])
    except InputError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        text = f"is not what an LSTM's run leaves ({reason(error)}); name another run"
        raise InputError(f"{run}: {text}") from error
    own = {key: {k: v[n : n + 1] for k, v in layer.items()} for key, layer in params.items()}
    return Network(own, size, seed, window, columns, scaling)


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


def _table(names: Sequence[str], values: Float[np.ndarray, "l f"], series: Series) -> bytes:
    """Predicted steps as CSV: the time or number of each, and values that read back exactly."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    if series.times is None or series.step is None:
        steps = list(map(str, range(len(series.values) + 1, len(series.values) + len(values) + 1)))
    else:
        steps = [show_time(t) for t in next_times(series.times, series.step, len(values))]
    lines.writerow(["step" if series.times is None else "time", *names])
    lines.writerows([at, *map(repr, line)] for at, line in zip(steps, values.tolist(), strict=True))
    return text.getvalue().encode()


def draw(series: Series, values: Float[np.ndarray, "l f"], shown: int) -> bytes:
    """The last `shown` rows and what is predicted, a panel for each column, as PNG."""
    from matplotlib.figure import Figure  # takes long to import

    from jaxdl.report.plots import INK, TEST, style_axes

    names, steps = series.names, len(series.values)
    at = np.arange(1, steps + len(values) + 1)
    label = "step"
    if series.times is not None and series.step is not None:
        at = np.concatenate([series.times, next_times(series.times, series.step, len(values))])
        label = "time"
        if at.dtype.kind == "M":
            at = at.astype("datetime64[D]" if np.datetime_data(at.dtype)[0] in "YM" else at.dtype)
    figure = Figure(figsize=(9, 1.2 + 2.2 * len(names)), layout="constrained")
    panels: Any = figure.subplots(len(names), 1, squeeze=False, sharex=True)[:, 0]
    for axes, name, own, predicted in zip(panels, names, series.values.T, values.T, strict=True):
        given = own[-shown:]
        axes.plot(at[steps - len(given) : steps], given, color=INK, lw=1.4)
        # From the last given value, so that the line has no gap.
        axes.plot(at[steps - 1 :], np.r_[given[-1:], predicted], "--", color=TEST, lw=1.8)
        style_axes(axes)
        text = clip(name).encode("ascii", "replace").decode()
        axes.set_ylabel(text, color=INK, parse_math=False)
    panels[-1].set_xlabel(f"{label} (dashed: predicted)", color=INK)
    file = io.BytesIO()
    figure.savefig(file, dpi=120)
    return file.getvalue()
