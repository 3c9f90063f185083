"""Figures for the page, in its colours."""

import io
import json
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# The page's own colours, so that a figure follows light and dark mode; alone, it is drawn in these.
INK, RULE = "#1b1d21", "#d3d6db"
TRAIN, TEST, THIRD, FOURTH = "#2a78d6", "#d9580f", "#0b8f6c", "#b0529c"
_CSS_NAMES = {INK: "ink", RULE: "rule", TRAIN: "train", TEST: "test"}
_CSS_NAMES |= {THIRD: "third", FOURTH: "fourth"}


def style_axes(axes: Axes) -> None:
    """The page's look: a faint grid, no box, ink that follows the mode."""
    axes.grid(True, color=RULE, lw=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelcolor=INK, length=3, which="both", labelsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)


def svg_element(figure: Figure, label: str) -> str:
    """A figure drawn in the colours above, as ``<svg>`` in the page's colours."""
    buffer = io.StringIO()
    # Fixed ids, and text as text: the page's font, selectable, and a third of the size.
    with mpl.rc_context({"svg.hashsalt": "jaxdl", "svg.fonttype": "none"}):
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    svg = "<svg" + buffer.getvalue().split("<svg", 1)[1].strip()
    for colour, name in _CSS_NAMES.items():
        svg = svg.replace(colour, f"var(--{name}, {colour})")
    known = escape(json.dumps(_panels(figure), separators=(",", ":")))
    attributes = f'role="img" aria-label="{escape(label)}" data-curves="{known}"'
    return svg.replace("<svg", f"<svg {attributes}", 1)


def copy_of(svg: str, name: str) -> tuple[str, str]:
    """A figure of `svg_element` under a name, and a small copy of it for the summary."""
    box = svg.split('viewBox="', 1)[1].split('"', 1)[0]
    label = svg.split('aria-label="', 1)[1].split('"', 1)[0]
    use = f'<use href="#{name}" width="100%" height="100%"/>'
    small = f'<svg role="img" aria-label="{label}" viewBox="{box}">{use}</svg>'
    return svg.replace("<svg", f'<svg id="{name}"', 1), small


def _panels(figure: Figure) -> list[dict[str, Any]]:
    """Where the lines with a label are, and their points: the page tells those at the pointer.

    A panel has "box" (left, top, right, bottom, in the SVG's units), "x" and "y" (low, high, and 1
    if logarithmic), "name" of x, and "lines": name, colour, x and y.
    """
    width, height = 72 * figure.get_size_inches()
    named = [axes.get_xlabel() for axes in figure.axes if axes.get_xlabel()]
    found = []
    for axes in figure.axes:
        lines = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
        if not axes.get_visible() or not lines:
            continue
        box = axes.get_position()
        found.append(
            {
                "box": [
                    *(round(width * box.x0, 1), round(height * (1 - box.y1), 1)),
                    *(round(width * box.x1, 1), round(height * (1 - box.y0), 1)),
                ],
                "x": [*axes.get_xlim(), int(axes.get_xscale() == "log")],
                "y": [*axes.get_ylim(), int(axes.get_yscale() == "log")],
                "name": axes.get_xlabel() or (named[-1] if named else "x"),
                "lines": [
                    {
                        "name": line.get_label(),
                        "colour": _CSS_NAMES.get(str(line.get_color()), "ink"),
                        "x": _short(line.get_xdata()),
                        "y": _short(line.get_ydata()),
                    }
                    for line in lines
                ],
            }
        )
    return found


def _short(values: Any) -> list[float | int | None]:
    """Numbers with five digits, whole ones as such; None for NaN and infinity."""
    numbers = [float(f"{value:.5g}") for value in np.asarray(values, np.float64)]
    finite = [value if np.isfinite(value) else None for value in numbers]
    return [int(v) if v is not None and v == int(v) else v for v in finite]


def decimal(value: float | int | None, scale: int = 1, digits: int = 1) -> str:
    """A number for a table; a dash for one that is not there."""
    return "\N{EN DASH}" if value is None else f"{scale * value:,.{digits}f}"
