"""How many rows are learnt from, held out, given and predicted: from a series' length and period.

=============  =====================================================================
horizon        the most whole periods, at most two, in a fifth of the rows; that fifth
               if it holds none; 50 without a period, or a fifth of the rows
test steps     a fifth of the rows, or the longest horizon
window         two periods, 50 without one; at most half of the rows to train on, and
               at least a period
context        the window
=============  =====================================================================
"""

from typing import NamedTuple

from jaxdl.errors import InputError

USUAL, LONGEST = 50, 200  # rows of a window: without a period, and of two periods


class Lengths(NamedTuple):
    """Numbers of rows; `context` and `horizon` have a number for each drawn prediction."""

    window: int
    context: tuple[int, ...]
    horizon: tuple[int, ...]
    test_steps: int
    period: int


def fit_lengths(
    rows: int,
    found: int | None,
    source: str,
    *,
    window: int | None = None,
    context: tuple[int, ...] = (),
    horizon: tuple[int, ...] = (),
    test_steps: int | None = None,
    period: int | None = None,
) -> Lengths:
    """The lengths that were asked for, and those that fit where none was.

    Args:
        rows: of the series.
        found: its period, if one was found.
        source: what the series is, for messages.
        window, context, horizon, test_steps, period: what was asked for; None or () if nothing.

    Raises:
        InputError: they do not go together or into the series; the message names the option.
    """
    cycle = period or found
    if not horizon:
        fifth = max(1, rows // 5)
        most = fifth if test_steps is None else min(fifth, test_steps)
        one = min(USUAL, most)
        if cycle is not None and cycle > 1:
            one = min(2, most // cycle) * cycle or most
        horizon = (one,) * max(1, len(context))
    if test_steps is None:
        test_steps = max(*horizon, rows // 5)
    if test_steps < max(horizon):
        raise InputError(
            f"--test-steps {test_steps}: must be {max(horizon)} or more, the longest --horizon, "
            "whose error they measure; raise it, or lower --horizon"
        )
    left = rows - test_steps
    if left < 2:
        raise InputError(
            f"{source}: of {rows} rows {test_steps} are held out, which leaves too few to learn "
            "from; lower --horizon or --test-steps"
        )
    if window is None:
        usual = USUAL if cycle is None else max(cycle, min(2 * cycle, LONGEST))
        window = max(1, min(usual, left // 2))
        window = max(window, min(cycle or 1, left - 1))
    context = context or (window,) * len(horizon)
    for option, length in (("--window", window), ("--context", max(context))):
        if length >= left:
            raise InputError(
                f"{source}: {left} of its {rows} rows are to learn from, too few for {option} "
                f"{length} and the step after it; lower {option} to {left - 1} or less, or hold "
                "out fewer by --test-steps"
            )
    if period is not None and period > window:
        where = "lower it" if period >= left else "raise --window"
        raise InputError(f"--period {period}: must be 1 to {window}, the window's length; {where}")
    if period is None:
        period = 1 if found is None or found > window else found
    return Lengths(window, context, horizon, test_steps, period)
