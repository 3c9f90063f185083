"""LSTM prediction of a sine, or of a series of your own: a sweep of hidden sizes in one program.

    jaxdl lstm train                                              the 2016 post, 8 seeds
    jaxdl lstm train --data flow.csv --out runs/flow
    jaxdl lstm predict runs/flow flow.csv --horizon 48

The post: a sine of 50 steps a cycle, 100 cycles; an epoch is one mini-batch of windows cut at
random; LSTMs of 2, 3, 4 and 5 hidden units; mean squared error; closed-loop prediction. Its batch,
window, number of epochs and optimiser are not known: the defaults here are ours. All sizes and
seeds train as one program, in about 12 seconds on 2 CPU cores.

Only options are read here; what a command does is imported when it does it.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from jaxdl.cli import plan_options
from jaxdl.cli.command import main, parse
from jaxdl.cli.compiling import Compiling, started
from jaxdl.cli.devices import NAMES as DEVICES
from jaxdl.cli.options import Command, Range
from jaxdl.cli.progress import Bar
from jaxdl.lstm.choices import Decimal, ExportFormat, Missing, Mode
from jaxdl.lstm.config import GONE, PRESETS, RENAMED, RESUMABLE, Config, check, choose_preset

if TYPE_CHECKING:
    from jax.sharding import Mesh

TRAIN = Command(
    prog="jaxdl lstm train",
    about="Train LSTMs of several hidden sizes and seeds on one series, as one program.",
    options=Config,
    presets=PRESETS,
    where=RESUMABLE,
    groups={
        "Data": (
            *("preset", "data", "column", "time", "id", "decimal", "missing", "test_steps"),
            *("period", "context", "horizon", "difference", "log", "steps_per_cycle", "cycles"),
        ),
        "Model": ("hidden", "seeds", "layers", "cell", "start_from"),
        "Training": (
            *("steps", "batch_size", "window", "optimizer", "learning_rate", "momentum"),
            *("seed",),
        ),
        "Output": ("out", "resume", "overwrite", "log_every"),
        "Devices": (*DEVICES, "compile_cache"),
    },
    examples=(
        ("jaxdl lstm train", "The sine of the 2016 post, 32 networks; 12 seconds on 2 cores."),
        (
            "jaxdl lstm train --data flow.csv --column level --missing interpolate",
            "One column of a table of your own; its dates are found, its gaps filled.",
        ),
    ),
    renamed=RENAMED,
    gone=GONE,
    choose=choose_preset,
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Predict:
    """What `predict` reads and writes."""

    run: Annotated[Path, tyro.conf.Positional]
    """The folder of a finished run."""
    input: Annotated[Path | None, tyro.conf.Positional] = None
    """A table with the run's columns, such as the one that was trained on, with more rows; its last
    steps are given to the network, and its dates go on. By default what the run was trained on."""
    column: tuple[str, ...] = ()
    """Names or numbers of the columns; by default those of the run, or the only one that holds
    numbers."""
    time: str | None = None
    """Name or number of the column of times; none takes the rows in the order of the file."""
    id: str | None = None
    """COLUMN=VALUE takes one of several series that stand below each other."""
    decimal: Decimal | None = None
    """Numbers are written as 1,234.5 (point) or 1.234,5 (comma)."""
    missing: Missing | None = None
    """Missing values and rows: see `jaxdl lstm train --help`. What is not given is as in the
    run."""
    horizon: Annotated[int | None, Range(1)] = None
    """Steps to predict; by default as many as the run measured, 50 of a run of the sine."""
    context: Annotated[int | None, Range(1)] = None
    """The network of a run of the sine is given so many last steps; by default its window."""
    network: str | None = None
    """best, SIZE or SIZE:SEED. By default all networks that the validation part kept forecast
    together; of a run of the sine the one of the lowest loss."""
    mode: Mode = "carry"
    """carry keeps the state, a step for each value; window, of a run of the sine, reads the whole
    window each time."""
    out: Path = Path("prediction.csv")
    """Predicted steps are written to this file, a line each with its time, and a picture beside it
    (.png). Of earlier files only this command's own are replaced."""
    compiling: Annotated[Compiling, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=Compiling
    )
    """Compiled programs."""


