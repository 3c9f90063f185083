"""The abstract steps of word2vec, for the planner and the compile check."""

from functools import partial

import jax
import numpy as np
from jax.sharding import AbstractMesh, Mesh
from jax.sharding import PartitionSpec as Spec

from jaxdl.devices.mesh import AXES
from jaxdl.planner.steps import Step, abstract, placed
from jaxdl.word2vec import blocks as wordstream
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
