"""Values and times as a `Series`: sorted, regular, without holes; and what makes one doubtful.

The readers of files and of Python's arrays end here, so that both are checked alike.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float64

from jaxdl.errors import InputError
from jaxdl.files.text import show
from jaxdl.lstm.choices import Missing
from jaxdl.lstm.data import missing as filling
from jaxdl.lstm.data.calendar import at_places, find_step, show_time, undo_clock_changes
from jaxdl.lstm.data.cells import LARGEST
from jaxdl.lstm.data.times import coarsest
from jaxdl.lstm.series import Series

FEWEST = 10  # rows that can be learnt from
_SENTINELS = (99, 999, 9999, 99999, 999999, 99.9, 99.99, 999.9, 999.99, 9999.9, 1e20, 1e30)


class Made(NamedTuple):
    """A series, what was done to it, and what may be wrong with it, in lines of text."""

    series: Series
    told: list[str]
    warnings: list[str]


def make_series(
    values: Float[np.ndarray, "n f"],
    *,
    names: Sequence[str] | None = None,
    times: np.ndarray | None = None,
    missing: Missing = "error",
    period: int | None = None,
    source: str = "the series",
    place: Callable[[int], str] = lambda row: f"row {row + 1}",
) -> Made:
    """A series of values, in order of their times.

    Args:
        values: a row for each step; NaN where a value is missing.
        names: of the columns; None for "1", "2", ...
        times: of the rows, datetime64 or whole numbers; None if they are in order and regular.
        missing: what is done with missing values and with times that are left out: "error"
            refuses them; "interpolate" draws straight lines, "ffill" repeats the last value and
            "seasonal" adds the lines to the mean of each step of the period. The first and last
            rows are left out instead.
        period: of "seasonal"; None finds it.
        source: for messages.
        place: names a row, as the user counts it.

    Raises:
        InputError: no values, times that are double or irregular, missing values, or values that
            are infinite or too large.
    """
    values = np.asarray(values, np.float64)
    names = tuple(names) if names is not None else tuple(str(n + 1) for n in range(values.shape[1]))
    told: list[str] = []
    if not values.size:
        raise InputError(f"{source}: holds no step; give a line of names and lines of numbers")
    for name, column in zip(names, values.T, strict=True):
        if np.isnan(column).all():
            raise InputError(f"{source}: column {show(name)} holds no number; choose another")
        wrong = np.flatnonzero(np.abs(np.nan_to_num(column, nan=0.0)) >= LARGEST)
        if len(wrong):
            value, row = column[wrong[0]], int(wrong[0])
            what = f"beyond {LARGEST:g}" if np.isfinite(value) else "not a finite number"
            raise InputError(
                f"{source}: {place(row)}, column {show(name)}: {value:g} is {what}; leave the cell "
                "empty if the value is missing, or correct it"
            )
    step, absent = None, np.zeros(0, np.int64)
    where = np.arange(len(values))  # the user's row of each row; -1 for one that was added
    if times is not None:
        times, order = _sorted(times, source, place, told)
        values, where = values[order], where[order]
        if len(values) > 1:
            found = find_step(times)
            if found is None:
                raise _irregular(times, source)
            step, places = found
            times = at_places(times[0], step, np.arange(int(places[-1]) + 1))
            grid = np.full((len(times), values.shape[1]), np.nan)
            rows = np.full(len(times), -1)
            grid[places], rows[places] = values, where
            values, where = grid, rows
            absent = np.flatnonzero(rows < 0)
    warnings = _sentinels(names, values)
    holes = np.flatnonzero(filling.gaps(values))
    if len(holes):
        what = _missing_text(names, values, holes, absent, times, where, place)
        if missing == "error":
            raise InputError(
                f"{source}: {what}; fill them with --missing interpolate, ffill or seasonal "
                "(in Python missing=...)"
            )
        values, times = _filled(values, times, missing, period, source, told)
        told.append(f"{what}: filled ({missing})")
        if 2 * len(holes) > len(where):
            warnings.append(f"{len(holes)} of {len(where)} rows were filled: more than half")
    series = Series(values=values, names=names, times=times if step else None, step=step)
    return Made(series, told, warnings)


def _sorted(
    times: np.ndarray, source: str, place: Callable[[int], str], told: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """The times from first to last, and their rows; InputError if one is missing or double."""
    if times.dtype.kind == "M":
        none = np.flatnonzero(np.isnat(times))
        if len(none):
            raise InputError(
                f"{source}: {place(int(none[0]))} has no time that can be read; write it as the "
                "others are, or take the line out"
            )
        times = coarsest(times)
    times, changes = undo_clock_changes(times)
    if changes:
        text = "1 change" if changes == 1 else f"{changes} changes"
        told.append(f"{text} of the clock (daylight saving) undone: all times are the first row's")
    order = np.argsort(times, kind="stable")
    moved = int((order != np.arange(len(order))).sum())
    if moved:
        newest = (order == np.arange(len(order))[::-1]).all()
        told.append("newest first: turned round" if newest else f"sorted: {moved} rows moved")
    ordered = times[order]
    double = np.flatnonzero(ordered[1:] == ordered[:-1])
    if len(double):
        at = int(double[0])
        pair = " and ".join(sorted((place(int(order[at])), place(int(order[at + 1]))), key=len))
        count = len(np.unique(ordered[double]))
        raise InputError(
            f"{source}: {count} time{'s are' if count > 1 else ' is'} there twice or more, such as "
            f"{show_time(ordered[at])} ({pair}); keep one row of each, or take one of several "
            "series with --id COLUMN=VALUE"
        )
    return ordered, order


def _irregular(times: np.ndarray, source: str) -> InputError:
    moves = np.diff(times)
    kinds, counts = np.unique(moves, return_counts=True)
    usual = kinds[counts.argmax()]
    odd = int(np.flatnonzero(moves != usual)[0])
    pair = f"{show_time(times[odd])} and {show_time(times[odd + 1])}"
    return InputError(
        f"{source}: its times are not regular (such as {pair}; the commonest distance is {usual}); "
        "resample them to a fixed step, or take the rows as they stand with --time none"
    )


def _missing_text(
    names: Sequence[str],
    values: np.ndarray,
    holes: np.ndarray,
    absent: np.ndarray,
    times: np.ndarray | None,
    where: np.ndarray,
    place: Callable[[int], str],
) -> str:
    """How many values and rows are missing, and which."""
    parts = []
    empty_rows = np.setdiff1d(holes, absent)
    cells = where[empty_rows]
    if len(cells):
        empty = np.asarray(np.isnan(values[empty_rows]).any(axis=0))
        columns = ", ".join(show(n) for n, e in zip(names, empty, strict=True) if e)
        spans = [
            place(a) if a == b else f"{place(a)} to {place(b)}"
            for a, b in filling.runs(np.sort(cells))
        ]
        verb = "has" if len(cells) == 1 else "have"
        of = f"{len(cells)} of {int((where >= 0).sum())} rows {verb} no value of {columns}"
        parts.append(f"{of} ({_few(spans)})")
    if len(absent):
        assert times is not None
        spans = [
            show_time(times[a]) if a == b else f"{show_time(times[a])} to {show_time(times[b])}"
            for a, b in filling.runs(absent)
        ]
        verb = "has" if len(absent) == 1 else "have"
        parts.append(f"{len(absent)} of {len(times)} times {verb} no row ({_few(spans)})")
    return ", and ".join(parts)


def _few(texts: list[str], most: int = 3) -> str:
    return ", ".join(texts[:most]) + (", ..." if len(texts) > most else "")


def _filled(
    values: Float64[np.ndarray, "n f"],
    times: np.ndarray | None,
    how: Missing,
    period: int | None,
    source: str,
    told: list[str],
) -> tuple[Float64[np.ndarray, "m f"], np.ndarray | None]:
    """The rows from the first to the last that is whole, filled."""
    whole = np.flatnonzero(~filling.gaps(values))
    if not len(whole):
        raise InputError(f"{source}: no row has a value in every column; choose one with --column")
    first, last = int(whole[0]), int(whole[-1])
    if first or last < len(values) - 1:
        cut = f"{first} rows before the first whole one and {len(values) - 1 - last} after the last"
        told.append(f"left out: {cut}")
    values = values[first : last + 1]
    if how == "seasonal" and period is None and np.isnan(values).any():
        found = filling.find_period(filling.fill(values, "interpolate", None))
        if found is None:
            raise InputError(
                f"{source}: no period was found for --missing seasonal; name it with --period, or "
                "use --missing interpolate"
            )
        period = found[0]
    return filling.fill(values, how, period), None if times is None else times[first : last + 1]


def _sentinels(names: Sequence[str], values: Float64[np.ndarray, "n f"]) -> list[str]:
    """A warning for each column with a number that often stands for a missing one, far away."""
    found = []
    for name, column in zip(names, values.T, strict=True):
        column = column[~np.isnan(column)]
        for value in {float(column.min()), float(column.max())}:
            rest = column[column != value]
            if abs(value) not in _SENTINELS or len(rest) < 3:
                continue
            if np.abs(value - rest).min() > 2 * np.ptp(rest):
                times = len(column) - len(rest)
                found.append(
                    f"column {show(name)}: {value:g} stands in {times} rows, far from all others; "
                    "if it means that the value is missing, leave the cell empty and use --missing"
                )
    return found


def check_learnable(series: Series, source: str) -> list[str]:
    """Warnings of columns from which there is little to learn.

    Raises:
        InputError: too few rows, or no column that changes.
    """
    rows = len(series.values)
    if rows < FEWEST:
        raise InputError(f"{source}: {rows} rows are too few to learn from; give 30 or more")
    flat = [
        name
        for name, column in zip(series.names, series.values.T, strict=True)
        if not np.ptp(column)
    ]
    if len(flat) == len(series.names):
        value = f"{series.values[0, 0]:g}"
        raise InputError(
            f"{source}: column {show(flat[0])} holds one value, {value}, in all {rows} rows: there "
            "is nothing to learn; choose another column"
        )
    found = []
    for name, column in zip(series.names, series.values.T, strict=True):
        moves = np.diff(column)
        if counts_rows(column):
            found.append(f"column {show(name)} rises or falls evenly: it may only count the rows")
        elif (moves > 0).all() or (moves < 0).all():
            way = "rises" if moves[0] > 0 else "falls"
            found.append(
                f"column {show(name)} always {way}: networks predict badly beyond the values that "
                "they learnt; the changes from row to row may be the better series"
            )
    return found


def counts_rows(values: Any) -> bool:
    """Whether a column rises or falls by the same amount from each row to the next."""
    moves = np.diff(np.asarray(values, np.float64))
    if len(moves) < 2 or not np.isfinite(moves).all() or not moves[0]:
        return False
    return bool(np.abs(moves - moves[0]).max() <= 1e-9 * max(abs(moves[0]), 1e-300))
