"""A frozen trunk: pools that are kept give the loss and the gradients of the whole network."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl.errors import InputError
from jaxdl.fcn.checks import check
from jaxdl.fcn.config import Config
from jaxdl.fcn.data.batches import BatchSource
from jaxdl.fcn.frozen import Frozen, check_room
from jaxdl.fcn.models.fcn import FCN, init
from jaxdl.fcn.task import loss
from jaxdl.training.optimizers import momentum_sgd
from jaxdl.training.step import start_state

MEAN = jnp.asarray([120.0, 110.0, 100.0])
MODEL = FCN(8, 3, 32, for_cpu=False)
SIZES = np.array([[40, 64], [64, 33], [30, 30]], np.int32)


class Images:
    ids, sizes = ("a", "b", "c"), SIZES

    def __getitem__(self, i: int) -> Any:
        rng = np.random.default_rng(i)
        h, w = self.sizes[i]
        image = rng.integers(0, 256, (h, w, 3)).astype(np.uint8)
        return SimpleNamespace(id="abc"[i], image=image, label=(image[..., 0] % 3).astype(np.uint8))


@pytest.mark.slow
@pytest.mark.parametrize("terms", [{}, {"class_weights": (1.0, 2.0, 5.0), "dice": 0.5}])
def test_kept_pools_give_the_whole_networks_loss_and_gradients(terms: dict[str, Any]):
    params = init(MODEL, jax.random.key(0))
    for name in ("score_pool4", "score_pool3"):  # which begin at zero
        shape = params[name]["kernel"].shape
        params[name]["kernel"] = jax.random.normal(jax.random.key(1), shape) / 10
    frozen = Frozen(MODEL, None, MEAN)
    scores = frozen.take(params)
    source = BatchSource(Images(), (0, 1, 2), ((64, 64),), 2, seed=0, epochs=2)

    def whole(own: Any, batch: Any) -> Any:
        return loss(MODEL, {**own, "trunk": params["trunk"]}, batch, mean=MEAN, **terms)[0]

    def kept(own: Any, batch: Any) -> Any:
        return loss(MODEL, own, batch, mean=MEAN, **terms)[0]

    batches = list(frozen.read(source))
    assert len(batches) == 4
    for n, batch in enumerate(batches):  # the second epoch is of kept pools, in another order
        want = jax.jit(jax.value_and_grad(whole))(scores, source[n])
        found = jax.jit(jax.value_and_grad(kept))(scores, batch)
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(want), strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-5, atol=1e-6)
    later = next(frozen.read(source, 3))
    jax.tree.map(np.testing.assert_array_equal, later, batches[3])


def test_pools_that_would_not_fit_are_refused():
    """Of a 512 x 512 canvas at full width 6.5 MiB."""
    canvases, one = ((512, 512),), np.array([[500, 400]], np.int32)
    check_room(one.repeat(1260, 0), canvases, 1)
    with pytest.raises(InputError, match=r"--freeze trunk: .* take 9 GB, more than 9"):
        check_room(one.repeat(1261, 0), canvases, 1)
    check_room(one.repeat(1261, 0), canvases, 8)


def test_a_checkpoint_has_the_trunk_and_training_has_not():
    params = {"trunk": {"w": jnp.ones(2)}, "score_pool5": {"w": jnp.zeros(2)}}
    frozen, optimizer = Frozen(MODEL, None, MEAN), momentum_sgd()
    state = start_state(frozen.take(params), optimizer)
    assert set(state.params) == {"score_pool5"}
    whole = frozen.gather(state)
    assert jax.tree.structure(whole.params) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, frozen.scatter(whole).params, state.params)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "keeps random weights"),
        ({"weights": "x.npz", "flip": True}, "leave them out"),
        ({"weights": "x.npz", "cache": "device"}, "host's memory"),
    ],
)
def test_what_a_frozen_trunk_cannot_have_is_refused(changed: dict[str, Any], said: str):
    if "weights" in changed:
        changed = changed | {"weights": Path(changed["weights"])}
    with pytest.raises(InputError, match=f"--freeze trunk: .*{said}"):
        check(Config(data=Path("x"), freeze="trunk", **changed))
