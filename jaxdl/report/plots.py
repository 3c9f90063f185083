"""Figures for the page, in its colours."""

import io

import matplotlib as mpl
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
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)


def decimal(value: float | int | None, scale: int = 1, digits: int = 1) -> str:
    """A number for a table; a dash for one that is not there."""
    return "\N{EN DASH}" if value is None else f"{scale * value:,.{digits}f}"
