"""The table of all rows, planned beside measured, and what follows from them."""

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.gpu.parts import PARTS

Row = dict[str, Any]
PLANNER = 3e-6  # seconds that `jaxdl.plan` assumes for a launch (jaxdl.compilecheck.LAUNCH)
MARGIN = 1.4  # and how much more memory than planned it allows for (jaxdl.plan.MARGIN)


def number(value: float, unit: str = "") -> str:
    """Three digits or more; a thousand, million ... as k, M, G, T; small ones with an exponent."""
    size = abs(value)
    if size and (size < 1e-3 or not math.isfinite(size)):
        return f"{value:.1e} {unit}".strip()
    for letter, scale in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e4)):
        if size >= scale:
            scale = 1e3 if letter == "k" else scale
            return f"{value / scale:.3g} {letter}{unit}".strip()
    return f"{value:.0f} {unit}".strip() if size >= 1e3 else f"{value:.3g} {unit}".strip()


def lines(rows: Sequence[Row]) -> Iterator[tuple[str, ...]]:
    """Name, planned, measured, ratio, spread and remark of each row."""
    for row in rows:
        if row["status"] == "detail":
            continue
        note = row.get("note", "")
        if row["status"] != "measured":
            word = "" if row["status"] == "told" else row["status"].upper()
            yield row["what"], "", word, "", "", note
            continue
        planned, ratio = row["planned"], row["ratio"]
        spread = ""
        if row.get("low") is not None:
            spread = f"{number(row['low'])} - {number(row['high'])}"
        yield (
            row["what"],
            "" if planned is None else number(planned),
            number(row["measured"], row["unit"]),
            "" if ratio is None else number(ratio),
            spread,
            note,
        )


def table(rows: Sequence[Row]) -> str:
    """Part by part, in columns as wide as they have to be; remarks follow in full."""
    heads = ("", "planned", "measured", "ratio", "lowest - highest", "")
    text = []
    known = [part for part in PARTS if any(row["part"] == part.name for row in rows)]
    everything = [(part, list(lines([r for r in rows if r["part"] == part.name]))) for part in known]
    shown = [line for _, part_lines in everything for line in part_lines if line[2]]
    widths = [max((len(line[n]) for line in [heads, *shown]), default=0) for n in range(5)]
    for part, part_lines in everything:
        text += ["", f"{part.name}: {part.about}"]
        text.append("  ".join(h.rjust(w) if n else h.ljust(w) for n, (h, w) in enumerate(zip(heads, widths, strict=False))))
        for line in part_lines:
            cells = [c.rjust(w) if n else c.ljust(w) for n, (c, w) in enumerate(zip(line, widths, strict=False))]
            if not line[2]:
                text.append(f"{line[0]}: {line[5]}")
            else:
                text.append("  ".join([*cells, line[5]]).rstrip())
    return "\n".join(text).lstrip("\n")


def follows(rows: Sequence[Row]) -> list[str]:
    """Sentences that the numbers carry."""
    good = [row for row in rows if row["status"] == "measured"]
    found: list[str] = []
    for each in (rates, memory, precision, fcn, word2vec, lstm, peers, buffers, faults):
        found += each(good if each is not faults else rows)
    return found


def _of(rows: Sequence[Row], part: str) -> list[Row]:
    return [row for row in rows if row["part"] == part]


def rates(rows: Sequence[Row]) -> Iterator[str]:
    """Shares of the data sheet."""
    known = [row for row in rows if "rate" in row and row["ratio"]]
    if known:
        told = ", ".join(f"{row['rate']} {row['ratio']:.0%}" for row in known)
        yield f"Of the data sheet's rates this card reaches: {told}."
    for row in rows:
        if row["what"].startswith("reduction check") and row["ratio"] > 1:
            yield f"{row['what']} is WRONG: trust no result of this jaxlib on that device."


def memory(rows: Sequence[Row]) -> Iterator[str]:
    """The planner's margin."""
    ratios = [row["ratio"] for row in _of(rows, "fcn") if row["unit"] == "B" and row["ratio"]]
    if ratios:
        verdict = "holds" if max(ratios) <= MARGIN else "is too small"
        yield (
            f"The FCN holds {min(ratios):.2f} to {max(ratios):.2f} times the planned memory: the "
            f"planner's margin of {MARGIN} {verdict}."
        )


def precision(rows: Sequence[Row]) -> Iterator[str]:
    """The tolerance that each arithmetic needs."""
    modes: dict[str, dict[str, float]] = {}
    for row in _of(rows, "correct"):
        needs = modes.setdefault(row["mode"], {})
        off = max(row["differences"].values())
        needs[row["system"]] = max(off, needs.get(row["system"], 0.0))
    for mode, needs in modes.items():
        told = ", ".join(f"{system} {off:.1e}" for system, off in needs.items())
        yield f"Tolerances that {mode} needs here: {told}."
    for row in _of(rows, "digits"):
        if "same" in row:
            how = "bit for bit" if row["same"] else f"only within {row['measured']:.1e}"
            yield f"A run that is killed and resumed equals a straight one {how}."


