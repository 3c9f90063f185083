"""What is made of an ensemble: its data, what validation decides, and forecasts.

`prepare` splits the rows and chooses the transform, `jaxdl.lstm.ensemble` trains, `conclude`
decides by the validation part, `forecast` goes on. `jaxdl.lstm.measure` looks at the test tail;
`jaxdl.lstm.arrays.fit` is all of it for arrays.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float64, Int

from jaxdl.errors import InputError
from jaxdl.lstm import backtest, ensemble
from jaxdl.lstm.backtest import Bands
from jaxdl.lstm.choices import Difference, Log
from jaxdl.lstm.series import Scaling, learn_scaling, to_float32
from jaxdl.lstm.sweep import Members
from jaxdl.lstm.transform import Transform, choose
from jaxdl.training import optimizers

LONGEST = 100  # steps of a window and of its continuation in training
CHECKED = 48  # origins of the validation part that are looked at in training
SURELY = 0.98  # share of the naive error that the networks may make in validation
ALIKE = 1.1  # sizes whose validation error is within this of the best one's are kept


class Setup(NamedTuple):
    """What is decided before training.

    Attributes:
        transform, scaling: applied in this order.
        window: steps that the networks are given, of changes.
        horizon: steps that they continue in training.
        length: steps that are measured.
        period: of the seasonal naive forecast.
        rows: how many rows each part may see (`jaxdl.lstm.ensemble`).
    """

    transform: Transform
    scaling: Scaling
    window: int
    horizon: int
    length: int
    period: int
    rows: tuple[int, int, int]

    @property
    def spans(self) -> list[int]:
        """Of each part, how many windows with what follows them lie in the rows that it sees."""
        return [rows - self.transform.reach - self.window - self.horizon + 1 for rows in self.rows]

    @property
    def given(self) -> int:
        """Last rows that a forecast needs."""
        return max(self.window + self.transform.reach, self.period)


class Fitted(NamedTuple):
    """A trained ensemble.

    Attributes:
        setup: see `Setup`.
        members: sizes and seeds of all networks.
        params: theirs at their best step, (member, part, ...).
        errors: of each on the validation part, mean absolute, standardised.
        sizes: hidden sizes that the validation part kept.
        unlearnt: whether most of these networks were best at the start, at which they forecast no
            change: then their median is the difference's own forecast, and nothing was learnt.
        naive: whether the validation part prefers the seasonal naive forecast: the networks, which
            it stopped, must beat it by 2 %.
        validation: MASE of the kept networks together, of each size, of the naive forecast.
        bands: of the forecast, and of the naive one.
    """

    setup: Setup
    members: Members
    params: Any
    errors: Float[np.ndarray, " m"]
    sizes: tuple[int, ...]
    unlearnt: bool
    naive: bool
    validation: dict[str, Any]
    bands: Bands
    naive_bands: Bands


def prepare(
    values: Float[np.ndarray, "n f"],
    test_steps: int,
    *,
    period: int,
    window: int,
    horizon: int,
    difference: Difference = "auto",
    log: Log = "auto",
    like: Setup | None = None,
) -> Setup:
    """Split the rows and choose the transform; see `jaxdl.lstm.lengths` for the numbers.

    The validation part is the last quarter of the training rows, or a horizon if that is longer
    (at most a third). Windows and horizons are shortened where the rows before it hold too few.
    Networks that are trained on keep the transform, the scaling and the window of `like`.

    Raises:
        InputError: too few rows for the window of `like`.
    """
    rows = len(values)
    training = rows - test_steps
    held = max(1, min(horizon, training // 3), training // 4)
    first = training - held
    if like is not None:
        left = first - like.transform.reach
        if left < like.window + 2:
            raise InputError(
                f"{rows} rows are too few to train on networks that read {like.window} at a time"
            )
        continued = max(1, min(horizon, LONGEST, left - like.window - 1))
        split = {"horizon": continued, "length": horizon, "rows": (first, training, rows)}
        return like._replace(**split, period=period)
    if log == "auto" and not (values > 0).all():
        log = "none"  # the tail could not be measured
    known = values[:training]
    transform = choose(known, period, horizon=horizon, difference=difference, log=log)
    left = first - transform.reach
    window = max(1, min(window, LONGEST, left // 2))
    scaling = learn_scaling(transform.apply(values[:first]))
    continued = max(1, min(horizon, LONGEST, left - window - 1, left // 3 or 1))
    return Setup(transform, scaling, window, continued, horizon, period, (first, training, rows))


def changes_of(setup: Setup, values: Float[np.ndarray, "n f"]) -> Float64[np.ndarray, "k f"]:
    """What the networks see of a series: standardised changes, `reach` rows fewer."""
    return setup.scaling.apply(setup.transform.apply(values))


def _windows(
    setup: Setup, changes: Float[np.ndarray, "k f"], origins: Int[np.ndarray, " o"]
) -> np.ndarray:
    """The window before each origin, a row of the series: (t, o, f), float32."""
    rows = origins[None] - setup.transform.reach - setup.window + np.arange(setup.window)[:, None]
    return to_float32(changes[rows])


def data_of(setup: Setup, values: Float[np.ndarray, "n f"]) -> ensemble.Data:
    """What `jaxdl.lstm.ensemble.ensemble_step` takes."""
    first, training, _ = setup.rows
    changes, reach = changes_of(setup, values), setup.transform.reach
    origins = backtest.origins_between(first, training, CHECKED)
    truth = backtest.rows_after(changes[: training - reach], origins - reach, setup.length)
    known = ~np.isnan(truth).any(2)
    return ensemble.Data(
        *map(
            jnp.asarray,
            (
                to_float32(changes),
                _windows(setup, changes, origins),
                to_float32(np.nan_to_num(truth)),
                known,
            ),
        )
    )


def members_forecast(
    setup: Setup,
    params: Any,
    values: Float[np.ndarray, "n f"],
    origins: Int[np.ndarray, " o"],
    length: int,
) -> Float64[np.ndarray, "m {length} o f"]:
    """Levels by each network (leading axis of `params`) from each origin, of what lies before it.

    Source of the values after an origin: none; they may be missing.
    """
    transform, reach = setup.transform, setup.transform.reach
    windows = jnp.asarray(_windows(setup, changes_of(setup, values), origins))
    found = np.asarray(ensemble.continuations(params, windows, length=length, changes=reach > 0))
    changes = setup.scaling.undo(found)
    levels = transform.levels(values)
    past = levels[origins[None] - reach + np.arange(reach)[:, None]]
    return np.stack([transform.undo(own, past) for own in changes])


def unlike(setup: Setup, values: Float[np.ndarray, "n f"]) -> float:
    """Root mean square of the last window's changes, of the column where it is largest, in standard
    deviations of the rows that were learnt from.
    """
    last = changes_of(setup, values[-setup.window - setup.transform.reach :])
    return float(np.sqrt((last**2).mean(0)).max())


def part_of(params: Any, part: int, picked: Any = slice(None)) -> Any:
    """The networks of one part (`jaxdl.lstm.ensemble`), or some of them."""
    return jax.tree.map(lambda a: jnp.asarray(np.asarray(a)[picked, part]), params)


def kept(fitted: Fitted) -> Any:
    """Which members forecast together."""
    return np.flatnonzero(np.isin(fitted.members.units, fitted.sizes))


def conclude(
    setup: Setup,
    members: Members,
    params: Any,
    errors: Float[np.ndarray, " m"],
    values: Float[np.ndarray, "n f"],
) -> Fitted:
    """Sizes, the naive forecast and bands by the validation part, from each member's part 0."""
    first, training, _ = setup.rows
    known = values[:training]
    origins = backtest.origins_between(first, training)
    levels = members_forecast(setup, part_of(params, 0), known, origins, setup.length)
    truth = backtest.rows_after(known, origins, setup.length)
    scale = backtest.naive_scale(known[:first], setup.period)
    transform = setup.transform

    def mase(found: np.ndarray) -> float:
        together = transform.values(np.median(found, axis=0))
        return backtest.score(together, truth, scale).total["mase"]

    by_size = {int(s): mase(levels[members.units == s]) for s in np.unique(members.units)}
    best = min(by_size.values())
    sizes = tuple(size for size, own in by_size.items() if own <= ALIKE * best)
    chosen = np.isin(members.units, sizes)
    median = np.median(levels[chosen], axis=0)
    readouts = np.asarray(params["readout"]["kernel"])[chosen, 0]
    unlearnt = bool((~readouts.any((1, 2))).mean() > 0.5)
    naive = backtest.seasonal_naive(known, origins, setup.period, setup.length)
    ours = backtest.score(transform.values(median), truth, scale).total["mase"]
    theirs = backtest.score(naive, truth, scale).total["mase"]
    happened = transform.levels(truth)
    return Fitted(
        *(
            setup,
            members,
            params,
            np.asarray(errors),
            sizes,
            unlearnt,
            bool(not ours <= SURELY * theirs),
        ),
        {"networks": ours, "sizes": by_size, "naive": theirs},
        backtest.calibrate(happened - median),
        backtest.calibrate(happened - transform.levels(naive)),
    )


