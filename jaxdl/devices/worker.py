"""Other processes, each on a core of its own: one prepares what this one trains on, or all train.

XLA's CPU runtime passes the kernels of a small step from thread to thread, and two programs in one
process take threads from each other: word2vec's step took 49 us alone and 64 us beside the program
that prepares its blocks, as long as both on a single core. In two processes, each pinned to a core,
they do not disturb each other.
"""

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import psutil

from jaxdl.devices.cache import adopt, settings
from jaxdl.errors import TrainingError
from jaxdl.signals import held, waiting

END_SECONDS = 0.3  # for the process to end by itself
SLOTS = 12  # items that may wait: longer than a part of a text takes to subsample


def quiet_cores(count: int = 2) -> list[int] | None:
    """The least busy cores of those this process may use; None without so many, or with a GPU."""
    if not hasattr(os, "sched_getaffinity"):  # not Linux
        return None
    cores = os.sched_getaffinity(0)
    plugins = entry_points(group="jax_plugins")
    if len(cores) < count or (plugins and os.environ.get("JAX_PLATFORMS") != "cpu"):
        return None
    busy = psutil.cpu_percent(interval=0.05, percpu=True)
    # Among equals by the process number, so that runs that start together part.
    turn = os.getpid()
    by_load = sorted(cores, key=lambda c: (round(busy[c], -1), (c + turn) % len(cores)))
    return by_load[:count]


@contextlib.contextmanager
def pinned(core: int) -> Iterator[None]:
    """This thread, and the threads it starts, on one core; afterwards this thread is free again."""
    every = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, every)


@contextlib.contextmanager
def started(
    target: Callable[..., None], core: int | None, *given: Any
) -> Iterator[tuple[Connection, BaseProcess]]:
    """A process that runs ``target(pipe, *given)``; it ends when the block does.

    Args:
        target: can be pickled; it should end when the pipe is closed.
        core: that the process runs on; None: any.
        given: can be pickled, or handed to a new process.

    Yields:
        This side of the pipe, and the process.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    arguments = (target, theirs, core, settings(), given)
    process = context.Process(target=_begin, args=arguments, daemon=True)
    # Signals to the whole group are for the process that trains: from their first moment on this
    # process and the tracker of shared memory have them blocked. (The tracker's start unblocks them
    # here: so it comes first.)
    with held():
        resource_tracker.ensure_running()
    with held():
        process.start()
    theirs.close()
    try:
        yield ours, process
    finally:
        ours.close()  # which ends the other process: it has nobody to send to
        process.join(END_SECONDS)
        process.kill()  # it is stopped, or long at its work
        process.join()


def _begin(
    target: Callable[..., None],
    pipe: Connection,
    core: int | None,
    cache: dict[str, Any],
    given: tuple,
) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})
    adopt(cache)
    target(pipe, *given)


@contextlib.contextmanager
def another_process(core: int) -> Iterator[Callable[[Callable[[], Iterator[Any]]], Iterator[Any]]]:
    """Start a process on `core`; ``blocks = call(make)`` gives the items of ``make()`` from it.

    It starts at once, so that it has imported what it needs when there is something to make.

    Args:
        core: of that process.

    Yields:
        A function to be called once. `make` must be picklable, and its items trees of arrays of
        the same shapes. The iterator raises TrainingError where the process died.
    """
    with started(_serve, core) as (pipe, process):

        def call(make):
            pipe.send(make)
            return _receive(pipe, process)

        yield call


def _serve(pipe: Connection) -> None:
    memory, free = None, list(range(SLOTS))
    try:
        for item in pipe.recv()():
            leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(item)]
            if memory is None:
                size = sum(leaf.nbytes for leaf in leaves)
                memory = SharedMemory(create=True, size=max(1, size * SLOTS))
                like = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), item)
                pipe.send((memory.name, like))
            slot = free.pop() if free else pipe.recv()
            for place, leaf in zip(_views(memory, leaves, slot), leaves, strict=True):
                np.copyto(place, leaf)
            pipe.send(slot)
        pipe.send(None)
        while True:  # the memory stays until the other side has gone
            pipe.recv()
    except (EOFError, OSError):
        pass  # the process that trains has gone
    finally:
        if memory is not None:
            memory.close()


def _receive(pipe: Connection, process: BaseProcess) -> Iterator[Any]:
    memory, like = None, None
    try:
        while True:
            with waiting():  # it may be stopped
                message = pipe.recv()
            if message is None:
                return
            if memory is None:
                name, like = message
                memory = SharedMemory(name)
                memory.unlink()  # it lives as long as both processes have it open
                continue
            # Copied, as the other process may write into the slot again before the step has run.
            leaves = [np.array(view) for view in _views(memory, jax.tree.leaves(like), message)]
            pipe.send(message)
            yield jax.tree.unflatten(jax.tree.structure(like), map(jnp.asarray, leaves))
    except (EOFError, OSError) as error:
        process.join()
        raise TrainingError(
            f"the process that prepares the text ended with status {process.exitcode}; "
            "run the same command to resume, with --no-prefetch-process if it happens again"
        ) from error
    finally:
        if memory is not None:
            memory.close()


def _views(memory: SharedMemory, leaves: list[Any], slot: int) -> list[np.ndarray]:
    """The arrays of a slot, one after the other."""
    sizes = [int(np.prod(leaf.shape)) * np.dtype(leaf.dtype).itemsize for leaf in leaves]
    starts = slot * sum(sizes) + np.cumsum([0, *sizes])
    return [
        np.ndarray(leaf.shape, leaf.dtype, memory.buf, int(start))
        for leaf, start in zip(leaves, starts, strict=False)
    ]
