"""The digits section of the report page: curves, confusion matrix, pictures with what was found."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxdl.errors import InputError
from jaxdl.files.text import clip
from jaxdl.report.page import Section, render
from jaxdl.report.pictures import jpeg_uri
from jaxdl.report.plots import INK, TEST, TRAIN, copy_of, decimal, style_axes, svg_element
from jaxdl.report.reading import Notes, part, reader
from jaxdl.training.record import RECORD, SUMMARY
from jaxdl.training.run_folder import read_rows

_SIDE = 64  # pixels of a picture on the page


def learning_curves(rows: list[dict[str, Any]]) -> str:
    """Error rate and loss of both parts against the epoch, as SVG."""
    figure = Figure(figsize=(9.2, 3.4), layout="constrained")
    epochs = [row["epoch"] for row in rows]
    for axes, name, label in zip(
        figure.subplots(1, 2), ("accuracy", "loss"), ("wrong pictures (%)", "loss"), strict=True
    ):
        for side, colour, look in (("train", TRAIN, "--"), ("test", TEST, "-")):
            values = [np.nan if (v := part(row, side).get(name)) is None else v for row in rows]
            if name == "accuracy":
                values = [100 * (1 - value) for value in values]
            axes.plot(epochs, values, look, color=colour, lw=1.8, label=f"{side} part")
        axes.set_ylabel(label, color=INK, fontsize=11)
        axes.set_xlabel("epoch", color=INK, fontsize=11)
        axes.set_yscale("log", nonpositive="mask")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
        style_axes(axes)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        axes.legend(frameon=False, labelcolor=INK, fontsize=10)
    return svg_element(figure, "Error rate and loss against the epoch")


def _enlarge(image: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "H W 3"]:
    times = max(1, _SIDE // max(image.shape))
    large = np.kron(255 - image, np.ones((times, times), np.uint8))
    return np.repeat(large[..., None], 3, axis=2)


def _shown(samples: Any) -> list[dict[str, Any]]:
    if not isinstance(samples, list):
        raise InputError("not a list of pictures")
    return [
        {
            "uri": jpeg_uri(_enlarge(np.asarray(sample["image"], np.uint8))),
            "found": clip(str(sample["found"])),
            "label": clip(str(sample["label"])),
        }
        for sample in samples
    ]


def digits_section(run: Path) -> Section:
    """The section of a digits run folder, whichever files it has by now."""
    notes = Notes(run)
    record = notes.json("run.json", RECORD, {})
    rows = notes.read(read_rows, "metrics.jsonl", [])
    if not rows:
        notes.append("no epoch is finished yet")
    notes.warn(notes.json("summary.json", SUMMARY, {}))
    samples = notes.read(reader(_shown, "a list of pictures"), "samples.json", [])
    last = rows[-1] if rows else {}
    accuracy = decimal(part(last, "test").get("accuracy"), 100, 2)
    curves = copy_of(learning_curves(rows), "digits-curves") if rows else None
    html = render(
        "digits",
        source=clip(str(part(record, "data").get("source", "-")), 60),
        counts={k: part(record, "data").get(k, "-") for k in ("train", "test")},
        accuracy=accuracy,
        epochs=len(rows),
        seconds=decimal(sum(row.get("seconds") or 0.0 for row in rows)),
        curves=Markup(curves[0]) if curves else None,
        classes=[clip(str(name)) for name in record.get("classes") or []],
        confusion=part(last, "test").get("confusion") or [],
        samples=samples,
        notes=notes,
    )
    return Section(
        "Digits: the check of a new host",
        html,
        figures=[(f"{accuracy} %", "of the test pictures are right")] if rows else [],
        warnings=notes,
    )