class Forecast(NamedTuple):
    """Steps that follow, in own units."""

    median: Float64[np.ndarray, "l *o f"]
    low: Float64[np.ndarray, "l *o f"]
    high: Float64[np.ndarray, "l *o f"]


def forecast(
    fitted: Fitted,
    values: Float[np.ndarray, "n f"],
    length: int,
    *,
    part: int = 2,
    origins: Int[np.ndarray, " o"] | None = None,
    picked: Any = None,
    covered: float = backtest.COVERED,
    naive: bool | None = None,
) -> Forecast:
    """The median of the networks and a band that covers `covered`, from each origin.

    Args:
        fitted: see `Fitted`.
        values: of the series, known before each origin.
        length: steps.
        part: whose networks (`jaxdl.lstm.ensemble`); 2 has learnt from all rows.
        origins: rows that are forecast first; None is the one after the last row.
        picked: members; None is those that validation kept.
        covered: share that the band is to cover.
        naive: give the seasonal naive forecast; None is as the validation part decided, unless
            members were picked.
    """
    setup, transform = fitted.setup, fitted.setup.transform
    at = np.array([len(values)]) if origins is None else origins
    if fitted.naive and picked is None if naive is None else naive:
        known = backtest.seasonal_naive(values, at, setup.period, length)
        median, bands = transform.levels(known), fitted.naive_bands
    else:
        chosen = part_of(fitted.params, part, kept(fitted) if picked is None else picked)
        levels = members_forecast(setup, chosen, values, at, length)
        median, bands = np.median(levels, axis=0), fitted.bands
    half = bands.half(length, covered)[:, None]
    found = [transform.values(levels) for levels in (median, median - half, median + half)]
    return Forecast(*(own[:, 0] for own in found) if origins is None else found)


def rate_at(step: int, steps: int, peak: float) -> float:
    """The learning rate of an ensemble's step: a cosine from `peak` to a hundredth of it."""
    return optimizers.learning_rate(step, peak=peak, steps=steps, schedule="cosine", end=peak / 100)
