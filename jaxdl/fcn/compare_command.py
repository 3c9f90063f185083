"""``jaxdl fcn compare``: runs beside each other, as a table in the terminal and a page."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from rich.table import Table
from rich.text import Text

from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError
from jaxdl.fcn.compare import (
    Run,
    differing_options,
    mean_iu,
    notes_of,
    read_run,
    shared_classes,
)
from jaxdl.files.results import Results
from jaxdl.files.text import clip
from jaxdl.report import page
from jaxdl.report.plots import FOURTH, INK, TEST, THIRD, TRAIN, decimal, style_axes, svg_element
from jaxdl.training.run_folder import run_record

HEADINGS = {  # on the page -> in the terminal, which may have 80 columns
    "classes": "cls",
    "images": "images",
    "epochs": "ep.",
    "rate": "rate",
    "mean IU %": "mIU",
    "best mean IU %": "best",
    "pixel accuracy %": "pixel",
    "mean image accuracy %": "image",
    "seconds": "s",
    "mean IU of shared classes %": "shared",
}
_COLOURS, _STYLES = (TRAIN, TEST, THIRD, FOURTH), ("-", "--", ":", "-.")


def compare(paths: Sequence[Path], *, out: Path) -> None:
    """Print the stages of runs as one table, and write a page with their curves and options.

    Args:
        paths: run folders, or folders of stages.
        out: the page; an earlier one of this command is replaced.

    Raises:
        InputError: one is no run that has trained, or is named twice.
    """
    bar, results = Bar(), Results("jaxdl fcn compare")
    results.check(out)
    if not paths:
        raise InputError("name at least one run")
    twice = [p for n, p in enumerate(paths) if p.resolve() in [q.resolve() for q in paths[:n]]]
    if twice:
        raise InputError(f"{twice[0]}: is named twice; name each run once")
    runs = [read_run(path) for path in paths]
    shared, notes = shared_classes(runs), notes_of(runs)
    differ = any(set(run.classes) != set(shared) for run in runs)
    headings = [*HEADINGS][: None if differ and shared else -1]
    rows = [
        row[: len(headings) + 2]
        for number, run in enumerate(runs, 1)
        for row in stage_rows(number, run, shared)
    ]
    for number, run in enumerate(runs, 1):
        bar.line(f"run {number}: {run.path}")
    table = Table(title="Test images, last epoch; %", title_justify="left", padding=(0, 0))
    for heading in ("run", "stage", *(HEADINGS[name] for name in headings)):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for row in rows:
        table.add_row(*map(Text, row))
    bar.console.print(table)
    options = differing_options(runs)
    for name, values in options.items():
        bar.line(f"{name}: {' | '.join(values)}")
    if len(runs) > 1 and not options:
        bar.line("the runs have the same options")
    section = page.render(
        "fcn_compare",
        runs=[clip(run.path, 200) for run in runs],
        headings=headings,
        rows=rows,
        curves=Markup(curves(runs)),
        stages=[f"{n} {stage.name}" for n, run in enumerate(runs, 1) for stage in run.stages],
        classes=class_rows(runs),
        options={name: [clip(v, 200) for v in values] for name, values in options.items()},
        notes=[clip(text, 500) for text in notes],
    )
    record = run_record("fcn compare", {}, None)
    page.write_page(
        out, "jaxdl: runs compared", [page.Section("Runs", section)], record, results.write
    )
    bar.line(f"page: {out}")
    bar.warn(notes)


def stage_rows(number: int, run: Run, shared: Sequence[str]) -> list[list[str]]:
    """A line of cells for each stage: run, stage, `HEADINGS`."""
    images = "+".join(str(run.images[s]) for s in ("train", "test") if s in run.images)
    rows = []
    for stage in run.stages:
        last = stage.last
        share = [last.get(name) for name in ("pixel_accuracy", "mean_image_accuracy")]
        rows.append(
            [
                *(str(number), stage.name, str(len(run.classes)), images or "\N{EN DASH}"),
                *(str(stage.rows[-1]["epoch"]), f"{stage.rate:g}" if stage.rate else "\N{EN DASH}"),
                *(decimal(value, 100) for value in (last["mean_iu"], stage.best, *share)),
                *(decimal(stage.seconds, 1, 0), decimal(mean_iu(run.iu(stage), shared), 100)),
            ]
        )
    return rows


def class_rows(runs: Sequence[Run]) -> list[list[str]]:
    """Name, and IU in each stage of each run; a dash where the stage does not know the class."""
    names = list(dict.fromkeys(name for run in runs for name in run.classes))
    found = [run.iu(stage) for run in runs for stage in run.stages]
    return [[clip(n, 60), *(decimal(iu.get(n), 100) for iu in found)] for n in names]


def curves(runs: Sequence[Run]) -> str:
    """Test mean IU against the epoch, the stages of a run one after another, as SVG."""
    figure = Figure(figsize=(9.2, 4.2), layout="constrained")
    axes = figure.subplots()
    for number, run in enumerate(runs):
        start = 0
        look = _STYLES[number // len(_COLOURS) % len(_STYLES)]
        for stage in run.stages:
            values = [
                100 * v if (v := row["test"]["mean_iu"]) is not None else np.nan
                for row in stage.rows
            ]
            epochs = range(start + 1, start + len(values) + 1)
            label = f"run {number + 1}" if not start else None
            axes.plot(
                epochs,
                values,
                look,
                c=_COLOURS[number % len(_COLOURS)],
                lw=1.8,
                label=label,
                marker="o",
                ms=3.2,
                markevery=[0],
            )
            start += len(values)
    axes.set_ylabel("test mean IU (%)", color=INK, fontsize=11)
    axes.set_xlabel("epoch", color=INK, fontsize=11)
    style_axes(axes)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True))
    figure.legend(loc="outside upper center", ncols=6, frameon=False, labelcolor=INK)
    return svg_element(figure, "Test mean IU of all runs by epoch")
