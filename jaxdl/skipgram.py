"""Skip-gram training: everything in the graph, from token ids, a key and the step's number.

An epoch subsamples and compacts the token ids once (`subsample`), then runs blocks, many to a
dispatch (`train_blocks`). A step gathers the rows that it needs from each table once,
differentiates with respect to these rows, and adds them back: the tables are donated and never
copied.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Key

from jaxdl.models.word2vec import (
    Orientation,
    Tables,
    block_loss,
    negative_weights,
    positive_pairs,
    slabs,
)
from jaxdl.sampling import UnigramTable, sample


class Stream(NamedTuple):
    """Token ids in order, and what tells sentences apart; arrays of one length on the device."""

    ids: Int[Array, " n"]
    sentences: Int[Array, " n"]  # negative: no token
    count: Int[Array, ""]  # tokens; what follows them is padding


class Sums(NamedTuple):
    """What a run of blocks found, for the loss per pair."""

    positive: Float[Array, ""]
    negative: Float[Array, ""]
    pairs: Float[Array, ""]


def keep_probability(counts: Int[np.ndarray, " v"], threshold: float) -> Float[np.ndarray, " v"]:
    """word2vec.c's chance to stay: ``sqrt(tN/c) + tN/c``, at most 1; all 1 for threshold 0."""
    if threshold == 0:
        return np.ones(len(counts))
    ratio = threshold * counts.sum() / np.maximum(counts, 1)
    return np.minimum(1.0, np.sqrt(ratio) + ratio)


@jax.jit
def subsample(key: Key[Array, ""], stream: Stream, keep: Float[Array, " v"]) -> Stream:
    """The stream without the tokens that chance drops; the others close up, in order."""
    size = stream.ids.shape[0]
    chance = keep.at[stream.ids].get(mode="promise_in_bounds")
    stay = (jax.random.uniform(key, (size,)) < chance) & (stream.sentences >= 0)
    place = jnp.where(stay, jnp.cumsum(stay) - 1, size)
    ids = jnp.zeros_like(stream.ids).at[place].set(stream.ids, mode="drop", unique_indices=True)
    sentences = jnp.full_like(stream.sentences, -1)
    sentences = sentences.at[place].set(stream.sentences, mode="drop", unique_indices=True)
    return Stream(ids, sentences, stay.sum(dtype=jnp.int32))


def summed_by_word(ids: Int[Array, " r"], values: Float[Array, " r"]) -> Float[Array, " r"]:
    """Each entry's sum of `values` over its word, without an array of the vocabulary's size."""
    order = jnp.argsort(ids)
    ordered = ids[order]
    run = jnp.cumsum(jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.diff(ordered) != 0]))
    total = jnp.zeros_like(values).at[run].add(values[order])
    return jnp.zeros_like(values).at[order].set(total[run], unique_indices=True)


def _add_rows(table, ids, rows, terms, rate, cap):
    """``table[ids] -= rate * rows``, duplicates summed; at most `cap` terms' worth for a word."""
    if cap is not None:
        terms = summed_by_word(ids, terms)
        rows = rows * jnp.minimum(1.0, cap / jnp.maximum(terms, 1.0))[:, None]
    return table.at[ids].add(-rate * rows, mode="promise_in_bounds")


