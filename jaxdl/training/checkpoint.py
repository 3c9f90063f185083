"""Checkpoints by Orbax, sealed by checksums.

A checkpoint folder holds numbered steps, the latest and the best. Each step has the items
``state`` (step, params, opt_state and the running metrics: what training continues from) and
``meta`` (JSON: what prediction needs). A step is written under a temporary name, gets the checksums
of its files (`jaxdl.files.checksums`) and is renamed, so that a killed save leaves no step behind,
and no step is read that is not, byte for byte, what was saved.
"""

import contextlib
import errno
import json
import math
import os
import re
import shutil
import weakref
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from jax.experimental import multihost_utils
from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, BestN, LatestN

from jaxdl.devices.heap import give_back_freed_memory
from jaxdl.errors import FULL, InputError, TrainingError
from jaxdl.files import checksums, limits
from jaxdl.training.quiet import quiet
from jaxdl.training.steps import Say, look_before_training, read_meta, set_aside, sound_steps, steps

KEPT = 2  # latest steps: if one is damaged, the run resumes from the other
DELETED = "deleted"  # folder of steps that are being deleted: each leaves its place at once
SAVED = ".saved"  # a file beside the folder of steps, which has had one; somebody may empty that
_TEMPORARY = "*.orbax-checkpoint-tmp*"


class Score(NamedTuple):
    """The metric that ranks checkpoints; saved with each, so that every reader ranks alike."""

    name: str
    larger_is_better: bool = True

    def rank(self, metrics: Any) -> float:
        """Of a step's metrics: the largest is the best; minus infinity if it has no number."""
        value = metrics.get(self.name)
        if not isinstance(value, (int, float)) or math.isnan(value):
            return -math.inf
        return value if self.larger_is_better else -value


class _Sealed(ocp.path.atomicity.AtomicRenameTemporaryPath):
    """A step's folder until it is whole: it appears with its checksums, in one rename."""

    async def create(self) -> epath.Path:
        shutil.rmtree(self.get_final().parent / DELETED, ignore_errors=True)
        return await super().create()

    async def finalize(self) -> None:
        """In place of Orbax's, which adds the time of the commit to the files, and renames."""
        if self._checkpoint_metadata_store is not None:
            self._checkpoint_metadata_store.wait_until_finished()
        folder, final = Path(self.get()), Path(self.get_final())
        checksums.seal(folder)
        os.rename(folder, final)
        if final.name.isdecimal():  # the step itself; its items come before it
            (final.parent.parent / SAVED).touch()
        checksums.sync_folder(final.parent)


_HELD: weakref.WeakKeyDictionary[Any, list[jax.Array]] = weakref.WeakKeyDictionary()  # being saved


def _let_go(held: list[jax.Array]) -> None:
    """Let saved arrays be freed before Python looks for cycles, several saves later.

    Orbax asks an array for its shards. JAX keeps them in it, and one of them is the array.
    """
    for array in held:
        getattr(array, "__dict__", {}).pop("addressable_shards", None)
    held.clear()
    give_back_freed_memory()


@contextlib.contextmanager
def open_manager(
    folder: Path, score: Score, say: Say = print, run: str | None = None
) -> Generator[ocp.CheckpointManager]:
    """A manager of `folder` that keeps the latest steps and that of the best score.

    First, damaged steps are renamed to ``damaged-STEP``, and `say` gets a line for each. Leaving
    the ``with`` statement waits for the last save. `run` is the id that all steps must have.

    Raises:
        InputError: see `jaxdl.training.steps.look_before_training`.
        TrainingError: on leaving: the last save failed, say by a full disk.
    """
    damaged = look_before_training(folder, run)
    folder = folder.resolve()
    _mend(folder, damaged, say)
    # Orbax's own best_fn deletes the newest step; this policy keeps both.
    best_metric = BestN(get_metric_fn=score.rank, n=1, keep_checkpoints_without_metrics=False)
    keep = AnyPreservationPolicy([LatestN(KEPT), best_metric])
    held: list[jax.Array] = []
    # best_fn makes Orbax store the metrics; the policy alone decides what is kept.
    options = ocp.CheckpointManagerOptions(
        async_options=ocp.AsyncOptions(post_finalization_callback=lambda: _let_go(held)),
        preservation_policy=keep,
        best_fn=score.rank,
        todelete_subdir=DELETED,
        temporary_path_class=_Sealed,
    )
    with quiet():
        with _saving(folder):
            manager = ocp.CheckpointManager(folder, options=options)
        _HELD[manager] = held
        try:
            yield manager
        finally:
            with _saving(folder):
                manager.close()
            if jax.process_index() == 0:
                shutil.rmtree(folder / DELETED, ignore_errors=True)


