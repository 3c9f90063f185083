"""Times: their forms, their step, gaps, clock changes, and what follows."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from jaxdl.lstm.data.calendar import find_step, next_times, undo_clock_changes
from jaxdl.lstm.data.times import Times, number_times, text_times


def days(first: str, count: int) -> np.ndarray:
    return np.datetime64(first) + np.arange(count).astype("timedelta64[D]")


WEEKDAYS = days("2000-01-03", 60)[np.is_busday(days("2000-01-03", 60))]
MONTHS = np.arange("2000-01", "2002-01", dtype="datetime64[M]")
LATER = (MONTHS + np.timedelta64(1, "M")).astype("datetime64[D]")
ENDS = LATER - np.timedelta64(1, "D")
HOURS = np.datetime64("2000-03-01T00:30", "s") + np.arange(50) * np.timedelta64(1, "h")
# name -> (times, the step in words, the time that follows)
STEPS = {
    "seconds": (
        HOURS[0] + np.arange(40) * np.timedelta64(15, "s"),
        "15 seconds",
        "2000-03-01T00:40:00",
    ),
    "half hours": (
        HOURS[0] + np.arange(40) * np.timedelta64(30, "m"),
        "30 minutes",
        "2000-03-01T20:30:00",
    ),
    "hours": (HOURS, "1 hour", "2000-03-03T02:30:00"),
    "days": (days("2000-02-20", 12), "1 day", "2000-03-03"),
    "weeks": (days("2000-01-02", 70)[::7], "1 week", "2000-03-12"),
    "business days": (WEEKDAYS, "1 business day", "2000-03-03"),
    "first of the month": (MONTHS.astype("datetime64[D]"), "1 month", "2002-01-01"),
    "months": (MONTHS, "1 month", "2002-01"),
    "ends of months": (ENDS, "1 month, its last day", "2002-01-31"),
    "ends of quarters": (ENDS[2::3], "1 quarter, its last day", "2002-03-31"),
    "last weekdays": (
        np.busday_offset(LATER, -1, roll="forward"),
        "1 month, its last weekday",
        "2002-01-31",
    ),
    "quarters": (MONTHS[::3], "1 quarter", "2002-01"),
    "years": (np.arange("1700", "1720", dtype="datetime64[Y]"), "1 year", "1720"),
    "every tenth year": (np.arange("1700", "1800", 10, dtype="datetime64[Y]"), "10 years", "1800"),
    "a number": (np.arange(3, 90, 3), "3 numbers", "90"),
}


@pytest.mark.parametrize(("times", "told", "after"), STEPS.values(), ids=STEPS)
def test_the_step_its_gaps_and_what_follows(times: np.ndarray, told: str, after: str):
    found = find_step(times)
    assert found is not None
    step, places = found
    assert str(step) == told
    np.testing.assert_array_equal(places, np.arange(len(times)))
    (following,) = next_times(times, step, 1)
    assert str(following) == after
    # Rows that are left out are gaps at their places, and nothing else changes.
    kept = np.delete(np.arange(len(times)), [3, 4, len(times) // 2 + 1])
    found = find_step(times[kept])
    assert found is not None
    assert found[0] == step
    np.testing.assert_array_equal(found[1], kept)
    np.testing.assert_array_equal(next_times(times[:5], step, len(times) - 5), times[5:])


def test_irregular_times_have_no_step():
    rng = np.random.default_rng(0)
    assert find_step(np.unique(HOURS[0] + rng.integers(0, 10**6, 50))) is None


ZONES = {
    "Europe/Berlin": "half a year",
    "America/New_York": "a year",
    "Australia/Sydney": "2 years",
}


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("minutes", [15, 60])
def test_changes_of_the_clock_are_no_gaps(zone: str, minutes: int):
    """A local clock, as it would be written down, over two years."""
    start = datetime(2021, 2, 1, tzinfo=UTC)
    count = 2 * 365 * 24 * 60 // minutes
    moments = [start + timedelta(minutes=minutes * n) for n in range(count)]
    local = [m.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for m in moments]
    times = np.array(local, "datetime64[s]")
    undone, changes = undo_clock_changes(times)
    assert changes == 4
    assert set(np.diff(undone).astype(int).tolist()) == {60 * minutes}
    # The same hole elsewhere, or an hour that is there twice at noon, stays.
    at = 24 * 60 // minutes * 10
    hole = np.delete(undone[: 3 * at], slice(at, at + 60 // minutes))
    np.testing.assert_array_equal(undo_clock_changes(hole)[0], hole)


def test_midnights_of_a_clock_that_changes_are_days():
    zone = ZoneInfo("Europe/Berlin")
    midnights = [datetime(2021, 3, 1) + timedelta(n) for n in range(60)]
    seconds = [moment.replace(tzinfo=zone).timestamp() for moment in midnights]
    moments = number_times(np.array(seconds), "epoch")
    assert moments is not None
    found = find_step(moments.values)
    assert found is not None
    assert str(found[0]) == "1 day"
    np.testing.assert_array_equal(found[1], np.arange(60))


READ = {
    "ISO": (["2000-01-31", "2000-02-01"], "2000-01-31"),
    "with a time": (["2000-01-31 12:30", "2000-02-01 00:00"], "2000-01-31T12:30:00"),
    "as UTC": (["2000-01-31T12:30:00+02:00", "2000-02-01T12:30:00+02:00"], "2000-01-31T10:30:00"),
    "Z": (["2000-01-31T12:30:00Z", "2000-02-01T12:30:00Z"], "2000-01-31T12:30:00"),
    "days of a local clock": (
        ["2021-03-28T00:00:00+01:00", "2021-03-29T00:00:00+02:00"],
        "2021-03-28",
    ),
    "months": (["1949-01", "1949-02"], "1949-01"),
    "M": (["1949M01", "1949M12"], "1949-01"),
    "names of months": (["Jan 1949", "Feb 1949"], "1949-01"),
    "quarters": (["1959Q2", "1959Q3"], "1959-04"),
    "quarters first": (["Q2 1959", "Q3 1959"], "1959-04"),
    "weeks": (["2020-W01", "2020-W02"], "2019-12-30"),
    "German": (["31.01.2000", "01.02.2000"], "2000-01-31"),
    "English": (["31/01/2000 10:00", "01/02/2000 11:00"], "2000-01-31T10:00:00"),
    "American": (["01/31/2000", "02/01/2000"], "2000-01-31"),
    "noon": (["1/31/2000 1:05 PM", "2/1/2000 12:00 AM"], "2000-01-31T13:05:00"),
    "in words": (["Jan 31, 2000", "Feb 1, 2000"], "2000-01-31"),
    "Excel's": (["31-Jan-2000", "01-Feb-2000"], "2000-01-31"),
}


@pytest.mark.parametrize(("cells", "first"), READ.values(), ids=READ)
def test_forms_of_dates(cells: list[str], first: str):
    found = text_times(cells)
    assert found is not None
    assert found.other is None
    assert str(found.values[0]) == first
    assert not np.isnat(found.values).any()
    assert text_times(["12 apples", "13 apples"]) is None


NUMBERS = {
    "years": ([1871, 1872, 1873], "1871"),
    "years and months": ([194911, 194912, 195001], "1949-11"),
    "days": ([19991231, 20000101, 20000102], "1999-12-31"),
    "seconds": ([946684800, 946684860, 946684920], "2000-01-01T00:00:00"),
    "milliseconds": ([946684800000, 946684860000, 946684920000], "2000-01-01T00:00:00"),
    "fractions of years": ([1949, 1949 + 1 / 12, 1949.1667], "1949-01"),
}


@pytest.mark.parametrize(("values", "first"), NUMBERS.values(), ids=NUMBERS)
def test_numbers_that_are_times(values: list[float], first: str):
    found = number_times(np.array(values, float), "x")
    assert isinstance(found, Times)
    assert str(found.values[0]) == first


def test_numbers_that_are_a_series():
    wave = 2000 + 100 * np.round(np.sin(np.arange(40)), 3)
    for values in (wave, np.round(wave), np.arange(40.0), 1e9 + np.sin(np.arange(40))):
        assert number_times(values, "level") is None
    # Whoever says so may count.
    counted = number_times(np.arange(40.0), "x", asked=True)
    assert counted is not None
    assert counted.values.dtype == np.int64
