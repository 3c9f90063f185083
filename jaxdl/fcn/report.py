"""Figures, and the FCN section of the report page (`jaxdl.report.page.write_page`).

What a run lacks becomes a note on the page, never a crash: the
page is rewritten after each stage, and a look at a broken run is when it is wanted most.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from jaxtyping import UInt8
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator
from PIL import Image

from jaxdl.errors import InputError
from jaxdl.fcn.data.archives import MOST
from jaxdl.fcn.data.decode import decode
from jaxdl.files.limits import read_bytes
from jaxdl.files.text import clip
from jaxdl.report.page import render
from jaxdl.report.pictures import jpeg_uri, overlay
from jaxdl.report.plots import INK, TEST, TRAIN, decimal, style_axes, svg_element
from jaxdl.report.reading import Notes
from jaxdl.training.record import RECORD, SUMMARY
from jaxdl.training.run_folder import flatten, read_rows

Row = dict[str, Any]
STAGES = {"fcn32s": "FCN-32s", "fcn16s": "FCN-16s", "fcn8s": "FCN-8s"}


def _series(rows: Sequence[Row], side: str, name: str, scale: int) -> list[float]:
    """One metric over the epochs, NaN where a row has none."""
    values = [row.get(side, {}).get(name) for row in rows]
    return [np.nan if value is None else scale * value for value in values]


def _panel(axes: Axes, stages: Mapping[str, Sequence[Row]], lines: Sequence[tuple]) -> None:
    """Draw (metric, scale, line style) of train and test, the stages one after another."""
    start = 0
    for stage, rows in stages.items():
        epochs = range(start + 1, start + len(rows) + 1)
        marker = "o" if len(rows) <= 20 else None
        for side, colour in (("train", TRAIN), ("test", TEST)):
            for name, scale, style in lines:
                values = _series(rows, side, name, scale)
                axes.plot(epochs, values, style, c=colour, lw=1.8, marker=marker, ms=3.2, zorder=3)
        if start:
            axes.axvline(start + 0.5, color=INK, lw=0.8, alpha=0.55)
        name, top = STAGES.get(stage, stage), axes.get_xaxis_transform()
        label = axes.text(start + len(rows) / 2 + 0.5, 1.02, name, transform=top, ha="center")
        label.set(color=INK, fontsize=11, fontweight="bold")
        start += len(rows)
    axes.set_xlim(0.5, start + 0.5)
    style_axes(axes)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True))


def learning_curves(stages: Mapping[str, Sequence[Row]]) -> str:
    """Accuracy (with mean IU) above loss, against the epoch counted through all stages, as SVG.

    Args:
        stages: rows of metrics.jsonl by stage, in order; stages without rows are left out.

    The result is an ``<svg>`` element alone, the same for the same rows.
    """
    stages = {stage: rows for stage, rows in stages.items() if rows}
    figure = Figure(figsize=(9.2, 7.2), layout="constrained")
    top, bottom = figure.subplots(2, 1)
    _panel(top, stages, [("mean_image_accuracy", 100, "-"), ("mean_iu", 100, "--")])
    top.set_ylabel("accuracy, mean IU (%)", color=INK, fontsize=11)
    low, high = top.get_ylim()
    top.set_ylim(max(low, -1), min(high, 101))
    _panel(bottom, stages, [("loss", 1, "-")])
    bottom.set_ylabel("loss", color=INK, fontsize=11)
    bottom.set_xlabel("epoch", color=INK, fontsize=11)
    sides = [(rows, side) for rows in stages.values() for side in ("train", "test")]
    if any(loss > 0 for rows, side in sides for loss in _series(rows, side, "loss", 1)):
        bottom.set_yscale("log", nonpositive="mask")
        bottom.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        bottom.yaxis.set_major_formatter("{x:g}")
        bottom.yaxis.set_minor_formatter("")
    handles = [
        Line2D([], [], color=TRAIN, lw=2.4, label="training images"),
        Line2D([], [], color=TEST, lw=2.4, label="test images"),
        Line2D([], [], color=INK, lw=1.6, label="mean per-image pixel accuracy"),
        Line2D([], [], color=INK, lw=1.6, ls="--", label="mean IU"),
    ]
    figure.legend(
        handles=handles, loc="outside upper center", ncols=4, frameon=False, labelcolor=INK
    )
    label = "Learning curves: accuracy and loss of training and test images by epoch"
    return svg_element(figure, label)


def _photo(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    return np.array(decode(read_bytes(path, MOST), str(path), ("JPEG",)).convert("RGB"))


def _labels(path: Path) -> Image.Image:
    """A label picture whose pixels are class numbers; InputError if it is a colour picture."""
    picture = decode(read_bytes(path, MOST), str(path), ("PNG",))
    if picture.mode not in ("P", "L"):
        raise InputError(f"{path}: is {picture.mode}, not a palette picture")
    return picture


def _colours(picture: Image.Image | None) -> UInt8[np.ndarray, "256 3"]:
    """The palette of a label picture, the rest of it grey."""
    palette = (picture.getpalette() if picture is not None else None) or []
    out = np.full((256, 3), 128, np.uint8)
    out.reshape(-1)[: len(palette)] = palette
    return out


_COLUMNS = (  # metric, heading
    ("mean_iu", "mean IU %"),
    ("pixel_accuracy", "pixel accuracy %"),
    ("mean_image_accuracy", "mean image accuracy %"),
    ("mean_accuracy", "mean class accuracy %"),
    ("fw_iu", "frequency-weighted IU %"),
    ("background_share", "predicted background %"),
)


def _results(run: Path, stages: Mapping[str, list[Row]], notes: Notes) -> list[list[str]]:
    """A line of cells for each stage: name, `_COLUMNS`, epochs, seconds, images per second."""
    summary = notes.json("summary.json", SUMMARY, {})
    notes.warn(summary)
    table = []
    for stage, rows in stages.items():
        if stage not in summary:
            notes.append(f"summary.json lacks {stage}: its last epoch so far is shown")
        found = rows[-1].get("test", {}) | summary.get(stage, {})
        seconds = found.get("seconds", sum(row.get("seconds", 0.0) for row in rows))
        speeds = [row["images_per_s"] for row in rows if row.get("images_per_s") is not None]
        if (found.get("background_share") or 0) > 0.99:
            notes.append(f"{STAGES[stage]} predicts hardly anything but background")
        table.append(
            [STAGES[stage]]
            + [decimal(found.get(name), 100, 2) for name, _ in _COLUMNS]
            + [str(rows[-1].get("epoch", len(rows))), decimal(seconds)]
            + [decimal(median(speeds) if speeds else None)]
        )
    return table


def _pictures(stages: Sequence[str], notes: Notes) -> tuple[list[list[dict[str, Any]]], Any]:
    """For each test picture its cells (picture, description, text, best); the classes' colours."""
    samples = notes.json("samples/samples.json", [{"id": str}], [])
    wanted = {str: (float, None)}
    scores = {s: notes.json(f"{s}/samples/accuracy.json", wanted, {}) for s in stages}
    rows, palettes = [], []
    for name in (sample["id"] for sample in samples):
        photo = notes.read(_photo, f"samples/{name}.jpg", None)
        truth = notes.read(_labels, f"samples/{name}_truth.png", None)
        palettes += [] if truth is None else [_colours(truth)]
        colours = palettes[0] if palettes else _colours(None)
        layers = {s: notes.read(_labels, f"{s}/samples/{name}.png", None) for s in stages}
        known = {s: score[name] for s, score in scores.items() if score.get(name) is not None}
        best = max(known.values(), default=0.0) if len(known) > 1 else None
        uri = None if photo is None else jpeg_uri(photo)
        shown = clip(name, 60)
        cells: list[dict[str, Any]] = [{"uri": uri, "alt": f"Photo {shown}", "text": shown}]
        for stage, layer in [*layers.items(), ("truth", truth)]:
            title = STAGES.get(stage, "Ground truth")
            uri = None
            if photo is not None and layer is not None:
                if layer.size == photo.shape[1::-1]:
                    uri = jpeg_uri(overlay(photo, np.array(layer), colours))
                else:
                    notes.append(f"{title} of {name}: its size is not that of the photo")
            text = "" if stage == "truth" else f"{decimal(known.get(stage), 100)} %"
            cells.append({"uri": uri, "alt": f"{title}, {shown}", "text": text})
            cells[-1]["best"] = best is not None and known.get(stage) == best
        rows.append(cells)
    return rows, palettes[0] if palettes else _colours(None)


