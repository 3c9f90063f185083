"""``jaxdl lstm predict``: what comes after a series, by a trained run."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxdl.cli.progress import Bar
from jaxdl.devices.memory import check_memory
from jaxdl.errors import InputError
from jaxdl.files.results import Results
from jaxdl.files.text import clip, reason
from jaxdl.lstm import forecast, sweep
from jaxdl.lstm.choices import Mode
from jaxdl.lstm.series import Scaling, read_csv, to_float32
from jaxdl.report.reading import part
from jaxdl.training.checkpoint import load_params
from jaxdl.training.opening import check_overwriting
from jaxdl.training.record import read_summary


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
    horizon: int = 50,
    context: int | None = None,
    hidden: int | None = None,
    mode: Mode = "carry",
    out: Path = Path("prediction.csv"),
) -> None:
    """Write the steps that follow a series, and a picture of them beside it.

    Args:
        run: folder of a finished run.
        table: CSV file with the run's columns; its last steps are given to the network.
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
    if not (run / "summary.json").is_file():
        check_overwriting(run)
        raise InputError(f"{run}: holds no finished run; name one, or finish it first")
    losses = part(part(read_summary(run), "lstm_sine"), "loss")
    if not losses:
        raise InputError(f"{run}: is a run of another experiment; name an LSTM's")
    params, meta, _ = load_params(run / "checkpoints")
    try:
        size, seed = choose(losses, hidden, run)
        given = int(meta["window"]) if context is None else context
        scaling = Scaling(*(np.asarray(meta[k], np.float64) for k in ("mean", "deviation")))
        members = sweep.members_of(meta["hidden"], range(meta["seeds"]))
        (n,) = np.flatnonzero((members.units == size) & (members.seeds == seed))
    except InputError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        text = f"is not what an LSTM's run leaves ({reason(error)}); name another run"
        raise InputError(f"{run}: {text}") from error
    names, series = read_columns(table, meta["columns"])
    if not 1 <= given <= len(series):
        raise InputError(
            f"{table}: {len(series)} steps, and {given} are to be given to the network; "
            f"give --context 1 to {len(series)}, or a longer series"
        )
    window = jnp.asarray(to_float32(scaling.apply(series[-given:])))[:, None]
    own = {key: {k: v[n : n + 1] for k, v in layer.items()} for key, layer in params.items()}
    found = forecast.predict(own, window, length=horizon, way=mode)
    values = scaling.undo(np.asarray(found[0, :, 0]))
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["step", *names])
    for step, line in enumerate(values.tolist(), len(series) + 1):
        lines.writerow([step, *(f"{value:.7g}" for value in line)])
    results.write(out, text.getvalue().encode())
    results.write(picture, draw(series[-4 * given :], values, names, len(series)))
    bar = Bar()
    bar.line(f"{table}: {given} steps given, {horizon} predicted by {size} hidden units")
    bar.line(f"written: {out}, {picture}")


def read_columns(path: Path, columns: list[str]) -> tuple[list[str], Float[np.ndarray, "n f"]]:
    """The run's columns of a file; a file of one column need not call it the same."""
    if len(columns) > 1:
        return read_csv(path, columns)
    names, values = read_csv(path)
    return (names, values) if len(names) == 1 else read_csv(path, columns)


def draw(
    before: Float[np.ndarray, "g f"],
    values: Float[np.ndarray, "l f"],
    names: Sequence[str],
    steps: int,
) -> bytes:
    """The end of the series and what is predicted, a panel for each column, as PNG."""
    from matplotlib.figure import Figure  # takes long to import

    from jaxdl.report.plots import INK, TEST, style_axes

    figure = Figure(figsize=(9, 1.2 + 2.2 * len(names)), layout="constrained")
    panels: Any = figure.subplots(len(names), 1, squeeze=False, sharex=True)[:, 0]
    for axes, name, given, predicted in zip(panels, names, before.T, values.T, strict=True):
        axes.plot(np.arange(steps - len(given), steps) + 1, given, color=INK, lw=1.4)
        # From the last given value, so that the line has no gap.
        joined = np.concatenate([given[-1:], predicted])
        axes.plot(steps + np.arange(len(joined)), joined, "--", color=TEST, lw=1.8)
        style_axes(axes)
        label = clip(name).encode("ascii", "replace").decode()
        axes.set_ylabel(label, color=INK, parse_math=False)
    panels[-1].set_xlabel("step (dashed: predicted)", color=INK)
    file = io.BytesIO()
    figure.savefig(file, dpi=120)
    return file.getvalue()
