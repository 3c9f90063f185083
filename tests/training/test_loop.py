"""The optimiser against NumPy, exact accumulation, and the loop's promises."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl.errors import Stopped, TrainingError
from jaxdl.training.checkpoint import Score
from jaxdl.training.loop import EpochReport, Task, fit
from jaxdl.training.optimizers import accumulate, learning_rate, momentum_sgd
from jaxdl.training.step import TrainState, dense_step, start_state


def start() -> dict:
    return {"layer": {"kernel": jnp.asarray([1.0, -2.0]), "bias": jnp.asarray([0.5])}}


def numpy_sgd(rates: list[float], *, momentum: float, decay: float, bias_rule: bool) -> dict:
    """Three steps of L2 decay, then momentum, in float64; the gradient is step + parameter."""
    w = {"kernel": np.array([1.0, -2.0]), "bias": np.array([0.5])}
    v = {name: np.zeros_like(a) for name, a in w.items()}
    for n, rate in enumerate(rates):
        for name in w:
            special = bias_rule and name == "bias"
            g = n + w[name] + (0 if special else decay) * w[name]
            v[name] = momentum * v[name] + g
            w[name] = w[name] - (2 if special else 1) * rate * v[name]
    return w


@pytest.mark.parametrize("bias_rule", [False, True])
def test_momentum_sgd_is_numpys(bias_rule: bool):
    """Rates change from step to step, and compile nothing again."""
    optimizer = momentum_sgd(momentum=0.9, weight_decay=0.1, bias_rule=bias_rule)

    def loss_fn(params, n):
        loss = sum((n * a + a**2 / 2).sum() for a in jax.tree.leaves(params))
        return jnp.asarray(loss), (jnp.ones(()), ())

    step: Any = dense_step(loss_fn, optimizer, lambda totals, _: totals)
    state, rates = start_state(start(), optimizer), [0.1, 0.05, 0.2]
    for n, rate in enumerate(rates):
        state, _, _ = step(state, (), jnp.asarray(float(n)), rate)
    want = numpy_sgd(rates, momentum=0.9, decay=0.1, bias_rule=bias_rule)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), state.params["layer"], want
    )
    assert step._cache_size() == 1


def test_momentum_sgd_equals_optax_at_a_constant_rate():
    ours, reference = momentum_sgd(momentum=0.8), optax.sgd(0.03, momentum=0.8)
    grads = {"layer": {"kernel": jnp.asarray([0.3, 0.1]), "bias": jnp.asarray([-1.0])}}
    mine = optax.tree_utils.tree_set(ours.init(start()), learning_rate=jnp.asarray(0.03))
    theirs = reference.init(start())
    for _ in range(3):
        update, mine = ours.update(grads, mine, start())
        want, theirs = reference.update(grads, theirs, start())
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), update, want)


def test_clip_norm_bounds_the_whole_gradient():
    optimizer = momentum_sgd(momentum=0.0, clip_norm=1.0)
    state = optax.tree_utils.tree_set(optimizer.init(start()), learning_rate=jnp.asarray(1.0))
    grads = {"layer": {"kernel": jnp.asarray([30.0, 40.0]), "bias": jnp.asarray([0.0])}}
    update: Any = optimizer.update(grads, state, start())[0]
    np.testing.assert_allclose(update["layer"]["kernel"], [-0.6, -0.8], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("mean", [True, False])
def test_accumulated_batches_equal_their_union(mean: bool):
    """Batches of 1, 5 and 2 items update once, as the batch of all 8 does."""
    items = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)

    def loss_fn(params, batch):
        each = ((batch * params["layer"]["kernel"][None]).sum(1) + params["layer"]["bias"][0]) ** 2
        loss = each.mean() if mean else each.sum()
        return loss, (jnp.asarray(float(len(batch))), ())

    ends = []
    for every, parts in ((1, [items]), (3, [items[:1], items[1:6], items[6:]])):
        optimizer = accumulate(momentum_sgd(momentum=0.9, weight_decay=0.1), every, mean=mean)
        step = dense_step(loss_fn, optimizer, lambda totals, _: totals)
        state = start_state(start(), optimizer)
        for _ in range(2):
            for part in parts:
                state, _, _ = step(state, (), part, 0.01)
        ends.append(state.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), *ends)


@pytest.mark.slow
@pytest.mark.parametrize("every", [1, 2])
def test_updates_of_one_dispatch_equal_dispatches_of_one_update(every: int):
    """Momentum, decay and accumulation too; a batch without items changes nothing."""
    items = np.random.default_rng(0).normal(size=(3, 2, 4, 2)).astype(np.float32)
    items[1, 1] = 0  # void: in the scan no update, and so none beside it

    def loss_fn(params, batch):
        valid = jnp.abs(batch).sum(1) > 0
        each = ((batch * params["layer"]["kernel"][None]).sum(1) - params["layer"]["bias"][0]) ** 2
        count = valid.sum()
        loss = jnp.where(valid, each, 0).sum() / jnp.maximum(count, 1)
        return loss, (count.astype(jnp.float32), (loss, count))

    def add(totals, figures):
        return totals[0] + figures[0], totals[1] + figures[1]

    def prepare(batch, number):
        return batch[number % 2] * (1 + number)[None, None]

    optimizer = accumulate(momentum_sgd(momentum=0.9, weight_decay=0.1), every)
    two: Any = dense_step(loss_fn, optimizer, add, prepare=prepare, updates=2)
    one = dense_step(loss_fn, optimizer, add)
    zero = jnp.zeros(()), jnp.zeros((), jnp.int32)
    state, totals = start_state(start(), optimizer), zero
    for pair in items:
        state, totals, _ = two(state, totals, pair, 0.01)
    assert int(state.step) == 3
    assert two._cache_size() == 1
    want, sums = start_state(start(), optimizer), (0.0, 0)
    for number, batch in enumerate(items.reshape(6, 4, 2)):
        if batch.any():
            want, sums, _ = one(want, sums, batch * np.float32(1 + number), 0.01)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5),
        (state.params, state.opt_state, totals),
        (want.params, want.opt_state, sums),
    )


def test_the_loss_of_a_dispatch_is_the_mean_of_its_batches():
    def loss_fn(params, batch):
        return batch.sum() + 0 * params["layer"]["bias"][0], (batch.sum(), ())

    optimizer = momentum_sgd()
    step = dense_step(
        loss_fn,
        optimizer,
        lambda totals, _: totals,
        prepare=lambda batch, number: batch[number % 3][None],
        updates=3,
    )
    losses = [
        float(step(start_state(start(), optimizer), (), jnp.asarray(batch), 0.1)[2])
        for batch in ([1.0, 0.0, 5.0], [0.0, 0.0, 0.0], [1.0, np.nan, 2.0])
    ]
    assert losses[:2] == [3.0, 0.0]
    assert np.isnan(losses[2])


def test_learning_rate_schedules():
    def rates(schedule: Any, end: float = 0.0) -> list[float]:
        options = {"peak": 1.0, "steps": 10, "warmup": 2, "schedule": schedule, "end": end}
        return [learning_rate(n, **options) for n in range(11)]

    assert rates("constant", 0.2) == [0.5, *[1.0] * 10]
    assert rates("linear")[2:] == pytest.approx([1 - i / 8 for i in range(9)])
    assert rates("linear", 0.2)[2:] == pytest.approx([1 - i / 10 for i in range(9)])
    assert rates("cosine")[6] == pytest.approx(0.5)
    assert rates("cosine", 0.2)[6::4] == pytest.approx([0.6, 0.2])
    assert min(rates("cosine")[:10]) > 0
    steps = np.arange(9, dtype=np.float64)  # after the warm-up; the last is the end
    for end in (0.0, 0.2):
        want = end + (1 - end) * (1 - steps / 8) ** 0.9
        np.testing.assert_allclose(rates("poly", end)[2:], want, rtol=1e-14)
    assert rates("poly")[:2] == [0.5, 1.0]


class Run:
    """`fit` on a step that counts: the loss of step n is losses[n]; metrics sum the batches."""

    def __init__(self, losses: list[float]):
        self.losses, self.saved, self.epochs, self.shown = losses, [], [], []
        self.stop = False

    def step(self, state: TrainState, metrics: Any, batch: int, rate: float):
        loss = jnp.asarray(self.losses[batch])
        return TrainState(state.step + 1, state.params, ()), metrics + batch, loss

    def task(self, start: int = 0) -> Task:
        return Task(
            step=self.step,
            start=lambda resumed: TrainState(jnp.asarray(start), (), ()),
            metrics=lambda: 0,
            batches=lambda first: iter(range(first, len(self.losses))),
            steps=len(self.losses),
            ends=lambda done: done % 3 == 0,
            end_epoch=lambda epoch: EpochReport({}, None),
            learning_rate=lambda n: 0.1,
            describe=lambda n: f"images image{n}",
            score=Score("loss"),
            meta={},
        )

    def fit(self, start: int = 0, metrics: int = 0) -> TrainState:
        return fit(
            self.task(),
            self.task(start).start(False),
            metrics,
            end_epoch=lambda done, state, metrics: self.epochs.append((done, metrics)),
            save=lambda done, state, metrics: self.saved.append((done, metrics)),
            stop=lambda: self.stop,
            show=lambda done, loss: self.shown.append((done, loss)),
        )


def test_fit_ends_epochs_and_shows_each_loss():
    run = Run([5.0, 4.0, 3.0, 2.0, 1.0])
    state = run.fit()
    assert int(state.step) == 5
    assert run.epochs == [(3, 0 + 1 + 2), (5, 3 + 4)]
    assert run.saved == []
    assert run.shown == [(1, 5.0), (2, 4.0), (3, 3.0), (4, 2.0), (5, 1.0)]


def test_fit_goes_on_in_mid_epoch():
    run = Run([5.0, 4.0, 3.0, 2.0])
    run.fit(start=2, metrics=0 + 1)
    assert run.epochs == [(3, 0 + 1 + 2), (4, 3)]


def test_fit_at_its_end_does_nothing():
    run = Run([1.0, 2.0])
    run.fit(start=2)
    assert run.saved == run.epochs == []


@pytest.mark.parametrize("bad", [0, 2, 4])
def test_a_loss_that_is_not_finite_stops_before_anything_is_saved(bad: int):
    losses = [1.0] * 5
    losses[bad] = float("nan")
    run = Run(losses)
    with pytest.raises(TrainingError, match=rf"loss nan at step {bad}, images image{bad}:"):
        run.fit()
    assert run.saved == []
    assert all(done <= bad for done, _ in run.epochs)


def test_stop_saves_in_mid_epoch_with_its_totals():
    run = Run([1.0] * 6)
    run.stop = True
    with pytest.raises(Stopped, match="step 1 of 6"):
        run.fit()
    assert run.saved == [(1, 0)]
    assert run.epochs == []
