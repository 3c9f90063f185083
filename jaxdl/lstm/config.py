"""Options of the LSTM sweep, and their presets."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from jaxdl.cli.compiling import Compiling
from jaxdl.cli.devices import Devices
from jaxdl.cli.options import Range, check_ranges
from jaxdl.errors import InputError
from jaxdl.lstm.choices import Cell, Decimal, Difference, Log, Missing

# What a run's results do not depend on: may differ when a run is resumed.
RESUMABLE = ("out", "overwrite", "resume", "devices", "compiling")
# Names of 0.1 -> today's.
RENAMED = {
    "csv": "data",
    "tail": "test_steps",
    "batch": "batch_size",
    "epochs": "steps",
    "every": "log_every",
    "given": "context",
    "length": "horizon",
}
GONE = ("epochs", "every")  # refused as flags: elsewhere an epoch is a pass over the data


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Train LSTMs of several hidden sizes and seeds on one series, as one program."""

    preset: Literal["post", "demo", "series"] = "post"
    """The preset chooses the defaults of all other options. With --data it is series, which fits
    the lengths to your series; demo is a part of `make run`."""
    out: Path = Path("runs/lstm_sine")
    """The run folder gets checkpoints, metrics, predictions.json and report.html."""
    resume: bool = True
    """A run that stopped is resumed; --no-resume refuses a folder that holds a run."""
    overwrite: bool = False
    """It trains again from the start; a killed command resumes its own run."""
    steps_per_cycle: Annotated[int, Range(2)] = 50
    """The sine has so many steps in a cycle."""
    cycles: Annotated[int, Range(1)] = 100
    """The networks train on so many cycles of the sine and predict what comes after them."""
    data: Path | None = None
    """A series of your own replaces the sine: a table, CSV of any separator and encoding (.gz too)
    or parquet, a row a step."""
    column: tuple[str, ...] = ()
    """Names or numbers of the columns of --data to learn together; by default the only one that
    holds numbers."""
    time: str | None = None
    """Name or number of the column of times; by default the one that holds dates, years or epoch
    seconds. none takes the rows in the order of the file."""
    id: str | None = None
    """COLUMN=VALUE takes one of several series that stand below each other."""
    decimal: Decimal | None = None
    """Numbers are written as 1,234.5 (point) or 1.234,5 (comma); by default they tell it
    themselves."""
    missing: Missing | None = None
    """Missing values and rows are refused (error, the default), or filled: by straight lines, by
    the last value, or by the lines over the mean of each step of the period."""
    test_steps: Annotated[int | None, Range(1)] = None
    """The last steps of --data are not trained on but predicted; by default a fifth of them."""
    period: Annotated[int | None, Range(1)] = None
    """The seasonal naive baseline repeats the value of so many steps before. By default that is a
    cycle of the sine; of --data it is found, or else the last value is repeated."""
    difference: Difference = "auto"
    """The networks learn changes of --data: of successive rows (first), from a period before
    (seasonal), or the values (none); auto chooses on the rows to train on."""
    log: Log = "auto"
    """Logarithms of --data are taken where its spread grows with its level, or never (none)."""
    hidden: Annotated[tuple[int, ...], Range(1, 100_000)] = (2, 3, 4, 5)
    """Hidden sizes."""
    seeds: Annotated[int, Range(1, 1_000_000)] = 8
    """Networks of each size."""
    start_from: Path | None = None
    """The networks of a run of an own series are trained on, with their transform and scaling:
    --data has more rows, or another series of the same columns."""
    layers: Annotated[int, Range(1, 32)] = 1
    """Recurrent layers."""
    cell: Cell = "lstm"
    """The layers are LSTMs, or GRUs, which have a quarter fewer weights and one state, not two."""
    window: Annotated[int | None, Range(1)] = 50
    """The networks read so many steps in training; of --data by default two periods, or 50."""
    batch_size: Annotated[int, Range(1)] = 32
    """Windows in a mini-batch."""
    steps: Annotated[int, Range(1)] = 4000
    """Mini-batches to train on, a multiple of --log-every. The 2016 posts call one an epoch."""
    log_every: Annotated[int, Range(1)] = 10
    """A point of the learning curves is the mean of so many mini-batches."""
    optimizer: Literal["momentum", "adam"] = "momentum"
    """The optimiser is SGD with momentum, or Adam as Chainer has it."""
    learning_rate: Annotated[float, Range(0, above=True)] = 0.1
    """Learning rate; about 0.01 for adam."""
    momentum: Annotated[float, Range(0, 1)] = 0.9
    """Momentum of --optimizer momentum."""
    context: Annotated[tuple[int, ...], Range(1)] = (50, 25)
    """The drawn predictions are given so many steps, one number for each; of --data by default a
    window."""
    horizon: Annotated[tuple[int, ...], Range(1)] = (50, 75)
    """Each of them predicts so many steps, one number for each; of --data by default two periods,
    or 50, and no more than a fifth of the rows."""
    seed: Annotated[int, Range(0)] = 0
    """Random seed of all starts and windows."""
    devices: Annotated[Devices, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Devices)
    """Many devices, many hosts. Without --mesh the networks are spread over a CPU's cores."""
    compiling: Annotated[Compiling, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=Compiling
    )
    """Compiled programs."""


PRESETS = {
    "post": Config(),
    "demo": Config(preset="demo", out=Path("runs/demo/lstm")),
    # What is not given is fitted to the series: `jaxdl.lstm.lengths`.
    "series": Config(
        preset="series",
        window=None,
        context=(),
        horizon=(),
        optimizer="adam",
        learning_rate=0.01,
        steps=1000,
        seeds=3,
        log_every=20,
    ),
}


def choose_preset(words: Sequence[str]) -> str | None:
    """The preset of a command line that names none."""
    names = ("--data", "--csv")
    return "series" if any(word.partition("=")[0] in names for word in words) else None


def check(cfg: Config) -> None:
    """Refuse what cannot be trained, in one line, before anything else is done."""
    check_ranges(cfg)
    if not cfg.hidden:
        raise InputError("--hidden: name at least one number")
    if cfg.context and cfg.horizon and len(cfg.context) != len(cfg.horizon):
        raise InputError(
            f"--context {cfg.context} and --horizon {cfg.horizon}: give as many of each"
        )
    if len(set(cfg.hidden)) < len(cfg.hidden):
        raise InputError(f"--hidden {cfg.hidden}: name each size once")
    if cfg.steps % cfg.log_every:
        raise InputError(f"--steps {cfg.steps}: must be a multiple of --log-every {cfg.log_every}")
    if cfg.period is not None and cfg.window is not None and cfg.period > cfg.window:
        raise InputError(
            f"--period {cfg.period}: must be 1 to {cfg.window}, the window's length; raise --window"
        )
    if cfg.data is None:
        own = ("column", "time", "id", "decimal", "missing", "test_steps", "difference", "log")
        for name in own:
            if getattr(cfg, name) not in ((), None, "auto"):
                raise InputError(f"--{name.replace('_', '-')} goes with --data FILE")
        if cfg.window is None or not cfg.context or not cfg.horizon:
            raise InputError("--preset series goes with --data FILE")
