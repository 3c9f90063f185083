"""How the C library hands out memory to this process."""

import ctypes
import sys

# glibc's malloc.h
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8


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
