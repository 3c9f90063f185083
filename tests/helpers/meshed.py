"""``python -m tests.helpers.meshed FOLDER [COORDINATOR PROCESS]``: FCN losses on meshes.

Processes of their own: the number of devices is fixed when JAX starts. Without a coordinator, one
process of 8 virtual devices, which saves a checkpoint in FOLDER; with it, one of two processes of 4
each, which resumes from there too. Process 0 prints JSON.
"""

import contextlib
import json
import re
import sys
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl.devices import launchers
from jaxdl.devices import processes as hosts
from jaxdl.devices.mesh import (
    gather_to_host,
    join_rows,
    local_rows,
    make_mesh,
    shard,
    shardings,
)
from jaxdl.errors import InputError
from jaxdl.fcn.data.batches import BatchSource
from jaxdl.fcn.losses import reduce_pixels, soft_dice_loss, weighted_xent
from jaxdl.fcn.metrics import Metrics, compute_metrics, empty_metrics
from jaxdl.fcn.models.fcn import FCN
from jaxdl.fcn.task import add_outcome, make_evaluate, pixel_loss
from jaxdl.training import checkpoint, optimizers
from jaxdl.training.step import TrainState, dense_step, start_state

STEPS, CLASSES, BATCH = 20, 3, 6  # 8 devices do not divide 6 images: two rows are void

MODEL = FCN(32, CLASSES, 32)


class Scene(NamedTuple):
    id: str
    image: np.ndarray
    label: np.ndarray


class Scenes:
    """Squares on a noisy ground, up to 32 x 32, made when asked for."""

    def __init__(self) -> None:
        self.sizes = np.random.default_rng(0).integers(9, 33, (24, 2)).astype(np.int32)
        self.ids = tuple(f"scene{i}" for i in range(len(self.sizes)))

    def __getitem__(self, i: int) -> Scene:
        rng, (h, w) = np.random.default_rng(i), self.sizes[i]
        label = np.zeros((h, w), np.uint8)
        label[h // 4 : h // 2, w // 4 :] = 1 + i % 2
        label[-2:] = 255
        image = rng.integers(0, 60, (h, w, 3)) + 80 * (label % 3)[..., None]
        return Scene(self.ids[i], image.astype(np.uint8), label)


@cache
def start() -> Any:
    """The parameters that all runs start from, as NumPy arrays."""
    params = jax.jit(MODEL.init)(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"]
    return jax.tree.map(np.asarray, params)


@cache
def step_on(shape: tuple[int, int] | None, fsdp: bool) -> Any:
    """Mesh, start, layout and training step; a second run on the same compiles nothing."""
    mesh = None if shape is None else make_mesh(*shape)
    optimizer = optimizers.momentum_sgd(clip_norm=1.0, weight_decay=1e-4)
    state = start_state(start(), optimizer)
    layout = shardings(state, mesh, fsdp)
    loss = pixel_loss(MODEL, jnp.full(3, 120.0), "mean")
    return mesh, state, layout, dense_step(loss, optimizer, add_outcome, layout)


class Run(NamedTuple):
    """What `train_on` leaves."""

    losses: list[float]
    state: TrainState
    found: dict[str, Any]


def train_on(
    shape: tuple[int, int] | None, fsdp: bool, first: int, steps: int, saved: Path | None = None
) -> Run:
    """Train steps `first` to `steps`; from the checkpoint in `saved`, or it is saved there."""
    mesh, state, layout, step = step_on(shape, fsdp)
    whole = None if layout is None else layout.replicated
    rows = BATCH if mesh is None else -(-BATCH // mesh.size) * mesh.size
    part = local_rows(rows, mesh)
    training = BatchSource(
        *(Scenes(), range(24), [(32, 32)], BATCH), seed=1, epochs=5, rows=rows, part=part
    )
    # A copy: the step donates what it is given.
    state = shard(jax.tree.map(jnp.array, state), None if layout is None else layout.state)
    totals: Metrics = shard(empty_metrics(CLASSES), whole)
    if saved is not None and first:
        with checkpoint.open_manager(saved, checkpoint.Score("none")) as manager:
            state = TrainState(**checkpoint.restore(manager, state._asdict()))
        assert int(state.step) == first

    def batches() -> Iterator[Any]:
        return (join_rows(training[n], layout) for n in range(first, steps))

    held = [max(s.data.nbytes for s in a.addressable_shards) for a in jax.tree.leaves(state)]
    program = ""
    if mesh is not None and jax.process_count() == 1:
        step = step.lower(state, totals, next(batches()), 0.05).compile()
        program = step.as_text()
    losses = []
    for batch in batches():
        before = state
        state, totals, loss = step(state, totals, batch, 0.05)
        losses.append(float(np.asarray(loss)))
        assert all(a.is_deleted() for a in jax.tree.leaves(before.params))  # donated
    if saved is not None and not first:
        with checkpoint.open_manager(saved, checkpoint.Score("none")) as manager:
            checkpoint.save(manager, steps, state._asdict(), {}, None)
    test = BatchSource(*(Scenes(), range(24), [(32, 32)], 5), seed=None, rows=rows, part=part)
    found = {
        "figures": compute_metrics(totals),
        "test": make_evaluate(MODEL, jnp.full(3, 120.0), whole)(
            state.params, (join_rows(test[n], layout) for n in range(len(test)))
        )
        if steps == STEPS and not saved and shape != (2, 1)
        else {},
        "compiled": 1 if program else step._cache_size(),
        "held": sum(held),
        "bytes": sum(a.nbytes for a in jax.tree.leaves(state)),
        "sums": [float(a.sum()) for a in jax.tree.leaves(gather_to_host(state.params, layout))],
        "moved": moved(program),
    }
    return Run(losses, state, found)


def losses_are_of_all_rows() -> None:
    """Class weights and Dice: value and gradient of split scores are those of whole ones.

    Rows differ in their classes: the mean of each device's Dice would be another number.
    """
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(8, 4, 5, CLASSES)).astype(np.float32)
    labels = np.tile(np.arange(8, dtype=np.int32)[:, None, None] % CLASSES, (1, 4, 5))
    labels[rng.random(labels.shape) < 0.2] = -1
    layout = shardings(None, make_mesh(8))
    assert layout is not None

    @jax.jit
    @jax.value_and_grad
    def loss(logits, labels):
        weighted = weighted_xent(logits, labels, jnp.asarray([1.0, 2.0, 0.5]))
        return reduce_pixels(*weighted, "mean") + soft_dice_loss(logits, labels)

    one, split = loss(logits, labels), loss(*shard((logits, labels), layout.batch))
    assert len(split[1].sharding.device_set) == 8
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), split, one)
    dice = jax.jit(soft_dice_loss)
    alone = np.mean([dice(logits[n : n + 1], labels[n : n + 1]) for n in range(8)])
    assert abs(dice(logits, labels) - alone) > 0.01


