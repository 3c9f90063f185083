"""Which of two computations XLA runs first, and which it does not merge."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.xla_metadata import set_xla_metadata
from jaxtyping import Array


def after(x: Array, other: Array) -> Array:
    """x, in a form that the compiler cannot use before it has `other`.

    Otherwise the compiler starts early with all that it can, and merges a second computation with
    the first: it kept the tiles of every kernel and activation through the step. (XLA's CPU backend
    drops an optimization barrier, which `jax.checkpoint` relies on, before it merges equal work.)
    """
    last = other.reshape(-1)[-1]
    return jnp.where((last != last) & (last == 0), jnp.zeros((), x.dtype), x)  # never


def apart(function: Callable[..., Array], **options: Any) -> Callable[..., Array]:
    """The function as a program of its own: XLA merges nothing outside with it.

    XLA's CPU backend copies a transposed array fast (20 GB/s) unless other operations are merged
    with the copy (3 GB/s). An argument that the function does not use does not make it wait, but
    `after` does, inside. Not for convolutions: in such a program they run many times slower.
    """
    jitted = jax.jit(function, **options)

    def call(*args: Any, **static: Any) -> Array:
        with set_xla_metadata(inlineable="false"):
            return jitted(*args, **static)

    return call
