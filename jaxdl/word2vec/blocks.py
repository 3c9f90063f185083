"""What word2vec trains on, in the graph: from token ids, keys and the block's number.

Once for each part of the text `subsample` drops tokens by chance and closes the gaps. `prepare`
lays out a run of blocks: all that does not depend on the tables, so that it may run ahead, on
another device.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt, UInt8

from jaxdl.word2vec.choices import Shrink
from jaxdl.word2vec.huffman import HuffmanTree
from jaxdl.word2vec.model import positive_pairs
from jaxdl.word2vec.negative_sampling import UnigramTable, sample
from jaxdl.word2vec.objectives import Block, Objective, make_block, rows, terms

_MOST_EXACT = 4096  # rows counted one by one for the cap, at most; others share as many buckets


class Stream(NamedTuple):
    """Token ids in order, and what tells sentences apart; arrays of one length on the device."""

    ids: Int[Array, " n"]
    sentences: Int[Array, " n"]  # negative: no token
    reach: UInt8[Array, " n"]  # how far each token looks as a centre
    count: Int[Array, ""]  # tokens; what follows them is padding


class Prepared(NamedTuple):
    """A run of blocks, each array with their number in front, and the number of the first."""

    first: Int[Array, ""]
    blocks: Block
    # By table, for each row that a block reads; empty for the full softmax, which reads them all.
    read: tuple[UInt[Array, "..."], UInt[Array, "..."]]  # its id; unsigned is never from the end
    soft: tuple[Float[Array, "..."], Float[Array, "..."]]  # multiplies its change; 1 below the cap


def keep_probability(counts: Int[np.ndarray, " v"], threshold: float) -> Float[np.ndarray, " v"]:
    """word2vec.c's chance to stay: ``sqrt(tN/c) + tN/c``, at most 1; all 1 for threshold 0."""
    if threshold == 0:
        return np.ones(len(counts))
    ratio = threshold * counts.sum() / np.maximum(counts, 1)
    return np.minimum(1.0, np.sqrt(ratio) + ratio)


