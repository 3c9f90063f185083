"""Which of two computations XLA runs first."""

import jax.numpy as jnp
from jaxtyping import Array


def after(x: Array, other: Array) -> Array:
    """x, in a form that the compiler cannot use before it has `other`.

    Otherwise the compiler starts early with all that it can, and merges a second computation with
    the first: it kept the tiles of every kernel and activation through the step. (XLA's CPU backend
    drops an optimization barrier, which `jax.checkpoint` relies on, before it merges equal work.)
    """
    last = other.reshape(-1)[-1]
    return jnp.where((last != last) & (last == 0), jnp.zeros((), x.dtype), x)  # never
