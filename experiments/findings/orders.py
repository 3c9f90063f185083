"""word2vec: which matrix sees the context? Neighbours of both orders beside those of two seeds.

The posts' puzzle, `python -m experiments.word2vec_puzzle`, with more seeds, fixed and drawn
windows. Overlap is the mean share of the ten nearest neighbours that two runs both name, over the
words of rank 100 to 599.
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
from jaxdl.report.plots import TEST, TRAIN, style_axes
from jaxdl.word2vec.choices import Orientation, Shrink
from jaxdl.word2vec.keyed_vectors import KeyedVectors
from jaxdl.word2vec.vectors import Vectors

WINDOWS: dict[Shrink, str] = {"each": "drawn windows", "fixed": "fixed windows"}
SETTINGS: dict[str, Any] = {"epochs": 5}
QUICK: dict[str, Any] = {"epochs": 1, "dim": 8, "min_count": 1}


def measure(setting: Setting, seeds: list[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Overlap of both orders of a seed; and of this seed and the next in one order."""
    given = QUICK if setting.quick else SETTINGS
    cfg, corpus = config_of(setting, 400 if setting.quick else 4, **given)

    @lru_cache(maxsize=4)  # the next seed's vectors are used again
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
                "both orders": shared_neighbours(one, vectors(seed, "center", shrink)),
                "two seeds": shared_neighbours(one, vectors(seed + 1, "context", shrink)),
            }
        yield seed, found


def judge(rows: list[dict[str, Any]]) -> list[Finding]:
    """One finding: the order changes less than the seed does."""
    columns, table, checks = ["of ten neighbours", "both orders", "two seeds", "difference"], [], []
    for name in WINDOWS.values():
        orders, seeds = (np.array([row[name][key] for row in rows]) for key in columns[1:3])
        found = interval(orders - seeds)
        checks.append(Check(f"{name}: overlap of both orders, less that of two seeds", found))
        each = (interval(orders), interval(seeds), found)
        table.append([name, *(value.text(2, 10) for value in each)])
    return [
        Finding(
            "Which matrix sees the context?",
            "It does not matter: both orders of one seed share more of the ten nearest neighbours "
            "than two seeds of one order do.",
            *(checks, columns, table),
        )
    ]


def draw(rows: list[dict[str, Any]], figure: Figure) -> None:
    """A pair of points for each seed, joined."""
    many = figure.subplots(1, len(WINDOWS), sharey=True)
    for axes, name in zip(many, WINDOWS.values(), strict=True):
        for n, (key, colour) in enumerate({"both orders": TRAIN, "two seeds": TEST}.items()):
            axes.plot([n] * len(rows), [10 * row[name][key] for row in rows], "o", color=colour)
        for row in rows:
            axes.plot((0, 1), [10 * row[name][key] for key in row[name]], color="0.7", zorder=0)
        axes.set_title(name, fontsize=10)
        axes.set_xticks((0, 1), ("both orders,\none seed", "two seeds,\none order"))
        axes.set_xlim(-0.5, 1.5)
        axes.set_ylim(0, 10.5)
        style_axes(axes)
    many[0].set_ylabel("shared of ten nearest neighbours")


PART = Part(name="orders", measure=measure, judge=judge, draw=draw)
