"""``plan`` of word2vec, and its step with abstract arguments."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import AbstractMesh, Mesh
from jax.sharding import PartitionSpec as Spec

from jaxdl.cli.command import check_least
from jaxdl.cli.plan import Options, finish, read
from jaxdl.devices.mesh import AXES
from jaxdl.errors import InputError
from jaxdl.planner import plan
from jaxdl.planner.steps import Step, abstract, placed
from jaxdl.word2vec import blocks as wordstream
from jaxdl.word2vec.batches import DISPATCH
from jaxdl.word2vec.model import Tables
from jaxdl.word2vec.negative_sampling import UnigramTable
from jaxdl.word2vec.objectives import Objective
from jaxdl.word2vec.sharded_step import train_blocks_sharded
from jaxdl.word2vec.step import train_blocks

WORDS, WIDTH = 100_000, 100  # of the word2vec step: rows and columns of each table
OBJECTIVE = Objective()


def word2vec(
    size: int,
    blocks: int = 16,
    mesh: Mesh | AbstractMesh | None = None,
    *,
    words: int = WORDS,
    width: int = WIDTH,
    objective: Objective = OBJECTIVE,
) -> Step:
    """Skip-gram or CBOW with negative sampling: blocks of `size` words in one dispatch.

    On a mesh both tables and the work are split over all devices.
    """
    stream = jax.eval_shape(
        partial(wordstream.subsample, window=objective.window, shrink="each", size=size),
        *(jax.random.key(0), jax.ShapeDtypeStruct((1 << 20,), np.int32)),
        *(jax.ShapeDtypeStruct((1 << 20,), np.int32), jax.ShapeDtypeStruct((words,), np.float32)),
    )
    table = UnigramTable(abstract((words,), np.float32), abstract((words,), np.int32))
    prepare = partial(wordstream.prepare, objective=objective, blocks=blocks, size=size, cap=100.0)
    key, at = jax.random.key(1), jax.ShapeDtypeStruct((), np.int32)
    prepared = jax.eval_shape(
        lambda stream, table, at: prepare(stream, table, None, key, at), stream, table, at
    )
    rows = -(-words // (mesh.size if mesh else 1)) * (mesh.size if mesh else 1)
    tables = Tables(*[abstract((rows, width), np.float32)] * 2)
    rate = jax.ShapeDtypeStruct((), np.float32)
    whole = partial(placed, mesh=mesh, spec=Spec())
    if mesh is None:
        call = partial(train_blocks, objective=objective, sum_first=True)
    else:
        call = partial(train_blocks_sharded, objective=objective, mesh=mesh, sum_first=True)
    call = jax.jit(call, donate_argnums=0)
    args = (placed(tables, mesh=mesh, spec=Spec(AXES)), whole(prepared), None)
    args = (*args, whole(rate), whole(rate))
    return Step(f"word2vec block {size}", call, args, blocks * size, "words")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WordOptions(Options):
    __doc__ = Options.__doc__

    words: int = WORDS
    """Size of the vocabulary."""


def run(argv: Sequence[str], prog: str, config_type: type, presets: dict[str, Any]) -> None:
    """word2vec's plan: tables split by rows and blocks by groups, over all devices."""
    options, cfg = read(WordOptions, config_type, presets, argv, prog)
    check_least(options, 1, ("words",))
    check_least(cfg, 1, ("width", "window", "negatives", "group", "shared"))
    if cfg.block < cfg.group or cfg.block % cfg.group:
        raise InputError(f"--block {cfg.block}: must be a multiple of --group {cfg.group}")
    if cfg.loss != "negative-sampling":
        raise InputError(f"--loss {cfg.loss}: only negative-sampling is planned")
    if cfg.optimizer != "sgd":
        raise InputError(
            f"--optimizer {cfg.optimizer}: moves whole tables, which are not split; use sgd"
        )
    objective = Objective(
        architecture=cfg.architecture,
        orientation=cfg.orientation,
        window=cfg.window,
        group=cfg.group,
        shared=cfg.shared,
        negatives=cfg.negatives,
        masked=cfg.masked,
    )

    def work(devices: int) -> plan.Work:
        mesh = None if devices == 1 else AbstractMesh((devices, 1), AXES)
        step = word2vec(
            *(cfg.block * devices, DISPATCH, mesh),
            words=options.words,
            width=cfg.width,
            objective=objective,
        )
        return plan.word2vec(step, devices)

    told = [
        f"{options.words:,} words of {cfg.width} numbers; a step is {DISPATCH} blocks of "
        f"{cfg.block} words a device, so blocks grow with the devices, which costs quality.",
        "Both tables are split by rows. For each block the ids are gathered, the rows that it "
        "reads reduced and scattered, and the changed rows gathered: O(block), never a table.",
        "Preparing the blocks (subsampling, windows, negatives) is left out.",
    ]
    finish("word2vec", options, work, "float32", told)
