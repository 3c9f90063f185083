"""The optimiser that the FCN's options ask for, against float64 NumPy."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl.errors import InputError
from jaxdl.fcn.checks import check
from jaxdl.fcn.config import PRESETS, Config, for_each_stage
from jaxdl.fcn.setup import optimizer_of
from jaxdl.training.step import dense_step, start_state

START = {
    "trunk": {"conv1_1": {"kernel": [1.0, -2.0], "bias": [0.5]}},
    "score_pool5": {"kernel": [3.0, 0.25], "bias": [-1.0]},
    "score_pool4": {"kernel": [-0.5, 4.0], "bias": [2.0]},
}
RATES = (0.02, 0.01, 0.04)


def config(**changed: Any) -> Config:
    plain = dataclasses.replace(PRESETS["demo"], learning_rate=(0.1,), clip_norm=None)
    changed = {"momentum": 0.9, "weight_decay": 0.05, **changed}
    return for_each_stage(dataclasses.replace(plain, **changed))


def numpy_steps(heads: float, bias_rule: bool) -> dict[str, Any]:
    """L2 decay, momentum, and the scores' updates times `heads`; gradient: step + parameter."""

    def trained(values: list[float], head: bool, bias: bool) -> np.ndarray:
        w = np.array(values, np.float64)
        v = np.zeros_like(w)
        for n, rate in enumerate(RATES):
            decay = 0.0 if bias and bias_rule else 0.05
            v = 0.9 * v + n + w + decay * w
            w = w - rate * (heads if head else 1.0) * (2 if bias and bias_rule else 1) * v
        return w

    return jax.tree.map_with_path(
        lambda path, values: trained(values, path[0].key != "trunk", path[-1].key == "bias"),
        START,
        is_leaf=lambda node: isinstance(node, list),
    )


@pytest.mark.parametrize("bias_rule", [False, True])
def test_the_score_layers_learn_at_a_rate_of_their_own(bias_rule: bool):
    """The ratio to --learning-rate, whatever the schedule makes of it; beside the biases' rule."""

    def loss_fn(params, n):
        loss = sum((n * a + a**2 / 2).sum() for a in jax.tree.leaves(params))
        return jnp.asarray(loss), (jnp.ones(()), ())

    optimizer = optimizer_of(config(head_learning_rate=(0.1, 0.4, 0.1), bias_rule=bias_rule), 1)
    step: Any = dense_step(loss_fn, optimizer, lambda totals, _: totals)
    params = jax.tree.map(jnp.asarray, START, is_leaf=lambda node: isinstance(node, list))
    state = start_state(params, optimizer)
    for n, rate in enumerate(RATES):
        state, _, _ = step(state, (), jnp.asarray(float(n)), rate)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        state.params,
        numpy_steps(4.0, bias_rule),
    )
    assert step._cache_size() == 1


def test_without_a_rate_of_their_own_nothing_changes():
    """Neither the optimiser's state, which checkpoints hold, nor its program."""
    params = jax.tree.map(jnp.asarray, START, is_leaf=lambda node: isinstance(node, list))
    plain, same, other = (
        jax.tree.structure(optimizer_of(config(**given), 0).init(params))
        for given in ({}, {"head_learning_rate": (0.1,)}, {"head_learning_rate": (0.2,)})
    )
    assert plain == same
    assert other.num_leaves == plain.num_leaves


def test_one_head_rate_means_all_stages():
    assert config(head_learning_rate=(0.3,)).head_learning_rate == (0.3, 0.3, 0.3)
    assert config().head_learning_rate == ()
    for given, why in (((0.1, 0.2), "give one value, or 3"), ((0.0,), "must be above 0")):
        cfg = dataclasses.replace(PRESETS["demo"], head_learning_rate=given)
        with pytest.raises(InputError, match=f"--head-learning-rate .*{why}"):
            check(cfg)
