"""Tables split over a mesh of 8 virtual devices: equal to one device, an eighth of the memory."""

import json
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from jaxdl.devices.mesh import make_mesh
from jaxdl.errors import InputError
from jaxdl.word2vec.model import init_tables
from jaxdl.word2vec.objectives import Objective
from jaxdl.word2vec.sharded_step import shard_tables, split_blocks, train_blocks_sharded
from jaxdl.word2vec.step import train_blocks
from tests.helpers.processes import QUICK, ROOT, environment
from tests.helpers.sharded import DEVICES, WIDTH, WORDS, laid
from tests.helpers.word_blocks import SKIP_GRAM

# One worker runs the file: its runs are made once.
pytestmark = [pytest.mark.xdist_group("sharding"), pytest.mark.slow]

TABLE_BYTES = 4 * WORDS * WIDTH
PADDED_BYTES = 4 * -(-WORDS // DEVICES) * DEVICES * WIDTH


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """The runs of `tests.helpers.sharded`, in a process that starts with 8 devices."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.helpers.sharded"],
        cwd=ROOT,
        env=environment(QUICK),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_meshes_of_all_shapes_train_as_one_device(found: dict[str, Any]):
    """Skip-gram, CBOW and the hierarchical softmax over 20 blocks, with and without sums first."""
    meshes = {tuple(case["mesh"]) for case in found["cases"]}
    assert meshes == {(1, 8), (2, 4), (4, 2), (8, 1)}
    assert {case["sum_first"] for case in found["cases"]} == {True, False}
    for case in found["cases"]:
        assert case["moved"] > 0.5  # hundreds of thousands of times what may differ
        assert case["tables"] < 1e-5, case
        assert case["sums"] == pytest.approx(case["sums_wanted"], rel=1e-5)
        assert case["sums"][2] > 100


def test_tables_are_split_and_joined_without_a_change(found: dict[str, Any]):
    for case in found["cases"]:
        assert case["same_back"] == 0.0
        assert case["padding"] == 0.0  # rows that only fill up stay as they were


def test_each_device_holds_an_eighth_of_the_tables(found: dict[str, Any]):
    """By the compiled program's memory analysis, beside that of tables on every device."""
    for case in found["cases"]:
        assert all(held == [PADDED_BYTES // DEVICES] * DEVICES for held in case["held"])
        assert case["aliased"] == 2 * PADDED_BYTES // DEVICES  # updated in place: donated
        assert case["deleted"]
        if "softmax" not in case["objective"]:  # its program gets the tree, of the words' size
            own = case["arguments"] - case["others"]
            assert own <= 2 * PADDED_BYTES // DEVICES
    assert found["replicated"]["aliased"] == 2 * TABLE_BYTES


def test_no_device_ever_makes_a_table(found: dict[str, Any]):
    for case in found["cases"]:
        assert case["largest_buffer"] < WORDS * WIDTH
        if "sampling" in case["objective"]:
            assert case["temporary"] < TABLE_BYTES
    assert found["replicated"]["largest_buffer"] >= WORDS * WIDTH


def test_a_mesh_of_one_is_the_single_device():
    """The same program without its exchanges, here in the tests' own process."""
    objective, mesh = SKIP_GRAM[0], make_mesh(1)
    start = init_tables(jax.random.key(0), WORDS, WIDTH)
    rest = laid(objective, None), None, jnp.asarray(0.05), jnp.asarray(0.0)
    got, sums = train_blocks_sharded(
        shard_tables(start, mesh), *rest, objective=objective, mesh=mesh
    )
    want, wanted = train_blocks(start, *rest, objective=objective)
    for ours, theirs in zip((*got, *sums), (*want, *wanted), strict=True):
        assert float(jnp.abs(ours - theirs).max()) <= 1e-5 * float(jnp.abs(theirs).max())


def test_what_a_mesh_cannot_do_is_said_at_once():
    with pytest.raises(InputError, match=r"2 x 4 = 8 devices, but there are \d"):
        make_mesh(2, 4, jax.devices()[:1])
    prepared = laid(SKIP_GRAM[0], None)
    with pytest.raises(InputError, match=r"8 groups in a block on 3 devices: .* multiple of 24"):
        split_blocks(prepared, SKIP_GRAM[0], 3)
    start = init_tables(jax.random.key(0), WORDS, WIDTH)
    zero = jnp.asarray(0.0)
    options: dict[str, Any] = {"objective": Objective(loss="full-softmax"), "mesh": make_mesh(1)}
    with pytest.raises(InputError, match="full-softmax changes every row"):
        train_blocks_sharded(start, prepared, None, zero, zero, **options)
