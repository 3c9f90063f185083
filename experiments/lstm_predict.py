"""``python -m experiments.lstm_sine predict``: what comes after a series, by a trained run."""

import csv
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import jax.numpy as jnp
import numpy as np
import tyro
from jaxtyping import Float
from matplotlib.figure import Figure

from experiments.command import Bar
from experiments.compiling import Compiling, started
from jaxdl import checkpoint, forecast, prediction, report
from jaxdl.atomic import check_output, write_bytes
from jaxdl.data import sine
from jaxdl.errors import InputError
from jaxdl.figures import INK, TEST, style_axes
from jaxdl.limits import reason
from jaxdl.notes import clip, part


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Predict:
    """Predict the next steps of a series, in closed loop, by one network of a run."""

    checkpoint: Path
    """Run folder of `python -m experiments.lstm_sine`, finished."""
    input: Path
    """CSV file with the run's columns; its last steps are given to the network."""
    length: int = 50
    """Steps to predict."""
    given: int | None = None
    """Last steps of the input that the network is given; by default the run's window."""
    hidden: int | None = None
    """Hidden size; by default that of the lowest loss. Of its seeds, the lowest loss is taken."""
    way: Literal["window", "carry"] = "carry"
    """carry keeps the state, a step for each value; window reads the whole window anew."""
    out: Path = Path("prediction.csv")
    """Predicted steps, a line each; the picture beside it has the same name with .png."""
    compiling: Annotated[Compiling, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=Compiling
    )
    """Compiled programs."""


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


def predict(argv: Sequence[str]) -> None:
    """The command."""
    prog = "python -m experiments.lstm_sine predict"
    cfg = started(tyro.cli(Predict, args=list(argv), prog=prog))
    if cfg.length < 1:
        raise InputError(f"--length {cfg.length}: must be 1 or more")
    if cfg.out.suffix.lower() == ".png":
        raise InputError(f"--out {cfg.out}: is for the predicted steps; name it .csv")
    check_output(cfg.out, [cfg.input])
    picture = cfg.out.with_suffix(".png")
    check_output(picture, [cfg.input])
    if not (cfg.checkpoint / "summary.json").is_file():
        raise InputError(f"{cfg.checkpoint}: holds no finished run; name one, or finish it first")
    summary = report.read_json(cfg.checkpoint / "summary.json")
    losses = part(part(summary if isinstance(summary, dict) else {}, "lstm_sine"), "loss")
    if not losses:
        raise InputError(f"{cfg.checkpoint}: is a run of another experiment; name an LSTM's")
    params, meta, _ = checkpoint.load_params(cfg.checkpoint / "checkpoints")
    try:
        size, seed = choose(losses, cfg.hidden, cfg.checkpoint)
        given = int(meta["window"]) if cfg.given is None else cfg.given
        scaling = sine.Scaling(*(np.asarray(meta[k], np.float64) for k in ("mean", "deviation")))
        members = forecast.members_of(meta["hidden"], range(meta["seeds"]))
        (n,) = np.flatnonzero((members.units == size) & (members.seeds == seed))
    except InputError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        text = f"is not what an LSTM's run leaves ({reason(error)}); name another run"
        raise InputError(f"{cfg.checkpoint}: {text}") from error
    names, series = read_columns(cfg.input, meta["columns"])
    if not 1 <= given <= len(series):
        raise InputError(
            f"{cfg.input}: {len(series)} steps, and {given} are to be given to the network; "
            f"give --given 1 to {len(series)}, or a longer series"
        )
    window = jnp.asarray(sine.to_float32(scaling.apply(series[-given:])))[:, None]
    own = {key: {k: v[n : n + 1] for k, v in layer.items()} for key, layer in params.items()}
    found = prediction.predict(own, window, length=cfg.length, way=cfg.way)
    values = scaling.undo(np.asarray(found[0, :, 0]))
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["step", *names])
    for step, line in enumerate(values.tolist(), len(series) + 1):
        lines.writerow([step, *(f"{value:.7g}" for value in line)])
    write_bytes(cfg.out, text.getvalue().encode())
    draw(series[-4 * given :], values, names, len(series), picture)
    bar = Bar()
    bar.line(f"{cfg.input}: {given} steps given, {cfg.length} predicted by {size} hidden units")
    bar.line(f"written: {cfg.out}, {picture}")


def read_columns(path: Path, columns: list[str]) -> tuple[list[str], Float[np.ndarray, "n f"]]:
    """The run's columns of a file; a file of one column need not call it the same."""
    if len(columns) > 1:
        return sine.read_csv(path, columns)
    names, values = sine.read_csv(path)
    return (names, values) if len(names) == 1 else sine.read_csv(path, columns)


def draw(
    before: Float[np.ndarray, "g f"],
    values: Float[np.ndarray, "l f"],
    names: Sequence[str],
    steps: int,
    path: Path,
) -> None:
    """The end of the series and what is predicted, a panel for each column."""
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
    write_bytes(path, file.getvalue())
