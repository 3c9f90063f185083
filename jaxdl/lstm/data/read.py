"""A user's file as a `Series`: one reader for training and for predicting."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxdl.errors import InputError
from jaxdl.files.text import show
from jaxdl.lstm.choices import Decimal, Missing
from jaxdl.lstm.data.calendar import show_time
from jaxdl.lstm.data.cells import LARGEST
from jaxdl.lstm.data.choose import check_times, pick_time, pick_values
from jaxdl.lstm.data.columns import Column, columns_of, several, take_id
from jaxdl.lstm.data.regular import make_series
from jaxdl.lstm.data.table import Table, read_table
from jaxdl.lstm.data.times import Times
from jaxdl.lstm.series import Series


class Read(NamedTuple):
    """A series, how it was read in a line or two, what may be wrong with it.

    Attributes:
        took: the options that read it again: column, time, id, decimal, missing.
    """

    series: Series
    told: list[str]
    warnings: list[str]
    took: dict[str, Any]


def read_series(
    path: Path,
    *,
    column: Sequence[str] = (),
    time: str | None = None,
    id: str | None = None,
    decimal: Decimal | None = None,
    missing: Missing | None = None,
    period: int | None = None,
    like: Mapping[str, Any] | None = None,
) -> Read:
    """The series in a file of text (commas, semicolons, tabs, bars, spaces) or parquet.

    Args:
        path: the file, perhaps packed by gzip.
        column: names or numbers of the columns to learn; empty if exactly one is of numbers.
        time: name or number of the time column; None finds it, "none" leaves it out.
        id: COLUMN=VALUE takes the rows of one series.
        decimal: how numbers are written; None finds it.
        missing: see `jaxdl.lstm.data.regular.make_series`; None for "error".
        period: of missing "seasonal"; None finds it.
        like: what an earlier reading `took`; holds for all that is not given, as far as this file
            has such columns.

    Raises:
        InputError: the file, its columns, times or values.
    """
    like = like or {}
    decimal = decimal or like.get("decimal")
    missing = missing or like.get("missing") or "error"
    source, table = str(path), read_table(path, decimal)
    columns, written = columns_of(table, decimal, source)
    there = {c.name for c in columns} | {str(c.place + 1) for c in columns}
    if not column and (len(like.get("column") or ()) > 1 or {*like.get("column", ())} & there):
        column = like["column"]
    time = like.get("time") if time is None and like.get("time") in there else time
    id = like.get("id") if id is None and str(like.get("id")).split("=")[0] in there else id
    told = [*table.told, *(["decimal comma"] if written == "comma" else [])]
    if id is not None:
        rows, place = take_id(table, columns, id, source)
        table = _rows_of(table, rows)
        columns, _ = columns_of(table, written, source)
        columns = [c for c in columns if c.place != place]
        told.append(f"the {len(rows)} rows of --id {id}")
    timed = pick_time(columns, time, column, source)
    values, left = pick_values(columns, column, timed and timed[0], source)
    _check_numbers(table, values, source)
    if timed is not None:
        if any(c.name == timed[0] for c in columns):
            check_times(table, columns, *timed, source)
        if id is None:
            _check_one_series(columns, timed[1].values, values, timed[0], source)
    table_values = np.stack([c.values for c in values if c.values is not None], axis=1)
    made = make_series(
        table_values,
        names=[c.name for c in values],
        times=None if timed is None else timed[1].values,
        missing=missing,
        period=period,
        source=source,
        place=table.place,
    )
    lines = [_summary(source, made.series, timed)]
    if notes := [*told, *left, *made.told]:
        lines.append(f"{source}: {'; '.join(notes)}")
    names = [c.name for c in columns]
    took = {
        "column": [c.name if names.count(c.name) == 1 else str(c.place + 1) for c in values],
        "time": timed[0] if timed is not None and timed[0] in names else time,
        "id": id,
        "decimal": decimal,
        "missing": missing,
    }
    return Read(made.series, lines, made.warnings, took)


def _rows_of(table: Table, rows: np.ndarray) -> Table:
    """Some rows of a table."""
    kept = [c[rows] if isinstance(c, np.ndarray) else [c[n] for n in rows] for c in table.columns]
    return table._replace(columns=kept, lines=[table.lines[n] for n in rows])


def _check_numbers(table: Table, values: Sequence[Column], source: str) -> None:
    """InputError for the first cell that is neither a number nor missing."""
    for column in values:
        if column.wrong:
            row = column.wrong[0]
            cell = "a value" if column.cells is None else show(column.cells[row])
            raise InputError(
                f"{source}: {table.place(row)}, column {show(column.name)}: "
                f"{cell} is not a number, or not one below {LARGEST:g}; correct it, or leave the "
                "cell empty if the value is missing"
            )


def _check_one_series(
    columns: Sequence[Column], times: np.ndarray, values: Sequence[Column], time: str, source: str
) -> None:
    """InputError if the times are double, and another column tells which series a row is of."""
    kinds, at = np.unique(times, return_inverse=True)
    if len(kinds) == len(times):
        return
    for column in columns:
        cells = column.cells if column.cells is not None else column.values
        if column.name == time or column in values or cells is None:
            continue
        words = [str(cell) for cell in cells]
        there = list(dict.fromkeys(words))
        pairs = set(zip(at.tolist(), words, strict=True))
        if 1 < len(there) <= len(words) // 2 and len(pairs) == len(words):
            raise several(source, column.name, there)


def _summary(source: str, series: Series, timed: tuple[str, Times] | None) -> str:
    """What was taken: rows, columns, time, step, from and to."""
    names = ", ".join(map(show, series.names[:5])) + (", ..." if len(series.names) > 5 else "")
    text = f"{source}: {len(series.values):,} rows of {names}"
    if timed is None or series.times is None:
        return f"{text}, in the order of the file (no time column)"
    first, last = show_time(series.times[0]), show_time(series.times[-1])
    return f"{text}, by {show(timed[0])}: a step is {series.step}, from {first} to {last}"
