"""Rates of the skips' scores: as much slower as what they read is larger than pool5.

From ImageNet weights, pool4 and pool3 hold numbers ten and sixty times those of pool5, so that one
learning rate that trains the scores of pool5 makes those of pool4 and pool3 diverge. The papers'
code drops the rate a hundredfold from stage to stage, or scales the two pools; here the forward
pass stays the paper's, and each skip's updates are multiplied by the mean square of pool5 over that
of its own pool, at most 1.

Source: Long, Shelhamer, Darrell 2015, section 4 (the rates), and its at-once variant (the scales).
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding
from jaxtyping import Array, Float, PyTree

from jaxdl.fcn.data.batches import Batch, Stored, gather, preprocess
from jaxdl.fcn.models.fcn import FCN, forms
from jaxdl.fcn.models.vgg import Trunk, keep_valid, size_after
from jaxdl.training.optimizers import multiply

SKIPS = {4: "score_pool4", 3: "score_pool3"}  # pool -> its score
IMAGES = 16  # that are measured, at most


def with_skip_rates(
    optimizer: optax.GradientTransformationExtraArgs,
) -> optax.GradientTransformationExtraArgs:
    """The optimiser, its updates of the skips' scores times the multipliers in its state."""
    return optax.with_extra_args_support(optax.chain(optimizer, multiply([*SKIPS.values()])))


@partial(jax.jit, static_argnames=("trunk", "whole"))
def _squares(
    trunk: Trunk, params: PyTree, batch: Batch | Stored, mean: Float[Array, " 3"], whole: Any
) -> Float[Array, "3 2"]:
    """Sum of squares of pool5, pool4 and pool3 inside the images, and their cells."""
    images, _, sizes = map(jnp.asarray, gather(batch))
    x = keep_valid(preprocess(images, mean), sizes, 0)
    pools: Any = trunk.apply({"params": params}, x, sizes)
    rows = []
    for level in (5, 4, 3):
        pool = pools[level - 1].astype(jnp.float32)
        rows.append([jnp.square(pool).sum(), size_after(sizes, level).prod(1).sum()])
    found = jnp.asarray([[jnp.asarray(n, jnp.float32) for n in row] for row in rows])
    return found if whole is None else jax.lax.with_sharding_constraint(found, whole)


def skip_multipliers(
    model: FCN,
    params: PyTree,
    batches: Iterable[Batch | Stored],
    mean: Float[Array, " 3"],
    whole: NamedSharding | None = None,
) -> dict[str, float]:
    """The multiplier of each skip's score that the network has, from the training images given.

    Args:
        model: the network.
        params: at the stage's start.
        batches: of training images; `IMAGES` are read.
        mean: colour that is subtracted, RGB.
        whole: `jaxdl.devices.mesh.Shardings.replicated` on several devices.
    """
    names = {level: name for level, name in SKIPS.items() if name in params}
    if not names:
        return {}
    trunk = Trunk(model.width, forms(model.for_cpu, False).block)
    sums, seen = np.zeros((3, 2)), 0
    for batch in batches:
        sums += np.asarray(_squares(trunk, params["trunk"], batch, mean, whole), np.float64)
        seen += len(batch.rows if isinstance(batch, Stored) else batch.sizes)
        if seen >= IMAGES:
            break
    squares = dict(zip((5, 4, 3), sums[:, 0] / np.maximum(sums[:, 1], 1), strict=True))
    # A pool of zeros teaches its score nothing at any rate.
    return {
        name: float(min(1.0, squares[5] / squares[level])) if squares[level] else 1.0
        for level, name in names.items()
    }
