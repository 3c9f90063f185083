"""FCNs as checkpoints give them, with parameters that no program was compiled for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl.fcn.choices import Align
from jaxdl.fcn.data import voc
from jaxdl.fcn.models.fcn import FCN
from jaxdl.fcn.saved import Saved


def random_network(
    stride: Any, classes: Sequence[str], width: int, seed: int, align: Align = "exact"
) -> Saved:
    """Normal parameters that keep the size of the activations, and biases."""
    rng, model = np.random.default_rng(seed), FCN(stride, len(classes), width, align)
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), image)["params"]

    def draw(one: Any) -> np.ndarray:
        spread = 0.1 if one.ndim == 1 else (2 / np.prod(one.shape[:-1])) ** 0.5
        return rng.normal(0, spread, one.shape).astype(np.float32)

    params: Any = jax.tree.map(draw, shapes)
    params["trunk"]["conv1_1"]["kernel"] /= 64  # of bytes
    mean = (123.68, 116.779, 103.939)
    return Saved(model, params, mean, tuple(classes), voc.palette(), Path("run"), "run step 7", 7)
