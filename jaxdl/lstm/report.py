"""The LSTM section of the report page: results, learning curves, predictions, their error.

As in `jaxdl.fcn.report`, what a run lacks becomes a note on the page.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from jaxtyping import Float
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from jaxdl.cli.saved import new_names
from jaxdl.files.text import clip
from jaxdl.lstm.config import RENAMED, Config
from jaxdl.lstm.forecast_report import forecast_shown
from jaxdl.lstm.report_summary import (
    DASH,
    count,
    key_figures,
    next_steps,
    results_of,
    totals_of,
    units,
)
from jaxdl.lstm.results import WAYS, Errors, Setting, by_size, log10_of, predictions_of
from jaxdl.report.page import Section, render
from jaxdl.report.plots import (
    FOURTH,
    INK,
    RULE,
    TEST,
    THIRD,
    TRAIN,
    copy_of,
    style_axes,
    svg_element,
)
from jaxdl.report.reading import Notes, part, reader
from jaxdl.training.record import RECORD, SUMMARY
from jaxdl.training.run_folder import read_rows

Row = dict[str, Any]
POINTS = 400  # of a line, at most: the page stays small
_LINES = {"window": (TRAIN, "-"), "carry": (TEST, "--")}
_COLOURS, _STYLES = (TRAIN, TEST, THIRD, FOURTH), ("-", "--", ":", "-.")
_ACROSS, _COLUMNS = 4, 3  # panels in a row; columns of a series that are drawn


def thin(count: int, most: int = POINTS) -> list[int]:
    """Which of `count` points to draw: at most `most`, evenly, the first and the last too."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()


