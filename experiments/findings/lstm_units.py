"""LSTM: how many hidden units suffice, and how far it predicts: networks of 2 to 5 units on a sine.

The posts' sweep with more seeds: `python -m experiments.lstm_sine`. A network's loss is the mean of
its last 100 mini-batches; its closed-loop error is the mean square, at each of 75 steps, over 51
phases of the sine. Numbers are log10.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments import lstm_sine
from experiments.findings.finding import Check, Finding, Interval, Part, Setting, interval
from jaxdl.lstm.config import PRESETS
from jaxdl.lstm.dataset import open_series
from jaxdl.lstm.outcomes import predictions
from jaxdl.lstm.sweep import members_of
from jaxdl.report.plots import FOURTH, TEST, THIRD, TRAIN, style_axes
from jaxdl.training.checkpoint import load_params
from jaxdl.training.run_folder import read_rows

LAST = 10  # rows of 10 mini-batches each
QUICK = {"steps": 120, "log_every": 2, "batch_size": 4, "window": 20}
QUICK |= {"context": (20,), "horizon": (20,)}


def measure(setting: Setting, seeds: list[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """One sweep of all networks: one program."""
    count = max(seeds) + 1
    given: dict[str, Any] = QUICK if setting.quick else {}
    out = setting.folder / f"{count}-seeds"
    cfg = dataclasses.replace(PRESETS["post"], out=out, seeds=count, **given)
    lstm_sine.experiment(cfg)
    params, _, _ = load_params(out / "checkpoints")
    rows = [row["loss"] for row in read_rows(out / "metrics.jsonl")[-LAST:]]
    found = predictions(cfg, open_series(cfg), members_of(cfg.hidden, range(count)), params,
                        rows[-1])  # fmt: skip
    for seed in seeds:
        loss = {size: float(np.mean([row[size][seed] for row in rows])) for size in rows[-1]}
        ways = found["errors"]["sizes"].items()
        errors = {size: of["window"][seed] for size, of in ways}
        yield seed, {"loss": loss, "error": errors}


def judge(rows: list[dict[str, Any]]) -> list[Finding]:
    """Three findings: units and loss, units and prediction, distance."""
    sizes = list(rows[0]["loss"])
    loss = {n: np.log10([row["loss"][n] for row in rows]) for n in sizes}
    curves = {n: np.array([row["error"][n] for row in rows]) for n in sizes}
    error = {n: np.log10(curves[n].mean(1)) for n in sizes}
    third = curves[sizes[0]].shape[1] // 3
    near, far = ({n: np.log10(curves[n][:, part].mean(1)) for n in sizes}
                 for part in (slice(third), slice(-third, None)))  # fmt: skip

    def enough(values: dict[str, np.ndarray]) -> Interval:
        two, three, most = (values[n] for n in ("2", "3", sizes[-1]))
        return interval((two - three) - (three - most))

    table = [[n, *(interval(v[n]).text() for v in (loss, error, near, far))] for n in sizes]
    columns = ["units", "loss", "error of the prediction", "its first third", "its last third"]
    pairs = list(itertools.pairwise(sizes))
    most = sizes[-1]
    return [
        Finding(
            "Do three hidden units suffice?",
            f"From 2 to 3 units log10 of the loss falls more than from 3 to {most}; so does that "
            "of the closed-loop error.",
            [
                Check(f"loss: fall from 2 to 3, less that from 3 to {most}", enough(loss)),
                Check(f"error: fall from 2 to 3, less that from 3 to {most}", enough(error)),
            ],
            *(columns, table),
        ),
        Finding(
            "Do more hidden units predict better?",
            "With each unit more, log10 of the closed-loop error falls.",
            [Check(f"fall from {a} to {b} units", interval(error[a] - error[b])) for a, b in pairs],
            *(columns, table),
        ),
        Finding(
            "Does the prediction get worse with distance?",
            "For each size, log10 of the error is larger in the last third of the prediction than "
            "in the first.",
            [Check(f"{n} units: last third less first", interval(far[n] - near[n])) for n in sizes],
            *(columns, table),
        ),
    ]


def draw(rows: list[dict[str, Any]], figure: Figure) -> None:
    """The loss of each network by size; the median error by distance."""
    left, right = figure.subplots(1, 2)
    sizes = list(rows[0]["loss"])
    for size, colour in zip(sizes, (TRAIN, TEST, THIRD, FOURTH), strict=False):
        values = [row["loss"][size] for row in rows]
        beside = int(size) + np.linspace(-0.2, 0.2, len(values))
        left.plot(beside, values, "o", ms=4, color=colour, alpha=0.7)
        errors = np.array([row["error"][size] for row in rows])
        steps = np.arange(1, errors.shape[1] + 1)
        right.plot(steps, np.median(errors, 0), color=colour, label=f"{size} units")
        right.fill_between(steps, *np.quantile(errors, (0.25, 0.75), 0), color=colour, alpha=0.15,
                           lw=0)  # fmt: skip
    left.set(xlabel="hidden units", ylabel="loss of each network", yscale="log")
    left.set_xticks([int(size) for size in sizes])
    right.set(xlabel="steps after the window", ylabel="squared error, median and quartiles")
    right.set_yscale("log")
    right.legend(frameon=False, fontsize=9)
    for axes in (left, right):
        style_axes(axes)


# A network is cheap: four times as many seeds.
PART = Part(name="lstm", measure=measure, judge=judge, draw=draw, per_seed=4)
