"""How the C library hands out memory to this process."""

import ctypes
import sys
from collections.abc import Callable

# glibc's malloc.h
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8

_SLACK = 1 << 27  # bytes of a room for what else falls into it; free until it is written


def keep_freed_memory() -> bool:
    """Keep what is freed for the next use; whether the C library could be told to (glibc's can).

    XLA's CPU backend allocates a program's temporary memory anew in every run. By default glibc
    gets pieces above 32 MB at most from the system and gives them back when they are freed, so that
    every step pays a page fault for each 4 kB that it writes: half of the time of an FCN's larger
    elementwise operations (benchmarks/README.md). The price: memory stays at its peak.
    """
    if sys.platform != "linux":
        return False
    try:
        tell = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    told = [tell(_TRIM_THRESHOLD, 2**31 - 1), tell(_MMAP_MAX, 0), tell(_ARENA_MAX, 1)]
    return told == [1, 1, 1]


def rooms() -> Callable[[int], bool]:
    """``fit(size)``: see to it that the heap has a free piece for `size` bytes, again and again.

    Where freed memory is kept (`keep_freed_memory`, called here). A large array that is freed and
    allocated anew does not fit into its own place if a few bytes were put there meanwhile; glibc
    then grows the heap, up to three times. So this leaves a piece free that is larger than the
    array (none of it written, so none of it in memory), and puts up with small ones in it. A larger
    `size` than before makes a new room and gives the old one up; `fit` says whether it made one.
    """
    if not keep_freed_memory():
        return lambda size: False
    library = ctypes.CDLL(None)
    malloc, free, trim = library.malloc, library.free, library.malloc_trim
    malloc.restype, malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    free.argtypes = [ctypes.c_void_p]
    room = 0

    def fit(size: int) -> bool:
        nonlocal room
        if size <= room:
            return False
        trim(0)  # what was written in the old room goes back
        if room:
            malloc(room)  # for good, and never written: no array falls there any more
        begin = malloc(size + _SLACK)
        if begin is None:
            return False
        above, small = malloc(4096), 4096
        while above is not None and above < begin and small < size:
            small *= 2  # until nothing free lies below that is as large
            above = malloc(small)
        free(begin)  # does not melt into the heap's end: a piece that stays lies above
        room = size
        return True

    return fit
