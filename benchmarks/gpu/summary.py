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
    parts = [(part, list(lines(_of(rows, part.name)))) for part in PARTS]
    shown = [line for _, found in parts for line in found if line[2]]
    widths = [max(len(line[n]) for line in [heads, *shown]) for n in range(5)]

    def text(line: tuple[str, ...]) -> str:
        if line is not heads and not line[2]:  # only said
            return f"{line[0]}: {line[5]}"
        cells = [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=False)]
        return "  ".join([line[0].ljust(widths[0]), *cells, line[5]]).rstrip()

    found = []
    for part, its in parts:
        if its:
            found += ["", f"{part.name}: {part.about}", text(heads), *map(text, its)]
    return "\n".join(found).lstrip("\n")


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
            place = row["what"].split(", ")[1]
            yield f"jaxlib adds up WRONG on the {place} (reduction check): train nothing there."


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
    own = [row for row in _of(rows, "fcn") if row["unit"] == "images/s"]
    cases = {tuple(row["case"].values()): row for row in own}
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
    timed = [row for row in _of(rows, "word2vec") if row["unit"] == "words/s" and "size" in row]
    cases = {(row["size"], row["sum_first"]): row for row in timed}
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
            spread = f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}"
            yield (
                f"A launch of the {part} step takes {spread} us, all its time divided among them; "
                f"the planner assumes {PLANNER * 1e6:.0f}."
            )
    library = next((row for row in own if row.get("cudnn")), None)
    for row in own:
        if library and row["unit"] == "network epochs/s" and "networks" in row:
            gain = row["measured"] / library["measured"]
            yield (
                f"The sweep of {row['networks']} networks trains {gain:.2f} times as many network "
                "epochs a second as cuDNN's LSTM."
            )


def peers(rows: Sequence[Row]) -> Iterator[str]:
    """Beside PyTorch, its best form of each case."""
    own = [row for row in _of(rows, "fcn") if row["unit"] == "images/s"]
    ours = {tuple(row["case"].values()): row["measured"] for row in own}
    theirs: dict[Any, float] = {}
    for row in _of(rows, "torch_fcn"):
        key = tuple(row["case"].values())
        theirs[key] = max(row["measured"], theirs.get(key, 0.0))
    for key in (key for key in ours if key in theirs):
        stride, kind, size, dtype, batch, _ = key
        ratio = ours[key] / theirs[key]
        case = f"fcn{stride}s {kind} {size} {dtype} batch {batch}"
        yield f"{case}: {ratio:.2f} times as fast as PyTorch's best form."


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


def summary(rows: Sequence[Row], quick: bool = False) -> str:
    """All of it."""
    sentences = follows(rows) or ["Nothing was measured."]
    if quick:
        sentences.insert(0, "The quick form proves that all of it runs; its figures mean nothing.")
    told = "\n".join(f"- {sentence}" for sentence in sentences)
    return f"{table(rows)}\n\nWhat follows\n{told}\n"
