"""An ensemble fitted to arrays, in this process, without a run folder."""

from collections.abc import Sequence
from itertools import islice

import jax
import numpy as np
from jaxtyping import Float

from jaxdl.lstm import ensemble
from jaxdl.lstm.choices import Difference, Log
from jaxdl.lstm.fit import Fitted, conclude, data_of, prepare, rate_at
from jaxdl.lstm.sweep import batches, members_of
from jaxdl.training import optimizers


def fit(
    values: Float[np.ndarray, "n f"],
    test_steps: int,
    *,
    period: int,
    window: int,
    horizon: int,
    hidden: Sequence[int] = (2, 3, 4, 5),
    seeds: int = 8,
    steps: int = 1000,
    every: int = 25,
    batch: int = 32,
    learning_rate: float = 0.01,
    seed: int = 0,
    difference: Difference = "auto",
    log: Log = "auto",
) -> Fitted:
    """Train an ensemble on arrays, in this process; see `prepare` and `ensemble.ensemble_step`."""
    setup = prepare(
        *(values, test_steps),
        period=period,
        window=window,
        horizon=horizon,
        difference=difference,
        log=log,
    )
    members = members_of(hidden, range(seeds))
    optimizer, count = optimizers.adam(), steps // every
    lengths = {"window": setup.window, "horizon": setup.horizon}
    step = ensemble.ensemble_step(optimizer, **lengths, transform=setup.transform)
    state = ensemble.start(seed, members, optimizer, columns=values.shape[1])
    metrics = ensemble.zero_metrics(1, members)
    drawn = {"seed": seed, "epochs": every, "batch": batch, "spans": setup.spans}
    given = batches(data_of(setup, values), members, 0, **drawn)
    for n, own in enumerate(islice(given, count)):
        state, metrics, _ = step(state, metrics, own, rate_at(n, count, learning_rate))
    params = jax.tree.map(np.asarray, state.params)
    return conclude(setup, members, params["best"], params["error"], values)
