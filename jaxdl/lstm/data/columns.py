"""The columns of a table: what each holds, and those that an option names."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from jaxdl.errors import InputError
from jaxdl.files.text import show
from jaxdl.lstm.choices import Decimal
from jaxdl.lstm.data.cells import find_decimal, finite, is_missing, number, numbers
from jaxdl.lstm.data.table import Table
from jaxdl.lstm.data.times import Times, text_times

FEW = 20  # names in a message
_LONGEST = 60  # characters of one that is to be typed


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One column.

    Attributes:
        name: as in the file, or "column 3".
        place: from 0.
        cells: as text; None in parquet's columns of numbers and times.
        values: NaN where a cell is missing or no number; None if most cells are neither.
        wrong: rows whose cell is neither a number nor missing.
        dates: the times that a column of text, or of parquet's times, holds.
    """

    name: str
    place: int
    cells: Sequence[str] | None
    values: Float64[np.ndarray, " n"] | None
    wrong: Sequence[int]
    dates: Times | None


def columns_of(table: Table, decimal: Decimal | None, source: str) -> tuple[list[Column], Decimal]:
    """Each column, read, and how numbers are written. InputError: that is open."""
    dates: dict[int, Times | None] = {}
    for place, column in enumerate(table.columns):
        if isinstance(column, list):
            first = next((cell for cell in column if not is_missing(cell)), "")
            dates[place] = None if _plain(first) else text_times(column)
    if decimal is None:
        texts = [c for n, c in enumerate(table.columns) if isinstance(c, list) and not dates[n]]
        decimal = find_decimal(texts, table.separator, source)
    found = []
    for place, (name, column) in enumerate(zip(table.names, table.columns, strict=True)):
        name = name or f"column {place + 1}"
        if isinstance(column, np.ndarray):
            moments = Times(column, "dates") if column.dtype.kind == "M" else None
            values, wrong = (None, []) if moments else finite(column, [])
            found.append(Column(name, place, None, values, wrong, moments))
            continue
        values, wrong = (None, []) if dates[place] else numbers(column, decimal)
        if values is not None and 2 * len(wrong) > len(column) - sum(map(is_missing, column)):
            values = None
        found.append(Column(name, place, column, values, wrong, dates[place]))
    return found, decimal


def typed(word: str, other: int | str) -> str:
    """A word as it is typed in a shell; one that is odd or long becomes `other`, a place from 1."""
    if word.isprintable() and len(word) <= _LONGEST:
        return shlex.quote(word)
    return other if isinstance(other, str) else str(other + 1)


def _plain(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def pick(columns: Sequence[Column], word: str, source: str, option: str) -> Column:
    """The column of a name, or else of a number from 1.

    Raises:
        InputError: there is none, or several of that name.
    """
    named = [column for column in columns if column.name == word]
    if len(named) > 1:
        places = " or ".join(str(column.place + 1) for column in named)
        raise InputError(
            f"{source}: {len(named)} columns are called {word!r}; say {option} {places}"
        )
    if named:
        return named[0]
    if word.isascii() and word.isdigit() and 1 <= int(word) <= len(columns):
        return columns[int(word) - 1]
    there = ", ".join(show(column.name) for column in columns[:FEW])
    there += ", ..." if len(columns) > FEW else ""
    raise InputError(f"{source}: no column {word!r} for {option}; its columns are {there}")


def take_id(
    table: Table, columns: Sequence[Column], word: str, source: str
) -> tuple[np.ndarray, int]:
    """The rows of one series of a table in long format, and the place of the column that tells.

    Args:
        word: COLUMN=VALUE, or COLUMN if it holds one value.

    Raises:
        InputError: several series, or none of that value.
    """
    name, value = word, None
    if all(column.name != word for column in columns) and "=" in word:
        name, value = word.split("=", maxsplit=1)
    column = pick(columns, name, source, "--id")
    cells = [str(cell) for cell in table.columns[column.place]]
    there = list(dict.fromkeys(cells))
    if value is None:
        if len(there) > 1:
            raise several(source, column.name, there)
        value = there[0]
    same = number(value)
    rows = np.array([c == value or (same is not None and number(c) == same) for c in cells])
    if not rows.any():
        raise InputError(
            f"{source}: column {show(column.name)} has no {show(value)}; it has {_list(there)}"
        )
    return np.flatnonzero(rows), column.place


def _list(words: Sequence[str]) -> str:
    return ", ".join(map(show, words[:5])) + (", ..." if len(words) > 5 else "")


def several(source: str, name: str, values: Sequence[str]) -> InputError:
    """The refusal of several series in one table."""
    word = typed(f"{name}={values[0]}", "COLUMN=VALUE")
    return InputError(
        f"{source}: column {show(name)} holds {len(values)} series ({_list(values)}); take one "
        f"with --id {word}, and learn each in a run of its own"
    )
