"""The sweep against members trained alone, one by one, in pieces; and prediction in closed loop."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl.errors import InputError, TrainingError
from jaxdl.lstm.forecast import (
    carry_state,
    error_by_distance,
    predict,
    seasonal_naive,
    slide_window,
)
from jaxdl.lstm.model import Params, forward
from jaxdl.lstm.series import gather_windows, sine, to_float32, window_starts
from jaxdl.lstm.sweep import (
    Batch,
    Members,
    batches,
    member_params,
    members_of,
    start_sweep,
    sweep_step,
    zero_losses,
)
from jaxdl.training import checkpoint
from jaxdl.training.loop import EpochReport, Task, fit
from jaxdl.training.optimizers import adam, momentum_sgd
from jaxdl.training.step import TrainState
from tests.lstm.test_model import numpy_forward

SEED = 3
EPOCHS, BATCH, WINDOW = 4, 6, 9
OPTIMIZERS: dict[str, Any] = {
    "momentum": momentum_sgd,
    "clipped": lambda: momentum_sgd(clip_norm=0.1, weight_decay=1e-3),
    "adam": adam,
}


@pytest.fixture
def series() -> Any:
    return jnp.asarray(to_float32(sine(10, 6)))


def in_dtype(state: TrainState, dtype: Any) -> TrainState:
    """The start is float32; the same numbers in another dtype."""

    def cast(array):
        return array.astype(dtype) if jnp.issubdtype(array.dtype, jnp.floating) else array

    return jax.tree.map(cast, state)


def draw(members: Members, series: Any, first: int = 0) -> Iterator[Batch]:
    spans = len(series) - WINDOW
    return batches(series, members, first, seed=SEED, epochs=EPOCHS, batch=BATCH, spans=spans)


def train(
    members: Members, series: Any, intervals: int, *, optimizer: Any = None, rate: float = 0.1
) -> tuple[TrainState, np.ndarray, Any]:
    optimizer = optimizer or momentum_sgd()
    state = in_dtype(start_sweep(SEED, members, optimizer), series.dtype)
    step = sweep_step(optimizer, window=WINDOW)
    totals = zero_losses(intervals, EPOCHS, members).astype(series.dtype)
    for batch in islice(draw(members, series), intervals):
        state, totals, _ = step(state, totals, batch, rate)
    return state, np.asarray(totals), step


def same(a: Any, b: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_member_is_what_it_is_alone(name: str):
    """Weights, padded or not, and the losses of every epoch; in float64, as programs of other
    shapes may add up in another order: the last bits are all that differs.
    """
    members, make = members_of((2, 3, 5), (0, 7)), OPTIMIZERS[name]
    series = jnp.asarray(sine(10, 6))
    state, losses, _ = train(members, series, 2, optimizer=make())
    for n in (0, 3, 4):
        units, seed = int(members.units[n]), int(members.seeds[n])
        own = members_of((units,), (seed,))
        alone, own_losses, _ = train(own, series, 2, optimizer=make())
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-12),
            member_params(state.params, members, n),
            member_params(alone.params, own, 0),
        )
        np.testing.assert_allclose(losses[:, n], own_losses[:, 0], rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_padding_stays_zero(name: str, series: Any):
    """In weights and in what the optimiser keeps."""
    members = members_of((1, 4), (0,))
    state, *_ = train(members, series, 2, optimizer=OPTIMIZERS[name]())
    recurrent = np.asarray(state.params["lstm_1"]["recurrent"])[0].reshape(4, 4, 4)
    assert (recurrent[:, :1, :1] != 0).all()
    assert np.count_nonzero(recurrent) == 4
    for leaf in jax.tree.leaves(state.opt_state):
        if leaf.shape == (2, 16, 4):
            assert np.count_nonzero(leaf[0]) == 4


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", ["momentum", "adam"])
def test_the_sweep_is_a_plain_loop(name: str):
    """Member by member, epoch by epoch, the optimiser's formula written out; in float64."""
    series = jnp.asarray(sine(10, 6))
    members, rate = members_of((2, 4), (5,)), 0.125
    optimizer = OPTIMIZERS[name]()
    state = in_dtype(start_sweep(SEED, members, optimizer), jnp.float64)
    step = sweep_step(optimizer, window=WINDOW)
    copy = jax.tree.map(jnp.copy, state.params)
    totals = jnp.zeros((EPOCHS, 2))
    state, losses, _ = step(state, totals, next(draw(members, series)), rate)

    def loss_fn(params, windows):
        return jnp.square(forward(params, windows[:-1])[0] - windows[1:]).mean()

    value_and_grad = jax.jit(jax.value_and_grad(loss_fn))
    for n in range(2):
        own = member_params(copy, members, n)
        moved = [jax.tree.map(np.zeros_like, own) for _ in range(2)]
        for epoch in range(EPOCHS):
            starts = window_starts(SEED, np.array([5]), epoch, 1, BATCH, 60 - WINDOW)[0, 0]
            windows = gather_windows(series, jnp.asarray(starts), WINDOW)
            loss, grads = value_and_grad(own, windows)
            assert float(losses[epoch, n]) == pytest.approx(float(loss), rel=1e-9)
            if name == "momentum":
                moved[0] = jax.tree.map(lambda v, g: 0.9 * v + g, moved[0], grads)
                own = jax.tree.map(lambda p, v: p - rate * v, own, moved[0])
            else:
                moved[0] = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, moved[0], grads)
                moved[1] = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, moved[1], grads)
                fix = np.sqrt(1 - 0.999 ** (epoch + 1)) / (1 - 0.9 ** (epoch + 1))
                own = jax.tree.map(
                    lambda p, m, v, fix=fix: p - rate * fix * m / (np.sqrt(v) + 1e-8), own, *moved
                )
        got = member_params(state.params, members, n)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-9), got, own)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["momentum", "adam"])
