"""Cells of a table of text: what is missing, what is a number, and how its decimals are written."""

import contextlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float64

from jaxdl.errors import InputError
from jaxdl.files.text import show
from jaxdl.lstm.choices import Decimal

LARGEST = 1e100  # of a value: the square of a larger one may be infinite
_MISSING = frozenset(("", "na", "n/a", "#n/a", "<na>", "nan", "null", "none", "nat", "-", ".", "?"))
# Spaces and apostrophes between groups of three digits; the minus of typesetters.
_MARKS = re.compile(r"(?<=\d)['\u2019 \u00a0\u2009\u202f](?=\d{3}(?!\d))")
_NUMERAL = re.compile(r"[+-]?(?=[.,]?\d)\d*[\d.,]*\d?[.,]?(e[+-]?\d+)?", re.IGNORECASE)
_GROUPS = {
    "point": re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?(e[+-]?\d+)?", re.IGNORECASE),
    "comma": re.compile(r"[+-]?\d{1,3}(\.\d{3})+(,\d*)?(e[+-]?\d+)?", re.IGNORECASE),
}


def is_missing(cell: str) -> bool:
    """Whether a cell says that there is no value, as pandas, R and spreadsheets write it."""
    return cell.lower() in _MISSING


def number(cell: str, decimal: Decimal = "point") -> float | None:
    """The number that a cell holds, perhaps infinite; None if it holds none.

    Args:
        cell: without spaces around it.
        decimal: "point" reads 1,234.5 and "comma" reads 1.234,5.
    """
    text = _MARKS.sub("", cell).replace("\N{MINUS SIGN}", "-")
    mark = "," if decimal == "point" else "."
    if mark in text:
        if not _GROUPS[decimal].fullmatch(text):
            return None
        text = text.replace(mark, "")
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return None


def numbers(
    cells: Sequence[str], decimal: Decimal = "point"
) -> tuple[Float64[np.ndarray, " n"], list[int]]:
    """Every cell as a number, NaN where it is missing; and the rows whose cell is neither.

    A number that is infinite or at least `LARGEST` in size is none.
    """
    wrong: list[int] = []
    if decimal == "point":
        with contextlib.suppress(ValueError):
            return finite(np.fromiter(map(float, cells), np.float64, len(cells)), wrong)
    values = np.full(len(cells), np.nan)
    for row, cell in enumerate(cells):
        if is_missing(cell):
            continue
        value = number(cell, decimal)
        if value is None:
            wrong.append(row)
        else:
            values[row] = value
    return finite(values, wrong)


def finite(
    values: Float64[np.ndarray, " n"], wrong: list[int]
) -> tuple[Float64[np.ndarray, " n"], list[int]]:
    """NaN for the values that are infinite or too large, whose rows `wrong` gets too."""
    odd = np.abs(np.nan_to_num(values, nan=0.0, posinf=np.inf, neginf=np.inf)) >= LARGEST
    rows = np.flatnonzero(odd).tolist()
    return np.where(odd, np.nan, values), sorted([*wrong, *rows])


def _kind(cell: str) -> Decimal | str:
    """Which mark of decimals a numeral with a comma or two points shows; "" if it may be both."""
    text = _MARKS.sub("", cell)
    commas, points = text.count(","), text.count(".")
    if commas and points:
        return "comma" if text.rindex(",") > text.rindex(".") else "point"
    if commas > 1 or points > 1:
        return "point" if commas else "comma"
    before, after = re.split(",", text.lstrip("+-"), maxsplit=1) if commas else ("", "")
    open_ = commas and len(after) == 3 and 1 <= len(before) <= 3 and before[0] != "0"
    return "" if open_ else "comma"


def find_decimal(columns: Iterable[Sequence[str]], separator: str | None, source: str) -> Decimal:
    """How a table's numbers are written, found from all of them.

    Args:
        columns: of text.
        separator: of the table; None if it has one column.
        source: for messages.

    Raises:
        InputError: the numbers contradict each other, or leave it open.
    """
    shown: dict[str, str] = {}
    counts: Counter[str] = Counter()
    plain = False  # a column has numerals with a comma and others without
    for cells in columns:
        text = "\n".join(cells)
        if "," not in text and text.count(".") <= len(cells):
            continue
        numerals = [cell for cell in cells if _NUMERAL.fullmatch(_MARKS.sub("", cell))]
        marked = [c for c in numerals if "," in c or c.count(".") > 1]
        if 2 * len(numerals) < len(cells) or not marked:
            continue
        plain |= len(marked) < len(numerals)
        for cell in marked:
            kind = _kind(cell)
            counts[kind] += 1
            shown.setdefault(kind, cell)
    remedy = "say --decimal comma or --decimal point"
    if counts["comma"] and counts["point"]:
        pair = f"{show(shown['comma'])} and {show(shown['point'])}"
        raise InputError(f"{source}: {pair} have different marks of decimals; {remedy}")
    if counts["comma"]:
        return "comma"
    if counts["point"] or not counts or separator == ",":
        return "point"
    if separator == ";" and not plain:  # as spreadsheets write where the comma marks decimals
        return "comma"
    value = number(shown[""], "point") or math.nan
    raise InputError(
        f"{source}: {show(shown[''])} is {value:.0f} or {value / 1000:g}; {remedy}, or write the "
        "numbers without a comma"
    )
