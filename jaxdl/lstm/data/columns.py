"""The columns of a table: what each holds, which one is the time, which ones are learnt."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from jaxdl.errors import InputError
from jaxdl.files.text import show
from jaxdl.lstm.choices import Decimal
from jaxdl.lstm.data.cells import find_decimal, finite, is_missing, number, numbers
from jaxdl.lstm.data.regular import counts_rows
from jaxdl.lstm.data.table import Table
from jaxdl.lstm.data.times import WORDS, Times, number_times, text_times

_FEW = 20  # names in a message
_LONGEST = 60  # characters of one that is to be typed
_INDEX = ("", "index", "unnamed: 0", "rownames")


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
    there = ", ".join(show(column.name) for column in columns[:_FEW])
    there += ", ..." if len(columns) > _FEW else ""
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


def pick_time(
    columns: Sequence[Column], word: str | None, taken: Sequence[str], source: str
) -> tuple[str, Times] | None:
    """Name and times of the time column; None if there is none, or `word` is "none".

    Args:
        word: --time; None finds it.
        taken: columns to learn, which are no times.

    Raises:
        InputError: the column holds no times, or it is open which column or what date is meant.
    """
    if word == "none":
        return None
    if word is not None:
        column = pick(columns, word, source, "--time")
        found = column.dates
        if column.values is not None:
            found = number_times(column.values, column.name, asked=True)
        if found is None:
            cell = show(next(iter(column.cells or [""])))
            raise InputError(
                f"{source}: column {show(column.name)} holds no times, such as {cell}; write dates "
                "as 2000-01-31, or name another column with --time"
            )
        return column.name, found
    left = [c for c in columns if c.name not in taken and str(c.place + 1) not in taken]
    found_by = [(c.name, c.dates) for c in left if c.dates is not None]
    if not found_by and (parts := _from_parts(left)):
        return parts
    if not found_by:
        for column in left:
            values = column.values
            if values is not None and not column.wrong and len(np.unique(values)) == len(values):
                moments = number_times(values, column.name)
                found_by += [] if moments is None else [(column.name, moments)]
    if len(found_by) > 1:
        named = [one for one in found_by if one[0].lower() in WORDS]
        if len(named) != 1:
            names = " and ".join(show(name) for name, _ in found_by[:5])
            raise InputError(f"{source}: columns {names} hold times; choose one with --time")
        found_by = named
    return found_by[0] if found_by else None


def check_times(
    table: Table, columns: Sequence[Column], name: str, times: Times, source: str
) -> None:
    """InputError for a cell of the time column that is no time, or may be two."""
    cells = next(column.cells for column in columns if column.name == name) or ()
    none = np.isnat(times.values) if times.values.dtype.kind == "M" else np.zeros(1, bool)
    for row in np.flatnonzero(none).tolist():
        cell = show(cells[row]) if cells else "nothing"
        raise InputError(
            f"{source}: {table.place(row)}, column {show(name)}: {cell} is no date like the "
            "others; correct it, or take the line out"
        )
    if times.other is not None:
        cell = show(cells[int(np.flatnonzero(times.values != times.other)[0])])
        raise InputError(
            f"{source}: column {show(name)}: {cell} may have the day or the month first; write "
            "dates as 2000-01-31"
        )


def _from_parts(columns: Sequence[Column]) -> tuple[str, Times] | None:
    """A year in one column and its quarter or month in another."""
    by_name = {c.name.lower(): c for c in columns if c.values is not None and not c.wrong}
    for name, parts in (("quarter", 4), ("month", 12)):
        year, part = by_name.get("year"), by_name.get(name)
        if year is None or part is None or year.values is None or part.values is None:
            continue
        sound = (year.values >= 1000) & (year.values < 3000)
        sound &= (part.values >= 1) & (part.values <= parts)
        if sound.all() and not ((year.values % 1) + (part.values % 1)).any():
            months = 12 * (year.values - 1970) + (part.values - 1) * (12 // parts)
            times = months.astype(np.int64).astype("datetime64[M]")
            return f"{year.name} and {part.name}", Times(times, "months")
    return None


def pick_values(
    columns: Sequence[Column], words: Sequence[str], time: str | None, source: str
) -> tuple[list[Column], list[str]]:
    """The columns to learn, and why others were left out.

    Args:
        words: --column; empty if exactly one column is likely.
        time: name of the time column.

    Raises:
        InputError: none or several are likely, or one that was named is none of numbers.
    """
    if words:
        picked = [pick(columns, word, source, "--column") for word in words]
        for column in picked:
            if column.values is None:
                cell = show(next((c for c in column.cells or () if not is_missing(c)), ""))
                raise InputError(
                    f"{source}: column {show(column.name)} holds no numbers, such as {cell}; "
                    "choose another with --column"
                )
        if len({column.place for column in picked}) < len(picked):
            raise InputError(f"{source}: --column {' '.join(words)}: name each column once")
        return picked, []
    times = set((time or "").split(" and ")) | {time}
    likely, odd = [], []
    for column in columns:
        if column.values is None or column.name in times or np.isnan(column.values).all():
            continue
        why = _why_not(column)
        if why:
            odd.append((column, why))
        else:
            likely.append(column)
    left = [f"{show(column.name)} {why}" for column, why in odd]
    if len(likely) == 1:
        return likely, [f"left out: {text}" for text in left]
    if likely:
        names = ", ".join(show(column.name) for column in likely[:_FEW])
        raise InputError(
            f"{source}: {len(likely)} columns hold numbers: {names}; choose with --column "
            f"{typed(likely[0].name, likely[0].place)}, or name several to learn them together"
        )
    if odd:
        name = typed(odd[0][0].name, odd[0][0].place)
        raise InputError(
            f"{source}: column {left[0]}: there is nothing to learn; name another column, or take "
            f"it all the same with --column {name}"
        )
    text = [show(column.name) for column in columns if column.name not in times]
    shown = f"; {text[0]} is text" if text else ""
    raise InputError(f"{source}: no column holds numbers{shown}; give a column of numbers")


def _why_not(column: Column) -> str:
    """Why a column of numbers is not likely to be a series; "" if it may be one."""
    values = column.values
    assert values is not None
    name = "" if column.name == f"column {column.place + 1}" else column.name.lower()
    there = values[~np.isnan(values)]
    whole = bool((there == np.round(there)).all())
    if counts_rows(values) or (whole and name in _INDEX and (np.diff(values) > 0).all()):
        return "only counts the rows"
    if len(there) > 1 and not np.ptp(there):
        return f"holds one value, {there[0]:g}"
    if name in WORDS and whole:
        return "is a part of the time"
    if number_times(values, name) is not None:
        return "looks like a time"
    return ""
