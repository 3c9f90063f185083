"""The part of the page that is about an ensemble's forecasts; see `jaxdl.lstm.report`."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from jaxdl.files.text import clip, reason
from jaxdl.lstm.backtest import COVERED
from jaxdl.lstm.forecast_run import verdict
from jaxdl.lstm.results import number
from jaxdl.report.plots import INK, RULE, TEST, THIRD, TRAIN, style_axes, svg_element
from jaxdl.report.reading import Notes

COLUMNS = 3  # that are drawn
_NAMES = {
    "forecast": "what predict does",
    "networks": "networks together",
    "naive": "seasonal naive",
    "drift": "drift",
}


class Shown(NamedTuple):
    """What the template shows of a forecast."""

    verdict: str
    facts: list[str]
    head: list[str]
    rows: list[list[str]]
    errors: Markup
    tail: Markup


def shown(found: dict[str, Any], columns: Sequence[str]) -> Shown:
    """The summary's ``forecast``, for the page.

    Raises:
        ArithmeticError, AttributeError, LookupError, TypeError, ValueError: it is damaged.
    """
    test, setup = found["test"], found["setup"]
    names = _NAMES | ({} if setup["period"] > 1 else {"naive": "last value"})
    methods = {name: test["methods"][name] for name in names}
    if not found["naive"]:
        del methods["networks"]  # they are what predict does
    rows = []
    for name, method in methods.items():
        total = method["total"]
        cells = [_number(v) for pair in zip(total["rmse"], total["mae"], strict=True) for v in pair]
        rows.append([names[name], *cells, _number(total["mase"])])
    several = len(columns) > 1
    head = [f"{k}{f', {clip(c, 20)}' if several else ''}" for c in columns for k in ("RMSE", "MAE")]
    if len(head) != len(rows[0]) - 2:
        raise ValueError("other columns than the run's")
    used = f"sizes {', '.join(str(int(size)) for size in found['sizes'])}"
    facts = [
        f"{int(test['origins'])} origins: each held-out step is once the first that is predicted; "
        f"of the {int(setup['length'])} steps after it those count that are held out too.",
        f"The {COVERED:.0%} band covers {float(test['coverage']['total']):.0%} of them.",
        f"The validation part kept the networks of {used}; on it their MASE is "
        f"{_number(found['validation']['networks'])}, that of the {names['naive']} forecast "
        f"{_number(found['validation']['naive'])}.",
    ]
    return Shown(
        *(verdict(found), facts, [*head, "MASE"], rows),
        Markup(_errors(test, names)),
        Markup(_tail(test["drawn"], columns)),
    )


def forecast_shown(found: dict[str, Any], columns: Sequence[str], notes: Notes) -> Shown | None:
    """What an ensemble's summary says, or a note."""
    try:
        return shown(found, columns)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        notes.append(f"summary.json: its forecast is damaged ({reason(error)})")
        return None


def _number(found: Any) -> str:
    value = number(found)
    return "\N{EN DASH}" if value is None else f"{value:.4g}"


def _line(found: Any) -> np.ndarray:
    return np.array(found, np.float64)


def _errors(test: dict[str, Any], names: dict[str, str]) -> str:
    """MASE by horizon: the forecast, its networks' spread, naive and drift, as ``<svg>``."""
    figure = Figure(figsize=(9.2, 4.2), layout="constrained")
    axes = figure.subplots()
    low, high = map(_line, test["spread"])
    steps = np.arange(1, len(low) + 1)
    axes.fill_between(steps, low, high, color=TEST, alpha=0.16, lw=0)
    looks = {"forecast": (TEST, "-"), "naive": (INK, "--"), "drift": (THIRD, ":")}
    handles: list[Any] = []
    top = 0.0
    for name, (colour, style) in looks.items():
        values = _line(test["methods"][name]["mase"])
        marker = "o" if len(values) <= 20 else None
        axes.plot(steps, values, style, c=colour, lw=1.8, marker=marker, ms=3.2)
        handles.append(Line2D([], [], c=colour, ls=style, lw=2, label=names[name]))
        if name != "drift":
            top = max(top, float(np.nanmax(values)))
    handles.insert(1, Patch(color=TEST, alpha=0.16, label="single networks, lowest to highest"))
    style_axes(axes)
    axes.set_ylim(0, 1.6 * top or 1)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.set_xlabel("steps ahead", color=INK, fontsize=11)
    axes.set_ylabel("mean absolute scaled error", color=INK, fontsize=11)
    _legend(figure, handles)
    return svg_element(figure, "Error by horizon beside the naive and the drift forecast")


def _tail(drawn: dict[str, Any], columns: Sequence[str]) -> str:
    """The forecast of the first held-out steps with its band, a panel a column, as ``<svg>``."""
    past, truth, *band = (_line(drawn[k]) for k in ("past", "truth", "median", "low", "high"))
    width = min(past.shape[1], COLUMNS)
    figure = Figure(figsize=(9.2, 1.0 + 2.6 * width), layout="constrained")
    panels: Any = figure.subplots(width, 1, squeeze=False, sharex=True)[:, 0]
    for n, axes in enumerate(panels):
        both = np.concatenate([past[:, n], truth[:, n]])
        axes.axvspan(0.5 - len(past), 0.5, color=RULE, alpha=0.45, lw=0)
        axes.plot(np.arange(len(both)) + 1 - len(past), both, c=INK, lw=3.0, alpha=0.35)
        median, low, high = (own[:, n] for own in band)
        steps = np.arange(1, len(median) + 1)
        axes.fill_between(steps, low, high, color=TRAIN, alpha=0.2, lw=0)
        axes.plot(steps, median, c=TRAIN, lw=1.8)
        style_axes(axes)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        name = clip(columns[n], 30).encode("ascii", "replace").decode()
        axes.set_ylabel(name, color=INK, fontsize=11, parse_math=False)
    panels[-1].set_xlabel("step of the held-out part", color=INK, fontsize=11)
    handles = [
        Patch(color=RULE, alpha=0.45, label="known"),
        Line2D([], [], c=INK, alpha=0.35, lw=3.0, label="series"),
        Line2D([], [], c=TRAIN, lw=1.8, label="forecast (median)"),
        Patch(color=TRAIN, alpha=0.2, label=f"{COVERED:.0%} band"),
    ]
    _legend(figure, handles)
    return svg_element(figure, "Forecast of the first held-out steps, with its band")


def _legend(figure: Figure, handles: Sequence[Any]) -> None:
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=4,
        frameon=False,
        labelcolor=INK,
        fontsize=10,
    )
