"""The held-out steps, measured from rolling origins."""

from typing import Any

import numpy as np
from jaxtyping import Float

from jaxdl.lstm import backtest, fit


def measure(fitted: fit.Fitted, values: Float[np.ndarray, "n f"]) -> dict[str, Any]:
    """The test tail from rolling origins, by the networks that have not seen it; JSON.

    Every row of the tail is an origin (at most 200), and as much of its horizon counts as lies in
    the tail.

    Returns:
        origins: how many. methods: name -> {rmse, mae, mase by horizon; total}, of `fit.forecast`
        (what `predict` does), the `networks` together, `naive` and `drift`. spread: lowest and
        highest MAE of single networks by horizon, scaled like MASE. single: MASE of each size's
        networks. drawn: the first origin's forecast and what is around it. coverage: of the 80 %
        band by horizon, and in total.
    """
    setup = fitted.setup
    _, training, rows = setup.rows
    origins = backtest.origins_between(training, rows)
    truth = backtest.rows_after(values, origins, setup.length)
    scale = backtest.naive_scale(values[:training], setup.period)
    ours = fit.forecast(fitted, values, setup.length, part=1, origins=origins)
    networks = ours.median
    if fitted.naive:
        networks = fit.forecast(
            fitted, values, setup.length, part=1, origins=origins, naive=False
        ).median
    methods = {
        "forecast": ours.median,
        "networks": networks,
        "naive": backtest.seasonal_naive(values, origins, setup.period, setup.length),
        "drift": backtest.drift(values, origins, setup.length),
    }
    levels = fit.members_forecast(
        setup, fit.part_of(fitted.params, 1), values, origins, setup.length
    )
    single = [backtest.score(setup.transform.values(own), truth, scale) for own in levels]
    chosen = np.stack([single[n].mase for n in fit.kept(fitted)])
    by_step, whole = backtest.coverage(ours.low, ours.high, truth)
    scores = {name: backtest.score(own, truth, scale) for name, own in methods.items()}
    units = fitted.members.units
    known = slice(max(0, training - 4 * setup.length), training)
    return {
        "origins": len(origins),
        "drawn": {
            "past": values[known].tolist(),
            "truth": values[training : training + setup.length].tolist(),
            **{name: own[:, 0].tolist() for name, own in ours._asdict().items()},
        },
        "methods": {
            name: {"rmse": s.rmse.tolist(), "mae": s.mae.tolist(), "mase": s.mase.tolist()}
            | {"total": s.total}
            for name, s in scores.items()
        },
        "spread": [chosen.min(0).tolist(), chosen.max(0).tolist()],
        "single": {
            str(size): [single[n].total["mase"] for n in np.flatnonzero(units == size)]
            for size in dict.fromkeys(units.tolist())
        },
        "coverage": {"by_step": by_step.tolist(), "total": whole},
    }