def test_resumed_is_straight_bit_for_bit(name: str, series: Any, tmp_path: Any):
    """Through a checkpoint on disk, after each of the intervals."""
    members, make = members_of((2, 3), (0, 1)), OPTIMIZERS[name]
    straight, losses, step = train(members, series, 3, optimizer=make())
    for stop in (1, 2):
        optimizer = make()
        state, *_ = train(members, series, stop, optimizer=optimizer)
        with checkpoint.open_manager(tmp_path / f"{stop}", checkpoint.Score("none")) as manager:
            checkpoint.save(manager, stop, state._asdict(), {}, None)
            manager.wait_until_finished()
            like = start_sweep(99, members, optimizer)._asdict()
            state = TrainState(**checkpoint.restore(manager, like))
        again = np.zeros_like(losses)
        again[: stop * EPOCHS] = losses[: stop * EPOCHS]
        totals = jnp.asarray(again)
        for batch in islice(draw(members, series, stop), 3 - stop):
            state, totals, _ = step(state, totals, batch, 0.1)
        same(state, straight)
        np.testing.assert_array_equal(totals, losses)


@pytest.mark.slow
def test_one_program_for_all_intervals_and_rates(series: Any):
    members = members_of((2, 3), (0, 1))
    state, _, step = train(members, series, 2)
    for rate in (0.01, 0.5):
        batch = next(draw(members, series))
        state, _, _ = step(state, zero_losses(2, EPOCHS, members), batch, rate)
    assert step._cache_size() == 1
    assert int(state.step) == 4


