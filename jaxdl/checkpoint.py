"""Checkpoints by Orbax, and the passing of weights from one network to the next.

A checkpoint folder holds numbered steps, the latest and the best. Each step has the items
``state`` (step, params, opt_state and the running totals: what training continues from) and
``meta`` (JSON: what prediction needs). Orbax writes a step under a temporary name and renames it,
so that a killed save leaves no step behind.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, BestN, LatestN

from jaxdl.errors import InputError


def open_manager(folder: Path, best: Callable[[Any], float]) -> ocp.CheckpointManager:
    """A manager of `folder` that keeps the latest step and that of the largest ``best(metrics)``.

    Use it in a ``with`` statement: closing it waits for the last save.
    """
    # Orbax's own best_fn deletes the newest step; this policy keeps both.
    best_metric = BestN(get_metric_fn=best, n=1, keep_checkpoints_without_metrics=False)
    keep = AnyPreservationPolicy([LatestN(1), best_metric])
    # best_fn makes Orbax store the metrics; the policy alone decides what is kept.
    options = ocp.CheckpointManagerOptions(preservation_policy=keep, best_fn=best)
    return ocp.CheckpointManager(folder.resolve(), options=options)


def save(manager: ocp.CheckpointManager, step: int, state: Any, meta: dict, metrics: Any) -> None:
    """Save in the background; `metrics` (JSON) ranks the step, None for one saved in mid-epoch."""
    if step in manager.all_steps():  # saved already, with its metrics: at a stop after an epoch
        return
    args = ocp.args.Composite(state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave(meta))
    if not manager.save(step, args=args, metrics=metrics):
        raise RuntimeError(f"{manager.directory}: Orbax did not save step {step}")


def restore(manager: ocp.CheckpointManager, like: Any) -> Any:
    """The latest step's state, in the shapes, dtypes and devices of `like`; None without a step."""
    step = manager.latest_step()
    if step is None:
        return None
    target = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    args = ocp.args.Composite(state=ocp.args.StandardRestore(target))
    return manager.restore(step, args=args)["state"]


def steps(folder: Path) -> list[int]:
    """The steps of a checkpoint folder, without opening a manager (which might clean it up)."""
    if not folder.is_dir():
        return []
    names = (p.name for p in folder.iterdir() if p.name.isdigit() and (p / "state").is_dir())
    return sorted(int(name) for name in names)


def best_step(folder: Path) -> int:
    """The step of the largest ``mean_iu`` among those kept with metrics."""
    scores = {}
    for step in steps(folder):
        file = folder / str(step) / "metrics" / "metrics"
        if file.is_file():
            scores[step] = json.loads(file.read_text())["mean_iu"] or 0.0
    if not scores:
        raise InputError(f"{folder}: no checkpoint was saved with metrics; use the latest")
    return max(scores, key=lambda step: scores[step])


def find(path: Path) -> Path:
    """The checkpoint folder of a run (its last stage), of a stage, or the folder itself.

    Raises:
        InputError: none has a checkpoint.
    """
    stages = sorted(path.glob("*/checkpoints"), key=lambda p: p.stat().st_mtime)
    for folder in (path, path / "checkpoints", *reversed(stages)):
        if steps(folder):
            return folder
    raise InputError(f"{path}: holds no checkpoint; name a run folder, such as runs/demo/fcn")


def load_params(folder: Path, step: int | None = None) -> tuple[Any, dict, int]:
    """Parameters (float32 NumPy arrays), meta and step number of a checkpoint folder.

    Args:
        folder: holds numbered steps.
        step: None takes the latest.

    Raises:
        InputError: no checkpoint there, or not that step.
    """
    there = steps(folder)
    if not there or (step is not None and step not in there):
        found = f"its steps are {there}" if there else "it holds no checkpoint"
        wanted = "" if step is None else f" of step {step}"
        raise InputError(f"{folder}: no checkpoint{wanted}: {found}; name a run that has trained")
    path = folder.resolve() / str(there[-1] if step is None else step)
    handler = ocp.PyTreeCheckpointHandler()
    saved: Any = handler.metadata(epath.Path(path / "state"))
    with ocp.Checkpointer(handler) as reader:
        # Targets of NumPy arrays load on any number of devices; partial: the rest stays on disk.
        item = {"params": jax.tree.map(lambda m: np.empty(m.shape, m.dtype), saved["params"])}
        as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), item)
        args = ocp.args.PyTreeRestore(item=item, restore_args=as_numpy, partial_restore=True)
        params = reader.restore(path / "state", args=args)["params"]
    with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as reader:
        meta = reader.restore(path / "meta")
    return params, meta, int(path.name)


class Transplant(NamedTuple):
    """Parameters after carrying, and the names (``trunk/conv1_1/kernel``) of what went where."""

    params: Any
    carried: list[str]  # taken from the source
    fresh: list[str]  # kept from the target: the source has none of that name and shape
    unused: list[str]  # in the source, but not carried


def by_name(params: Any) -> dict[str, Any]:
    """Each array under its path's name, such as ``trunk/conv1_1/kernel``."""
    leaves = jax.tree.leaves_with_path(params)
    return {"/".join(str(k.key) for k in path): leaf for path, leaf in leaves}


def transplant(source: Any, target: Any) -> Transplant:
    """The target's parameters with those of the source where name and shape agree.

    Source: the seed's ``copy_model``, which skips the rest with a print; here nothing is skipped
    without being named in the result.

    Raises:
        InputError: nothing at all could be carried.
    """
    old, new = by_name(source), by_name(target)
    carried = [n for n in new if n in old and np.shape(old[n]) == np.shape(new[n])]
    if not carried:
        raise InputError(
            f"no parameter could be carried: the source has {sorted(old)[:3]}..., "
            f"the network {sorted(new)[:3]}...; is it a checkpoint of another kind or width?"
        )
    taken = set(carried)

    def pick(path, leaf):
        name = "/".join(str(k.key) for k in path)
        return np.asarray(old[name], leaf.dtype) if name in taken else leaf

    params = jax.tree.map_with_path(pick, target)
    return Transplant(
        jax.tree.map(jax.numpy.asarray, params),
        carried,
        [n for n in new if n not in taken],
        [n for n in old if n not in taken],
    )
