"""The page of ``jaxdl fcn evaluate``: metrics, IU by class, confusion matrix, the worst images."""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Int, UInt8
from matplotlib.figure import Figure

from jaxdl.fcn.evaluate import Totals
from jaxdl.fcn.report_pictures import tiles
from jaxdl.files.text import clip, visible
from jaxdl.report import page
from jaxdl.report.plots import decimal
from jaxdl.training.run_folder import run_record

NUMBERED = 15  # classes of a confusion matrix whose cells have numbers
COLUMNS = {
    "mean_iu": "mean IU %",
    "pixel_accuracy": "pixel accuracy %",
    "mean_image_accuracy": "mean image accuracy %",
    "mean_accuracy": "mean class accuracy %",
    "fw_iu": "frequency-weighted IU %",
    "background_share": "predicted background %",
}


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction for a table; a dash for NaN."""
    return decimal(None if value is None or np.isnan(value) else value, 100, digits)


def write_page(
    path: Path,
    facts: Mapping[str, str],
    names: Sequence[str],
    colours: UInt8[np.ndarray, "256 3"],
    totals: Totals,
    notes: Sequence[str],
    write: Callable[[Path, bytes], None],
) -> None:
    """Write it; see `jaxdl.fcn.evaluate_command.evaluate` for the values."""
    metrics, shown = totals.metrics, [clip(name, 60) for name in names]
    pictures = [
        tiles(
            f"worst-{number}",
            each.id,
            each.image,
            {
                "prediction": (
                    each.predicted,
                    "mean IU {} %, pixel accuracy {} %".format(
                        *(percent(each.metrics[name]) for name in ("mean_iu", "pixel_accuracy"))
                    ),
                )
            },
            each.label,
            colours,
        )
        for number, each in enumerate(totals.worst)
    ]
    section = page.render(
        "fcn_evaluate",
        facts=facts,
        results={
            **{text: percent(metrics[name], 2) for name, text in COLUMNS.items()},
            "loss": decimal(metrics["loss"], 1, 3),
        },
        classes=class_rows(shown, totals.confusion, metrics["per_class_iu"]),
        confusion=confusion_cells(totals.confusion),
        names_of=shown,
        numbered=len(names) <= NUMBERED,
        legend_of=[(name, f"#{bytes(colours[n]).hex()}") for n, name in enumerate(shown)],
        pictures=pictures,
        notes=[clip(text, 500) for text in notes],
    )
    record = run_record("fcn evaluate", {}, None)
    page.write_page(path, "jaxdl: an evaluation", [page.Section("Results", section)], record, write)


def confusion_picture(names: Sequence[str], confusion: Int[np.ndarray, "c c"]) -> bytes:
    """The matrix as a PNG: of each cell the share of its row's pixels, in % where there is room."""
    share, side = confusion / np.maximum(1, confusion.sum(1, keepdims=True)), len(names)
    shown = [clip(visible(name), 30) for name in names]
    # A class name may hold a dollar sign, which is no formula.
    with mpl.rc_context({"text.parse_math": False}):
        figure = Figure(figsize=(2.8 + 0.42 * side, 2.4 + 0.42 * side), layout="constrained")
        axes = figure.add_subplot()
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(side), shown, rotation=90)
        axes.set_yticks(range(side), shown)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        axes.set_title("% of each true class's pixels", fontsize=10)
        for (row, column), value in np.ndenumerate(share):
            if side <= NUMBERED and confusion[row].any():
                ink = "white" if value > 0.5 else "black"
                axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", color=ink)
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=120, metadata={"Software": None})
    return out.getvalue()


def class_rows(
    names: Sequence[str], confusion: Int[np.ndarray, "c c"], iu: Sequence[float]
) -> list[dict[str, Any]]:
    """Name, share of the true pixels, share of them that was found, IU; of each class."""
    truth = confusion.sum(1)
    share = truth / max(1, confusion.sum())
    found = np.divide(np.diag(confusion), truth, out=np.full(len(truth), np.nan), where=truth > 0)
    return [
        {
            "name": name,
            "share": percent(share[n], 2),
            "found": percent(found[n]),
            "iu": 0.0 if np.isnan(iu[n]) else iu[n],
            "text": percent(iu[n]),
        }
        for n, name in enumerate(names)
    ]


def confusion_cells(confusion: Int[np.ndarray, "c c"]) -> list[list[dict[str, str]]]:
    """Of each cell the share of its row's pixels, as a depth of colour and in %."""
    share = confusion / np.maximum(1, confusion.sum(1, keepdims=True))
    return [
        [
            {
                "depth": f"{value:.3f}",
                "text": f"{100 * value:.1f}" if count else "",
                "count": f"{count:,}",
            }
            for value, count in zip(*row, strict=True)
        ]
        for row in zip(share.tolist(), confusion.tolist(), strict=True)
    ]
