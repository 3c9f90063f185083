"""An ensemble fitted to arrays, in this process, without a run folder."""

from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Float

from jaxdl.lstm import ensemble
from jaxdl.lstm.choices import Difference, Log
from jaxdl.lstm.fit import Fitted, conclude, data_of, prepare, rate_at
from jaxdl.lstm.sweep import members_of
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
    key, optimizer = jax.random.key(seed), optimizers.adam()
    step = ensemble.ensemble_step(
        *(key, members, optimizer),
        epochs=every,
        batch=batch,
        window=setup.window,
        horizon=setup.horizon,
        transform=setup.transform,
    )
    state = ensemble.start(key, members, optimizer, columns=values.shape[1])
    metrics = ensemble.zero_metrics(1, members)
    data = data_of(setup, values)
    for n in range(steps // every):
        rate = rate_at(n, steps // every, learning_rate)
        state, metrics, _ = step(state, metrics, data, rate)
    params = jax.tree.map(np.asarray, state.params)
    return conclude(setup, members, params["best"], params["error"], values)
