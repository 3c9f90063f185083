"""word2vec's sparse training with both tables split over several devices.

Each device of a (data, model) mesh holds an equal share of the rows of both tables, and works on an
equal share of each block's groups: both are split over all devices, so that no mesh keeps a row
twice or does a product twice. Devices exchange the rows that a block reads, n rows of D, and never
a table:

1. each device learns the ids that all groups read, and adds up (`psum_scatter`) the rows of each
   share from their owners: the others contribute zeros;
2. computes the changes of its own groups' rows, as on one device;
3. gets the changes of all groups (`all_gather`) and adds those of its own rows.

So a device sends and holds O(n D) for a block, and its memory is the tables' share and O(n D).
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AbstractMesh, Mesh, NamedSharding
from jax.sharding import PartitionSpec as Spec
from jaxtyping import Array, Float, Int, Integer

from jaxdl.devices.mesh import AXES, gather_to_host, shardings
from jaxdl.errors import InputError
from jaxdl.word2vec.blocks import Prepared
from jaxdl.word2vec.huffman import HuffmanTree
from jaxdl.word2vec.model import Tables, spread
from jaxdl.word2vec.objectives import Block, Metrics, Objective, block_metrics
from jaxdl.word2vec.step import add_rows, over_blocks, row_changes, sampled_metrics


def shard_tables(tables: Tables, mesh: Mesh) -> Tables:
    """Split the rows evenly over all devices of the mesh.

    Args:
        tables: float32 (V, D), of `jax` or NumPy; kept as they are.
        mesh: of `make_mesh`.

    Returns:
        Tables (V', D): V filled up with rows of zeros to a multiple of the devices. Each device
        gets its rows alone: no device holds a whole table on the way.
    """
    by_rows = NamedSharding(mesh, Spec(AXES, None))

    def split(table):
        whole = np.asarray(table)
        words, width = whole.shape
        padded = -(-words // mesh.size) * mesh.size

        def part(index):
            start, stop, _ = index[0].indices(padded)
            own = whole[start:stop]
            return np.pad(own, ((0, stop - start - len(own)), (0, 0)))

        return jax.make_array_from_callback((padded, width), by_rows, part)

    return Tables(*map(split, tables))


def whole_tables(tables: Tables, words: int, mesh: Mesh) -> Tables:
    """What `shard_tables` split, in every process: the first `words` rows, as NumPy arrays.

    Among several processes all of them must call it, and each device gets the whole on the way.

    Args:
        tables: (V', D) over the mesh; kept as they are.
        words: V.
        mesh: that of the tables.
    """
    several = jax.process_count() > 1
    whole: Any = gather_to_host(tables, shardings(None, mesh)) if several else tables
    inputs, outputs = (np.asarray(a)[:words] for a in whole)
    return whole._replace(inputs=inputs, outputs=outputs)


def _check_split(tables: Tables, objective: Objective, mesh: Mesh | AbstractMesh) -> None:
    """See `train_blocks_sharded`."""
    if objective.loss == "full-softmax":
        raise InputError("full-softmax changes every row: train it on one device (train_dense)")
    if tables.inputs.shape[0] % mesh.size:
        raise InputError(
            f"{tables.inputs.shape[0]} rows on {mesh.size} devices: split them by shard_tables"
        )


@partial(
    jax.jit,
    donate_argnames="tables",
    static_argnames=("objective", "mesh", "sum_first", "count_every"),
)
def train_blocks_sharded(
    tables: Tables,
    prepared: Prepared,
    tree: HuffmanTree | None,
    rate: Float[Array, ""],
    slope: Float[Array, ""],
    *,
    objective: Objective,
    mesh: Mesh | AbstractMesh,
    sum_first: bool = False,
    count_every: int = 32,
) -> tuple[Tables, Metrics]:
    """`step.train_blocks` on tables that are split over a mesh; the same up to rounding.

    Args:
        tables: float32 (V', D) of `shard_tables`; donated.
        prepared: by `blocks.prepare`; the devices of the mesh divide a block's groups.
        tree: of the hierarchical softmax, whole on each device; None for the other losses.
        rate: learning rate of the first block.
        slope: what the rate loses with each block.
        objective: not the full softmax.
        mesh: of `make_mesh`; an abstract one to trace the program without devices.
        sum_first: see `step.add_rows`.
        count_every: see `step.train_blocks`.

    Returns:
        The tables, split as before, and the sums, the same on each device.

    Raises:
        InputError: for the full softmax, or where the devices do not divide the groups or rows.
    """
    _check_split(tables, objective, mesh)
    entries = split_blocks(prepared, objective, mesh.size)

    def run(tables, entries, tree, rate, slope):
        def places(tables, read):
            every = [lax.all_gather(ids.ravel(), AXES, tiled=True) for ids in read]
            return [own_rows(ids, table) for table, ids in zip(tables, every, strict=True)]

        def collect(tables, here, read):
            inputs, outputs = (
                own_share(table, at).reshape(*ids.shape, -1)
                for table, at, ids in zip(tables, here, read, strict=True)
            )
            return inputs, outputs

        def count(entry):
            block, read, _ = jax.tree.map(lambda a: a[0], entry)  # this device's share
            found = collect(tables, places(tables, read), read)
            return block_metrics(*found, block, objective, tree)

        def step(tables, entry, rate):
            block, read, soft = jax.tree.map(lambda a: a[0], entry)
            here = places(tables, read)
            found = collect(tables, here, read)
            changes = row_changes(found, block, soft, rate, tree, objective=objective)
            changed = [
                add_rows(
                    *(table, at, lax.all_gather(change, AXES, tiled=True)),
                    sum_first=sum_first,
                    drop=True,
                )
                for table, at, change in zip(tables, here, changes, strict=True)
            ]
            return Tables(*changed)

        metrics = sampled_metrics(count, entries, count_every)
        tables = over_blocks(step, tables, entries, rate, slope)
        return tables, jax.tree.map(lambda a: lax.psum(a, AXES), metrics)

    split, whole = Spec(AXES), Spec()
    return jax.shard_map(
        run,
        mesh=mesh,
        in_specs=(split, Spec(None, AXES), whole, whole, whole),
        out_specs=(split, whole),
        check_vma=False,  # zeros that start the sums are the same on every device
    )(tables, entries, tree, rate, slope)


def split_blocks(
    prepared: Prepared, objective: Objective, shares: int
) -> tuple[Block, tuple[Array, Array], tuple[Array, Array]]:
    """`prepared` by `shares` parts of whole groups in each of B blocks: arrays (B, shares, ...).

    Raises:
        InputError: if `shares` does not divide the groups.
    """
    blocks = prepared.blocks
    groups, group = blocks.pairs.shape[1:3]
    if groups % shares:
        raise InputError(
            f"{groups} groups in a block on {shares} devices: "
            f"choose a block size that is a multiple of {shares * group} tokens"
        )

    def by_group(a):
        return a.reshape(a.shape[0], shares, a.shape[1] // shares, *a.shape[2:])

    # Tokens overlap: a share needs the w around its own. It is then a block like any other.
    by_token = jax.vmap(partial(spread, group=groups // shares * group, window=objective.window))
    paths = objective.loss == "hierarchical-softmax" and objective.architecture == "skip-gram"
    by_output = by_token if paths else by_group

    def by_table(arrays):
        return by_group(arrays[0]), by_output(arrays[1])

    smaller = Block(by_token(blocks.tokens), *map(by_group, blocks[1:]))
    return smaller, by_table(prepared.read), by_table(prepared.soft)


def own_rows(ids: Integer[Array, " r"], table: Float[Array, "v d"]) -> Int[Array, " r"]:
    """Where the rows are in this device's `table`; v for those of another device."""
    place = ids - lax.axis_index(AXES) * table.shape[0]
    return jnp.where((place >= 0) & (place < table.shape[0]), place, table.shape[0])


def own_share(table: Float[Array, "v d"], place: Int[Array, " r"]) -> Float[Array, "own d"]:
    """This device's share of the rows that all devices read, each from the one that has it."""
    mine = table.at[place].get(mode="fill", fill_value=0)
    return lax.psum_scatter(mine, AXES, tiled=True)