@pytest.mark.slow
def test_a_second_sweep_of_the_same_shape_compiles_nothing(series: Any):
    """The benchmark's "compiled already" is this: start, step and all, a second time."""
    members, optimizer, compiled = members_of((2, 3), (0, 1)), momentum_sgd(), []
    step = sweep_step(optimizer, window=WINDOW)

    def count(event: str, duration_secs: float, **_: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(count)
    try:
        counts = []
        for _ in range(2):
            state = start_sweep(SEED, members, optimizer)
            batch = next(draw(members, series))
            np.asarray(step(state, zero_losses(1, EPOCHS, members), batch, 0.1)[1])
            counts.append(len(compiled))
    finally:
        jax.monitoring.unregister_event_duration_listener(count)
    assert counts[0] >= 2  # the optimiser's start, the step
    assert counts[1] == counts[0]


@pytest.mark.slow
def test_sizes_share_a_seeds_windows_and_seeds_do_not():
    """Seen in the losses of networks that learn nothing and answer with the same constant."""
    series = jnp.asarray(to_float32(np.random.default_rng(4).normal(size=(60, 1))))
    members = members_of((2, 3), (0, 1))
    optimizer = momentum_sgd()
    state = start_sweep(SEED, members, optimizer)
    silent = state._replace(params=jax.tree.map(jnp.zeros_like, state.params))
    step, batch = sweep_step(optimizer, window=WINDOW), next(draw(members, series))
    losses = np.asarray(step(silent, zero_losses(1, EPOCHS, members), batch, 0.0)[1])
    np.testing.assert_array_equal(losses[:, 0], losses[:, 1])
    np.testing.assert_array_equal(losses[:, 2], losses[:, 3])
    assert len(np.unique(losses)) == 2 * EPOCHS  # other windows in each epoch, for each seed


def fit_sweep(
    series: Any, state: TrainState, step: Any, rate: float, ended: list, shown: list
) -> TrainState:
    """Five intervals, an epoch of the loop after each two."""
    members = members_of((2, 3), (0, 1))
    task = Task(
        step=step,
        start=lambda resumed: state,
        metrics=lambda: zero_losses(2, EPOCHS, members),
        batches=lambda first: draw(members, series, first),
        steps=5,
        ends=lambda done: done % 2 == 0,
        end_epoch=lambda epoch: EpochReport({}, None),
        learning_rate=lambda n: rate,
        describe=lambda n: f"interval {n}",
        score=checkpoint.Score("loss"),
        meta={},
    )
    return fit(
        task,
        task.start(False),
        task.metrics(),
        end_epoch=lambda done, state, metrics: ended.append(np.asarray(metrics)),
        save=lambda *a: None,
        stop=lambda: False,
        show=lambda n, loss: shown.append(loss),
    )


@pytest.mark.slow
def test_it_runs_in_the_loop_and_fills_the_totals(series: Any):
    """Rows in order, and the last epoch of the loop short."""
    members = members_of((2, 3), (0, 1))
    straight, want, step = train(members, series, 5)
    ended, shown = [], []
    state = start_sweep(SEED, members, momentum_sgd())
    same(fit_sweep(series, state, step, 0.1, ended, shown), straight)
    np.testing.assert_array_equal(np.concatenate(ended)[: 5 * EPOCHS], want)
    assert not ended[2][EPOCHS:].any()
    np.testing.assert_allclose(shown, want.reshape(5, -1).mean(1), rtol=1e-5)


@pytest.mark.slow
def test_one_member_that_diverges_stops_the_loop(series: Any):
    """The others are not touched: their losses stay what they were."""
    members = members_of((2, 3), (0, 1))
    _, want, step = train(members, series, 1)
    bad = start_sweep(SEED, members, momentum_sgd())
    bad = bad._replace(params=jax.tree.map(lambda a: a.at[1].set(jnp.nan), bad.params))
    copy = jax.tree.map(jnp.copy, bad)
    batch = next(draw(members, series))
    losses = np.asarray(step(copy, zero_losses(1, EPOCHS, members), batch, 0.1)[1])
    np.testing.assert_array_equal(np.delete(losses, 1, 1), np.delete(want, 1, 1))
    assert np.isnan(losses[:, 1]).all()
    with pytest.raises(TrainingError, match="interval 0"):
        fit_sweep(series, bad, step, 0.1, [], [])


@pytest.mark.slow
def test_it_learns_several_values_and_layers():
    """Two waves, two layers: the loss falls to a tenth."""
    wave = sine(10, 20)
    series = jnp.asarray(to_float32(np.hstack([wave, np.roll(wave, 3, 0)])))
    members, optimizer = members_of((4,), (0,)), adam()
    state = start_sweep(SEED, members, optimizer, inputs=2, outputs=2, layers=2)
    step = sweep_step(optimizer, window=10)
    batch = next(batches(series, members, 0, seed=SEED, epochs=150, batch=8, spans=190))
    losses = np.asarray(step(state, zero_losses(1, 150, members), batch, 0.02)[1])
    assert losses[-1, 0] < losses[0, 0] / 10


def network(width: int = 1) -> Any:
    members = members_of((3, 4), (0, 1))
    return start_sweep(SEED, members, momentum_sgd(), inputs=width, outputs=width, layers=2).params


def slow(params: Params, window: np.ndarray, length: int, way: str) -> np.ndarray:
    """The two ways with nothing but a network from zero, in NumPy."""
    steps, values = len(window), []
    for _ in range(length):
        value = numpy_forward(params, window if way == "carry" else window[-steps:])[-1]
        values.append(value)
        window = np.concatenate([window, value[None]])
    return np.stack(values)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("way", ["window", "carry"])
def test_prediction_is_the_posts_recipe(way: Any, width: int):
    """Sliding: the last t values alone are seen, from zero. Carried: all values so far are seen."""
    params = jax.tree.map(lambda a: a.astype(jnp.float64), network(width))
    windows = np.random.default_rng(0).normal(size=(5, 3, width))
    got = predict(params, jnp.asarray(windows), length=7, way=way)
    for n in range(4):
        own = jax.tree.map(lambda a, n=n: a[n], params)
        np.testing.assert_allclose(got[n], slow(own, windows, 7, way), atol=1e-12)


@pytest.mark.slow
def test_the_two_ways_agree_on_the_first_value_and_part_after_it():
    params = jax.tree.map(lambda a: a[0], network())
    window = jnp.asarray(to_float32(sine(10, 1)[1:]))[:, :, None]
    ways = [np.asarray(f(params, window, 4)) for f in (slide_window, carry_state)]
    np.testing.assert_allclose(ways[0][0], ways[1][0], rtol=1e-5)
    assert (ways[0][1:] != ways[1][1:]).all()


def test_error_by_distance_is_a_mean_over_windows_and_values():
    rng = np.random.default_rng(1)
    predicted, truth = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(3, 4, 5))
    got = error_by_distance(jnp.asarray(predicted), jnp.asarray(truth))
    want = [[np.mean((p[t] - truth[t]) ** 2) for t in range(3)] for p in predicted]
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_seasonal_naive_repeats_the_last_period():
    windows = jnp.arange(12.0).reshape(6, 2, 1)
    got = np.asarray(seasonal_naive(windows, 4, 6))[:, 0, 0]
    np.testing.assert_array_equal(got, [4, 6, 8, 10, 4, 6])
    with pytest.raises(InputError, match="give 1 to 6"):
        seasonal_naive(windows, 7, 3)


@pytest.mark.parametrize(("sizes", "seeds"), [((), (1,)), ((2,), ()), ((2, 0), (1,))])
def test_a_sweep_of_nothing_is_refused(sizes: tuple, seeds: tuple):
    with pytest.raises(InputError):
        members_of(sizes, seeds)
