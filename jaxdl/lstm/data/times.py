"""Columns that hold times: dates of the usual forms, years, months, quarters, epoch seconds.

Times are numpy's datetime64 in the unit that the column shows: years, months, days, seconds or
microseconds; numbers that only count are int64.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from jaxdl.lstm.data.calendar import is_regular

_ISO = re.compile(
    r"[0-2]\d{3}-\d\d(-\d\d([T ]\d\d(:\d\d(:\d\d([.]\d{1,9})?)?)?\s?(Z|UTC|[+-]\d\d(:?\d\d)?)?)?)?"
)
_ZONE = re.compile(r"(?<=\d)\s?(Z|UTC|([+-])(\d\d):?(\d\d)?)$")
_DATES = (
    *("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%m-%d-%Y", "%Y.%m.%d"),
    *("%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%b %d %Y", "%Y-%b-%d", "%Y%m%d"),
)
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", "T%H:%M", "T%H:%M:%S")
_MONTHS = ("%b %Y", "%b-%Y", "%Y %b", "%Y-%b", "%b/%Y")
# year and month, quarter or week: pattern, months that the second number counts (0: weeks)
_PARTS = (
    (re.compile(r"(?P<y>[12]\d{3})[- /.]?M(?P<n>\d{1,2})", re.IGNORECASE), 1),
    (re.compile(r"(?P<y>[12]\d{3})[/.](?P<n>\d{1,2})"), 1),
    (re.compile(r"(?P<n>\d{1,2})[/.](?P<y>[12]\d{3})"), 1),
    (re.compile(r"(?P<y>[12]\d{3})[- /]?Q(?P<n>[1-4])", re.IGNORECASE), 3),
    (re.compile(r"Q(?P<n>[1-4])[- /]?(?P<y>[12]\d{3})", re.IGNORECASE), 3),
    (re.compile(r"(?P<y>[12]\d{3})-?W(?P<n>\d{2})", re.IGNORECASE), 0),
)
WORDS = frozenset(
    re.findall(
        r"\w+",
        "date dates time times timestamp datetime ds year years yr month months day days hour "
        "quarter week period index t step",
    )
)
_EPOCHS = ((1e8, 1e10, 1), (1e11, 1e13, 10**3), (1e14, 1e16, 10**6), (1e17, 1e19, 10**9))


class Times(NamedTuple):
    """A column read as times: NaT where a cell is none; `kind` in words; other ways to read it."""

    values: np.ndarray
    kind: str
    other: np.ndarray | None = None  # day and month exchanged, which is as good


def coarsest(times: np.ndarray) -> np.ndarray:
    """Times in the coarsest of days, seconds and microseconds that loses nothing."""
    if np.datetime_data(times.dtype)[0] in "YM":
        return times
    for unit in ("D", "s"):
        coarse = times.astype(f"datetime64[{unit}]")
        if ((coarse == times) | np.isnat(times)).all():
            return coarse
    return times.astype("datetime64[us]")


def text_times(cells: Sequence[str]) -> Times | None:
    """The times of a column of text, if at least half of its cells are of one form."""
    first = next((cell for cell in cells if cell), "")
    if not re.search(r"\d", first):
        return None
    for reader in (_iso, _parts, _formats):
        found = reader(cells, first)
        if found is not None and 2 * np.isnat(found.values).sum() <= len(cells):
            return found
    return None


def _iso(cells: Sequence[str], first: str) -> Times | None:
    if not _ISO.fullmatch(first):
        return None
    good = [bool(_ISO.fullmatch(cell)) for cell in cells]
    zones = [
        _ZONE.search(cell) if ok and len(cell) > 10 else None
        for cell, ok in zip(cells, good, strict=True)
    ]
    bare = [
        (cell[: zone.start()] if zone else cell) if ok else "NaT"
        for cell, ok, zone in zip(cells, good, zones, strict=True)
    ]
    try:
        local = np.array(bare, "datetime64")
    except ValueError:
        local = np.array([_one(cell) for cell in bare], "datetime64[us]")
    if np.datetime_data(local.dtype)[0] not in ("M", "D"):
        local = local.astype("datetime64[us]")
    if np.datetime_data(local.dtype)[0] == "M":
        return Times(local, "months")
    if not any(zones):
        return Times(coarsest(local), "dates")
    minutes = np.array([_minutes(zone) for zone in zones])
    clocks = local - local.astype("datetime64[D]")
    if len(set(minutes.tolist())) > 1 and len(np.unique(clocks[~np.isnat(local)])) == 1:
        return Times(coarsest(local), "dates of a local clock")  # each day at the same hour
    return Times(coarsest(local - minutes.astype("timedelta64[m]")), "dates, as UTC")


def _one(cell: str) -> np.datetime64:
    try:
        return np.datetime64(cell, "us")
    except ValueError:  # such as the 30th of February
        return np.datetime64("NaT", "us")


def _minutes(zone: re.Match[str] | None) -> int:
    """Minutes before UTC."""
    if zone is None or zone[2] is None:
        return 0
    return (1 if zone[2] == "+" else -1) * (60 * int(zone[3]) + int(zone[4] or 0))


def _parts(cells: Sequence[str], first: str) -> Times | None:
    for pattern, months in _PARTS:
        if not pattern.fullmatch(first):
            continue
        values = np.full(len(cells), "NaT", "datetime64[M]" if months else "datetime64[D]")
        for row, cell in enumerate(cells):
            found = pattern.fullmatch(cell)
            year, part = (int(found["y"]), int(found["n"])) if found else (0, 0)
            if months and 1 <= part <= 12 // months:
                values[row] = np.datetime64(12 * (year - 1970) + months * (part - 1), "M")
            elif not months and 1 <= part <= 53:
                fourth = np.datetime64(f"{year}-01-04", "D")  # is always in week 1
                days = 7 * (part - 1) - (int(fourth.astype(int)) + 3) % 7  # from a Monday
                values[row] = fourth + np.timedelta64(days, "D")
        return Times(values, "months" if months == 1 else "quarters" if months else "weeks")
    return None


def _formats(cells: Sequence[str], first: str) -> Times | None:
    import pyarrow as pa  # takes long to import
    import pyarrow.compute as pc

    def parse(some: Sequence[str], form: str) -> np.ndarray:
        found = pc.call_function(
            "strptime",
            [pa.array(some, pa.string())],
            pc.StrptimeOptions(format=form, unit="s", error_is_null=True),
        )
        return found.to_numpy(zero_copy_only=False).astype("datetime64[s]")

    read: dict[str, np.ndarray] = {}
    for form in (*_MONTHS, *(date + clock for date in _DATES for clock in _CLOCKS)):
        values = parse(cells[:20], form)
        if np.isnat(values).sum() * 2 <= len(values):
            read[form] = parse(cells, form)
    if not read:
        return None
    bad = {form: int(np.isnat(values).sum()) for form, values in read.items()}
    best = [form for form in read if bad[form] == min(bad.values())]
    if len(best) > 1:  # day and month can be exchanged: only one order may be regular
        regular = [form for form in best if is_regular(read[form])]
        best = regular if len(regular) == 1 else best
    values = read[best[0]]
    if best[0] in _MONTHS:
        return Times(values.astype("datetime64[M]"), "months")
    other = coarsest(read[best[1]]) if len(best) > 1 else None
    return Times(coarsest(values), f"dates ({best[0]})", other)


def number_times(values: np.ndarray, name: str, *, asked: bool = False) -> Times | None:
    """The times of a column of numbers; None if they are not likely to be any.

    Args:
        values: float64.
        name: of the column: one that says time lets it be out of order.
        asked: it holds times for sure; whole numbers that are no years or epochs only count.
    """
    if len(values) < 2 or not np.isfinite(values).all():
        return None
    moves = np.diff(values)
    word = name.lower() in WORDS
    if not (asked or word or (moves > 0).all() or (moves < 0).all()):
        return None
    low, high = values.min(), values.max()
    if (values != np.round(values)).any():
        return _fractions(values, low, high)
    if high < 3000 and low >= 1000 and (asked or word or abs(np.median(moves)) == 1):
        return Times((values.astype(int) - 1970).astype("datetime64[Y]"), "years")
    readers: list[tuple[float, float, Callable[[np.ndarray], np.ndarray]]] = [
        (100_001, 300_000, _year_month),
        (10_000_101, 30_000_000, _year_month_day),
    ]
    for least, most, reader in readers:
        if least <= low and high < most:
            read = reader(values.astype(np.int64))
            if not np.isnat(read).any():
                return Times(read, "months" if most < 1e6 else "dates (%Y%m%d)")
    for least, most, parts in _EPOCHS:
        if least <= low and high < most and (asked or word or abs(np.median(moves)) > 1):
            whole = values.astype(np.int64)
            micro = whole * (10**6 // parts) if parts <= 10**6 else whole // 1000
            return Times(coarsest(micro.astype("datetime64[us]")), "epoch seconds")
    if asked and abs(values).max() < 2**53:
        return Times(values.astype(np.int64), "numbers that count")
    return None


def _fractions(values: np.ndarray, low: float, high: float) -> Times | None:
    """Years with fractions that are months or quarters, as R writes them: 1949.08333."""
    if low < 1000 or high >= 3000:
        return None
    for parts in (4, 12):
        counts = np.round((values - 1970) * parts)
        if np.abs((values - 1970) * parts - counts).max() < 0.02 * parts / 4:
            return Times((counts.astype(int) * (12 // parts)).astype("datetime64[M]"), "months")
    return None


def _year_month(values: np.ndarray) -> np.ndarray:
    year, month = np.divmod(values, 100)
    found = (12 * (year - 1970) + month - 1).astype("datetime64[M]")
    return np.where((month >= 1) & (month <= 12), found, np.datetime64("NaT", "M"))


def _year_month_day(values: np.ndarray) -> np.ndarray:
    year, rest = np.divmod(values, 10_000)
    month, day = np.divmod(rest, 100)
    months = (12 * (year - 1970) + month - 1).astype("datetime64[M]")
    found = months.astype("datetime64[D]") + (day - 1).astype("timedelta64[D]")
    good = (month >= 1) & (month <= 12) & (day >= 1) & (found.astype("datetime64[M]") == months)
    return np.where(good, found, np.datetime64("NaT", "D"))
