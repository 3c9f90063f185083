"""The mean loss of word vectors on text that they were not trained on."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from jaxdl.word2vec.blocks import Prepared
from jaxdl.word2vec.huffman import HuffmanTree
from jaxdl.word2vec.model import Tables
from jaxdl.word2vec.objectives import Objective, block_metrics
from jaxdl.word2vec.step import empty_metrics, gather_block


@partial(jax.jit, static_argnames="objective")
def _double_sums(tables, blocks, tree, objective):
    def one(total, block):
        found = [a.astype(float) for a in gather_block(tables, block, objective, tree)]
        more = block_metrics(found[0], found[1], block, objective, tree)
        return jax.tree.map(jnp.add, total, more), None

    return lax.scan(one, jax.tree.map(lambda a: a.astype(float), empty_metrics()), blocks)[0]


def held_out_loss(
    tables: Tables, prepared: Prepared, tree: HuffmanTree | None, objective: Objective
) -> tuple[float, int]:
    """Mean loss of a pair (or centre) over prepared blocks, in float64; and their number.

    float32 sums over millions of pairs drift; this figure can be compared between epochs and runs.
    """
    with jax.enable_x64(True):
        metrics = _double_sums(tables, prepared.blocks, tree, objective)
        count = int(metrics.count)
        return float(metrics.positive + metrics.negative) / max(count, 1), count
