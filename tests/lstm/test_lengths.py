"""Lengths that fit a series, and messages that name the option which helps."""

import re

import pytest

from jaxdl.errors import InputError
from jaxdl.lstm.lengths import fit_lengths


@pytest.mark.parametrize("found", [None, 2, 7, 12, 52, 365])
@pytest.mark.parametrize("rows", [10, 30, 31, 100, 144, 1000, 100_000])
def test_the_defaults_always_fit(rows: int, found: int | None):
    if found is not None and found > (rows - rows // 5) // 3:
        return  # none longer is found
    fitted = fit_lengths(rows, found, "x")
    (horizon,), (context,) = fitted.horizon, fitted.context
    left = rows - fitted.test_steps
    assert 1 <= horizon <= fitted.test_steps <= max(1, rows // 5)
    assert 1 <= fitted.period <= fitted.window == context
    assert fitted.window < left
    assert fitted.period == (found or 1)
    assert left - fitted.window >= left // 2 or fitted.window == found


def test_seasonal_series_get_whole_periods():
    fitted = fit_lengths(144, 12, "airline")
    assert fitted == (24, (24,), (24,), 28, 12)
    assert fit_lengths(100, None, "nile") == (40, (40,), (20,), 20, 1)
    assert fit_lengths(5000, None, "long") == (50, (50,), (50,), 1000, 1)


def test_what_is_given_is_kept():
    fitted = fit_lengths(144, 12, "x", window=20, horizon=(6, 30), period=4)
    assert fitted == (20, (20, 20), (6, 30), 30, 4)
    assert fit_lengths(100, None, "x", context=(5, 9)).horizon == (20, 20)
    assert fit_lengths(100, None, "x", test_steps=12).horizon == (12,)


REFUSED = {
    "horizon": ({"horizon": (75,), "test_steps": 12}, "--test-steps 12: must be 75 or more"),
    "horizon of a short series": ({"horizon": (100,)}, "lower --horizon or --test-steps"),
    "window": ({"window": 90}, "x: 80 of its 100 rows are to learn from, too few for --window 90"),
    "context": ({"context": (80,)}, "too few for --context 80 and the step after it; lower --con"),
    "period": ({"period": 52, "window": 30}, "--period 52: must be 1 to 30, .* raise --window"),
    "long period": ({"period": 90}, "--period 90: must be 1 to 79, the window's length; lower it"),
}  # fmt: skip


@pytest.mark.parametrize(("options", "said"), REFUSED.values(), ids=REFUSED)
def test_the_message_names_the_option(options: dict, said: str):
    with pytest.raises(InputError) as caught:
        fit_lengths(100, None, "x", **options)
    assert re.search(said, str(caught.value)), caught.value
