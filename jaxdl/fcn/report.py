"""Figures, and the FCN section of the report page (`jaxdl.report.page.write_page`).

What a run lacks becomes a note on the page, never a crash: the
page is rewritten after each stage, and a look at a broken run is when it is wanted most.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator

from jaxdl.fcn.config import Config
from jaxdl.fcn.evaluate_page import NUMBERED, confusion_cells
from jaxdl.fcn.report_pictures import STAGES, samples, worst
from jaxdl.fcn.report_summary import key_figures, next_steps
from jaxdl.files.text import clip
from jaxdl.report.page import Section, render
from jaxdl.report.pictures import Row
from jaxdl.report.plots import INK, TEST, TRAIN, copy_of, decimal, style_axes, svg_element
from jaxdl.report.reading import Notes
from jaxdl.training.record import RECORD, SUMMARY
from jaxdl.training.run_folder import flatten, read_rows

Line = dict[str, Any]
_MOVED = ("loaded", "initialized", "unused")
_SAID = {"mean_image_accuracy": "image accuracy, %", "mean_iu": "mean IU, %"}


def _series(rows: Sequence[Line], side: str, name: str, scale: int) -> list[float]:
    """One metric over the epochs, NaN where a row has none."""
    values = [row.get(side, {}).get(name) for row in rows]
    return [np.nan if value is None else scale * value for value in values]


def _panel(axes: Axes, stages: Mapping[str, Sequence[Line]], lines: Sequence[tuple]) -> None:
    """Draw (metric, scale, line style) of train and test, the stages one after another."""
    start = 0
    for stage, rows in stages.items():
        epochs = range(start + 1, start + len(rows) + 1)
        marker = "o" if len(rows) <= 20 else None
        for side, colour in (("train", TRAIN), ("test", TEST)):
            for name, scale, style in lines:
                values = _series(rows, side, name, scale)
                look = {"c": colour, "lw": 1.8, "marker": marker, "ms": 3.2, "zorder": 3}
                said = f"{STAGES.get(stage, stage)}, {side}: {_SAID.get(name, name)}"
                axes.plot(epochs, values, style, **look, label=said)
        if start:
            axes.axvline(start + 0.5, color=INK, lw=0.8, alpha=0.55)
        name, top = STAGES.get(stage, stage), axes.get_xaxis_transform()
        label = axes.text(start + len(rows) / 2 + 0.5, 1.02, name, transform=top, ha="center")
        label.set(color=INK, fontsize=11, fontweight="bold")
        start += len(rows)
    axes.set_xlim(0.5, start + 0.5)
    style_axes(axes)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True))


def learning_curves(stages: Mapping[str, Sequence[Line]]) -> str:
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


_COLUMNS = (  # metric, heading
    ("mean_iu", "mean IU %"),
    ("pixel_accuracy", "pixel accuracy %"),
    ("mean_image_accuracy", "mean image accuracy %"),
    ("mean_accuracy", "mean class accuracy %"),
    ("fw_iu", "frequency-weighted IU %"),
    ("background_share", "predicted background %"),
)


def _results(run: Path, stages: Mapping[str, list[Line]], notes: Notes) -> list[list[str]]:
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


def _class_table(stages: Mapping[str, list[Line]], names: Sequence[str]) -> list[dict[str, Any]]:
    """Name and IU (fraction or None) under each stage for each class, of the last epoch."""
    columns = [rows[-1].get("test", {}).get("per_class_iu") or [] for rows in stages.values()]
    count = max(map(len, columns), default=0)
    names = [*names, *(f"class {number}" for number in range(len(names), count))]
    lines = itertools.islice(itertools.zip_longest(*columns), count)
    return [
        {"name": name, "cells": [{"iu": iu, "text": decimal(iu, 100)} for iu in line]}
        for name, line in zip(names, lines, strict=False)
    ]


def fcn_section(run: Path) -> Section:
    """The section of an FCN run folder, whichever stages it has by now."""
    notes = Notes(run)
    record = notes.json("run.json", RECORD | {"splits?": dict, "weights?": (dict, None)}, {})
    found = [stage for stage in STAGES if (run / stage).is_dir()]
    rows = {stage: notes.read(read_rows, f"{stage}/metrics.jsonl", []) for stage in found}
    stages = {stage: epochs for stage, epochs in rows.items() if epochs}
    notes += [f"{STAGES[stage]} has no finished epoch yet" for stage in found if not rows[stage]]
    results = _results(run, stages, notes)
    pictures, colours = samples(list(stages), notes)
    names = [clip(str(name), 60) for name in record.get("classes") or []]
    classes = _class_table(stages, names)
    legend = names or [line["name"] for line in classes]
    last = list(stages)[-1:]
    bad = worst(last[0], notes) if last else []
    confusion, looked = _confusion(last, len(legend), notes)
    wanted: Any = {"source": (str, None), **{name: [str] for name in _MOVED}}
    loaded = {s: notes.json(f"{s}/transfer.json", wanted, {}) for s in stages}
    curves = copy_of(learning_curves(stages), "fcn-curves") if stages else None
    html = render(
        "fcn",
        stages=[STAGES[stage] for stage in stages],
        columns=[heading for _, heading in _COLUMNS],
        results=results,
        curves=Markup(curves[0]) if curves else None,
        pictures=pictures,
        worst=bad,
        looked=looked,
        legend_of=[(name, f"#{bytes(colours[n]).hex()}") for n, name in enumerate(legend[:255])],
        classes=classes,
        confusion=confusion,
        names_of=legend,
        numbered=len(legend) <= NUMBERED,
        transfers={
            STAGES[stage]: record | {name: _layers(record[name]) for name in _MOVED}
            for stage, record in loaded.items()
            if record
        },
        splits=record.get("splits") or {},
        class_weights=[
            (clip(str(name), 60), decimal(weight, 1, 3))
            for name, weight in (record.get("class_weights") or {}).items()
        ],
        weights=flatten(record.get("weights") or {}),
        notes=notes,
    )
    shown = [(curves[1], "Learning curves of the FCN")] if curves else []
    return Section(
        "Fully convolutional networks",
        html,
        figures=key_figures(stages, record, classes),
        pictures=[*_best_picture(pictures), *shown, *_worst_picture(bad)],
        warnings=notes,
        steps=next_steps(run, record, stages),
        defaults=dataclasses.asdict(Config()),
    )


def _layers(names: Sequence[str]) -> list[str]:
    """Names of arrays; a layer's name for its kernel and bias."""
    found: dict[str, list[str]] = {}
    for name in names:
        layer, _, last = name.rpartition("/")
        found.setdefault(layer, []).append(last)
    return [
        name
        for layer, last in found.items()
        for name in (
            [layer]
            if layer and sorted(last) == ["bias", "kernel"]
            else [f"{layer}/{each}".lstrip("/") for each in last]
        )
    ]


