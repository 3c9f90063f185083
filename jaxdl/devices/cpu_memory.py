"""Large programs on a CPU in no more memory than they need.

A jitted function takes its temporary memory from the heap in each run, and gives it back. By itself
that costs an FCN's training two or three times that memory (benchmarks/fcn/README.md).
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxdl.devices import heap


def start() -> None:
    """Prepare the process for `reuse_temp_memory`: call it in a program, before other uses of JAX.

    Functions then run in the caller's thread. Otherwise a function starts as soon as the results of
    the one before exist, and allocates before that one has freed its temporary memory.
    """
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    heap.keep_freed_memory()


def reuse_temp_memory(function: Callable[..., Any]) -> Callable[..., Any]:
    """A jitted function whose runs reuse one place in the heap for their temporary memory.

    This is for large programs on one CPU device, after `start`; elsewhere it returns the function
    itself. Each new shape of arguments is compiled ahead, which gives the size of the memory (jit
    then takes the same program); see `jaxdl.devices.heap.temp_reservation`. Arrays of the host are
    moved to the device before the call, because JAX runs what waits for its arguments in another
    thread.
    """
    started = not jax.config.values["jax_cpu_enable_async_dispatch"]
    room = heap.temp_reservation() if started and jax.default_backend() == "cpu" else None
    if room is None:
        return function
    jitted: Any = function
    seen = set()

    def put(x: Any) -> Any:
        return jax.block_until_ready(jax.device_put(x)) if isinstance(x, np.ndarray) else x

    def call(*args: Any) -> Any:
        args = jax.tree.map(put, args)
        shapes = tuple(np.shape(x) for x in jax.tree.leaves(args))
        if shapes not in seen:
            seen.add(shapes)
            room.grow(jitted.lower(*args).compile().memory_analysis().temp_size_in_bytes)
        room.open()
        try:
            return jitted(*args)
        finally:
            room.close()

    return call