def _mend(folder: Path, damaged: dict[int, str], say: Say) -> None:
    """Remove what a killed process left, and set damaged steps aside; see `open_manager`."""
    _all_processes("jaxdl: checkpoints looked at")
    if jax.process_index() == 0:
        for left in (*folder.glob(_TEMPORARY), folder / DELETED):
            shutil.rmtree(left, ignore_errors=True)
        for step, why in damaged.items():
            say(f"{why}, and set aside as {set_aside(folder / str(step)).name}")
    _all_processes("jaxdl: checkpoints mended")


def _all_processes(name: str) -> None:
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


@contextlib.contextmanager
def _saving(folder: Path) -> Generator[None]:
    """Make one line of what Orbax raises when a file cannot be written."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        # TensorStore knows the system's error by number, in its text alone.
        told = re.search(r"os_error_code='(\d+)'", str(error))
        number = int(told[1]) if told else getattr(error, "errno", None)
        if number is None and "RESOURCE_EXHAUSTED: Error writing" in str(error):
            number = errno.ENOSPC  # some of its errors tell the kind alone
        if number is None:
            raise
        # What was written of the step takes up the room that is missing.
        for left in folder.glob(_TEMPORARY):
            shutil.rmtree(left, ignore_errors=True)
        kept = steps(folder)
        state = (
            f"step {kept[-1]}, the last that was saved, is whole"
            if kept
            else "there is no earlier one"
        )
        advice = "free some space" if number in FULL else "make the folder writable"
        raise TrainingError(
            f"{folder}: a checkpoint cannot be saved ({os.strerror(number)}); {state}; "
            f"{advice} and run the same command to resume"
        ) from error


def save(manager: ocp.CheckpointManager, step: int, state: Any, meta: dict, metrics: Any) -> None:
    """Save in the background; `metrics` (JSON) ranks the step, None for one saved in mid-epoch.

    Raises:
        TrainingError: this save failed, or the one before it, in the background.
    """
    if step in manager.all_steps():  # saved already, with its metrics: at a stop after an epoch
        return
    args = ocp.args.Composite(state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave(meta))
    arrays = [leaf for leaf in jax.tree.leaves(state) if isinstance(leaf, jax.Array)]
    with _saving(Path(manager.directory)):
        manager.wait_until_finished()
        _HELD[manager].extend(arrays)
        if not manager.save(step, args=args, metrics=metrics):
            raise RuntimeError(f"{manager.directory}: Orbax did not save step {step}")


def restore(manager: ocp.CheckpointManager, like: Any) -> Any:
    """The latest step's state, in the shapes, dtypes and devices of `like`; None without a step.

    NumPy's arrays have no device: what is restored in their place is on this process' first.
    """
    step = manager.latest_step()
    if step is None:
        return None
    first = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])

    def place(array: Any) -> jax.ShapeDtypeStruct:
        found: Any = ocp.utils.to_shape_dtype_struct(array)
        return found if found.sharding is not None else found.update(sharding=first)

    target = jax.tree.map(place, like)
    args = ocp.args.Composite(state=ocp.args.StandardRestore(target))
    return manager.restore(step, args=args)["state"]


def best_step(folder: Path, say: Say = print) -> int:
    """The sound step of the best score among those kept with metrics.

    `say` is told if there is none, and the newest is taken: a run was stopped in its first epoch.
    """
    scores, sound = {}, sound_steps(folder, say)
    for step in sound:
        file = folder / str(step) / "metrics" / "metrics"
        if file.is_file():
            meta = read_meta(folder / str(step))
            # Runs made before 0.2 do not tell: an FCN's.
            score = Score(**meta.get("score", {"name": "mean_iu"}))
            scores[step] = score.rank(json.loads(file.read_text()))
    if not sound:
        raise InputError(f"{folder}: it holds no checkpoint; name a run that has trained")
    if not scores:
        newest = sound[-1]
        say(f"{folder}: no checkpoint was saved with metrics; step {newest}, the newest, is used")
        return newest
    return max(scores, key=lambda step: scores[step])


def load_params(folder: Path, step: int | None = None, say: Say = print) -> tuple[Any, dict, int]:
    """As `load_variables`, the parameters alone."""
    variables, meta, step = load_variables(folder, step, say)
    return variables["params"], meta, step


def load_variables(
    folder: Path, step: int | None = None, say: Say = print
) -> tuple[dict[str, Any], dict[str, Any], int]:
    """What `Module.apply` takes, meta and step number of a checkpoint folder.

    The variables are ``params`` and, in a model that has them, ``batch_stats``: NumPy arrays in
    the dtypes that were saved (float32).

    Args:
        folder: holds numbered steps.
        step: None takes the latest that is sound.
        say: gets a line for each damaged step.

    Raises:
        InputError: no checkpoint there, or not that step, or it is damaged; or its arrays claim
            far more memory than its files can fill.
    """
    meta, step = load_meta(folder, step, say)
    path = folder.resolve() / str(step) / "state"
    return read_arrays(path, ("params", "batch_stats")), meta, step


def read_arrays(path: Path, names: Sequence[str] = ()) -> dict[str, Any]:
    """The arrays of one Orbax item (the folder that holds its ``_METADATA``), as NumPy.

    Args:
        path: the item's folder.
        names: of the parts of its tree that are read, if it has them; none: all of it.

    Raises:
        InputError: its arrays claim far more memory than its files can fill.
    """
    handler = ocp.PyTreeCheckpointHandler()
    saved: Any = handler.metadata(epath.Path(path.resolve()))
    saved = {name: saved[name] for name in names or saved if name in saved}
    if not saved:
        return {}
    files = [file.stat().st_size for file in path.rglob("*") if file.is_file()]
    arrays = [math.prod(m.shape) * m.dtype.itemsize for m in jax.tree.leaves(saved)]
    limits.check_claimed(path, sum(files), sum(arrays))
    with ocp.Checkpointer(handler) as reader:
        # Targets of NumPy arrays load on any number of devices; partial: the rest stays on disk.
        item = jax.tree.map(lambda m: np.empty(m.shape, m.dtype), saved)
        as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), item)
        args = ocp.args.PyTreeRestore(item=item, restore_args=as_numpy, partial_restore=True)
        return reader.restore(path.resolve(), args=args)


def load_meta(
    folder: Path, step: int | None = None, say: Say = print
) -> tuple[dict[str, Any], int]:
    """Meta and step number of a checkpoint folder; see `load_variables`."""
    there = steps(folder)
    if not there or (step is not None and step not in there):
        found = f"its steps are {there}" if there else "it holds no checkpoint"
        wanted = "" if step is None else f" of step {step}"
        raise InputError(f"{folder}: no checkpoint{wanted}: {found}; name a run that has trained")
    if step is None:
        step = sound_steps(folder, say)[-1]
    elif why := checksums.damage(folder / str(step)):
        raise InputError(f"{why}; choose another of the steps {there}")
    with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as reader:
        return reader.restore(folder.resolve() / str(step) / "meta"), step
