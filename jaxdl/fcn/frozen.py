"""A trunk that does not learn: its pools are computed once for each image, and kept.

The scores then train on a 1/8 of the canvas and less: minutes on a CPU, where the whole network
takes hours. A step is equal to one of the whole network whose trunk has a rate of 0.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from jaxdl.errors import InputError
from jaxdl.fcn.data.batches import (
    Batch,
    BatchSource,
    Canvas,
    assign_canvases,
    preprocess,
    read_ahead,
)
from jaxdl.fcn.models.fcn import FCN, Pools, forms
from jaxdl.fcn.models.vgg import Trunk, keep_valid
from jaxdl.training.step import TrainState

MOST = 8 << 30  # bytes of pools that are kept
_CELLS = (256 / 64 + 512 / 256 + 512 / 1024) * 4  # bytes of a pixel's share, at full width


def check_room(
    sizes: Int[np.ndarray, "n 2"], canvases: Sequence[Canvas], width_divisor: int
) -> None:
    """Refuse images whose pools would not fit into memory.

    Args:
        sizes: heights and widths of all images.
        canvases: that they lie on.
        width_divisor: of the trunk.

    Raises:
        InputError: they would not.
    """
    pixels = np.prod(np.array(canvases, np.int64), 1)[assign_canvases(sizes, canvases)].sum()
    size = float(pixels) * _CELLS / width_divisor
    if size > MOST:
        raise InputError(
            f"--freeze trunk: the pools of these images take {size / 1e9:.0f} GB, more than "
            f"{MOST / 1e9:.0f}; train on fewer images, or without --freeze"
        )


@partial(jax.jit, static_argnames=("trunk", "dtype"))
def _pools(trunk: Trunk, params: PyTree, batch: Batch, mean: Float[Array, " 3"], dtype: Any) -> Any:
    images, sizes = jnp.asarray(batch.images), jnp.asarray(batch.sizes)
    x = preprocess(images, mean)
    x = keep_valid(x if dtype is None else x.astype(dtype), sizes, 0)
    found: Any = trunk.apply({"params": params}, x, sizes)
    return Pools(*found[2:])


class Frozen:
    """A stage whose trunk does not learn: its state has the scores alone, its checkpoints all.

    Args:
        model: the network; its trunk computes the pools.
        trunk: the trunk's parameters, or their like until `take` or `scatter` has them.
        mean: colour that is subtracted, RGB.
    """

    def __init__(self, model: FCN, trunk: PyTree, mean: Float[Array, " 3"]) -> None:
        self._shape = Trunk(model.width, forms(model.for_cpu, False).block)
        self._dtype, self._mean, self._trunk = model.compute_dtype, mean, trunk
        self._kept: dict[int, tuple[np.ndarray, ...]] = {}  # pools of each example

    def scores(self, params: PyTree) -> PyTree:
        """The parameters that learn."""
        return {name: own for name, own in params.items() if name != "trunk"}

    def take(self, params: PyTree) -> PyTree:
        """Keep the trunk, from now on; returns the parameters that learn."""
        self._trunk, self._kept = params["trunk"], {}
        return self.scores(params)

    def gather(self, state: TrainState) -> TrainState:
        """The state as a checkpoint holds it: with the trunk."""
        return state._replace(params={**state.params, "trunk": self._trunk})

    def scatter(self, state: TrainState) -> TrainState:
        """The inverse of `gather`."""
        return state._replace(params=self.take(state.params))

    def read(self, source: BatchSource, first: int = 0) -> Iterator[Batch]:
        """The batches of a source from `first` on, with pools in place of images."""
        for n, batch in enumerate(read_ahead(source, first), first):
            assert isinstance(batch, Batch)
            rows = source.rows(n)
            if any(row not in self._kept for row in rows):
                found = _pools(self._shape, self._trunk, batch, self._mean, self._dtype)
                arrays = [np.asarray(pool) for pool in found]
                for place, row in enumerate(rows):
                    self._kept[row] = tuple(array[place].copy() for array in arrays)
            stacks = []
            for level, like in enumerate(self._kept[rows[0]]):
                stack = np.zeros((len(batch.sizes), *like.shape), like.dtype)
                for place, row in enumerate(rows):
                    stack[place] = self._kept[row][level]
                stacks.append(stack)
            yield batch._replace(images=Pools(*stacks))
