"""``jaxdl SUBJECT plan``: memory, exchange and step time on 1 to 1024 devices.

    jaxdl fcn plan --card h100 --fsdp --batch-size 16
    jaxdl word2vec plan --devices 8 --card a100 --words 1000000 --block 1024
    jaxdl lstm plan --json plan.json

Nothing is compiled or allocated; see `jaxdl.planner.plan`.
"""

import dataclasses
from collections.abc import Callable, Sequence

import jax
from rich.console import Console
from rich.table import Table

from jaxdl.cli.plan_options import Options
from jaxdl.errors import InputError
from jaxdl.files.results import Results
from jaxdl.files.text import reason
from jaxdl.planner import plan
from jaxdl.planner.cards import CARDS, FRACTION, Dtype


def check(options: Options, command: str) -> Results:
    """Refuse what cannot be planned, and keep JAX on the CPU: a GPU that is here has no part.

    Returns:
        The results of the `command`, such as "jaxdl fcn plan".
    """
    plan.check_devices(options.devices, CARDS[options.card].joined)
    if not options.devices:
        raise InputError("--devices: name at least one number")
    results = Results(command)
    if options.json is not None:
        results.check(options.json)
    jax.config.update("jax_platforms", "cpu")
    return results


def finish(
    title: str,
    options: Options,
    results: Results,
    work: Callable[[int], plan.Work],
    dtype: Dtype,
    told: Sequence[str],
) -> None:
    """Compute, print, write.

    Raises:
        InputError: arrays that JAX cannot count.
    """
    card = CARDS[options.card]
    network = card.network if options.network is None else options.network * 1e9 / 8
    try:
        found = plan.rows(work, options.devices, card, dtype, network)
    except OverflowError as error:
        text = f"an array is too long for 32-bit numbers ({reason(error)}); ask for smaller sizes"
        raise InputError(text) from error
    said = plan.assumptions(card, network, told)
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    show(f"{title} on {options.card}: planned, not measured", found, console)
    for line in said:
        console.print(f"- {line}", soft_wrap=True, markup=False, highlight=False)
    if options.json is not None:
        lines = [
            dataclasses.asdict(row)
            | {"total": row.memory.total}
            | {"exchanges": {kind: each._asdict() for kind, each in row.exchanges.items()}}
            for row in found
        ]
        whole = {"card": options.card, "rows": lines, "assumptions": said}
        results.write_json(options.json, whole)


def number(value: float) -> str:
    """Three digits or more, and no exponents."""
    if value and value < 0.001:
        return "<0.001"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def show(title: str, found: Sequence[plan.Row], console: Console) -> None:
    """Print a table of the memory of each device, and one of exchange and time."""
    memory = Table(title=f"{title}\nMemory of each device, MB", title_justify="left")
    split = any(row.memory.gathered for row in found)
    parts = ("parameters", "optimizer", *(["gathered"] if split else []))
    parts = (*parts, "gradients", "activations", "inputs")
    for name in ("devices", "hosts", *parts, "all", "of"):
        memory.add_column(name, justify="right")
    times = Table(title="A step: exchange and time", title_justify="left")
    columns = ("devices", "collectives MB", "roof ms", "launches ms", "links ms", "step ms")
    for name in (*columns, f"{found[0].unit}/s", "efficiency"):
        times.add_column(name, justify="right")
    for row in found:
        over = " !" if plan.MARGIN * row.memory.total > FRACTION * row.of else ""
        memory.add_row(
            *(f"{row.devices:,}", f"{row.hosts:,}"),
            *(number(getattr(row.memory, part) / 1e6) for part in parts),
            *(number(row.memory.total / 1e6) + over, number(row.of / 1e6)),
        )
        moved = (f"{kind} {number(e.bytes / 1e6)}" for kind, e in row.exchanges.items())
        seconds = (row.roof_s, row.launch_s, row.link_s, row.step_s)
        times.add_row(
            *(f"{row.devices:,}", "\n".join(moved)),
            *(number(one * 1e3) for one in seconds),
            *(number(row.per_s), f"{row.efficiency:.1%}"),
        )
    console.print(memory)
    console.print(times)