def _class_table(stages: Mapping[str, list[Row]], names: Sequence[str]) -> list[dict[str, Any]]:
    """Name and IU (fraction or None) under each stage for each class, of the last epoch."""
    columns = [rows[-1].get("test", {}).get("per_class_iu") or [] for rows in stages.values()]
    count = max(map(len, columns), default=0)
    names = [*names, *(f"class {number}" for number in range(len(names), count))]
    lines = itertools.islice(itertools.zip_longest(*columns), count)
    return [
        {"name": name, "cells": [{"iu": iu, "text": decimal(iu, 100)} for iu in line]}
        for name, line in zip(names, lines, strict=False)
    ]


def fcn_section(run: Path) -> tuple[str, str]:
    """Title and HTML of an FCN run folder, whichever stages it has by now."""
    notes = Notes(run)
    record = notes.json("run.json", RECORD | {"splits?": dict, "weights?": (dict, None)}, {})
    found = [stage for stage in STAGES if (run / stage).is_dir()]
    rows = {stage: notes.read(read_rows, f"{stage}/metrics.jsonl", []) for stage in found}
    stages = {stage: epochs for stage, epochs in rows.items() if epochs}
    notes += [f"{STAGES[stage]} has no finished epoch yet" for stage in found if not rows[stage]]
    results = _results(run, stages, notes)
    pictures, colours = _pictures(list(stages), notes)
    names = [clip(str(name), 60) for name in record.get("classes") or []]
    classes = _class_table(stages, names)
    legend = names or [line["name"] for line in classes]
    loaded = {s: notes.json(f"{s}/transfer.json", dict, {}) for s in stages}
    html = render(
        "fcn",
        stages=[STAGES[stage] for stage in stages],
        columns=[heading for _, heading in _COLUMNS],
        results=results,
        curves=Markup(learning_curves(stages)) if stages else None,
        pictures=pictures,
        legend=[(name, f"#{bytes(colours[n]).hex()}") for n, name in enumerate(legend[:255])],
        classes=classes,
        transfers={STAGES[stage]: record for stage, record in loaded.items() if record},
        splits=record.get("splits") or {},
        class_weights=[
            (clip(str(name), 60), decimal(weight, 1, 3))
            for name, weight in (record.get("class_weights") or {}).items()
        ],
        weights=flatten(record.get("weights") or {}),
        notes=notes,
    )
    return "Fully convolutional networks", html
