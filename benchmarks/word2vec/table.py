"""Rows of the word2vec benchmark -> tables, and what they show."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from benchmarks.roof import Rates, Step

Key = tuple[str, str, int]  # tool, mode, epochs
QUALITY = {"ws353": "WS353", "simlex": "SimLex", "analogy": "analogies"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One run; None where nothing was measured. Words are of all epochs together."""

    tool: str
    mode: str
    epochs: int
    seed: int
    raw_wps: float  # tokens of the text a second of training
    eff_wps: float  # of these, left after min_count and subsampling
    tokens: int  # of the text
    train_s: float
    total_s: float  # from the start of the process to the saved vectors
    process_s: float  # until it ended, as `cpu_s`
    cpu_s: float
    peak_mb: float
    ws353: float | None = None  # Spearman's correlation
    simlex: float | None = None
    analogy: float | None = None  # share of right answers, 0 to 1


def groups(rows: Iterable[Row]) -> dict[Key, list[Row]]:
    """The seeds of each tool and number of epochs, by epochs, then in the order of the runs."""
    found: dict[Key, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row.epochs):
        found.setdefault((row.tool, row.mode, row.epochs), []).append(row)
    return found


def values(rows: Iterable[Row], name: str) -> list[float]:
    """A figure of the rows that have it."""
    return [value for row in rows if (value := getattr(row, name)) is not None]


def median(rows: Iterable[Row], name: str) -> float:
    return statistics.median(values(rows, name))


def spread(rows: Iterable[Row], name: str, form: str = "{:,.0f}", scale: float = 1) -> str:
    """Median [lowest - highest]; "-" where nothing was measured."""
    found = [value * scale for value in values(rows, name)]
    if not found:
        return "-"
    shown = [form.format(value) for value in (statistics.median(found), min(found), max(found))]
    return shown[0] if len(found) == 1 else f"{shown[0]} [{shown[1]} - {shown[2]}]"


def tables(rows: Sequence[Row]) -> list[Table]:
    """Speed and quality: a line for each tool and number of epochs."""
    speed = {
        "raw kwords/s": ("raw_wps", "{:,.0f}", 1e-3),
        "eff kwords/s": ("eff_wps", "{:,.0f}", 1e-3),
        "end to end, s": ("total_s", "{:.1f}"),
        "CPU s": ("cpu_s", "{:.1f}"),
        "peak MB": ("peak_mb", "{:,.0f}"),
    }
    quality = {
        "WS353": ("ws353", "{:.3f}"),
        "SimLex": ("simlex", "{:.3f}"),
        "analogies %": ("analogy", "{:.1f}", 100),
    }
    return [_table(rows, "Speed", speed), _table(rows, "Quality", quality)]


def _table(rows: Sequence[Row], title: str, columns: Mapping[str, tuple[Any, ...]]) -> Table:
    # As Text: brackets in a str would be taken for markup.
    named = Text(f"{title}: median [lowest - highest] of the seeds")
    shown = Table(title=named, title_justify="left", box=box.SIMPLE)
    for name in ("tool", "epochs", "seeds", *columns):
        shown.add_column(name, justify="left" if name == "tool" else "right", no_wrap=True)
    for (tool, mode, epochs), seeds in groups(rows).items():
        cells = [spread(seeds, *column) for column in columns.values()]
        shown.add_row(*map(Text, (f"{tool} {mode}", str(epochs), str(len(seeds)), *cells)))
    return shown


def comparisons(rows: Sequence[Row]) -> list[str]:
    """Ours beside gensim: medians for speed, means of the seeds for quality."""
    lines, found = [], groups(rows)
    for (tool, mode, epochs), ours in found.items():
        peers = {
            key[1]: rows for key, rows in found.items() if (key[0], key[2]) == ("gensim", epochs)
        }
        if tool != "ours" or not peers:
            continue
        fast = max(peers, key=lambda mode: median(peers[mode], "raw_wps"))
        soon = min(peers, key=lambda mode: median(peers[mode], "total_s"))
        training = median(ours, "raw_wps") / median(peers[fast], "raw_wps")
        whole = median(peers[soon], "total_s") / median(ours, "total_s")
        named = f"ours {mode}, epochs {epochs}"
        lines += [
            f"{named}: training {training:.2f}x the words/s of gensim {fast}",
            f"{named}: end to end {whole:.2f}x as fast as gensim {soon}",
        ]
        lines += _qualities(ours, peers.get("iterator", []), named)
    return lines


def _qualities(ours: list[Row], peer: list[Row], named: str) -> list[str]:
    lines = []
    for name, title in QUALITY.items():
        sides = values(ours, name), values(peer, name)
        if all(sides):
            a, b = map(statistics.mean, sides)
            wide = max(max(side) - min(side) for side in sides)
            lines.append(
                f"{named}: {title} {a:.3f}, gensim iterator {b:.3f}: {a - b:+.3f}; "
                f"the seeds spread over {wide:.3f}"
            )
    return lines


def roof(step: Step, measured: dict[int, Rates], rows: Sequence[Row]) -> list[str]:
    """The machine, by number of threads, and the share of it that our training takes."""
    flops, moved = step.flops(), step.bytes()
    lines = [f"a step: {flops / 1e3:.1f} kflop and {moved / 1e3:.1f} kB an effective word"]
    for threads, rates in measured.items():
        limit = min(rates.flops / flops, rates.bytes / moved)
        lines.append(
            f"{threads} threads: {rates.described()}, {rates.bytes / 1e9:.1f} GB/s "
            f"copied; roof {limit:,.0f} eff words/s"
        )
        for (tool, mode, epochs), seeds in groups(rows).items():
            if tool == "ours":
                rate = median(seeds, "eff_wps")
                lines.append(
                    f"  ours {mode}, epochs {epochs}: {rate / limit:.0%} of the roof "
                    f"({rate * flops / rates.flops:.0%} of the flops, "
                    f"{rate * moved / rates.bytes:.0%} of the bytes)"
                )
    return lines