def moved(program: str) -> list[tuple[str, int]]:
    """Collectives of the compiled program: the kind, and the numbers in the largest result."""
    found = []
    kinds = "all-gather|all-reduce|reduce-scatter|all-to-all|collective-permute"
    for line in program.splitlines():
        match = re.search(rf"= (.*?) ({kinds})(-start)?\(", line)
        if match is not None:
            shapes = re.findall(r"\[([\d,]*)\]", match[1])
            sizes = [int(np.prod([int(n) for n in s.split(",") if n])) for s in shapes]
            found.append((match[2], max(sizes)))
    return found


def main() -> None:
    """Print all results."""
    warnings.simplefilter("error")
    jax.config.update("jax_numpy_rank_promotion", "raise")
    jax.config.update("jax_debug_key_reuse", True)
    folder, *rest = sys.argv[1:]
    saved, half = Path(folder) / "checkpoints", STEPS // 2
    runs: dict[str, Run] = {}
    if rest:
        processes = launchers.find_processes({}, rest[0], 2, int(rest[1]))
        assert processes is not None
        hosts.start(processes)
        runs["replicated"] = train_on((8, 1), False, 0, STEPS)
        runs["resumed"] = train_on((4, 2), True, half, STEPS, saved)
        assert hosts.broadcast_from_main(jax.process_index) == 0
        with contextlib.suppress(InputError):  # each process must take part
            make_mesh(4)
            raise AssertionError("half the devices made a mesh")
    else:
        losses_are_of_all_rows()
        runs["one"] = train_on(None, False, 0, STEPS)
        runs["two"] = train_on((2, 1), False, 0, STEPS)
        runs["eight"] = train_on((4, 2), False, 0, STEPS)
        runs["fsdp"] = train_on((8, 1), True, 0, half, saved)
        runs["resumed"] = train_on(None, False, half, STEPS, saved)
    if hosts.is_main_process():
        found = {name: {"losses": run.losses, **run.found} for name, run in runs.items()}
        (Path(folder) / f"{1 + bool(rest)}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
