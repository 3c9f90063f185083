"""A step with abstract arguments, to be lowered or compiled without running."""

from typing import Any, NamedTuple

import jax
from jax.sharding import AbstractMesh, Mesh, NamedSharding
from jax.sharding import PartitionSpec as Spec

# VOC2012's images padded to the three canvases of `data.batches.choose_canvases`: wide, high, both.


class Step(NamedTuple):
    """A jitted function, its abstract arguments, and how many items one call works on."""

    name: str
    call: Any  # of jax.jit
    args: tuple[Any, ...]
    items: int
    unit: str


def abstract(shape: tuple[int, ...], dtype: Any) -> Any:
    """Stands for an array."""
    return jax.ShapeDtypeStruct(shape, dtype)


def placed(tree: Any, *, mesh: Mesh | AbstractMesh | None, spec: Spec) -> Any:
    """Abstract arrays laid out over the mesh; without one they stay as they are."""
    if mesh is None:
        return tree
    layout = NamedSharding(mesh, spec)
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=layout), tree)


def on_mesh(step: Step, mesh: Mesh) -> Step:
    """The step with every argument whole on each device of the mesh."""
    return step._replace(args=placed(step.args, mesh=mesh, spec=Spec()))
