"""LSTM prediction of a sine, or of a series of your own: a sweep of hidden sizes in one program.

    python -m experiments.lstm_sine                                  the seed's post, 8 seeds
    python -m experiments.lstm_sine --csv flow.csv --column level --period 24
    python -m experiments.lstm_sine predict --checkpoint runs/lstm_sine --input flow.csv --length 48

The post: a sine of 50 steps a cycle, 100 cycles; an epoch is one mini-batch of windows cut at
random; LSTMs of 2, 3, 4 and 5 hidden units; mean squared error; closed-loop prediction. Its batch,
window, number of epochs and optimiser are not known: the defaults here are ours. All sizes and
seeds train as one program, in about 12 seconds on 2 CPU cores.
"""

from collections.abc import Sequence
from typing import Any

from jax.sharding import Mesh

from jaxdl.cli.command import main, parse
from jaxdl.cli.compiling import started
from jaxdl.cli.launch import train_everywhere
from jaxdl.cli.progress import Bar
from jaxdl.devices.mesh import core_mesh
from jaxdl.lstm import dataset, evaluate
from jaxdl.lstm.config import FREE, PRESETS, Config, check
from jaxdl.lstm.train import input_files, train_run


def run(cfg: Config, bar: Bar) -> dict:
    """Train (or go on with) the sweep; returns and writes the summary (process 0 alone)."""
    check(cfg)
    series = dataset.open_series(cfg)

    cores = core_mesh(len(cfg.hidden) * cfg.seeds) if cfg.devices.mesh is None else None

    def train(config: dict[str, Any], record: dict[str, Any] | None, mesh: Mesh | None) -> dict:
        return train_run(cfg, series, config, record, mesh or cores, bar)

    summary = train_everywhere(
        cfg, bar, train, free=FREE, parts=["lstm_sine"], inputs=input_files(cfg)
    )
    if summary:
        evaluate.tell(summary, bar)
        bar.line(f"report: {cfg.out / 'report.html'}")
        bar.warn(summary.get("warnings", ()))
    return summary


def command(name: str, words: Sequence[str]) -> None:
    """``jaxdl lstm NAME WORDS``: train, predict or plan."""
    prog = f"jaxdl lstm {name}"
    if name == "predict":
        from jaxdl.lstm import predict

        main(lambda: predict.predict(words, prog))
    elif name == "plan":
        from jaxdl.lstm import plan_command  # what only plans is imported when asked for

        main(lambda: plan_command.run(words, prog, Config, PRESETS))
    else:
        main(lambda: run(started(parse(Config, PRESETS, words, prog)), Bar()))
