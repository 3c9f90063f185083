"""All three systems on embedded data: what `make run` does, as scripts.

    python -m experiments.demo           5 minutes on 2 CPU cores

Runs `experiments.fcn`, `experiments.word2vec` and `experiments.lstm_sine` one after the other.
`make run` trains the same with a report: runs/demo/report.html.
"""

import dataclasses

from experiments import fcn, lstm_sine, start, word2vec
from jaxdl.fcn.config import PRESETS, Config


def experiment(cfg: Config) -> None:
    """Each in a folder of its own below ``cfg.out``."""
    fcn.experiment(dataclasses.replace(cfg, out=cfg.out / "fcn"))
    words, sine = word2vec.PRESETS["demo"], lstm_sine.PRESETS["demo"]
    word2vec.experiment(dataclasses.replace(words, out=cfg.out / "word2vec", seed=cfg.seed))
    lstm_sine.experiment(dataclasses.replace(sine, out=cfg.out / "lstm", seed=cfg.seed))


if __name__ == "__main__":
    start(experiment, PRESETS["demo"], "make run, or jaxdl SUBJECT train")
