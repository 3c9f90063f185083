"""Options of the LSTM sweep, and their presets."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from jaxdl.cli.compiling import Compiling
from jaxdl.cli.devices import Devices
from jaxdl.cli.options import Range, check_ranges
from jaxdl.errors import InputError

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

    preset: Literal["post", "demo"] = "post"
    """The preset chooses the defaults of all other options; demo is a part of `make run`."""
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
    """A series of your own replaces the sine: a CSV file with a line of names, then a step a
    line."""
    column: tuple[str, ...] = ()
    """Columns of --data to learn together; by default all of them."""
    test_steps: Annotated[int | None, Range(1)] = None
    """The last steps of --data are not trained on but predicted; by default a fifth of them."""
    period: Annotated[int | None, Range(1)] = None
    """The seasonal naive baseline repeats the value of so many steps before. By default that is a
    cycle of the sine; with --data it is 1, the last value."""
    hidden: Annotated[tuple[int, ...], Range(1, 100_000)] = (2, 3, 4, 5)
    """Hidden sizes."""
    seeds: Annotated[int, Range(1, 1_000_000)] = 8
    """Networks of each size."""
    layers: Annotated[int, Range(1, 32)] = 1
    """LSTM layers."""
    window: Annotated[int, Range(1)] = 50
    """The networks read so many steps in training."""
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
    """The drawn predictions are given so many steps, one number for each."""
    horizon: Annotated[tuple[int, ...], Range(1)] = (50, 75)
    """Each of them predicts so many steps, one number for each."""
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
}


def check(cfg: Config) -> None:
    """Refuse what cannot be trained, in one line, before anything else is done."""
    check_ranges(cfg)
    for name in ("hidden", "context", "horizon"):
        if not getattr(cfg, name):
            raise InputError(f"--{name}: name at least one number")
    if len(cfg.context) != len(cfg.horizon):
        raise InputError(
            f"--context {cfg.context} and --horizon {cfg.horizon}: give as many of each"
        )
    if len(set(cfg.hidden)) < len(cfg.hidden):
        raise InputError(f"--hidden {cfg.hidden}: name each size once")
    if cfg.steps % cfg.log_every:
        raise InputError(f"--steps {cfg.steps}: must be a multiple of --log-every {cfg.log_every}")
    if cfg.period is not None and cfg.period > cfg.window:
        raise InputError(f"--period {cfg.period}: must be 1 to {cfg.window}, the window's length")
    if cfg.data is None:
        for name in ("column", "test_steps"):
            if getattr(cfg, name) not in ((), None):
                raise InputError(f"--{name.replace('_', '-')} goes with --data FILE")
    elif cfg.test_steps is not None and cfg.test_steps < max(cfg.horizon):
        least = max(cfg.horizon)
        raise InputError(f"--test-steps {cfg.test_steps}: must be {least} or more, the --horizon")
