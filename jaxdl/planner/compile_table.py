"""The table of compile-check: what each step needs on each card."""

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from jaxdl.planner.cards import FRACTION, LAUNCH

POSTS_IMAGES = 60 * 2330  # training in the 2016 posts: 60 epochs of its training part
POSTS_DAYS = 3.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one step needs on one card (of several: on each).

    Sizes in bytes, times in seconds; `roof_s` is the larger of flops and bytes by the card's
    peaks, `launch_s` the launches at `LAUNCH` each, an assumption. `error` stands alone.
    """

    device: str
    gpus: int
    step: str
    items: int = 0
    unit: str = ""
    peak: int = 0
    memory: int = 0
    flops: float = 0
    bytes: int = 0
    roof_s: float = 0
    launches: int = 0
    launch_s: float = 0
    collectives: dict[str, int] | None = None
    largest_batch: int | None = None
    error: str | None = None


def posts_minutes(found: list[Row]) -> dict[str, float]:
    """Minutes of the 2016 posts' fcn32s training on each card, at the roof of its 512x512 step."""
    return {
        row.device: POSTS_IMAGES / row.items * max(row.roof_s, row.launch_s) / 60
        for row in found
        if row.step == "fcn32s train 512x512 float32" and row.gpus == 1 and not row.error
    }


def show(found: list[Row], console: Console) -> None:
    """The table, and the estimates below it."""
    table = Table(title="Compiled, not timed", title_justify="left")
    for name in ("card", "step", "items"):
        table.add_column(name)
    for name in (
        *("peak GB", "of", "largest", "Gflop", "GB", "roof ms"),
        *("launches", "launch ms", "collectives MB"),
    ):
        table.add_column(name, justify="right")
    for row in found:
        card = row.device if row.gpus == 1 else f"{row.gpus} x {row.device}"
        if row.error:
            table.add_row(card, row.step, "error: " + row.error)
            continue
        over = " !" if row.peak > FRACTION * row.memory else ""
        table.add_row(
            *(card, row.step, f"{row.items:,} {row.unit}"),
            *(f"{row.peak / 1e9:.2f}{over}", f"{row.memory / 1e9:.0f}"),
            "" if row.largest_batch is None else str(row.largest_batch),
            *(f"{row.flops / 1e9:,.1f}", f"{row.bytes / 1e9:.2f}", f"{row.roof_s * 1e3:.2f}"),
            *(f"{row.launches:,}", f"{row.launch_s * 1e3:.2f}"),
            ", ".join(f"{k} {v / 1e6:.1f}" for k, v in (row.collectives or {}).items()),
        )
    console.print(table)
    console.print(
        f"! above {FRACTION:.0%} of the card's memory. roof: the larger of flops and bytes at the "
        f"card's peaks; launch: launches at an assumed {LAUNCH * 1e6:.0f} us each.",
        soft_wrap=True,
    )
    for name, minutes in posts_minutes(found).items():
        console.print(
            f"{name}: ESTIMATE: the 2016 posts' fcn32s training, 60 epochs of 2,330 images, takes "
            f"{minutes:.0f} minutes at the roof (on their card: {POSTS_DAYS} days)",
            soft_wrap=True,
        )