@partial(jax.jit, static_argnames=("window", "shrink", "size"))
def subsample(
    key: Key[Array, ""],
    ids: Int[Array, " n"],
    sentences: Int[Array, " n"],
    keep: Float[Array, " v"],
    *,
    window: int,
    shrink: Shrink = "each",
    size: int = 1024,
) -> Stream:
    """The tokens that chance leaves, in order and without gaps, and each one's reach.

    Args:
        key: of this part in this epoch.
        ids: tokens.
        sentences: of each; negative where there is no token.
        keep: each word's chance, of `keep_probability`.
        window: the farthest reach.
        shrink: reach uniform in 1..window for each token (word2vec.c), in 1..window - 1 for each
            block (Chainer's example), or always the window.
        size: tokens in a block.
    """
    stay_key, reach_key = jax.random.split(key)
    length = ids.shape[0]
    chance = keep.at[ids].get(mode="promise_in_bounds")
    stay = (jax.random.uniform(stay_key, (length,)) < chance) & (sentences >= 0)
    place = jnp.where(stay, jnp.cumsum(stay) - 1, length)
    kept = jnp.zeros_like(ids).at[place].set(ids, mode="drop", unique_indices=True)
    of = jnp.full_like(sentences, -1).at[place].set(sentences, mode="drop", unique_indices=True)
    if shrink == "each":
        reach = jax.random.randint(reach_key, (length,), 1, window + 1, jnp.uint8)
    elif shrink == "chainer":
        drawn = jax.random.randint(reach_key, (-(-length // size),), 1, window, jnp.uint8)
        reach = jnp.repeat(drawn, size)[:length]
    else:
        reach = jnp.full(length, window, jnp.uint8)
    return Stream(kept, of, reach, stay.sum(dtype=jnp.int32))


def _softened(ids, weights, cap):
    """``min(1, cap / terms of the row in its block)``, for the rows that each block reads.

    The most frequent words (the lowest ids) are counted exactly, the others in shared buckets: two
    rare words of a block would have to be in `cap` terms together for one to feel the other. An
    array of the vocabulary's size would be written and read for every block; 8 counts for a row
    stay in the cache.
    """
    flat = ids.reshape(ids.shape[0], -1)
    exact = min(_MOST_EXACT, 8 * flat.shape[1])
    mixed = (flat.astype(jnp.uint32) * jnp.uint32(2654435761)) >> 20
    shared = exact + (mixed % exact).astype(jnp.int32)
    place = jnp.where(flat < exact, flat, shared)
    place = place + jnp.arange(flat.shape[0], dtype=jnp.int32)[:, None] * (2 * exact)
    # In whole 256ths: additions of integers have no order, and are native on a GPU. No row counts
    # for so much that a block full of one word could overflow.
    most = np.iinfo(np.int32).max // flat.shape[1]
    whole = jnp.minimum(jnp.round(weights.reshape(flat.shape) * 256), most).astype(jnp.int32)
    metrics = jnp.zeros(flat.shape[0] * 2 * exact, jnp.int32)
    metrics = metrics.at[place].add(whole, mode="promise_in_bounds")
    total = metrics.at[place].get(mode="promise_in_bounds").astype(jnp.float32) / 256
    return jnp.minimum(1.0, cap / jnp.maximum(total, 1.0)).reshape(ids.shape)


@partial(jax.jit, static_argnames=("objective", "blocks", "size", "cap"))
def prepare(
    stream: Stream,
    table: UnigramTable,
    tree: HuffmanTree | None,
    key: Key[Array, ""],
    first: Int[Array, ""],
    *,
    objective: Objective,
    blocks: int,
    size: int = 1024,
    cap: float | None = 100.0,
) -> Prepared:
    """Blocks first .. first + blocks - 1 of the stream, without looking at the word vectors.

    Args:
        stream: tokens; a block past their end holds no pair.
        table: of the negatives.
        tree: of the hierarchical softmax; None for the other losses.
        key: of the stream's part and epoch; block n folds n in, so that a run resumes at any block.
        first: number of the first block.
        objective: what is learnt.
        blocks: how many.
        size: inner tokens in a block; a multiple of the objective's group.
        cap: a word that is in more than `cap` terms of a block's loss moves by `cap` times their
            mean; None sums them all, which diverges in blocks of hundreds: each term is computed
            as if the others had not moved the word already.
    """
    window = objective.window
    length = stream.ids.shape[0]
    at = first * size - window + jnp.arange(blocks * size + 2 * window)
    there = (at >= 0) & (at < stream.count)
    at = jnp.clip(at, 0, length - 1)
    ids, reach = stream.ids[at], stream.reach[at].astype(jnp.int32)
    sentences = jnp.where(there, stream.sentences[at], -1)
    place = jnp.arange(blocks)[:, None] * size + jnp.arange(size + 2 * window)[None, :]
    pairs = jax.vmap(
        partial(
            positive_pairs,
            group=objective.group,
            window=window,
            orientation="center" if objective.architecture == "cbow" else objective.orientation,
        )
    )(sentences[place], reach[place])
    keys = jax.vmap(lambda n: jax.random.fold_in(key, n))(first + jnp.arange(blocks))
    shape = (size // objective.group, objective.shared)
    negatives = jax.vmap(lambda k: sample(table, k, shape))(keys)
    laid = jax.vmap(partial(make_block, objective=objective))(ids[place], pairs, negatives)
    if objective.loss == "full-softmax":  # trained by `train_dense` alone
        none = jnp.ones((blocks, 0))
        return Prepared(first, laid, (none.astype(jnp.uint32),) * 2, (none, none))
    ids = jax.vmap(lambda b: rows(b, objective, tree))(laid)
    read = ids[0].astype(jnp.uint32), ids[1].astype(jnp.uint32)
    if cap is None:
        return Prepared(first, laid, read, (jnp.ones(ids[0].shape), jnp.ones(ids[1].shape)))
    weights = jax.vmap(lambda b: terms(b, objective, tree))(laid)
    soft = _softened(ids[0], weights[0], cap), _softened(ids[1], weights[1], cap)
    return Prepared(first, laid, read, soft)