def _confusion(
    last: Sequence[str], count: int, notes: Notes
) -> tuple[list[list[dict[str, str]]], str]:
    """The cells of the last stage's confusion matrix, if it has one; what was looked at, if not all
    test images."""
    path = f"{last[0]}/confusion.json" if last else ""
    if not path or not (notes.run / path).exists():
        return [], ""
    wanted: Any = {"images": int, "of": int, "matrix": [[int]]}
    nothing: Line = {"images": 0, "of": 0, "matrix": []}
    found = notes.json(path, wanted, nothing)
    matrix = found["matrix"]
    if any(len(line) != count for line in matrix) or len(matrix) not in (0, count):
        notes.append(f"{path}: its matrix is not of the run's {count} classes")
        return [], ""
    few = found["images"] < found["of"]
    looked = f"; {found['images']} of the {found['of']} images were looked at" if few else ""
    cells = confusion_cells(np.array(matrix, np.int64)) if matrix else []
    return cells, looked


def _small(row: Row, number: int, errors: bool = False) -> str:
    """A tile of a row, as it stands in the page's summary."""
    tile, (width, height) = row.tiles[number], row.size
    uri = tile.errors if errors else tile.layer
    place = f'width="{width}" height="{height}" preserveAspectRatio="none"'
    layer = f'<image class="layer" href="{uri}" {place}/>' if uri else ""
    kind = ' class="tiny"' if row.tiny else ""
    return (
        f'<svg role="img" aria-label="{escape(tile.alt)}" viewBox="0 0 {width} {height}"{kind}>'
        f'<use href="#{row.id}"/>{layer}</svg>'
    )


def _best_picture(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """The first photo with the classes of the last stage."""
    row = next((row for row in rows if row.photo and row.tiles[-2].layer), None)
    title = row.tiles[-2].title if row else ""
    return [(_small(row, -2), f"{title} on {row.tiles[0].text}")] if row else []


def _worst_picture(rows: Sequence[Row]) -> list[tuple[str, str]]:
    row = next((row for row in rows if row.photo and row.tiles[1].errors), None)
    return [(_small(row, 1, True), f"Worst: {row.tiles[0].text}, errors red")] if row else []
