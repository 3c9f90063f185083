"""word2vec training steps on the blocks that `jaxdl.wordstream` prepares.

`train_blocks` gathers the rows that a block needs from each table once, differentiates with respect
to these rows and adds them back: the tables are donated, never copied. `train_dense` does the same
with an Optax optimiser over both whole tables, for small vocabularies.
"""

from functools import partial

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
) -> Float[Array, "v d"]:
    """``table[ids] += change``, the rows of a repeated id summed; every id is in the table.

    With `sum_first` the duplicates are sorted and summed before the table is touched, each row
    once: XLA adds float32 rows on a GPU in a compare-and-swap loop, hundreds of times slower where
    indices repeat. On a CPU adding them one by one is faster.
    """
    if not sum_first:
        return table.at[ids].add(change, mode="promise_in_bounds")
    order = jnp.argsort(ids)
    ids, change = ids[order], change[order]
    starts = jnp.concatenate([jnp.ones(1, bool), ids[1:] != ids[:-1]])

    def join(left, right):
        (began, total), (begins, more) = left, right
        return began | begins, more + jnp.where(begins, 0.0, total)

    _, total = lax.associative_scan(join, (starts[:, None], change))
    ends = jnp.concatenate([starts[1:], jnp.ones(1, bool)])
    place = jnp.where(ends, ids, table.shape[0] + jnp.arange(len(ids)))
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
    grads = jax.grad(loss, argnums=(0, 1))(*found, block, objective, tree)
    # A sum costs as much as half the gradient: most blocks go without.
    figures = lax.cond(counted, lambda: sums(found[0], found[1], block, objective, tree), zero_sums)
    changed = [
        add_rows(
            table,
            ids.ravel(),
            ((-rate * factor)[..., None] * grad).reshape(-1, grad.shape[-1]),
            sum_first=sum_first,
        )
        for table, ids, factor, grad in zip(tables, read, soft, grads, strict=True)
    ]
    return Tables(*changed), figures


def zero_sums() -> Sums:
    """Sums of nothing."""
    return Sums(jnp.zeros(()), jnp.zeros(()), jnp.zeros(()))


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

    def one(tables, entry):
        number, block, *soft = entry
        now = jnp.maximum(rate - slope * (number - prepared.first), 0.0)
        counted = number % count_every == 0
        return sparse_step(
            *(tables, block, (soft[0], soft[1]), now, tree, counted),
            objective=objective,
            sum_first=sum_first,
        )

    numbers = prepared.first + jnp.arange(prepared.blocks.tokens.shape[0])
    tables, figures = lax.scan(one, tables, (numbers, *prepared[1:]))
    return tables, jax.tree.map(lambda a: a.sum(), figures)


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

    def one(carry, entry):
        tables, opt_state = carry
        number, block = entry
        now = jnp.maximum(rate - slope * (number - prepared.first), 0.0)
        opt_state = optax.tree_utils.tree_set(opt_state, learning_rate=now)
        figures = lax.cond(
            number % count_every == 0,
            lambda: sums(*_gather(tables, block, objective, tree), block, objective, tree),
            zero_sums,
        )
        grads = jax.grad(whole_loss)(tables, block, objective, tree)
        updates, opt_state = optimizer.update(grads, opt_state, tables)
        return (optax.apply_updates(tables, updates), opt_state), figures

    numbers = prepared.first + jnp.arange(prepared.blocks.tokens.shape[0])
    carry, figures = lax.scan(one, (tables, opt_state), (numbers, prepared.blocks))
    return *carry, jax.tree.map(lambda a: a.sum(), figures)


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
