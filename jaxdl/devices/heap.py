"""How the C library hands out memory to this process."""

import contextlib
import ctypes
import functools
import sys
from collections.abc import Callable
from typing import NamedTuple

# glibc's malloc.h
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8

_kept = False  # whether `keep_freed_memory` was called

_SLACK = 1 << 27  # bytes of a reservation for what else falls into it


def keep_freed_memory() -> bool:
    """Keep freed memory for its next use; returns whether the C library can do so (glibc can).

    XLA's CPU backend allocates the temporary memory of a program in every run. By default glibc
    takes pieces above 32 MB at most from the system and gives them back when they are freed. So
    every step pays a page fault for each 4 kB that it writes: half of the time of an FCN's larger
    elementwise operations (benchmarks/fcn/README.md). The price: memory stays at its peak.
    """
    if sys.platform != "linux":
        return False
    try:
        tell = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    global _kept
    _kept = True
    told = [tell(_TRIM_THRESHOLD, 2**31 - 1), tell(_MMAP_MAX, 0), tell(_ARENA_MAX, 1)]
    return told == [1, 1, 1]


def give_back_freed_memory() -> None:
    """Give freed memory back to the system (glibc), unless this process keeps it.

    After a save: its threads leave pieces as large as what was saved, each in a heap of its own.
    """
    if sys.platform == "linux" and not _kept:
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


class TempReservation(NamedTuple):
    """See `temp_reservation`."""

    grow: Callable[[int], None]
    open: Callable[[], None]
    close: Callable[[], None]


@functools.cache
def temp_reservation() -> TempReservation | None:
    """One reserved piece of the heap for one large array; freed memory is kept from now on.

    A large array that is freed and allocated again does not fit into its old place if a few bytes
    were put there meanwhile; glibc then grows the heap, twice or three times. So the place is
    reserved while nothing runs: ``grow(bytes)`` before the first run of a program, ``open()``
    before each run, ``close()`` after it. It is larger than the array, for small pieces that are
    put there meanwhile; memory that is never written costs nothing. None if the C library is not
    glibc.
    """
    if not keep_freed_memory():
        return None
    library = ctypes.CDLL(None)
    malloc, free, trim = library.malloc, library.free, library.malloc_trim
    malloc.restype, malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    free.argtypes = [ctypes.c_void_p]
    place, size = None, 0

    def grow(need: int) -> None:
        nonlocal place, size
        if need + _SLACK <= size:
            return
        free(place)
        trim(0)  # what was written in the old place goes back
        size = need + _SLACK
        place = malloc(size)
        above, small = malloc(4096), 4096
        while place is not None and above is not None and above < place and small < size:
            small *= 2  # until no free piece below is as large
            above = malloc(small)
        # A piece above that stays keeps the place from merging with the end of the heap.

    def close() -> None:
        nonlocal place
        before, place = place, malloc(size)
        if place != before:
            trim(0)  # another place: what was written in the old one goes back

    return TempReservation(grow, lambda: free(place), close)
