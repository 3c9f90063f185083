"""The numbers of an LSTM run's report: its tables, its key figures, and what to try next."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from jaxdl.lstm.forecast_report import Shown
from jaxdl.lstm.results import WAYS, by_size, log10_of, number
from jaxdl.report.plots import decimal
from jaxdl.report.reading import Notes, part

Line = dict[str, Any]
DASH = "\N{EN DASH}"


def units(size: int) -> str:
    """A hidden size in words."""
    return f"{size} hidden unit{'s' if size != 1 else ''}"


def _short(found: Any) -> str:
    """A number of any size, for a table; a dash for one that is not there."""
    value = number(found)
    return DASH if value is None else f"{value:.3g}"


def results_of(summary: Line, rows: Sequence[Line], notes: Notes) -> list[list[str]]:
    """A line of cells for each hidden size: size, final loss, error of both ways; the baseline."""
    losses = by_size(part(summary, "loss") or part(rows[-1] if rows else {}, "loss"))
    errors = by_size(part(summary, "prediction_mse"))
    table = []
    for size in sorted(losses.keys() | errors.keys()):
        logs, found = log10_of(losses.get(size)), losses.get(size)
        loss = f"{median(logs):.2f} [{min(logs):.2f} to {max(logs):.2f}]" if logs else DASH
        if isinstance(found, list) and len(logs) < len(found):
            lost = f"{len(found) - len(logs)} of {len(found)} seeds"
            notes.append(f"{units(size)}: {lost} ended with a loss that has no logarithm")
        ways = part({str(size): errors.get(size)}, str(size))
        table.append([str(size), loss, *(_short(ways.get(way)) for way in WAYS)])
    if (naive := number(summary.get("naive_mse"))) is not None:
        table.append(["seasonal naive", DASH, _short(naive), _short(naive)])
    return table


def count(found: Any) -> str:
    """A count, or how many are listed, for a table."""
    return decimal(len(found) if isinstance(found, list) else number(found), 1, 0)


def totals_of(summary: Line, rows: Sequence[Line]) -> dict[str, str]:
    """Heading -> cell; what the summary does not tell is taken from the rows."""
    last = part(rows[-1] if rows else {}, "loss")
    speeds = [v for row in rows if (v := number(row.get("epochs_per_s"))) is not None]
    seeds = max((len(found) for found in last.values() if isinstance(found, list)), default=None)
    speed = summary.get("epochs_per_s", median(speeds) if speeds else None)
    return {
        "epochs": count(summary.get("epochs", rows[-1]["step"] if rows else None)),
        "seeds": count(summary.get("seeds", seeds)),
        "seconds": decimal(number(summary.get("seconds"))),
        "epochs/s": count(speed),
    }


def key_figures(
    totals: dict[str, str], results: Sequence[Sequence[str]], own: Shown | None
) -> list[tuple[str, str]]:
    """Value, and what it is.

    Args:
        totals: heading -> cell.
        results: a line for each hidden size: size, loss, error of both ways.
        own: what the page shows of a forecast of an own series.
    """
    if own is not None:
        where = "of the held-out steps"
        found = [(row[-1], f"MASE of {row[0]}, {where}") for row in own.rows]
    else:
        sizes = [row for row in results if row[0].isdigit() and row[-1][:1].isdigit()]
        best = min(sizes, key=lambda row: float(row[-1]), default=None)
        found = []
        if best is not None:
            found.append((best[-1], f"prediction error of {best[0]} hidden units (carry)"))
            found.append((best[1].split(" ")[0], f"final log10 loss of {best[0]} hidden units"))
    found.append((totals.get("seconds", ""), "seconds of training"))
    return [(value, what) for value, what in found if value[-1:].isdigit()]


def next_steps(run: Path, own: Shown | None) -> list[tuple[str, str]]:
    """What to try next: why, and the command."""
    predict = shlex.join(["jaxdl", "lstm", "predict", str(run)])
    if own is None:
        train = "jaxdl lstm train --data series.csv --out runs/series"
        return [("Continue the series:", predict), ("Forecast a series of your own:", train)]
    words = ["jaxdl", "lstm", "export", str(run), "--format", "page", "--out", "page"]
    return [
        ("Forecast what comes after the last row:", predict),
        ("Forecast in a browser:", shlex.join(words)),
    ]
