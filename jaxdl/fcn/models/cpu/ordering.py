"""Which of two computations XLA runs first."""

import jax.numpy as jnp
from jaxtyping import Array


def after(x: Array, other: Array) -> Array:
    """x, in a way that the compiler cannot use before it has `other`.

    Else it does early what it can, and finds that what is computed again was there before: it kept
    every kernel's and the activations' tiles through the whole step. (XLA's CPU backend drops an
    optimization barrier, which `jax.checkpoint` relies on, before it looks for equal work.)
    """
    last = other.reshape(-1)[-1]
    return jnp.where((last != last) & (last == 0), jnp.zeros((), x.dtype), x)  # never
