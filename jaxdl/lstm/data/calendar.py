"""The step of a time axis: found, told in words, its gaps, and the times that follow.

Times are sorted and without duplicates where nothing else is said; see `jaxdl.lstm.data.times`.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Int64

HOUR, DAY = 3_600_000_000, 86_400_000_000  # microseconds
_UNITS = {
    7 * DAY: "week",
    DAY: "day",
    HOUR: "hour",
    60_000_000: "minute",
    1_000_000: "second",
    1000: "millisecond",
    1: "microsecond",
}
_CHANGES = (3, 4, 9, 10, 11)  # months in which clocks change, on a Sunday before dawn


@dataclass(frozen=True, slots=True)
class Step:
    """From a row's time to the next one's.

    Attributes:
        unit: "number" counts rows; "time" is of fixed length, in microseconds; "business day" is
            Monday to Friday; "month" keeps the day of the month, "month end" is the last day and
            "last weekday" the last of Monday to Friday in it.
        count: how many units.
    """

    unit: Literal["number", "time", "business day", "month", "month end", "last weekday"]
    count: int

    def __str__(self) -> str:
        if self.unit == "time":
            size, name = next((s, n) for s, n in _UNITS.items() if self.count % s == 0)
            return _several(self.count // size, name)
        if self.unit in ("number", "business day"):
            return _several(self.count, self.unit)
        months = [(12, "year"), (3, "quarter"), (1, "month")]
        size, name = next((s, n) for s, n in months if self.count % s == 0)
        ends = {"month": "", "month end": ", its last day", "last weekday": ", its last weekday"}
        return _several(self.count // size, name) + ends[self.unit]


def _several(count: int, name: str) -> str:
    return f"1 {name}" if count == 1 else f"{count} {name}s"


def show_time(time: Any) -> str:
    """A time as it is written: 1949, 1949-01, 1949-01-31 or 1949-01-31 12:00:00."""
    return str(time).replace("T", " ")


def _months(times: np.ndarray) -> np.ndarray:
    return times.astype("datetime64[M]").astype(np.int64)


def _micro(times: np.ndarray) -> np.ndarray:
    return times.astype("datetime64[us]").astype(np.int64)


def _last_weekdays(months: np.ndarray) -> np.ndarray:
    """The last of Monday to Friday in each month."""
    after = (months + 1).astype("datetime64[M]").astype("datetime64[D]")
    return np.busday_offset(after, -1, roll="forward")


def _month_ends(months: np.ndarray) -> np.ndarray:
    after = (months + 1).astype("datetime64[M]").astype("datetime64[D]")
    return after - np.timedelta64(1, "D")


def _common(moves: np.ndarray) -> int | None:
    """The length of the step: the commonest, or else what divides all; None if neither fits."""
    counts = Counter(moves.tolist())
    most = max(counts.values())
    step = min(move for move, times in counts.items() if times == most)
    if (moves % step).any():
        step = int(np.gcd.reduce(moves))
    rows = int(moves.sum()) // step + 1
    return step if rows <= 3 * (len(moves) + 1) else None


def find_step(times: np.ndarray) -> tuple[Step, Int64[np.ndarray, " n"]] | None:
    """The step, and the place of each time on the regular axis, from 0; a place left out is a gap.

    None if the times are irregular: not all are a whole number of steps apart, or more than two
    thirds of the places would be gaps.

    Args:
        times: at least 2, sorted, without duplicates.
    """
    if times.dtype.kind != "M":
        return _counted("number", times.astype(np.int64))
    if np.datetime_data(times.dtype)[0] in "YM":
        return _counted("month", _months(times))
    days = times.astype("datetime64[D]")
    clocks = _micro(times) - _micro(days)
    if (clocks == clocks[0]).all():
        months = _months(days)
        if (np.diff(months) > 0).all():
            offsets = (days - days.astype("datetime64[M]")).astype(int)
            if (days == _month_ends(months)).all():
                return _counted("month end", months)
            if (offsets == offsets[0]).all():
                return _counted("month", months)
            if (days == _last_weekdays(months)).all():
                return _counted("last weekday", months)
        if np.is_busday(days).all() and len(days) > 5:
            moves = np.diff(days).astype(int)
            if Counter(moves.tolist()).most_common(1)[0][0] == 1 and (moves >= 3).any():
                first = days[0].astype("datetime64[D]")
                return _counted("business day", np.busday_count(first, days).astype(np.int64))
    micro = _micro(times)
    moves = np.diff(micro)
    usual = Counter(moves.tolist()).most_common(1)[0][0]
    if usual % DAY == 0 and (moves % usual).any():  # midnights of a clock that is changed
        places = np.round((micro - micro[0]) / usual).astype(np.int64)
        if np.abs(micro - micro[0] - places * usual).max() <= HOUR and (np.diff(places) > 0).all():
            return Step("time", usual), places
    return _counted("time", micro)


def _counted(unit, numbers: np.ndarray) -> tuple[Step, np.ndarray] | None:
    step = _common(np.diff(numbers))
    if step is None:
        return None
    return Step(unit, step), (numbers - numbers[0]) // step


def is_regular(times: np.ndarray) -> bool:
    """Whether times, in any order, are each a step apart, without gaps or duplicates."""
    times = np.unique(times[~np.isnat(times)])
    if len(times) < 3:
        return False
    found = find_step(times)
    return found is not None and int(found[1][-1]) == len(times) - 1


def at_places(first: Any, step: Step, places: np.ndarray) -> np.ndarray:
    """The times at `places`, of which `first` is place 0; in the unit of `first`."""
    kind: Any = np.asarray(first).dtype
    if step.unit == "number":
        return np.asarray(first + places * step.count, np.int64)
    unit = np.datetime_data(kind)[0]
    moved = np.asarray(places, np.int64) * step.count
    if step.unit == "time":
        micro = first.astype("datetime64[us]") + moved.astype("timedelta64[us]")
        return micro.astype(kind)
    day = first.astype("datetime64[D]")
    clock = first - day if unit not in "YMD" else np.timedelta64(0, "D")
    if step.unit == "business day":
        return (np.busday_offset(day, moved) + clock).astype(kind)
    months = _months(np.asarray(first)) + moved
    if step.unit == "month end":
        return (_month_ends(months) + clock).astype(kind)
    if step.unit == "last weekday":
        return (_last_weekdays(months) + clock).astype(kind)
    starts = months.astype("datetime64[M]")
    if unit in "YM":
        return starts.astype(kind)
    into = day - day.astype("datetime64[M]").astype("datetime64[D]")
    # The 29th to 31st end with a shorter month.
    days = np.minimum(starts.astype("datetime64[D]") + into, _month_ends(months))
    return (days + clock).astype(kind)


def next_times(times: np.ndarray, step: Step, count: int) -> np.ndarray:
    """The `count` times that follow the last of `times`."""
    return at_places(times[-1], step, np.arange(1, count + 1))


def undo_clock_changes(times: np.ndarray) -> tuple[np.ndarray, int]:
    """Local times of a clock that is set forward and back by an hour, as the first row's clock.

    A step is left out in spring and an hour is there twice in autumn, each on a Sunday before
    dawn, in turn; anything else stays as it is: a gap or a duplicate.

    Args:
        times: in the order of the file.

    Returns:
        The times, and how many changes were undone.
    """
    if times.dtype.kind != "M" or np.datetime_data(times.dtype)[0] in "YMD" or len(times) < 3:
        return times, 0
    moves = np.diff(_micro(times))
    step = Counter(moves.tolist()).most_common(1)[0][0]
    if not 0 < step <= HOUR or HOUR % step:
        return times, 0
    after = times[1:]
    days = after.astype("datetime64[D]")
    sunday = (days.astype(int) + 3) % 7 == 6
    month = _months(days) % 12 + 1
    night = (_micro(after) - _micro(days)) <= 4 * HOUR
    likely = sunday & night & np.isin(month, _CHANGES)
    shift = likely * ((moves == step + HOUR).astype(int) - (moves == step - HOUR).astype(int))
    changes = shift[shift != 0]
    if not len(changes) or (changes[1:] == changes[:-1]).any():
        return times, 0
    offsets = np.concatenate([[0], np.cumsum(shift)]) * HOUR
    return (times - offsets.astype("timedelta64[us]")).astype(times.dtype), len(changes)
