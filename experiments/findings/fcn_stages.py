"""FCN: is 16s better than 32s, and 8s than 16s? By class, and by the size of objects.

Each seed draws its own 900 scenes and trains the three stages: `python -m experiments.fcn`. The
last checkpoint of each stage is measured on the 100 test scenes of that seed.

An object is a connected component of a class in the labels. It is small below 16 x 16 pixels (a
cell of FCN-16s's finest scores), large from 32 x 32 on (a cell of FCN-32s's), else of middle size.
Its IU is taken in a frame 16 pixels wider than its box; void and other objects of its class are
left out.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure
from scipy import ndimage

from experiments import fcn
from experiments.findings.finding import (
    Check,
    Finding,
    Interval,
    Part,
    Setting,
    interval,
    verdict,
)
from jaxdl.fcn.config import PRESETS, Config
from jaxdl.fcn.data.decode import VOID
from jaxdl.fcn.dataset import open_source
from jaxdl.fcn.evaluate import Image, add_up, make_measure, map_classes, measured
from jaxdl.fcn.saved import load
from jaxdl.report.plots import INK, TEST, THIRD, TRAIN, style_axes

STAGES = {"fcn32s": TRAIN, "fcn16s": TEST, "fcn8s": THIRD}
SIZES = {"small": 16**2, "middle": 32**2, "large": None}  # pixels, below
FRAME = 16
QUICK = {"scenes": (6, 6), "width_divisor": 64, "epochs": (1, 1, 1), "batch_size": 3}
QUICK |= {"canvases": 1, "warmup": 1}


def objects(
    label: UInt8[np.ndarray, "h w"], predicted: UInt8[np.ndarray, "h w"], classes: int
) -> Iterator[tuple[int, float]]:
    """Pixels and IU of each object of a label."""
    for kind in range(1, classes):
        numbers, _ = ndimage.label(label == kind)  # type: ignore[misc]
        for number, box in enumerate(ndimage.find_objects(numbers), 1):
            frame = tuple(slice(max(0, side.start - FRAME), side.stop + FRAME) for side in box)
            truth = numbers[frame] == number
            counts = truth | ((label[frame] != kind) & (label[frame] != VOID))
            guess = (predicted[frame] == kind) & counts
            yield int(truth.sum()), float((truth & guess).sum() / (truth | guess).sum())


def size_of(pixels: int) -> str:
    """small, middle or large."""
    return next(name for name, below in SIZES.items() if below is None or pixels < below)


def stage(cfg: Config, name: str, setting: Setting, compiled: dict[str, Any]) -> dict[str, Any]:
    """What one trained stage does on the test scenes; each stage is compiled once for all seeds."""
    saved = load(cfg.out / name, "latest", setting.bar.line)
    source, split = open_source(cfg, setting.bar)
    if name not in compiled:
        compiled[name] = make_measure(saved.model, np.asarray(saved.mean, np.float32))
    one = compiled[name]
    table = map_classes(source.classes, saved.classes, str(cfg.out))
    images: list[Image] = list(
        measured(source, split.test, table, lambda image, label: one(saved.params, image, label))
    )
    metrics = add_up(iter(images), len(saved.classes), lambda number: None).metrics
    by_size: dict[str, list[float]] = {size: [] for size in SIZES}
    for image in images:
        for pixels, iu in objects(image.label, image.predicted, len(saved.classes)):
            by_size[size_of(pixels)].append(iu)
    return {
        "all": metrics["mean_iu"],
        "accuracy": metrics["mean_image_accuracy"],
        **dict(zip(saved.classes, metrics["per_class_iu"], strict=True)),
        **{size: float(np.mean(found)) for size, found in by_size.items() if found},
        "objects": {size: len(found) for size, found in by_size.items()},
    }


def measure(setting: Setting, seeds: list[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each seed's three stages."""
    given: dict[str, Any] = QUICK if setting.quick else {}
    compiled: dict[str, Any] = {}
    for seed in seeds:
        out = setting.folder / f"seed-{seed}"
        where = {"out": out, "data_dir": setting.data_dir}
        cfg = dataclasses.replace(PRESETS["demo"], seed=seed, **where, **given)
        fcn.experiment(cfg)
        yield seed, {name: stage(cfg, name, setting, compiled) for name in STAGES}


def gain(rows: list[dict[str, Any]], less: str, more: str, key: str) -> Interval:
    """How much more the one stage has than the other, of the same seed; in points of a percent."""
    return interval(
        [100 * (number(row[more].get(key)) - number(row[less].get(key))) for row in rows]
    )


def number(value: float | None) -> float:
    """NaN for one that is not there: the class is not in the test scenes."""
    return math.nan if value is None else value


def judge(rows: list[dict[str, Any]]) -> list[Finding]:
    """One finding, with a row for all, for each class and for each size."""
    names = list(STAGES)
    pairs = list(itertools.pairwise(names))
    counts = {size: sum(row["fcn8s"]["objects"][size] for row in rows) for size in SIZES}
    keys = [key for key in rows[0]["fcn8s"] if key != "objects"]
    table = []
    for key in keys:
        title = f"{key} objects ({counts[key]:,})" if key in SIZES else key
        title = {"all": "mean IU", "accuracy": "mean image accuracy"}.get(key, title)
        means = [np.mean([number(row[name].get(key)) for row in rows]) for name in names]
        gains = [gain(rows, *pair, key) for pair in pairs]
        table.append(
            [
                title,
                *(f"{100 * mean:.1f}" for mean in means),
                *(f"{found.text(1)} {verdict(found)}" for found in gains),
            ]
        )
    return [
        Finding(
            "Is FCN-16s better than FCN-32s, and FCN-8s than FCN-16s?",
            "The mean IU of the test scenes rises from stage to stage, in the same seed.",
            [
                Check(f"mean IU: {more} less {less}", gain(rows, less, more, "all"), digits=1)
                for less, more in pairs
            ],
            ["in %", *names, *(f"{more} less {less}" for less, more in pairs)],
            table,
        )
    ]


def draw(rows: list[dict[str, Any]], figure: Figure) -> None:
    """Bars with the seeds as points: classes, and sizes of objects."""
    keys = [key for key in rows[0]["fcn8s"] if key not in ("objects", "accuracy")]
    classes, sizes = ([k for k in keys if (k in SIZES) == small] for small in (False, True))
    many = figure.subplots(1, 2, width_ratios=[len(classes), len(sizes)], sharey=True)
    for axes, group in zip(many, (classes, sizes), strict=True):
        for n, (name, colour) in enumerate(STAGES.items()):
            at = np.arange(len(group)) + 0.27 * (n - 1)
            values = 100 * np.array([[number(row[name].get(k)) for k in group] for row in rows])
            axes.bar(at, values.mean(0), 0.25, color=colour, alpha=0.75, label=name)
            axes.plot(at, values.T, "o", ms=2.5, color=INK, alpha=0.6)
        axes.set_xticks(range(len(group)), group, rotation=30, ha="right")
        style_axes(axes)
    many[0].set_ylabel("IU, %; points are seeds")
    many[1].set_title("by size of the objects", fontsize=10)
    many[0].legend(frameon=False, fontsize=9, ncols=3)
    many[0].set_ylim(0, 110)


PART = Part(name="fcn", measure=measure, judge=judge, draw=draw)
