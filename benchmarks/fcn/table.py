"""The FCN benchmark's rows, and the table that it prints."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One system at one task; `low` and `high` are of the runs, the rate is their median.

    `peak_mb` is the process's while it works, `start_peak_mb` that before (compilation, ours).
    `share_of_roof` counts the flops of plain convolutions of the images alone, the same for every
    system; `share_done` those of the products and convolutions that our program does (Winograd's
    are fewer, padding's more).
    `seconds` and `cpu_s` are of all that is timed, each run together.
    `compiled_mb` is what XLA says that the program needs (arguments and temporary memory),
    `start_s` compilation and the first batch of each shape.
    """

    system: str
    what: str
    size: str
    batch: int
    images: int
    images_per_s: float
    peak_mb: float
    share_of_roof: float
    share_done: float | None
    low: float
    high: float
    seconds: float
    cpu_s: float
    start_s: float
    start_peak_mb: float
    compiled_mb: float | None
    compilations: int | None
    version: str


def table(rows: Sequence[Row]) -> Table:
    """The rows, and how many times as fast as each peer ours is."""
    shown = Table(title="images/s: median [lowest - highest]", title_justify="left")
    names = (
        "images/s",
        "",
        "ours is",
        "plain / roof",
        "done / roof",
        "s",
        "CPU s",
        "peak MB",
        "XLA MB",
        "at start",
        "start s",
        "programs",
    )
    for name in ("what", "size", "batch", "system", *names):
        shown.add_column(name, justify="left" if name in ("what", "system") else "right")
    ours = {(r.what, r.size, r.batch): r.images_per_s for r in rows if r.system == "ours"}
    for row in rows:
        base = ours.get((row.what, row.size, row.batch))
        ratio = "" if base is None or row.system == "ours" else f"{base / row.images_per_s:.2f}x"
        shown.add_row(
            *(row.what, row.size, str(row.batch), row.system, f"{row.images_per_s:.2f}"),
            *(f"[{row.low:.2f} - {row.high:.2f}]", ratio, f"{row.share_of_roof:.0%}"),
            "" if row.share_done is None else f"{row.share_done:.0%}",
            *(f"{row.seconds:.2f}", f"{row.cpu_s:.2f}", f"{row.peak_mb:.0f}"),
            "" if row.compiled_mb is None else f"{row.compiled_mb:.0f}",
            f"{row.start_peak_mb:.0f}",
            f"{row.start_s:.1f}",
            "" if row.compilations is None else str(row.compilations),
        )
    return shown
