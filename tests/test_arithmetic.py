"""JAX itself adds up right, in every environment that the tests run in."""

from jaxdl import arithmetic


def test_compiled_sums_on_the_cpu_are_numpys():
    """Red: a jaxlib that is silently wrong (0.10.2 is); `jaxdl doctor` names the remedy."""
    assert arithmetic.wrong_rows() == dict.fromkeys(arithmetic.ROWS, 0)
