"""``python -m tests.helpers.sharded``: runs on 8 virtual devices, as JSON for `test_sharded_step`.

A process of its own: the number of devices is fixed when JAX starts.
"""

import json
import re
import sys
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import install_import_hook

with install_import_hook("jaxdl", "beartype.beartype"):
    from jaxdl.devices.mesh import make_mesh
    from jaxdl.word2vec.blocks import Prepared, prepare
    from jaxdl.word2vec.huffman import huffman_tree
    from jaxdl.word2vec.model import Tables
    from jaxdl.word2vec.negative_sampling import unigram_table
    from jaxdl.word2vec.objectives import Objective
    from jaxdl.word2vec.sharded_step import shard_tables, train_blocks_sharded, whole_tables
    from jaxdl.word2vec.step import train_blocks
    from tests.helpers.word_blocks import CBOW, HIERARCHICAL, SKIP_GRAM, name, stream_of, zipf_ids

DEVICES = 8
MESHES = ((1, 8), (2, 4), (4, 2), (8, 1))
# 8 does not divide the words; 8 groups of 8 tokens in each block, of which 20 are trained.
WORDS, WIDTH, SIZE, BLOCKS = 3001, 16, 64, 22
RATE, SLOPE = 0.05, 0.002


def start(words: int = WORDS) -> Tables:
    rng = np.random.default_rng(0)
    return Tables(*(jnp.asarray(rng.normal(size=(words, WIDTH)), jnp.float32) for _ in range(2)))


def laid(objective: Objective, tree: Any) -> Prepared:
    """Zipf's words: the frequent ones come many times in a block. The cap is felt."""
    ids = zipf_ids(SIZE * BLOCKS, WORDS)
    ids[::50] = WORDS - 1  # the last row before the padding
    reach = np.random.default_rng(1).integers(1, objective.window + 1, len(ids))
    return prepare(
        *(stream_of(ids, np.arange(len(ids)) // 17, reach),),
        *(unigram_table(np.bincount(ids, minlength=WORDS)), tree),
        *(jax.random.key(3), jnp.asarray(2)),
        objective=objective,
        blocks=BLOCKS - 2,
        size=SIZE,
        cap=20.0,
    )


def largest_buffer(program: str) -> int:
    """Floats in the largest float32 array that the compiled program names."""
    shapes = re.findall(r"\bf32\[([\d,]+)\]", program)
    return max(int(np.prod([int(n) for n in one.split(",")])) for one in shapes)


def measured(compiled: Any) -> dict[str, int]:
    memory = compiled.memory_analysis()
    return {
        "arguments": memory.argument_size_in_bytes,
        "aliased": memory.alias_size_in_bytes,
        "temporary": memory.temp_size_in_bytes,
        "largest_buffer": largest_buffer(compiled.as_text()),
    }


def difference(a: Any, b: Any) -> float:
    return max(
        float(np.abs(np.asarray(x) - np.asarray(y)).max()) for x, y in zip(a, b, strict=True)
    )


def case(shape: tuple[int, int], objective: Objective, sum_first: bool) -> dict[str, Any]:
    """One run on the mesh and one on a single device."""
    hierarchical = objective.loss == "hierarchical-softmax"
    counts = np.bincount(zipf_ids(SIZE * BLOCKS, WORDS), minlength=WORDS)
    tree = huffman_tree(counts) if hierarchical else None
    prepared, mesh = laid(objective, tree), make_mesh(*shape)
    rest = prepared, tree, jnp.asarray(RATE), jnp.asarray(SLOPE)
    options: Any = {"objective": objective, "count_every": 3}
    want, sums = train_blocks(start(), *rest, **options)
    given = shard_tables(start(), mesh)
    back = whole_tables(given, WORDS, mesh)
    options = {**options, "mesh": mesh, "sum_first": sum_first}
    compiled = train_blocks_sharded.lower(given, *rest, **options).compile()
    held = [sorted(part.data.nbytes for part in a.addressable_shards) for a in given]
    got, got_sums = jax.block_until_ready(train_blocks_sharded(given, *rest, **options))
    return {
        "mesh": shape,
        "objective": name(objective),
        "sum_first": sum_first,
        "same_back": difference(back, start()),
        "tables": difference(whole_tables(got, WORDS, mesh), want),
        "moved": difference(want, start()),
        "padding": max(float(jnp.abs(a[WORDS:]).max()) for a in got),
        "sums": [float(s) for s in got_sums],
        "sums_wanted": [float(s) for s in sums],
        "deleted": all(a.is_deleted() for a in given),
        "held": [*held, *(sorted(p.data.nbytes for p in a.addressable_shards) for a in got)],
        "others": sum(a.nbytes for a in jax.tree.leaves(rest) if a.dtype != "key<fry>"),
        **measured(compiled),
    }


def replicated() -> dict[str, int]:
    """The plain program, each device with both whole tables."""
    mesh, prepared = make_mesh(2, 4), laid(SKIP_GRAM[3], None)
    tables = jax.device_put(start(), NamedSharding(mesh, PartitionSpec()))
    numbers = jnp.asarray(RATE), jnp.asarray(SLOPE)
    program = train_blocks.lower(tables, prepared, None, *numbers, objective=SKIP_GRAM[3])
    return measured(program.compile())


def main() -> None:
    """Print all results."""
    warnings.simplefilter("error")
    jax.config.update("jax_num_cpu_devices", DEVICES)
    jax.config.update("jax_numpy_rank_promotion", "raise")
    jax.config.update("jax_debug_key_reuse", True)
    cases = [(shape, objective, False) for shape in MESHES for objective in (SKIP_GRAM[3], CBOW[1])]
    more = [(SKIP_GRAM[0], True), (HIERARCHICAL[0], False), (HIERARCHICAL[2], False)]
    cases += [((4, 2), *one) for one in more]
    found = {"cases": [case(*one) for one in cases], "replicated": replicated()}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
