"""Checkpoints: what is kept, exact restore, parameters alone, and what transplant reports."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import checkpoint
from jaxdl.errors import InputError
from jaxdl.metrics import zero_totals
from jaxdl.models.fcn import FCN
from jaxdl.train import TrainState, momentum_sgd, start_state


def params_of(stride: Any, num_classes: int = 3, width: int = 32) -> dict:
    model = FCN(stride, num_classes, width)
    return jax.jit(model.init)(jax.random.key(stride), jnp.zeros((1, 32, 32, 3)))["params"]


def best(metrics: dict) -> float:
    return metrics["mean_iu"]


def same(a: object, b: object) -> None:
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x, y), a, b)


def test_latest_and_best_are_kept(tmp_path: Path):
    """Orbax's own best_fn would delete the newest step, and with it the resume."""
    with checkpoint.open_manager(tmp_path, best) as manager:
        for step, score in ((10, 0.3), (20, 0.9), (30, 0.5), (40, 0.4)):
            checkpoint.save(manager, step, {"step": jnp.asarray(step)}, {}, {"mean_iu": score})
        checkpoint.save(manager, 45, {"step": jnp.asarray(45)}, {}, None)
    assert checkpoint.steps(tmp_path) == [20, 45]
    assert checkpoint.best_step(tmp_path) == 20


def test_restore_gives_the_same_bits_in_the_same_types(tmp_path: Path):
    optimizer = momentum_sgd()
    state = start_state(params_of(16), optimizer)._replace(step=jnp.asarray(7, jnp.int32))
    kept = {**state._asdict(), "totals": zero_totals(3)._replace(loss=jnp.asarray(1.5))}
    with checkpoint.open_manager(tmp_path, best) as manager:
        assert checkpoint.restore(manager, kept) is None
        checkpoint.save(manager, 7, kept, {"classes": ["a", "b"]}, None)
    blank = start_state(jax.tree.map(jnp.zeros_like, state.params), optimizer)
    with checkpoint.open_manager(tmp_path, best) as manager:
        found = checkpoint.restore(manager, {**blank._asdict(), "totals": zero_totals(3)})
    same(found, kept)
    assert jax.tree.structure(found) == jax.tree.structure(kept)
    assert TrainState(**{k: found[k] for k in TrainState._fields}).step.dtype == jnp.int32


def test_parameters_are_read_alone_and_found_in_a_run(tmp_path: Path):
    params, optimizer = params_of(8), momentum_sgd()
    folder = tmp_path / "run" / "fcn8s" / "checkpoints"
    with checkpoint.open_manager(folder, best) as manager:
        kept = start_state(params, optimizer)._asdict()
        checkpoint.save(manager, 3, kept, {"mean": [1.0, 2.0, 3.0]}, None)
    for path in (tmp_path / "run", folder.parent, folder):
        assert checkpoint.find(path) == folder
    found, meta, step = checkpoint.load_params(folder)
    same(found, params)
    assert (meta["mean"], step) == ([1.0, 2.0, 3.0], 3)
    with pytest.raises(InputError, match=r"no checkpoint of step 9: its steps are \[3\]"):
        checkpoint.load_params(folder, 9)


def test_a_folder_without_checkpoints_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="holds no checkpoint"):
        checkpoint.find(tmp_path)
    # What a killed save leaves is not taken for a step.
    (tmp_path / "5.orbax-checkpoint-tmp").mkdir()
    (tmp_path / "9").mkdir()
    with pytest.raises(InputError, match="holds no checkpoint"):
        checkpoint.load_params(tmp_path)


def test_transplant_carries_32s_into_16s_and_names_the_rest():
    source, target = params_of(32), params_of(16)
    moved = checkpoint.transplant(source, target)
    same(moved.params["trunk"], source["trunk"])
    same(moved.params["score_pool5"], source["score_pool5"])
    same(moved.params["score_pool4"], target["score_pool4"])
    assert len(moved.carried) == 2 * 14
    assert sorted(moved.fresh) == ["score_pool4/bias", "score_pool4/kernel"]
    assert moved.unused == []
    # The other way round the skip is unused.
    back = checkpoint.transplant(target, source)
    assert sorted(back.unused) == ["score_pool4/bias", "score_pool4/kernel"]


def test_transplant_to_other_classes_keeps_the_trunk_alone():
    moved = checkpoint.transplant(params_of(32, num_classes=21), params_of(32, num_classes=3))
    scores = ["score_pool5/bias", "score_pool5/kernel"]
    assert sorted(moved.fresh) == sorted(moved.unused) == scores
    assert len(moved.carried) == 26


def test_transplant_of_nothing_is_refused():
    with pytest.raises(InputError, match="no parameter could be carried"):
        checkpoint.transplant({"other": {"kernel": jnp.zeros(3)}}, params_of(32))
