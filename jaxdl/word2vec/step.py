"""word2vec training steps on the blocks that `jaxdl.word2vec.blocks` prepares.

`train_blocks` gathers the rows that a block needs from each table once, differentiates with respect
to these rows and adds them back: the tables are donated, never copied. `train_dense` does the same
with an Optax optimiser over both whole tables, for small vocabularies.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Float, Integer, PyTree

from jaxdl.word2vec.blocks import Prepared
from jaxdl.word2vec.huffman import HuffmanTree
from jaxdl.word2vec.model import Tables, pair_changes
from jaxdl.word2vec.objectives import (
    Block,
    Metrics,
    Objective,
    block_metrics,
    loss,
    rows,
    target_rows,
)


def add_rows(
    table: Float[Array, "v d"],
    ids: Integer[Array, " r"],
    change: Float[Array, "r d"],
    *,
    sum_first: bool,
    drop: bool = False,
) -> Float[Array, "v d"]:
    """``table[ids] += change``, the rows of a repeated id summed; every id is in the table.

    With `drop` an id may also be v, one past the last: its row is left out.

    With `sum_first` the duplicates are sorted and summed before the table is touched, each row
    once: XLA adds float32 rows on a GPU in a compare-and-swap loop, hundreds of times slower where
    indices repeat. On a CPU adding them one by one is faster.
    """
    if not sum_first:
        # As `table.at[ids].add(change)`, whose changes XLA's CPU would copy for the row's axis.
        axes = lax.ScatterDimensionNumbers((1, 2), (), (0,))
        mode = "drop" if drop else "promise_in_bounds"
        rows = ids[:, None].astype(jnp.int32)
        return lax.scatter_add(table, rows, change[:, None], axes, mode=mode)
    order = jnp.argsort(ids)
    ids, change = ids[order], change[order]
    starts = jnp.concatenate([jnp.ones(1, bool), ids[1:] != ids[:-1]])

    def join(left, right):
        (began, total), (begins, more) = left, right
        return began | begins, more + jnp.where(begins, 0.0, total)

    _, total = lax.associative_scan(join, (starts[:, None], change))
    ends = jnp.concatenate([starts[1:], jnp.ones(1, bool)])
    place = jnp.where(ends, ids, table.shape[0] + 1 + jnp.arange(len(ids)))
    return table.at[place].add(total, mode="drop", unique_indices=True)


def sparse_step(
    tables: Tables,
    block: Block,
    read: tuple[Integer[Array, "..."], Integer[Array, "..."]],
    soft: tuple[Float[Array, "..."], Float[Array, "..."]],
    rate: Float[Array, ""],
    tree: HuffmanTree | None,
    *,
    objective: Objective,
    sum_first: bool = False,
) -> Tables:
    """One SGD step on the rows of a block: ``table[ids] -= rate * soft * gradient``.

    Args:
        tables: updated and returned.
        block: see `prepare`, and `read`, `soft`, `tree` and `objective` likewise.
        read: which rows of each table, of `objectives.rows`.
        soft: a factor for each row that the block reads.
        rate: learning rate.
        tree: of the hierarchical softmax.
        objective: not the full softmax, whose gradient has no zero rows.
        sum_first: see `add_rows`.
    """
    # One gather and one scatter for each table: reading a table twice makes XLA copy it.
    found = gather(tables, read)
    changes = row_changes(found, block, soft, rate, tree, objective=objective)
    changed = [
        add_rows(table, ids.ravel(), change, sum_first=sum_first)
        for table, ids, change in zip(tables, read, changes, strict=True)
    ]
    return Tables(*changed)


def gather(
    tables: Tables, read: tuple[Integer[Array, "..."], Integer[Array, "..."]]
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """The rows of each table, (..., D) for ids that are all there."""
    inputs, outputs = (
        table.at[ids].get(mode="promise_in_bounds") for table, ids in zip(tables, read, strict=True)
    )
    return inputs, outputs


def row_changes(
    found: tuple[Float[Array, "..."], Float[Array, "..."]],
    block: Block,
    soft: tuple[Float[Array, "..."], Float[Array, "..."]],
    rate: Float[Array, ""],
    tree: HuffmanTree | None,
    *,
    objective: Objective,
) -> tuple[Float[Array, "i d"], Float[Array, "o d"]]:
    """What a step adds to the `found` rows, (..., D) for the ids of `rows`; see `sparse_step`."""
    factors = tuple(-rate * factor for factor in soft)
    if (objective.loss, objective.architecture) == ("negative-sampling", "skip-gram"):
        changes = pair_changes(*found, block.weights, target_rows(block), *factors)
    else:
        grads = jax.grad(loss, argnums=(0, 1))(*found, block, objective, tree)
        changes = (factor[..., None] * grad for factor, grad in zip(factors, grads, strict=True))
    first, second = (change.reshape(-1, change.shape[-1]) for change in changes)
    return first, second


def empty_metrics() -> Metrics:
    """Metrics of nothing."""
    return Metrics(jnp.zeros(()), jnp.zeros(()), jnp.zeros(()))


def sampled_metrics(count: Callable[[Any], Metrics], entries: PyTree, count_every: int) -> Metrics:
    """``count(entry)`` added up over each `count_every`-th entry, from the first.

    Apart from the training, since a sum costs as much as half the gradient, and a condition inside
    of the loop over blocks half as much again, each time it is not met.

    Args:
        count: a block's sums.
        entries: arrays with the number of blocks in front.
        count_every: 1 counts every block.
    """

    def one(total, entry):
        return jax.tree.map(lambda a, b: a + b.astype(a.dtype), total, count(entry)), None

    return lax.scan(one, empty_metrics(), jax.tree.map(lambda a: a[::count_every], entries))[0]


def over_blocks(
    step: Callable[..., Any],
    carry: PyTree,
    entries: PyTree,
    rate: Float[Array, ""],
    slope: Float[Array, ""],
) -> PyTree:
    """Scan ``step(carry, entry, rate)`` over the entries, one for each block.

    Args:
        step: returns the carry.
        carry: what is trained.
        entries: arrays with the number of blocks in front.
        rate: see `train_blocks`.
        slope: see there.
    """
    rates = jnp.maximum(rate - slope * jnp.arange(jax.tree.leaves(entries)[0].shape[0]), 0.0)

    def one(carry, item):
        return step(carry, *item), None

    return lax.scan(one, carry, (entries, rates))[0]


@partial(
    jax.jit, donate_argnames="tables", static_argnames=("objective", "sum_first", "count_every")
)
def train_blocks(
    tables: Tables,
    prepared: Prepared,
    tree: HuffmanTree | None,
    rate: Float[Array, ""],
    slope: Float[Array, ""],
    *,
    objective: Objective,
    sum_first: bool = False,
    count_every: int = 32,
) -> tuple[Tables, Metrics]:
    """A `sparse_step` for each prepared block, in one dispatch.

    Args:
        tables: donated.
        prepared: by `prepare`.
        tree: see `prepare`.
        rate: learning rate of the first block.
        slope: what the rate loses with each block.
        objective: see `prepare`.
        sum_first: see `add_rows`.
        count_every: the loss is summed over each `count_every`-th block, from the first.

    Returns:
        The tables, and the sums of the counted blocks before any of these blocks was trained on.
    """

    def count(entry):
        block, read, _ = entry
        return block_metrics(*gather(tables, read), block, objective, tree)

    def step(tables, entry, rate):
        block, read, soft = entry
        return sparse_step(
            *(tables, block, read, soft, rate, tree), objective=objective, sum_first=sum_first
        )

    metrics = sampled_metrics(count, prepared[1:], count_every)
    # The loop changes the tables in place, so the sums have to come first: XLA would copy both
    # tables for them if nothing said so. A sum that is not finite stops the run anyway.
    rate = rate + 0 * metrics.positive
    return over_blocks(step, tables, prepared[1:], rate, slope), metrics


def whole_loss(
    tables: Tables, block: Block, objective: Objective, tree: HuffmanTree | None
) -> Float[Array, ""]:
    """`objectives.loss` from the whole tables, differentiable in them."""
    return loss(*gather_block(tables, block, objective, tree), block, objective, tree)


def gather_block(tables, block, objective, tree):
    if objective.loss == "full-softmax":
        inner = block.outer if objective.architecture == "cbow" else block.inner
        return tables.inputs[inner], tables.outputs
    read = rows(block, objective, tree)
    return tables.inputs[read[0]], tables.outputs[read[1]]


@partial(
    jax.jit,
    donate_argnames=("tables", "opt_state"),
    static_argnames=("objective", "optimizer", "count_every"),
)
def train_dense(
    tables: Tables,
    opt_state: PyTree,
    prepared: Prepared,
    tree: HuffmanTree | None,
    rate: Float[Array, ""],
    slope: Float[Array, ""],
    *,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    count_every: int = 32,
) -> tuple[Tables, PyTree, Metrics]:
    """An update of both whole tables for each prepared block, in one dispatch.

    Args:
        tables: donated.
        opt_state: donated; of `optimizer`, with one ``learning_rate`` (`optax.inject_hyperparams`).
        prepared: by `prepare`; the cap does not apply.
        tree: see `prepare`.
        rate: learning rate of the first block.
        slope: what the rate loses with each block.
        objective: any.
        optimizer: of `jaxdl.training.loop`.
        count_every: see `train_blocks`.
    """

    def count(block):
        return block_metrics(*gather_block(tables, block, objective, tree), block, objective, tree)

    def step(carry, block, rate):
        tables, opt_state = carry
        opt_state = optax.tree_utils.tree_set(opt_state, learning_rate=rate)
        grads = jax.grad(whole_loss)(tables, block, objective, tree)
        updates, opt_state = optimizer.update(grads, opt_state, tables)
        return optax.apply_updates(tables, updates), opt_state

    metrics = sampled_metrics(count, prepared.blocks, count_every)
    return *over_blocks(step, (tables, opt_state), prepared.blocks, rate, slope), metrics
