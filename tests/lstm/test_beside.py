"""Two networks of different sizes as one: the same outputs, losses, gradients and training."""

from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl.lstm import sweep
from jaxdl.lstm.beside import beside, layout, pairs_of
from jaxdl.lstm.model import forward, start_params, with_units
from jaxdl.lstm.series import sine
from jaxdl.lstm.sweep import batches, members_of, start_sweep, sweep_step, zero_losses
from jaxdl.training.optimizers import adam, momentum_sgd
from jaxdl.training.step import TrainState


@pytest.mark.parametrize(
    ("sizes", "pairs"),
    [
        ((2, 3, 4, 5), [(0, 3), (1, 2)]),
        ((5, 2), [(1, 0)]),
        ((5, 5), []),
        ((9, 10), []),  # 19 of 20 units
        ((2, 3, 5), []),
        ((4,), []),
        ((), []),
    ],
)
def test_sizes_are_paired_where_that_is_less_work(sizes, pairs):
    assert pairs_of(sizes) == pairs


def networks(cell: str, layers: int) -> list[Any]:
    draw = np.random.default_rng(2).normal
    shape = {"inputs": 2, "outputs": 2, "layers": layers, "cell": cell}
    return [
        start_params(lambda *n: draw(size=n), hidden=hidden, **shape) for hidden in (2, 4, 1, 3)
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("cell", "layers"), [("lstm", 1), ("lstm", 2), ("gru", 2)])
def test_one_network_has_the_outputs_of_both(cell: str, layers: int):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(6, 3, 2)))
    one, two, *_ = networks(cell, layers)
    found, _ = forward(beside([one, two]), x)
    want = [forward(each, x)[0] for each in (one, two)]
    np.testing.assert_allclose(found, np.concatenate(want, 2), rtol=0, atol=1e-14)


@pytest.mark.parametrize(("cell", "layers"), [("lstm", 2), ("gru", 1)])
def test_every_number_has_one_place_and_its_gradient_comes_back(cell: str, layers: int):
    own, sizes = networks(cell, layers), (2, 4, 1, 3)
    padded = jax.tree.map(lambda *a: np.stack(a), *[with_units(each, 4) for each in own])
    pairs = pairs_of(sizes)
    assert pairs == [(2, 1), (0, 3)]
    found, pull = jax.vjp(layout(padded, sizes, pairs), jax.tree.map(jnp.asarray, padded))
    want = [with_units(beside([own[a], own[b]]), 5) for a, b in pairs]
    jax.tree.map(
        lambda got, *both: np.testing.assert_array_equal(got, np.float32(np.stack(both))),
        *(found, *want),
    )
    # A gradient is laid out as its number was: the numbers themselves come back, padding as 0.
    jax.tree.map(
        lambda got, number: np.testing.assert_array_equal(got, np.float32(number)),
        pull(found)[0],
        padded,
    )


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("cell", "layers", "columns"), [("lstm", 1, 1), ("gru", 2, 2)])
@pytest.mark.parametrize("name", ["clipped", "adam"])
def test_a_sweep_in_pairs_is_the_padded_one(name, cell, layers, columns, monkeypatch):
    """In float64, as a sum is added up in another order; two seeds, so two sets of windows."""
    sizes, members = (2, 5, 3, 4), members_of((2, 5, 3, 4), (0, 7))
    given = np.stack([sine(10, 6), sine(7, 6 * 10)[: len(sine(10, 6))]], 1)[:, :columns]
    values = jnp.asarray(given.reshape(-1, columns))
    optimizer: Any = adam() if name == "adam" else momentum_sgd(clip_norm=0.1, weight_decay=1e-3)
    counted = []
    pairs = sweep.gradients_of_pairs
    monkeypatch.setattr(
        sweep, "gradients_of_pairs", lambda *a: counted.append(len(a[2])) or pairs(*a)
    )

    def train(sizes: tuple[int, ...]) -> tuple[TrainState, np.ndarray]:
        kind = {"inputs": columns, "outputs": columns, "layers": layers, "cell": cell}
        state = jax.tree.map(
            lambda a: a.astype(float) if jnp.issubdtype(a.dtype, jnp.floating) else a,
            start_sweep(3, members, optimizer, **kind),
        )
        step = sweep_step(optimizer, window=9, sizes=sizes)
        losses = zero_losses(2, 4, members).astype(float)
        drawn = {"seed": 3, "epochs": 4, "batch": 6, "spans": len(values) - 9}
        for batch in islice(batches(values, members, 0, **drawn), 2):
            state, losses, _ = step(state, losses, batch, 0.1)
        return state, np.asarray(losses)

    state, losses = train(sizes)
    assert counted == [8]  # traced once, of all members
    padded, want = train(())
    assert counted == [8]
    np.testing.assert_allclose(losses, want, rtol=1e-12)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-12), state, padded)
