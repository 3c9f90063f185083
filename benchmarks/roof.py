"""What the machine can do, and what a skip-gram step asks of it.

`python -m benchmarks.roof` prints the rates with as many threads as the environment gives BLAS.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import threadpoolctl

from benchmarks.process import ROOT, own_choice

_THREADS = "OPENBLAS_NUM_THREADS"
_FLOAT = 4  # bytes


class Rates(NamedTuple):
    """Float32 matrix product, and copying, where reading and writing both count; per second.

    `kernel` says whose product was the faster: NumPy's, with OpenBLAS's name of its kernels (it
    picks them by the processor, and some picks run at half speed), or XLA's.
    """

    flops: float
    bytes: float
    kernel: str

    def described(self) -> str:
        """The product's rate and kernel, to print."""
        return f"{self.flops / 1e9:.0f} Gflop/s ({self.kernel}, float32 product)"


def better(a: Rates, b: Rates) -> Rates:
    """What can be had in one of two measurements."""
    faster = max(a, b, key=lambda rates: rates.flops)
    return faster._replace(bytes=max(a.bytes, b.bytes))


class Step(NamedTuple):
    """Shape of a skip-gram step with negative sampling; the experiment's defaults."""

    width: int = 100
    window: int = 5
    size: int = 32
    group: int = 16
    shared: int = 28

    def flops(self) -> float:
        """For a word: scores of a group and their two gradients, as matrix products.

        L x (L + 2w + K) x D: positives, of which the band that counts is a part, and negatives.
        """
        return 3 * 2 * (self.group + 2 * self.window + self.shared) * self.width

    def bytes(self) -> float:
        """For a word: each row is read by the gather, then read and written by the update.

        Rows of a block: the inner tokens in one table, each group's outer tokens and negatives in
        the other.
        """
        groups = self.size // self.group
        rows = self.size + groups * (self.group + 2 * self.window + self.shared)
        return 3 * rows * self.width * _FLOAT / self.size


def _best(call: Callable[[], object]) -> float:
    """Seconds of the fastest call in about a second: a roof is what can be had."""
    best, end = float("inf"), time.perf_counter() + 1
    while (start := time.perf_counter()) < end:
        call()
        best = min(best, time.perf_counter() - start)
    return best


def kernel() -> str:
    """The name of the kernels that NumPy's OpenBLAS uses here."""
    libraries = threadpoolctl.threadpool_info()
    names = [lib["architecture"] for lib in libraries if lib["internal_api"] == "openblas"]
    return names[0] if names else "another BLAS than OpenBLAS"


def rates(threads: int) -> Rates:
    """Of this process, which may run on as many cores as it has `threads`."""
    side, size = 1024, 1 << 25  # 4 MiB and 128 MiB an array
    a, b, c = (np.ones((side, side), np.float32) for _ in range(3))
    products = {f"NumPy, {kernel()}": _best(lambda: np.matmul(a, b, out=c))}
    left, right = jax.device_put((a, b), jax.devices("cpu")[0])
    multiply = jax.jit(partial(jnp.matmul, precision="highest"))
    jax.block_until_ready(multiply(left, right))
    products["XLA"] = _best(lambda: jax.block_until_ready(multiply(left, right)))
    fastest = min(products, key=products.__getitem__)
    source, target = (np.ones(size, np.float32).reshape(threads, -1) for _ in range(2))
    with ThreadPoolExecutor(threads) as pool:
        copy = _best(lambda: list(pool.map(np.copyto, target, source)))
    return Rates(2 * side**3 / products[fastest], 2 * size * _FLOAT / copy, fastest)


def measure_rates(threads: int) -> Rates:
    """In a process of its own: BLAS and XLA read the number of their threads once."""
    names = (_THREADS, "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    environment = own_choice(os.environ) | dict.fromkeys(names, str(threads))
    command = [sys.executable, "-m", "benchmarks.roof"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, cwd=ROOT)
    return Rates(*json.loads(done.stdout))


if __name__ == "__main__":
    number = int(os.environ.get(_THREADS, "1"))
    if hasattr(os, "sched_setaffinity"):  # XLA takes as many threads as it may use cores
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:number])
    print(json.dumps(rates(number)))
