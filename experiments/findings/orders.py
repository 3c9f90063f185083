"""word2vec: which matrix sees the context? Neighbours of both orders beside those of two seeds.

The posts' puzzle, `python -m experiments.word2vec_puzzle`, with more seeds, fixed and drawn
windows. Overlap is the mean share of the ten nearest neighbours that two runs both name, over the
words of rank 100 to 599.

Runs of one seed start from the same vectors, whatever their order. So the orders are compared
between two seeds as well: there a run has only the text in common with the other.
"""

import dataclasses
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.findings.finding import Check, Finding, Part, Setting, interval
from experiments.findings.text import config_of, train
from experiments.word2vec_puzzle import shared_neighbours
from jaxdl.report.plots import TEST, THIRD, TRAIN, style_axes
from jaxdl.word2vec.choices import Orientation, Shrink
from jaxdl.word2vec.keyed_vectors import KeyedVectors
from jaxdl.word2vec.vectors import Vectors

WINDOWS: dict[Shrink, str] = {"each": "drawn windows", "fixed": "fixed windows"}
ORDERS, SEEDS, BOTH = "other order", "other seed", "other order and seed"
SETTINGS: dict[str, Any] = {"epochs": 5}
QUICK: dict[str, Any] = {"epochs": 1, "dim": 8, "min_count": 1}


def measure(setting: Setting, seeds: list[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """What a run shares with one of the other order, of the next seed, and of both."""
    given = QUICK if setting.quick else SETTINGS
    cfg, corpus = config_of(setting, 400 if setting.quick else 4, **given)

    @lru_cache(maxsize=8)  # the next seed's vectors are used again
    def vectors(seed: int, orientation: Orientation, shrink: Shrink) -> KeyedVectors:
        own = dataclasses.replace(cfg, seed=seed, orientation=orientation, shrink=shrink)
        inputs = np.asarray(train(own, corpus).inputs)
        return KeyedVectors.of(Vectors(tuple(corpus.words), inputs))

    for seed in seeds:
        found: dict[str, Any] = {}
        for shrink, name in WINDOWS.items():
            setting.bar.line(f"seed {seed}: {name}")
            one = vectors(seed, "context", shrink)
            found[name] = {
                ORDERS: shared_neighbours(one, vectors(seed, "center", shrink)),
                SEEDS: shared_neighbours(one, vectors(seed + 1, "context", shrink)),
                BOTH: shared_neighbours(one, vectors(seed + 1, "center", shrink)),
            }
        yield seed, found


def judge(rows: list[dict[str, Any]]) -> list[Finding]:
    """One finding: the order changes less than the seed does, and nothing beside it."""
    columns, table, checks = ["shared with a run of", *WINDOWS.values()], [], []
    shared = {
        (name, key): 10 * np.array([row[name][key] for row in rows])
        for name in WINDOWS.values()
        for key in (ORDERS, SEEDS, BOTH)
    }
    for name in WINDOWS.values():
        order, seed, both = (shared[name, key] for key in (ORDERS, SEEDS, BOTH))
        checks.append(Check(f"{name}: other order, less other seed", interval(order - seed)))
        found = interval(both - seed)
        checks.append(Check(f"{name}: other order and seed, less other seed", found, -0.2))
    for key in (ORDERS, SEEDS, BOTH):
        table.append([key, *(interval(shared[name, key]).text() for name in WINDOWS.values())])
    return [
        Finding(
            "Which matrix sees the context?",
            "It does not matter. Of ten neighbours a run shares more with the other order of its "
            "seed than with another seed; and with another seed in the other order at most 0.2 "
            "less than with another seed in its own order.",
            *(checks, columns, table),
        )
    ]


def draw(rows: list[dict[str, Any]], figure: Figure) -> None:
    """Three points for each seed, joined."""
    many = figure.subplots(1, len(WINDOWS), sharey=True)
    colours = {ORDERS: TRAIN, SEEDS: TEST, BOTH: THIRD}
    for axes, name in zip(many, WINDOWS.values(), strict=True):
        for n, (key, colour) in enumerate(colours.items()):
            axes.plot([n] * len(rows), [10 * row[name][key] for row in rows], "o", color=colour)
        for row in rows:
            line = [10 * row[name][key] for key in colours]
            axes.plot(range(len(line)), line, color="0.7", lw=1, zorder=0)
        axes.set_title(name, fontsize=10)
        axes.set_xticks(range(3), (key.replace(" and", "\nand") for key in colours))
        axes.set_xlim(-0.5, 2.5)
        axes.set_ylim(0, 10.5)
        style_axes(axes)
    many[0].set_ylabel("shared of ten nearest neighbours")


PART = Part(name="orders", measure=measure, judge=judge, draw=draw)
