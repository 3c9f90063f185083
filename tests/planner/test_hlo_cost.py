"""Counting of flops, bytes and launches, on real programs whose figures are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxdl.planner.hlo_cost import read_program
from jaxdl.planner.jaxpr_cost import count_flops
from tests.helpers.processes import HAS_OLDER


def flops(f, *args) -> float:
    return count_flops(jax.jit(f).trace(*args).jaxpr)


def compiled(f, *args, **options):
    # The text of a user's compiler: the tests' flags choose older fusions.
    own: dict[str, bool | str] = {"xla_cpu_use_fusion_emitters": True} if HAS_OLDER else {}
    text = jax.jit(f, **options).lower(*args).compile(compiler_options=own).as_text()
    assert text is not None
    return read_program(text)


def test_products_and_loops_count_by_hand():
    a, b = jnp.ones((3, 5)), jnp.ones((5, 7))
    assert flops(jnp.matmul, a, b) == 2 * 3 * 5 * 7

    def nested(x):
        def inner(x, _):
            return x @ x, None

        def outer(x, _):
            return lax.scan(inner, x, length=4)[0] @ x, None

        return lax.scan(outer, x, length=10)[0]

    assert flops(nested, jnp.ones((6, 6))) == 10 * (4 + 1) * 2 * 6**3


def test_the_dearest_branch_counts():
    def f(x):
        return lax.cond(x[0, 0] > 0, lambda x: x @ x @ x, lambda x: x, x)

    assert flops(f, jnp.ones((4, 4))) == 2 * 2 * 4**3


def test_convolutions_and_their_gradients_count_by_hand():
    x, w = jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 5))
    numbers = ("NHWC", "HWIO", "NHWC")

    def f(x, w):
        return lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=numbers)

    once = 2 * 2 * 8 * 8 * 5 * 3 * 3 * 3
    assert flops(f, x, w) == once
    # Each gradient is a convolution of as many products (zeros around the image count).
    both = jax.value_and_grad(lambda x, w: f(x, w).sum(), argnums=(0, 1))
    assert flops(both, x, w) == 3 * once


def test_zeros_between_pixels_do_not_count():
    x, w = jnp.ones((1, 4, 4, 3)), jnp.ones((4, 4, 3, 6))

    def f(x, w):
        return lax.conv_transpose(x, w, (2, 2), "SAME")

    # Every one of 8 x 8 outputs sees 2 x 2 of the kernel's 4 x 4 taps.
    assert flops(f, x, w) == 2 * 8 * 8 * 6 * 3 * 2 * 2


def test_a_loop_moves_its_bytes_as_often_as_it_runs():
    def f(x, length):
        return lax.scan(lambda c, _: (jnp.sin(c) + 1, None), x, length=length)[0]

    x = jnp.ones(1 << 20)
    few, many = (compiled(lambda x, n=n: f(x, n), x) for n in (8, 24))
    assert (many.bytes - few.bytes) / 16 == pytest.approx(2 * x.nbytes, rel=0.01)
    assert many.launches > few.launches + 15


def test_gathered_rows_count_and_not_their_table():
    table, ids = jnp.ones((100_000, 64)), jnp.arange(8)
    found = compiled(lambda table, ids: table[ids] * 2, table, ids)
    assert 8 * 64 * 4 < found.bytes < table.nbytes / 100


def test_scattered_rows_count_and_not_their_table():
    table, ids = np.ones((100_000, 64), np.float32), jnp.arange(8)

    def f(table, ids):
        return table.at[ids].add(1.0, mode="promise_in_bounds")

    assert compiled(f, table, ids, donate_argnums=0).bytes < table.nbytes / 100


def test_an_elementwise_chain_is_one_kernel_that_reads_and_writes_once():
    x = jnp.ones(1 << 16)
    found = compiled(lambda x: jnp.sin(x * 2) + x, x)
    assert found.bytes == 2 * x.nbytes
    assert found.launches == 1
