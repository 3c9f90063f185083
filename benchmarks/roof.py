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
from typing import NamedTuple

import numpy as np

from benchmarks.process import ROOT, own_choice

_THREADS = "OPENBLAS_NUM_THREADS"
_FLOAT = 4  # bytes


class Rates(NamedTuple):
    """Float32 matrix product, and copying, where reading and writing both count; per second."""

    flops: float
    bytes: float


class Step(NamedTuple):
    """Shape of a skip-gram step with negative sampling; the experiment's defaults."""

    width: int = 100
    window: int = 5
    size: int = 32
    group: int = 8
    shared: int = 14

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


def rates(threads: int) -> Rates:
    """Of this process."""
    side, size = 1024, 1 << 25  # 4 MiB and 128 MiB an array
    a, b, c = (np.ones((side, side), np.float32) for _ in range(3))
    product = _best(lambda: np.matmul(a, b, out=c))
    source, target = (np.ones(size, np.float32).reshape(threads, -1) for _ in range(2))
    with ThreadPoolExecutor(threads) as pool:
        copy = _best(lambda: list(pool.map(np.copyto, target, source)))
    return Rates(2 * side**3 / product, 2 * size * _FLOAT / copy)


def measure_rates(threads: int) -> Rates:
    """In a process of its own: BLAS reads the number of its threads once."""
    names = (_THREADS, "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    environment = own_choice(os.environ) | dict.fromkeys(names, str(threads))
    command = [sys.executable, "-m", "benchmarks.roof"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, cwd=ROOT)
    return Rates(*json.loads(done.stdout))


if __name__ == "__main__":
    print(json.dumps(rates(int(os.environ.get(_THREADS, "1")))))
