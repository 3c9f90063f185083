"""LSTM prediction of a sine, or of a series of your own: a sweep of hidden sizes in one program.

    python -m experiments.lstm_sine                                  the seed's post, 8 seeds
    python -m experiments.lstm_sine --csv flow.csv --column level --period 24
    python -m experiments.lstm_sine predict --checkpoint runs/lstm_sine --input flow.csv --length 48

The post: a sine of 50 steps a cycle, 100 cycles; an epoch is one mini-batch of windows cut at
random; LSTMs of 2, 3, 4 and 5 hidden units; mean squared error; closed-loop prediction. Its batch,
window, number of epochs and optimiser are not known: the defaults here are ours. All sizes and
seeds train as one program, in about 12 seconds on 2 CPU cores.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from jax.sharding import Mesh

from experiments import lstm_results, lstm_train
from experiments.command import Bar, check_least, main, parse
from experiments.compiling import Compiling, started
from experiments.devices import Devices, train_everywhere
from jaxdl.errors import InputError
from jaxdl.mesh import core_mesh

# What a run's results do not depend on: may differ when a run is resumed.
FREE = ("out", "overwrite", "resume", "devices", "compiling")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Train LSTMs of several hidden sizes and seeds on one series, as one program.

    `predict --help` and `plan --help` tell about the other commands: what comes after a series of
    yours; memory, exchange and speed on many devices.
    """

    preset: Literal["post", "demo"] = "post"
    """Where the other defaults come from; demo is a part of `make run`."""
    out: Path = Path("runs/lstm_sine")
    """Run folder: checkpoints, metrics, predictions.json, report.html."""
    resume: bool = True
    """Go on where the run folder stopped; --no-resume refuses a folder that holds a run."""
    overwrite: bool = False
    """Delete the run folder first."""
    steps_per_cycle: int = 50
    """Of the sine."""
    cycles: int = 100
    """Of the sine that is trained on; what comes after them is the truth of the predictions."""
    csv: Path | None = None
    """A series of your own in place of the sine: commas, one step a line, a line of names first."""
    column: tuple[str, ...] = ()
    """Columns of --csv to learn together; none: every column."""
    tail: int | None = None
    """Last steps of --csv that are not trained on but predicted; by default a fifth of them."""
    period: int | None = None
    """Of the seasonal naive baseline: it repeats so many steps. By default a cycle of the sine;
    with --csv 1, the last value."""
    hidden: tuple[int, ...] = (2, 3, 4, 5)
    """Hidden sizes."""
    seeds: int = 8
    """Networks of each size."""
    layers: int = 1
    """LSTM layers."""
    window: int = 50
    """Steps that the network is given in training."""
    batch: int = 32
    """Windows in a mini-batch."""
    epochs: int = 4000
    """Mini-batches; a multiple of --every."""
    every: int = 10
    """Epochs between two points of the learning curves, the mean of as many losses."""
    optimizer: Literal["momentum", "adam"] = "momentum"
    """momentum SGD, or Adam as Chainer has it."""
    learning_rate: float = 0.1
    """About 0.01 for adam."""
    momentum: float = 0.9
    """Of --optimizer momentum."""
    given: tuple[int, ...] = (50, 25)
    """Steps given to the predictions that are drawn, one number for each."""
    length: tuple[int, ...] = (50, 75)
    """Steps predicted from each of these."""
    seed: int = 0
    """Of all starts and windows."""
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
    check_least(cfg, 1, ("window", "seeds", "layers", "batch", "epochs", "every", "cycles"))
    for name in ("hidden", "given", "length"):
        if not getattr(cfg, name):
            raise InputError(f"--{name}: name at least one number")
    check_least(cfg, 1, ("hidden", "given", "length"))
    check_least(cfg, 2, ("steps_per_cycle",))
    check_least(cfg, 0, ("seed", "momentum"))
    if len(cfg.given) != len(cfg.length):
        raise InputError(f"--given {cfg.given} and --length {cfg.length}: give as many of each")
    if len(set(cfg.hidden)) < len(cfg.hidden):
        raise InputError(f"--hidden {cfg.hidden}: name each size once")
    if not cfg.learning_rate > 0:
        raise InputError(f"--learning-rate {cfg.learning_rate}: must be above 0")
    if cfg.epochs % cfg.every:
        raise InputError(f"--epochs {cfg.epochs}: must be a multiple of --every {cfg.every}")
    if cfg.period is not None and not 1 <= cfg.period <= cfg.window:
        raise InputError(f"--period {cfg.period}: must be 1 to {cfg.window}, the window's length")
    if cfg.csv is None:
        for name in ("column", "tail"):
            if getattr(cfg, name) not in ((), None):
                raise InputError(f"--{name} goes with --csv FILE")
    elif cfg.tail is not None:
        check_least(cfg, max(cfg.length), ("tail",))


def run(cfg: Config, bar: Bar) -> dict:
    """Train (or go on with) the sweep; returns and writes the summary (process 0 alone)."""
    check(cfg)
    series = lstm_train.open_series(cfg)

    cores = core_mesh(len(cfg.hidden) * cfg.seeds) if cfg.devices.mesh is None else None

    def train(config: dict[str, Any], record: dict[str, Any] | None, mesh: Mesh | None) -> dict:
        return lstm_train.train_run(cfg, series, config, record, mesh or cores, bar)

    summary = train_everywhere(
        cfg, bar, train, free=FREE, parts=["lstm_sine"], inputs=lstm_train.input_files(cfg)
    )
    if summary:
        lstm_results.tell(summary, bar)
        bar.line(f"report: {cfg.out / 'report.html'}")
        bar.warn(summary.get("warnings", ()))
    return summary


if __name__ == "__main__":
    if sys.argv[1:2] == ["predict"]:
        from experiments import lstm_predict

        main(lambda: lstm_predict.predict(sys.argv[2:]))
    elif sys.argv[1:2] == ["plan"]:
        from experiments import plan  # the other experiments', too

        main(lambda: plan.lstm_sine(sys.argv[2:], Config, PRESETS))
    else:
        prog = "python -m experiments.lstm_sine"
        main(lambda: run(started(parse(Config, PRESETS, sys.argv[1:], prog)), Bar()))