def _look(sizes: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Colour and line style of each hidden size."""
    return {s: (_COLOURS[n % 4], _STYLES[n // 4 % 4]) for n, s in enumerate(sizes)}


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", color=INK, fontsize=10.5, fontweight="bold", parse_math=False)


def _legend(figure: Figure, handles: Sequence[Any], across: int) -> None:
    """Above the panels, so that it covers no data."""
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=across,
        frameon=False,
        labelcolor=INK,
        fontsize=10,
    )


def learning_curves(rows: Sequence[Row]) -> str | None:
    """log10 of the loss by epoch, median and spread of the seeds, as ``<svg>``; None if no loss."""
    lines: dict[int, list[tuple[float, float, float, float]]] = {}
    for row in rows:
        for size, found in by_size(part(row, "loss")).items():
            if logs := log10_of(found):
                lines.setdefault(size, []).append(
                    (float(row["step"]), min(logs), median(logs), max(logs))
                )
    if not lines:
        return None
    figure = Figure(figsize=(9.2, 4.6), layout="constrained")
    axes = figure.subplots()
    looks = _look(sorted(lines))
    for size, (colour, style) in looks.items():
        points = [lines[size][n] for n in thin(len(lines[size]))]
        epochs, low, middle, high = zip(*points, strict=True)
        axes.fill_between(epochs, low, high, color=colour, alpha=0.16, lw=0)
        marker = "o" if len(points) <= 20 else None
        look = {"c": colour, "lw": 1.8, "marker": marker, "ms": 3.2, "zorder": 3}
        axes.plot(epochs, middle, style, **look, label=units(size))
    style_axes(axes)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.set_xlabel("epoch", color=INK, fontsize=11)
    axes.set_ylabel("log10 of the loss", color=INK, fontsize=11)
    handles = [Line2D([], [], c=c, ls=s, lw=2.4, label=units(n)) for n, (c, s) in looks.items()]
    _legend(figure, handles, _ACROSS)
    return svg_element(figure, "Learning curves: log10 of the loss by epoch for each hidden size")


def _draw_setting(axes: Axes, setting: Setting, size: int, column: int) -> None:
    """One panel: given part, truth, and both predictions of a size, of one column."""
    given = len(setting.given)
    axes.axvspan(0.5, given + 0.5, color=RULE, alpha=0.45, lw=0)
    shown = np.concatenate([setting.given, setting.truth])[:, column]

    def line(values: Any, start: int, *look: Any, **more: Any) -> None:
        kept = thin(len(values))
        axes.plot(start + np.array(kept), values[kept], *look, **more)

    line(shown, 1, "-", c=INK, lw=3.4, alpha=0.3, label="truth")
    for way, (colour, style) in _LINES.items():
        values = setting.members[size][way][:, column]
        line(values, given + 1, style, c=colour, lw=1.7, zorder=3, label=f"predicted, {way}")
    if np.isfinite(shown).any():  # a prediction that runs away leaves the panel
        low, high = np.nanmin(shown), np.nanmax(shown)
        margin = 0.35 * (high - low) or max(abs(high), 1.0)
        axes.set_ylim(low - margin, high + margin)
    axes.set_xlim(0.5, given + len(setting.truth) + 0.5)
    style_axes(axes)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))


def predictions_figure(setting: Setting, columns: Sequence[str]) -> str:
    """Both predictions against the truth, a panel for each size and column, as ``<svg>``."""
    sizes = list(setting.members)
    across, width = min(len(sizes), _ACROSS), min(setting.given.shape[1], _COLUMNS)
    lines = [
        (sizes[n : n + across], column)
        for n in range(0, len(sizes), across)
        for column in range(width)
    ]
    height = 0.9 + 1.9 * len(lines)
    figure = Figure(figsize=(9.2, height), layout="constrained")
    grid = figure.subplots(len(lines), across, squeeze=False, sharey=width == 1)
    for down, (those, column) in enumerate(lines):
        for right, axes in enumerate(grid[down]):
            if right >= len(those):
                axes.set_visible(False)
                continue
            _draw_setting(axes, setting, those[right], column)
            if column == 0:
                _title(axes, units(those[right]))
            if down == len(lines) - 1:
                axes.set_xlabel("step", color=INK, fontsize=10)
        if width > 1:
            # The figure's font has few scripts, and would warn of each letter that it lacks.
            name = clip(columns[column], 20).encode("ascii", "replace").decode()
            grid[down][0].set_ylabel(name, color=INK, fontsize=10, parse_math=False)
    handles: list[Any] = [Patch(color=RULE, alpha=0.45, label="given")]
    handles.append(Line2D([], [], color=INK, alpha=0.3, lw=3.4, label="truth"))
    for way, (colour, style) in _LINES.items():
        handles.append(Line2D([], [], color=colour, ls=style, lw=1.8, label=f"predicted, {way}"))
    _legend(figure, handles, len(handles))
    given, length = len(setting.given), len(setting.truth)
    label = f"Predictions of {length} steps from {given} given, against the truth, by hidden size"
    return svg_element(figure, label)


def errors_figure(errors: Errors) -> str:
    """Error by distance, a panel for each way and a line for each size, as ``<svg>``."""
    figure = Figure(figsize=(9.2, 4.2), layout="constrained")
    looks, positive = _look(list(errors.sizes)), False
    panels = figure.subplots(1, len(WAYS), sharey=True)
    handles = [Line2D([], [], c=c, ls=s, lw=2.4, label=units(n)) for n, (c, s) in looks.items()]
    grey = {"color": INK, "alpha": 0.45, "lw": 1.6}
    if errors.naive is not None:
        handles.append(Line2D([], [], **grey, label="seasonal naive"))
    for axes, way in zip(panels, WAYS, strict=True):
        lines: list[tuple[Any, Any, Row]] = [
            (
                _medians(errors.sizes[size][way]),
                style,
                {"color": colour, "lw": 1.8, "zorder": 3, "label": units(size)},
            )
            for size, (colour, style) in looks.items()
        ]
        naive = grey | {"label": "seasonal naive"}
        lines += [] if errors.naive is None else [(errors.naive, "-", naive)]
        for values, style, look in lines:
            kept = thin(len(values))
            axes.plot(1 + np.array(kept), values[kept], style, **look)
            positive |= bool((values > 0).any())
        style_axes(axes)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.set_xlabel("steps after the given part", color=INK, fontsize=10.5)
        _title(axes, f"way: {way}")
    if positive:
        panels[0].set_yscale("log", nonpositive="mask")
    panels[0].set_ylabel("mean squared error", color=INK, fontsize=10.5)
    _legend(figure, handles, len(handles) if len(handles) < 6 else _ACROSS)
    return svg_element(figure, "Prediction error by distance for each hidden size and both ways")


def _medians(values: Float[np.ndarray, "s l"]) -> Float[np.ndarray, " l"]:
    """The median of the seeds at each distance, of those that are numbers; NaN if none is."""
    columns = [column[np.isfinite(column)] for column in values.T]
    return np.array([np.median(column) if column.size else np.nan for column in columns])


def lstm_section(run: Path) -> Section:
    """The section of an LSTM run folder, whichever files it has by now."""
    notes = Notes(run)
    record = notes.json("run.json", RECORD, {})
    rows = notes.read(read_rows, "metrics.jsonl", [])
    found = notes.json("summary.json", SUMMARY, {})
    notes.warn(found)
    summary = part(found, "lstm_sine")
    settings, errors = [], None
    if not (forecast := part(summary, "forecast")):
        what = reader(predictions_of, "a list of predictions")
        settings, errors = notes.read(what, "predictions.json", ([], None))
    if not rows:
        notes.append("no row of metrics is finished yet")
    elif not summary:
        notes.append("the run has no summary yet: the last row so far is shown")
    series, config = part(record, "series"), new_names(part(record, "config"), RENAMED)
    names = series.get("columns")
    columns = [clip(str(name)) for name in names] if isinstance(names, list) else []
    drawn = [*columns, *(f"column {n + 1}" for n in range(len(columns), _COLUMNS))]
    drawings = {
        f"Predictions: {len(one.given)} steps given, {len(one.truth)} predicted": copy_of(
            predictions_figure(one, drawn), f"lstm-predictions-{number}"
        )
        for number, one in enumerate(settings)
    }
    loss = learning_curves(rows)
    curves = copy_of(loss, "lstm-curves") if loss else None
    config = config | {"window": series.get("window", config.get("window", DASH))}
    options = {
        name: clip(str(config.get(name, DASH))) for name in ("window", "batch_size", "optimizer")
    }
    options["cell"] = clip(str(config.get("cell", "lstm"))).upper()
    counts = {name: count(series.get(name)) for name in ("steps", "training", "tail")}
    source = {"source": clip(str(series.get("source", DASH)), 60), "columns": columns}
    own = forecast_shown(forecast, columns, notes) if forecast else None
    copies = [(small, caption) for caption, (_, small) in drawings.items()]
    if own:
        tail, small = copy_of(str(own.tail), "lstm-forecast")
        own = own._replace(tail=Markup(tail))
        copies.append((small, "Forecast of the first held-out steps"))
    copies += [(curves[1], "Training of the networks")] if curves else []
    totals = totals_of(summary, rows)
    results = [] if own else results_of(summary, rows, notes)
    html = render(
        "lstm",
        config=options,
        series=source | counts if series else {},
        totals=totals,
        results=results,
        forecast=own,
        curves=Markup(curves[0]) if curves else None,
        predictions=[(caption, Markup(figure)) for caption, (figure, _) in drawings.items()],
        errors=Markup(errors_figure(errors)) if errors and errors.sizes else None,
        notes=notes,
    )
    subject = f"{', '.join(columns[:3])}{', ...' if len(columns) > 3 else ''}"
    return Section(
        f"{options['cell']}: {subject if own else 'sine prediction'}",
        html,
        figures=key_figures(totals, results, own),
        pictures=copies,
        warnings=notes,
        steps=next_steps(run, own),
        defaults=dataclasses.asdict(Config()),
    )
