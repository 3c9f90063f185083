"""The step that draws and trains in one program: negatives, pairs and updates from a stream."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from jaxdl.word2vec.blocks import Stream, prepare
from jaxdl.word2vec.huffman import HuffmanTree
from jaxdl.word2vec.model import Tables
from jaxdl.word2vec.negative_sampling import UnigramTable
from jaxdl.word2vec.objectives import Metrics, Objective
from jaxdl.word2vec.step import train_blocks


def make_step(
    objective: Objective,
    table: UnigramTable,
    tree: HuffmanTree | None = None,
    *,
    blocks: int,
    size: int = 1024,
    cap: float | None = 100.0,
    sum_first: bool | None = None,
) -> Callable[..., tuple[Tables, Metrics]]:
    """The jitted ``step(tables, stream, key, n, learning_rate) -> (tables, sums)``.

    Call n trains on blocks n * blocks and those after it: negatives are drawn from `table` by the
    key and the block's number, inside the program. The sums are those of the first block of 32
    before training. The commands prepare blocks ahead in a program of their own instead
    (`jaxdl.word2vec.blocks.prepare`), which gives the same numbers.

    Args:
        objective: what is learnt; not the full softmax (`jaxdl.word2vec.step.train_dense`).
        table: unigram^0.75.
        tree: of the hierarchical softmax.
        blocks: in a call.
        size: tokens in a block; a multiple of the objective's group.
        cap: see `prepare`.
        sum_first: see `jaxdl.word2vec.step.add_rows`; None: unless JAX's default device is a CPU.

    Source: Mikolov et al. 2013, "Distributed Representations of Words and Phrases".
    """
    first_sum = jax.default_backend() != "cpu" if sum_first is None else sum_first

    @partial(jax.jit, donate_argnums=0)
    def step(
        tables: Tables,
        stream: Stream,
        key: Key[Array, ""],
        n: int | Int[Array, ""],
        learning_rate: float | Float[Array, ""],
    ) -> Any:
        options: dict[str, Any] = {"blocks": blocks, "size": size, "cap": cap}
        at = jnp.asarray(n, jnp.int32) * blocks
        prepared = prepare(stream, table, tree, key, at, objective=objective, **options)
        rate = jnp.asarray(learning_rate, jnp.float32)
        slope = jnp.zeros((), jnp.float32)
        return train_blocks(
            *(tables, prepared, tree, rate, slope), objective=objective, sum_first=first_sum
        )

    return step