def step(
    tables: Tables,
    ids: Int[Array, " t2w"],
    sentences: Int[Array, " t2w"],
    reach: Int[Array, " t"],
    negatives: Int[Array, "g k"],
    rate: Float[Array, ""],
    *,
    window: int,
    each: float,
    orientation: Orientation,
    masked: bool,
    cap: float | None,
) -> tuple[Tables, Sums]:
    """One sparse SGD step on a block, with the negatives given.

    Args:
        tables: updated and returned.
        ids: the block's tokens with `window` more on each side.
        sentences: of the same tokens; negative where there is none.
        reach: how far each centre looks.
        negatives: words that each group of centres shares.
        rate: learning rate.
        window: tokens on each side.
        each: k / K: negatives wanted for a pair over negatives shared.
        orientation: see `jaxdl.models.word2vec`.
        masked: whether a negative that is a pair's target is left out of it (word2vec.c) or kept
            (Chainer). Leaving it out is one more product, a fifth of the time of a step on a CPU.
        cap: a word that is in more than `cap` terms of the block's loss moves by `cap` times their
            mean; None sums them all, which diverges in blocks of thousands: each term was computed
            as if the others had not moved the word already.
    """
    groups, shared = negatives.shape
    centres = ids[window : len(ids) - window]
    group = len(centres) // groups
    pairs = positive_pairs(sentences, reach, group, window)
    spread = jnp.arange(groups)[:, None] * group + jnp.arange(group + 2 * window)[None, :]
    targets = ids[spread] if orientation == "center" else centres.reshape(groups, group)
    weights = negative_weights(
        pairs, negatives, targets, each=each, orientation=orientation, masked=masked
    )
    # One gather and one scatter for each table: reading a table twice makes XLA copy it.
    mine, other = (centres, ids) if orientation == "center" else (ids, centres)
    out_ids = jnp.concatenate([other, negatives.ravel()])
    rows_in = tables.inputs.at[mine].get(mode="promise_in_bounds")
    rows_out = tables.outputs.at[out_ids].get(mode="promise_in_bounds")

    def loss(rows_in, rows_out):
        split = len(other)
        against = rows_out[split:].reshape(groups, shared, -1)
        sides = rows_in, rows_out[:split]
        inner, outer = sides if orientation == "center" else sides[::-1]
        positive, negative = block_loss(
            inner, outer, against, pairs, weights, window=window, orientation=orientation
        )
        return positive + negative, Sums(positive, negative, pairs.sum(dtype=jnp.float32))

    (grad_in, grad_out), sums = jax.grad(loss, argnums=(0, 1), has_aux=True)(rows_in, rows_out)
    # The terms of the loss that each row is in: its pairs, and the negatives' weights.
    paired = pairs.astype(rows_in.dtype)
    by_centre = paired.sum(2).ravel()
    by_around = jax.linear_transpose(
        lambda a: slabs(a, group, window), jax.ShapeDtypeStruct((len(ids), 1), rows_in.dtype)
    )(paired.sum(1)[:, :, None])[0].ravel()
    by_mine, by_other = (
        (by_centre, by_around) if orientation == "center" else (by_around, by_centre)
    )
    by_mine = by_mine * (1 + each * shared)
    by_out = jnp.concatenate([by_other, weights.sum(1).ravel()])
    tables = Tables(
        _add_rows(tables.inputs, mine, grad_in, by_mine, rate, cap),
        _add_rows(tables.outputs, out_ids, grad_out, by_out, rate, cap),
    )
    return tables, sums


@partial(
    jax.jit,
    donate_argnames="tables",
    static_argnames=(
        *("blocks", "size", "group", "window", "shared", "negatives", "orientation"),
        *("masked", "cap", "shrink"),
    ),
)
def train_blocks(
    tables: Tables,
    stream: Stream,
    table: UnigramTable,
    key: Key[Array, ""],
    first: Int[Array, ""],
    rate: Float[Array, ""],
    slope: Float[Array, ""],
    *,
    blocks: int,
    size: int = 1024,
    group: int = 32,
    window: int = 5,
    shared: int = 32,
    negatives: int = 5,
    orientation: Orientation = "context",
    masked: bool = False,
    cap: float | None = 100.0,
    shrink: bool = True,
) -> tuple[Tables, Sums]:
    """Blocks first .. first + blocks - 1 of the stream in one dispatch.

    Args:
        tables: donated.
        stream: tokens; a block past their end changes nothing.
        table: of the negatives.
        key: of the epoch; block n folds n in, so that a run resumes at any block.
        first: number of the first block.
        rate: learning rate of block `first`.
        slope: what the rate loses with each block.
        blocks: how many.
        size: centres in a block; a multiple of `group`.
        group: centres that share negatives; at least 2 * window.
        window: farthest context.
        shared: negatives drawn for a group.
        negatives: k of the loss; a shared one counts ``k / shared`` for each pair.
        orientation: see `jaxdl.models.word2vec`.
        masked: see `step`.
        cap: see `step`.
        shrink: each centre's reach is drawn from 1..window; otherwise it is the window.
    """
    length = stream.ids.shape[0]

    def one(tables, n):
        reach_key, negative_key = jax.random.split(jax.random.fold_in(key, n))
        reach = jnp.full(size, window)
        if shrink:
            reach = jax.random.randint(reach_key, (size,), 1, window + 1)
        drawn = sample(table, negative_key, (size // group, shared))
        at = n * size - window + jnp.arange(size + 2 * window)
        there = (at >= 0) & (at < stream.count)
        at = jnp.clip(at, 0, length - 1)
        tables, sums = step(
            tables,
            stream.ids[at],
            jnp.where(there, stream.sentences[at], -1),
            reach,
            drawn,
            jnp.maximum(rate - slope * (n - first), 0.0),
            window=window,
            each=negatives / shared,
            orientation=orientation,
            masked=masked,
            cap=cap,
        )
        return tables, sums

    tables, sums = lax.scan(one, tables, first + jnp.arange(blocks))
    return tables, jax.tree.map(lambda a: a.sum(), sums)