PREDICT = Command(
    prog="jaxdl lstm predict",
    about="Predict the next steps of a series, in closed loop, by the networks of a run.",
    options=Predict,
    groups={
        "Data": (
            *("run", "input", "column", "time", "id", "decimal", "missing", "horizon", "context"),
        ),
        "Model": ("network", "mode"),
        "Output": ("out",),
        "Devices": ("compile_cache",),
    },
    examples=(
        ("jaxdl lstm predict runs/flow --horizon 48", "The next 48 steps."),
        (
            "jaxdl lstm predict runs/flow flow.csv --network 4:0 --out next.csv",
            "The same by one network: 4 units, the first seed.",
        ),
    ),
    renamed={
        "checkpoint": "run",
        "input": "input",
        "data": "input",
        "length": "horizon",
        "given": "context",
        "way": "mode",
        "hidden": "network",
    },
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What `export` reads and writes."""

    run: Annotated[Path, tyro.conf.Positional]
    """A folder of a finished run."""
    format: ExportFormat = "onnx"
    """onnx: a graph that takes the last rows of a series and gives the steps that follow, scaling
    and bands inside (pip install 'jaxdl-functional[onnx]'). page: forecast.html, one file that
    forecasts in a browser, without a server."""
    network: str | None = None
    """best, SIZE or SIZE:SEED. By default all networks that the validation part kept forecast
    together; of a run of the sine the one of the lowest loss."""
    out: Path = Path("exported")
    """The graph with README.md and example.py, or the page, is written into this folder. Of earlier
    files only this command's own are replaced."""


EXPORT = Command(
    prog="jaxdl lstm export",
    about="Write what `jaxdl lstm predict` uses of a run for other programs, or as a page.",
    options=Export,
    groups={"Data": ("run",), "Model": ("network",), "Output": ("format", "out")},
    examples=(
        ("jaxdl lstm export runs/flow --format onnx", "Its networks as a graph for ONNX Runtime."),
        ("jaxdl lstm export runs/flow --format page", "The same as a page for a browser."),
    ),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan(plan_options.Options):
    """What `plan` computes."""

    columns: Annotated[int, Range(1)] = 1
    """Number of the series' columns."""
    config: Annotated[Config, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Config)
    """The run that is planned."""


PLAN = Command(
    prog="jaxdl lstm plan",
    about=plan_options.ABOUT,
    options=Plan,
    presets={name: Plan(config=config) for name, config in PRESETS.items()},
    groups={
        "Data": ("columns",),
        "Model": ("preset", "hidden", "seeds", "layers", "cell"),
        "Training": ("batch_size", "window", "log_every", "optimizer"),
        **plan_options.GROUPS,
    },
    examples=(
        ("jaxdl lstm plan", "The post's 32 networks on 1 to 1024 H100."),
        ("jaxdl lstm plan --seeds 256 --devices 1 8 --json plan.json", "1,024 on one host of 8."),
    ),
    renamed=RENAMED,
    gone=GONE,
)
COMMANDS = {"train": TRAIN, "predict": PREDICT, "export": EXPORT, "plan": PLAN}


def settled(cfg: Config) -> Config:
    """The config with what it takes from --start-from. InputError: it cannot be trained."""
    if cfg.start_from is not None:
        from jaxdl.lstm.start import settle  # which imports jax

        cfg = settle(cfg)
    check(cfg)
    return cfg


def run(cfg: Config, bar: Bar) -> dict:
    """Train (or go on with) the sweep; returns and writes the summary (process 0 alone)."""
    cfg = settled(cfg)
    from jaxdl.cli.launch import train_everywhere
    from jaxdl.devices.mesh import core_mesh
    from jaxdl.lstm import dataset, forecast_run, outcomes
    from jaxdl.lstm.train import input_files, train_run

    series = dataset.open_series(cfg)
    cores = core_mesh(len(cfg.hidden) * cfg.seeds) if cfg.devices.mesh is None else None

    def train(config: dict[str, Any], record: dict[str, Any] | None, mesh: "Mesh | None") -> dict:
        return train_run(cfg, series, config, record, mesh or cores, bar)

    summary = train_everywhere(
        cfg, bar, train, may_change=RESUMABLE, summary_keys=["lstm_sine"], inputs=input_files(cfg)
    )
    if summary:
        (outcomes if cfg.data is None else forecast_run).tell(summary, bar)
        bar.line(f"report: {cfg.out / 'report.html'}")
        bar.warn(summary.get("warnings", ()))
    return summary


def train(cfg: Config) -> None:
    """``jaxdl lstm train``."""
    settled(cfg)  # before training's modules are imported: a refusal is fast
    run(started(cfg), Bar())


def predict(options: Predict) -> None:
    """``jaxdl lstm predict``."""
    from jaxdl.lstm import predict

    started(options)
    predict.predict(
        options.run,
        options.input,
        column=options.column,
        time=options.time,
        id=options.id,
        decimal=options.decimal,
        missing=options.missing,
        horizon=options.horizon,
        context=options.context,
        network=options.network,
        mode=options.mode,
        out=options.out,
    )


def export(options: Export) -> None:
    """``jaxdl lstm export``."""
    from jaxdl.lstm.export.command import export

    export(options.run, network=options.network, format=options.format, out=options.out)


def plan(options: Plan) -> None:
    """``jaxdl lstm plan``."""
    from jaxdl.lstm import plan_command

    plan_command.run(options, options.config, columns=options.columns)


def command(name: str, words: Sequence[str]) -> None:
    """``jaxdl lstm NAME WORDS``, of COMMANDS."""
    calls = {"train": train, "predict": predict, "export": export, "plan": plan}
    main(lambda: calls[name](parse(COMMANDS[name], words)))
