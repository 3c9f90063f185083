"""What `--workers` would gain on many cores of one host: memory, and the time of a round.

A round is each worker's part of the text and then the joining. To join, a worker writes its copy of
both tables, joins its share of all copies, and reads the joined tables: memory is all it takes.
"""

from collections.abc import Sequence
from typing import NamedTuple

from jaxdl.word2vec.batches import SHARE

# Measured on a Xeon at 100 and 300 numbers (benchmarks/word2vec/README.md).
WORD_SECONDS, NUMBER_SECONDS = 0.4e-6, 6e-9  # of one core for a raw word, for each of its numbers
CORE_BYTES = 10e9  # a second, copied and joined
PROCESS = 350e6  # bytes that a worker holds beside the tables
HOST_BYTES = 200e9  # a second: eight channels of DDR4-3200, by their data sheet


class Row(NamedTuple):
    """A number of workers: bytes, seconds of a round, words a second."""

    workers: int
    memory: float  # all processes together
    moved: float  # bytes that a worker moves to join
    train_s: float
    join_s: float
    words_per_s: float  # raw
    efficiency: float  # beside as many cores that never join


def core_words(dim: int) -> float:
    """Raw words a second of one core, preparing included; `dim` is the length of a vector."""
    return 1 / (WORD_SECONDS + NUMBER_SECONDS * dim)


def rows(counts: Sequence[int], words: int, dim: int) -> list[Row]:
    """The plan of each number of workers.

    Args:
        counts: numbers of workers.
        words: of the vocabulary.
        dim: length of a vector.
    """
    tables, train_s = 2.0 * 4 * words * dim, SHARE / core_words(dim)
    found = []
    for n in counts:
        moved = 0.0 if n == 1 else tables * (2 + (n + 2) / n + 2)
        join_s = moved / min(CORE_BYTES, HOST_BYTES / n)
        memory = n * PROCESS + tables * (1 if n == 1 else 1 + 2 * n)
        share = train_s / (train_s + join_s)
        per_s = n * SHARE / (train_s + join_s)
        found.append(Row(n, memory, moved, train_s, join_s, per_s, share))
    return found


def assumptions(words: int, dim: int) -> list[str]:
    """What the plan takes for granted, a sentence each."""
    return [
        f"{words:,} words of {dim} numbers; a worker trains on {SHARE:,} words of text in a round, "
        "so an epoch should have many times as many words as all workers together.",
        f"A core trains on {core_words(dim):,.0f} raw words/s, as a Xeon's with default window, "
        f"groups and negatives, and moves {CORE_BYTES / 1e9:.0f} GB/s; all cores together "
        f"{HOST_BYTES / 1e9:.0f} GB/s, eight channels of DDR4-3200.",
        "Left out: workers that wait for the slowest, cores that share a cache or a clock, saving. "
        "Runs of two workers reached 0.9 to 1.0 of such plans.",
        "More workers join larger changes: what that does to the quality was measured for two.",
    ]
