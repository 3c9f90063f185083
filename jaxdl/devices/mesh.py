"""The mesh of a run's devices, and how its arrays lie on it.

A mesh has the axes "data" and "model". All functions take None for a mesh: then everything stays
where JAX puts it, on one device.
"""

import contextlib
import os
import re
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as Spec
from jaxtyping import PyTree

from jaxdl.errors import InputError

AXES = ("data", "model")
# XLA decides how arrays lie on them; since JAX 0.12 an abstract mesh expects the program to.
_TYPES = (AxisType.Auto, AxisType.Auto)
SMALL = 1024  # elements; a smaller array is not worth splitting


def parse_mesh(text: str) -> tuple[int, int]:
    """``data=N`` or ``data=N,model=M`` as (N, M).

    Raises:
        InputError: it is something else.
    """
    sizes: dict[str, int] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\w+)\s*=\s*(\d+)\s*", part)
        if match is None:
            raise InputError(f"--mesh {text}: must be data=N or data=N,model=M, such as data=8")
        name, size = match[1], int(match[2])
        if name not in AXES:
            raise InputError(f"--mesh {text}: unknown axis {name}; the axes are data and model")
        if name in sizes:
            raise InputError(f"--mesh {text}: names {name} twice")
        if size < 1:
            raise InputError(f"--mesh {text}: {name} must be 1 or more")
        sizes[name] = size
    if "data" not in sizes:
        raise InputError(f"--mesh {text}: data is missing, such as data=8 or data=1,{text}")
    return sizes["data"], sizes.get("model", 1)


def make_mesh(data: int, model: int = 1, devices: list[jax.Device] | None = None) -> Mesh:
    """A mesh of the first ``data * model`` devices, those of one process after those of another.

    Args:
        data: devices along the axis "data"; positive.
        model: along "model".
        devices: to choose from; None for those of all processes.

    Raises:
        InputError: there are too few; or not all would be used, where there are several processes.
    """
    found, wanted = jax.devices() if devices is None else devices, data * model
    found = sorted(found, key=lambda d: (d.process_index, d.id))
    processes = len({d.process_index for d in found})
    product, there = f"{data} x {model} = {wanted}", f"{len(found)} in {processes} process(es)"
    if wanted > len(found):
        raise InputError(
            f"--mesh: {product} devices, but there are {there}: ask for fewer, start more "
            "processes, or on a CPU set JAX_NUM_CPU_DEVICES"
        )
    if wanted < len(found) and processes > 1:
        raise InputError(
            f"--mesh: {product} devices, but there are {there}, and each process must take part: "
            f"use them all, such as --mesh data={len(found)}"
        )
    return Mesh(np.asarray(found[:wanted]).reshape(data, model), AXES, _TYPES)


def abstract_mesh(data: int) -> AbstractMesh:
    """`make_mesh` of devices that need not be there, for planning."""
    return AbstractMesh((data, 1), AXES, _TYPES)


def core_mesh(parts: int) -> Mesh | None:
    """A mesh of this machine's CPU cores; None where one device is all there is to use.

    For programs of many small kernels: XLA's CPU runtime runs such kernels on one thread of a
    device, so that one device leaves the other cores idle.

    Args:
        parts: what there is to split; as many cores are used as divide it.

    Returns:
        The mesh; None with a GPU. After other uses of JAX it has the devices that there are by
        then. ``JAX_NUM_CPU_DEVICES`` in the environment is obeyed.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    given = "host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if not given and "JAX_NUM_CPU_DEVICES" not in os.environ:
        with contextlib.suppress(RuntimeError):  # JAX has started
            jax.config.update("jax_num_cpu_devices", cores or 1)
    devices = jax.devices()
    most = max(n for n in range(1, len(devices) + 1) if parts % n == 0)
    if devices[0].platform != "cpu" or most == 1:
        return None
    return make_mesh(most, devices=devices[:most])


class Shardings(NamedTuple):
    """How the arguments and results of a training step lie on a mesh."""

    state: PyTree  # a sharding for each array of the state
    replicated: NamedSharding  # the same on every device
    batch: NamedSharding  # rows (the first axis) split over all devices


def shardings(state: PyTree, mesh: Mesh | None, fsdp: bool = False) -> Shardings | None:
    """The layout of data-parallel training: a batch's rows split, the rest on every device.

    Args:
        state: arrays, or their shapes.
        mesh: None gives None.
        fsdp: split the state's arrays too, each along its longest axis that the devices divide;
            those of less than `SMALL` elements, or that they do not divide, stay whole.
    """
    if mesh is None:
        return None
    replicated = NamedSharding(mesh, Spec())

    def sharding(array) -> NamedSharding:
        axes = [a for a, size in enumerate(array.shape) if size % mesh.size == 0]
        if not fsdp or not axes or np.prod(array.shape) < SMALL:
            return replicated
        longest = max(axes, key=lambda a: array.shape[a])
        return NamedSharding(mesh, Spec(*[None] * longest, AXES))

    return Shardings(jax.tree.map(sharding, state), replicated, NamedSharding(mesh, Spec(AXES)))


def shard(tree: PyTree, layout: PyTree) -> PyTree:
    """Arrays that every process holds whole, laid out over the mesh.

    Args:
        tree: arrays of this process; kept.
        layout: a sharding for all, or a tree of them; None leaves the arrays as they are.
    """
    if layout is None:
        return tree

    def place(array, sharding):
        here = np.asarray(array)
        return jax.make_array_from_callback(here.shape, sharding, lambda index: here[index])

    if isinstance(layout, NamedSharding):
        return jax.tree.map(lambda a: place(a, layout), tree)
    return jax.tree.map(place, tree, layout)


def local_rows(rows: int, mesh: Mesh | None) -> slice:
    """Which of a batch's rows this process reads; the devices must divide them.

    Args:
        rows: of the batches of all processes together.
        mesh: of `make_mesh`.
    """
    if mesh is None:
        return slice(0, rows)
    split = NamedSharding(mesh, Spec(AXES)).addressable_devices_indices_map((rows,))
    bounds = [index[0].indices(rows)[:2] for index in split.values() if index is not None]
    return slice(min(start for start, _ in bounds), max(stop for _, stop in bounds))


def join_rows(batch: PyTree, layout: Shardings | None) -> PyTree:
    """Every process's `local_rows` (NumPy arrays) as one batch, each row on its device alone."""
    if layout is None:
        return batch
    return jax.tree.map(lambda a: jax.make_array_from_process_local_data(layout.batch, a), batch)


def gather_to_host(tree: PyTree, layout: Shardings | None) -> PyTree:
    """The whole arrays in every process, as NumPy arrays; all processes must call it."""
    if layout is not None:
        tree = jax.jit(lambda t: t, out_shardings=layout.replicated)(tree)
    return jax.tree.map(np.asarray, tree)
