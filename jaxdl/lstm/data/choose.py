"""Which column of a table is the time, and which ones are learnt."""

from collections.abc import Sequence

import numpy as np

from jaxdl.errors import InputError
from jaxdl.files.text import show
from jaxdl.lstm.data.cells import is_missing
from jaxdl.lstm.data.columns import FEW, Column, pick, typed
from jaxdl.lstm.data.regular import counts_rows
from jaxdl.lstm.data.table import Table
from jaxdl.lstm.data.times import WORDS, Times, number_times

_ONE = "holds one value"
_INDEX = ("", "index", "unnamed: 0", "rownames")


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
        names = ", ".join(show(column.name) for column in likely[:FEW])
        raise InputError(
            f"{source}: {len(likely)} columns hold numbers: {names}; choose with --column "
            f"{typed(likely[0].name, likely[0].place)}, or name several to learn them together"
        )
    if len(odd) == 1 and odd[0][1].startswith(_ONE):
        return [odd[0][0]], []  # whoever wants to learn it is told
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
    moves = np.diff(there)
    steady = len(moves) > 1 and (moves == np.median(moves)).mean() > 0.9  # rows may be missing
    if counts_rows(values) or (whole and moves.all() and (steady or name in _INDEX)):
        return "only counts the rows"
    if len(there) > 1 and not np.ptp(there):
        return f"{_ONE}, {there[0]:g}"
    if name in WORDS and whole:
        return "is a part of the time"
    if number_times(values, name) is not None:
        return "looks like a time"
    return ""
