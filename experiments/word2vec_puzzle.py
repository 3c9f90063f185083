"""Which matrix sees which word? The puzzle of the 2016 posts' word2vec, measured.

    python -m experiments.word2vec_puzzle    about 2 minutes on 2 CPU cores

The formula takes the centre word's vector from the input matrix, Chainer's example the context
word's. Over a whole text both train on the same pairs. So vectors of both orders should agree as
well as vectors of two seeds of one order do. Expect a share of common neighbours that is not
smaller between the orders than between the seeds. experiments/README.md has the argument.
"""

import dataclasses

import numpy as np

from experiments import start
from experiments.word2vec import PRESETS, Config, experiment
from jaxdl.cli.progress import Bar
from jaxdl.word2vec.keyed_vectors import KeyedVectors

WORDS = slice(100, 600)  # ranks of the words that are compared
NEIGHBOURS = 10


def shared_neighbours(one: KeyedVectors, other: KeyedVectors) -> float:
    """Mean share of the nearest neighbours of a word that both vectors name."""
    shares = []
    for word in one.index_to_key[WORDS]:
        near = [{name for name, _ in v.most_similar(word, topn=NEIGHBOURS)} for v in (one, other)]
        shares.append(len(near[0] & near[1]) / NEIGHBOURS)
    return float(np.mean(shares))


def puzzle(cfg: Config = PRESETS["demo"]) -> dict[str, float]:
    """Both orders, and a second seed of one, in folders below ``cfg.out``."""
    context = experiment(dataclasses.replace(cfg, out=cfg.out / "context"))
    other = dataclasses.replace(cfg, orientation="center", out=cfg.out / "centre")
    second = dataclasses.replace(cfg, seed=cfg.seed + 1, out=cfg.out / "second-seed")
    found = {run.out.name: shared_neighbours(context, experiment(run)) for run in (other, second)}
    bar = Bar()
    bar.line(f"neighbours shared by the two orders, one seed: {found['centre']:.1%}")
    bar.line(f"neighbours shared by two seeds of one order: {found['second-seed']:.1%}")
    return found


if __name__ == "__main__":
    start(puzzle, PRESETS["demo"], "jaxdl word2vec train")
