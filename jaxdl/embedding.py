"""word2vec training steps on the blocks that `jaxdl.wordstream` prepares.

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
from jaxtyping import Array, Bool, Float, Int, PyTree

from jaxdl.models.huffman import HuffmanTree
from jaxdl.models.word2vec import Tables
from jaxdl.objectives import Block, Objective, Sums, loss, rows, sums
from jaxdl.wordstream import Prepared


def add_rows(
    table: Float[Array, "v d"],
    ids: Int[Array, " r"],
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
        return table.at[ids].add(change, mode="drop" if drop else "promise_in_bounds")
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
    soft: tuple[Float[Array, "..."], Float[Array, "..."]],
    rate: Float[Array, ""],
    tree: HuffmanTree | None,
    counted: Bool[Array, ""] | bool = True,
    *,
    objective: Objective,
    sum_first: bool = False,
) -> tuple[Tables, Sums]:
    """One SGD step on the rows of a block: ``table[ids] -= rate * soft * gradient``.

    Args:
        tables: updated and returned.
        block: see `prepare`, and `soft`, `tree` and `objective` likewise.
        soft: a factor for each row that the block reads.
        rate: learning rate.
        tree: of the hierarchical softmax.
        counted: whether to sum the loss up; where it is not, zeros are returned.
        objective: not the full softmax, whose gradient has no zero rows.
        sum_first: see `add_rows`.
    """
    # One gather and one scatter for each table: reading a table twice makes XLA copy it.
    read = rows(block, objective, tree)
    found = [
        table.at[ids.ravel()].get(mode="promise_in_bounds").reshape(*ids.shape, -1)
        for table, ids in zip(tables, read, strict=True)
    ]
    changes, figures = row_changes(
        (found[0], found[1]), block, soft, rate, tree, counted, objective=objective
    )
    changed = [
        add_rows(table, ids.ravel(), change, sum_first=sum_first)
        for table, ids, change in zip(tables, read, changes, strict=True)
    ]
    return Tables(*changed), figures


def row_changes(
    found: tuple[Float[Array, "..."], Float[Array, "..."]],
    block: Block,
    soft: tuple[Float[Array, "..."], Float[Array, "..."]],
    rate: Float[Array, ""],
    tree: HuffmanTree | None,
    counted: Bool[Array, ""] | bool,
    *,
    objective: Objective,
) -> tuple[tuple[Float[Array, "i d"], Float[Array, "o d"]], Sums]:
    """What a step adds to the rows that a block reads, and the block's sums.

    Args:
        found: the block's rows of each table, (..., D) for the ids of `rows`.
        block: see `sparse_step`, and the others likewise.
        soft: see there.
        rate: see there.
        tree: see there.
        counted: see there.
        objective: see there.
    """
    grads = jax.grad(loss, argnums=(0, 1))(*found, block, objective, tree)
    # A sum costs as much as half the gradient: most blocks go without.
    figures = lax.cond(counted, lambda: sums(*found, block, objective, tree), zero_sums)
    inputs, outputs = (
        ((-rate * factor)[..., None] * grad).reshape(-1, grad.shape[-1])
        for factor, grad in zip(soft, grads, strict=True)
    )
    return (inputs, outputs), figures


def zero_sums() -> Sums:
    """Sums of nothing."""
    return Sums(jnp.zeros(()), jnp.zeros(()), jnp.zeros(()))


def over_blocks(
    step: Callable[..., tuple[Any, Sums]],
    carry: PyTree,
    entries: PyTree,
    first: Int[Array, ""],
    rate: Float[Array, ""],
    slope: Float[Array, ""],
    count_every: int,
) -> tuple[PyTree, Sums]:
    """Scan ``step(carry, entry, rate, counted)`` over the entries, one for each block.

    Args:
        step: returns the carry and its sums.
        carry: what is trained.
        entries: arrays with the number of blocks in front.
        first: number of the first block.
        rate: see `train_blocks`, and the others likewise.
        slope: see there.
        count_every: see there.
    """

    def one(carry, item):
        number, entry = item
        now = jnp.maximum(rate - slope * (number - first), 0.0)
        return step(carry, entry, now, number % count_every == 0)

    numbers = first + jnp.arange(jax.tree.leaves(entries)[0].shape[0])
    carry, figures = lax.scan(one, carry, (numbers, entries))
    return carry, jax.tree.map(lambda a: a.sum(), figures)


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
    count_every: int = 8,
) -> tuple[Tables, Sums]:
    """A `sparse_step` for each prepared block, in one dispatch.

    Args:
        tables: donated.
        prepared: by `prepare`.
        tree: see `prepare`.
        rate: learning rate of the first block.
        slope: what the rate loses with each block.
        objective: see `prepare`.
        sum_first: see `add_rows`.
        count_every: the loss is summed over each `count_every`-th block.
    """

    def step(tables, entry, rate, counted):
        block, *soft = entry
        return sparse_step(
            *(tables, block, (soft[0], soft[1]), rate, tree, counted),
            objective=objective,
            sum_first=sum_first,
        )

    return over_blocks(step, tables, prepared[1:], prepared.first, rate, slope, count_every)


def whole_loss(
    tables: Tables, block: Block, objective: Objective, tree: HuffmanTree | None
) -> Float[Array, ""]:
    """`objectives.loss` from the whole tables, differentiable in them."""
    return loss(*_gather(tables, block, objective, tree), block, objective, tree)


def _gather(tables, block, objective, tree):
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
    count_every: int = 8,
) -> tuple[Tables, PyTree, Sums]:
    """An update of both whole tables for each prepared block, in one dispatch.

    Args:
        tables: donated.
        opt_state: donated; of `optimizer`, with one ``learning_rate`` (`optax.inject_hyperparams`).
        prepared: by `prepare`; the cap does not apply.
        tree: see `prepare`.
        rate: learning rate of the first block.
        slope: what the rate loses with each block.
        objective: any.
        optimizer: of `jaxdl.train`.
        count_every: see `train_blocks`.
    """

    def step(carry, block, rate, counted):
        tables, opt_state = carry
        opt_state = optax.tree_utils.tree_set(opt_state, learning_rate=rate)
        figures = lax.cond(
            counted,
            lambda: sums(*_gather(tables, block, objective, tree), block, objective, tree),
            zero_sums,
        )
        grads = jax.grad(whole_loss)(tables, block, objective, tree)
        updates, opt_state = optimizer.update(grads, opt_state, tables)
        return (optax.apply_updates(tables, updates), opt_state), figures

    carry, figures = over_blocks(
        *(step, (tables, opt_state), prepared.blocks, prepared.first, rate, slope, count_every)
    )
    return *carry, figures


@partial(jax.jit, static_argnames="objective")
def _double_sums(tables, blocks, tree, objective):
    def one(total, block):
        found = [a.astype(float) for a in _gather(tables, block, objective, tree)]
        more = sums(found[0], found[1], block, objective, tree)
        return jax.tree.map(jnp.add, total, more), None

    return lax.scan(one, jax.tree.map(lambda a: a.astype(float), zero_sums()), blocks)[0]


def held_out_loss(
    tables: Tables, prepared: Prepared, tree: HuffmanTree | None, objective: Objective
) -> tuple[float, int]:
    """Mean loss of a pair (or centre) over prepared blocks, in float64; and their number.

    float32 sums over millions of pairs drift; this figure can be compared between epochs and runs.
    """
    with jax.enable_x64(True):
        figures = _double_sums(tables, prepared.blocks, tree, objective)
        count = int(figures.count)
        return float(figures.positive + figures.negative) / max(count, 1), count
