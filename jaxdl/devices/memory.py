"""How much memory this machine has, and a refusal of what it cannot hold before memory is taken."""

import contextlib
import os
from pathlib import Path

import jax

from jaxdl.errors import InputError

# Limits of a container: of cgroups 2 and 1.
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def host_memory() -> int:
    """Bytes of this host that the process may have, its container's limit included."""
    found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for path in _LIMITS:
        with contextlib.suppress(OSError, ValueError):  # ValueError: "max"
            found = min(found, int(path.read_text()))
    return found


def all_memory() -> int:
    """Bytes of the hosts and accelerators of all processes together, all like this one's."""
    stats = [device.memory_stats() for device in jax.local_devices()]
    own = sum((each or {}).get("bytes_limit", 0) for each in stats)
    return (host_memory() + own) * jax.process_count()


def check_memory(what: str, needed: float | int, remedy: str, *, host: bool = False) -> None:
    """Refuse what cannot fit, by an estimate that is too low rather than too high.

    Args:
        what: needs the memory.
        needed: bytes at least.
        remedy: such as "lower --batch-size".
        host: it lies in this host's memory; otherwise in that of the host or of any device.

    Raises:
        InputError: the machine has less.
    """
    there = host_memory() if host else all_memory()
    if needed > there:
        raise InputError(
            f"{what}: at least {needed / 1e9:,.0f} GB, where this machine has {there / 1e9:,.0f} "
            f"GB of memory; {remedy}"
        )