def fcn(rows: Sequence[Row]) -> Iterator[str]:
    """How far the planner's bound is from what is reached; what pays."""
    cases = {tuple(row["case"].values()): row for row in _of(rows, "fcn") if row["unit"] == "images/s"}
    ratios = [row["ratio"] for row in cases.values() if row["ratio"]]
    if ratios:
        yield (
            f"The FCN reaches {min(ratios):.0%} to {max(ratios):.0%} of its planned rate (median "
            f"{statistics.median(ratios):.0%} of {len(ratios)} programs)."
        )
    best = max(cases.values(), key=lambda row: row["measured"], default=None)
    if best:
        yield f"Fastest: {best['what']}, {number(best['measured'])} images/s."

    def pairs(position: int, base: Any, other: Any) -> list[float]:
        found = []
        for key, row in cases.items():
            changed = (*key[:position], other, *key[position + 1 :])
            if key[position] == base and changed in cases:
                found.append(cases[changed]["measured"] / row["measured"])
        return found

    for position, base, other, told in (
        (3, "float32", "bfloat16", "bfloat16 is {:.2f} times as fast as float32"),
        (4, 1, 8, "eight images a batch are {:.2f} times as fast as one"),
        (4, 8, 32, "32 images a batch are {:.2f} times as fast as eight"),
        (5, 1, 8, "eight steps a dispatch are {:.2f} times as fast as one"),
    ):
        if gains := pairs(position, base, other):
            yield f"FCN: {told.format(statistics.median(gains))} (median of {len(gains)})."


def _per_launch(rows: Sequence[Row]) -> list[float]:
    return [row["seconds"] / row["launches"] for row in rows if row.get("launches")]


def word2vec(rows: Sequence[Row]) -> Iterator[str]:
    """The best block, and whether summing first pays."""
    cases = {(r["size"], r["sum_first"]): r for r in _of(rows, "word2vec") if r["unit"] == "words/s" and "size" in r}
    if not cases:
        return
    best = max(cases.values(), key=lambda row: row["measured"])
    yield f"word2vec trains {number(best['measured'])} words/s at best: {best['what']}."
    for size in sorted({size for size, _ in cases}):
        if (size, True) in cases and (size, False) in cases:
            gain = cases[size, True]["measured"] / cases[size, False]["measured"]
            yield f"Blocks of {size:,}: summing duplicates first is {gain:.2f} times as fast."


def lstm(rows: Sequence[Row]) -> Iterator[str]:
    """What a launch costs, and the yardstick."""
    own = _of(rows, "lstm")
    for part in ("lstm", "word2vec"):
        if costs := _per_launch(_of(rows, part)):
            low, high = min(costs) * 1e6, max(costs) * 1e6
            yield (
                f"A launch of the {part} step takes {low:.2f} to {high:.2f} us all in all; the "
                f"planner assumes {PLANNER * 1e6:.0f}."
            )
    library = next((row for row in own if row.get("cudnn")), None)
    for row in own:
        if library and row["unit"] == "network epochs/s" and "networks" in row:
            gain = row["measured"] / library["measured"]
            yield f"The sweep of {row['networks']} networks trains {gain:.2f} times as many network epochs a second as cuDNN's LSTM."


def peers(rows: Sequence[Row]) -> Iterator[str]:
    """Beside PyTorch, its best form of each case."""
    ours = {tuple(r["case"].values()): r["measured"] for r in _of(rows, "fcn") if r["unit"] == "images/s"}
    theirs: dict[Any, float] = {}
    for row in _of(rows, "torch_fcn"):
        key = tuple(row["case"].values())
        theirs[key] = max(row["measured"], theirs.get(key, 0.0))
    for key in ours.keys() & theirs.keys():
        stride, kind, size, dtype, batch, _ = key
        ratio = ours[key] / theirs[key]
        yield f"fcn{stride}s {kind} {size} {dtype} batch {batch}: {ratio:.2f} times PyTorch's best form."


def buffers(rows: Sequence[Row]) -> Iterator[str]:
    """Each variant beside the default."""
    plain = {row["what"]: row["measured"] for row in rows if row["part"] in ("lstm", "word2vec")}
    for row in _of(rows, "buffers"):
        label, _, what = row["what"].partition(": ")
        if row["unit"].endswith("/s") and what in plain:
            yield f"{label}, {what}: {row['measured'] / plain[what]:.2f} times the default's rate."


def faults(rows: Sequence[Row]) -> Iterator[str]:
    """What did not work."""
    for row in rows:
        if row["status"] == "failed":
            yield f"FAILED, {row['part']}, {row['what']}: {row['note']}"


def summary(rows: Sequence[Row]) -> str:
    """All of it."""
    told = "\n".join(f"- {sentence}" for sentence in follows(rows)) or "- nothing was measured"
    return f"{table(rows)}\n\nWhat follows\n{told}\n"
