"""What a jaxpr moves and holds, against figures by hand and against compiled programs."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from jax.sharding import AbstractMesh, AxisType
from jax.sharding import PartitionSpec as Spec

from jaxdl.planner.hlo_cost import read_program
from jaxdl.planner.jaxpr_cost import Exchange, Footprint, footprint

KB = 4 * 256  # bytes of a float32 array of 256


def found(f, *args) -> Footprint:
    return footprint(jax.jit(f).trace(*args).jaxpr)


def test_an_elementwise_chain_reads_and_writes_once():
    x = jnp.ones(256)
    assert found(lambda x: jnp.sin(x * 2) + x, x) == Footprint(2 * KB, 1, 0, {})


def test_a_broadcast_and_a_constant_cost_nothing():
    x, y = jnp.ones((1, 256)), jnp.ones((256, 256))
    moved = found(lambda x, y: jnp.broadcast_to(x, (256, 256)) * y + jnp.arange(256)[None], x, y)
    assert moved.bytes == KB + 2 * 256 * KB


def test_what_a_product_needs_is_in_memory():
    """sin(x) is written and read, the product too; cos of it replaces the product."""
    x, y = jnp.ones((16, 16)), jnp.ones((16, 16))
    moved = found(lambda x, y: jnp.cos(jnp.sin(x) @ y), x, y)
    assert moved.bytes == (2 + 3 + 2) * KB
    assert moved.kernels == 3
    assert moved.live == 2 * KB


def test_what_is_used_after_a_product_is_kept_until_then():
    def f(x, y):
        mask = x > 0  # a byte each
        z = (x + 1) @ y
        return jnp.where(mask, z, 0.0)

    x = jnp.ones((16, 16))
    assert found(f, x, x).live == 256 + 2 * KB  # the mask, x + 1 and z


def test_loops_count_as_often_as_they_run_and_change_their_carry_in_place():
    def f(x, steps):
        return lax.scan(lambda c, _: (jnp.sin(c), c.sum()), x, length=steps)

    x = jnp.ones(256)
    few, many = (found(lambda x, n=n: f(x, n), x) for n in (8, 24))
    assert (many.bytes - few.bytes) / 16 == 2 * KB + 4
    assert many.kernels == 3 * few.kernels
    assert many.live < KB


def test_rows_count_and_not_their_table():
    table, ids = jnp.ones((10_000, 64)), jnp.arange(8)
    rows = 8 * 64 * 4
    moved = found(lambda t, i: t.at[i].add(t[i] * 2, mode="promise_in_bounds"), table, ids)
    assert 3 * rows <= moved.bytes < 5 * rows
    assert moved.live < 3 * rows


def test_the_dearest_branch_counts():
    def f(x):
        return lax.cond(x[0, 0] > 0, lambda x: x @ x @ x, lambda x: x, x)

    assert 6 * KB <= found(f, jnp.ones((16, 16))).bytes < 7 * KB


def test_collectives_of_a_device_of_several():
    """In a loop of five: 256 floats summed over 4 devices, gathered to 1,024, scattered to 64."""

    def one(x):
        def body(c, _):
            whole = lax.all_gather(c, "d", tiled=True)
            part = lax.psum_scatter(c, "d", tiled=True)
            return lax.psum(c, "d") + whole[:256] + part.sum(), None

        return lax.scan(body, x, length=5)[0]

    mesh = AbstractMesh((4,), ("d",), (AxisType.Auto,))
    f = jax.shard_map(one, mesh=mesh, in_specs=Spec("d"), out_specs=Spec("d"), check_vma=False)
    assert found(f, jax.ShapeDtypeStruct((1024,), "float32")).exchanges == {
        "all-gather": Exchange(5 * 4 * KB, 5),
        "reduce-scatter": Exchange(5 * KB, 5),
        "all-reduce": Exchange(5 * KB, 5),
    }


@pytest.mark.parametrize("depth", [2, 5])
def test_bytes_of_a_network_beside_the_compiled_program(depth: int):
    def loss(weights, x):
        for w in weights:
            x = jnp.tanh(x @ w)
        return jnp.square(x).sum()

    weights, x = [jnp.ones((256, 256))] * depth, jnp.ones((256, 256))
    step = jax.jit(jax.grad(loss))
    text = step.lower(weights, x).compile().as_text()
    assert text is not None
    mine = footprint(step.trace(weights, x).jaxpr)
    assert mine.bytes == pytest.approx(read_program(text).bytes, rel=0.35)
