"""Counts of the words and of the pairs of neighbours of an encoded text, for `phrases`.

As in gensim's `Phrases`, a pair and a word that are spelt alike are one entry: the pair "new",
"york" and the word "new_york".

An entry is known by 64 bits, which of a pair follow from those of its words. Two different entries
among 100 million share theirs with a chance of 1 in 3,000, and then count as one.
"""

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Int32, Int64, UInt64

CHUNK = 1 << 20  # tokens at once
_PART = 1 << 23  # pairs that are sorted at once
_MOST_PARTS = 256  # files that are open at once
_BASE = 0x9E3779B97F4A7C15 | 1  # odd, so that it has an inverse
_INVERSE = pow(_BASE, -1, 1 << 64)
_JOINT = ord("_") + 1


@dataclass(slots=True)
class Words:
    """The words of a text by their ids.

    Attributes:
        text: each word.
        counts: how often it comes.
        hashes: of its letters; ``_BASE ** length`` beside them.
    """

    text: pa.Array
    counts: Int64[np.ndarray, "v"]
    hashes: UInt64[np.ndarray, "v 2"]


@dataclass(slots=True)
class Counted:
    """What a pass has counted.

    Attributes:
        entries: different words and pairs.
        words: how often each word comes, as a pair too.
        keys: of the pairs that come more than min_count times, sorted.
        pairs: how often each of these comes, as a word too.
    """

    entries: int
    words: Int64[np.ndarray, "v"]
    keys: UInt64[np.ndarray, "p"]
    pairs: Int64[np.ndarray, "p"]


def words_of(text: pa.Array, counts: Int64[np.ndarray, "v"]) -> Words:
    """Words with their hashes, from an array of large binary."""
    parts = [_hashes(text[at : at + CHUNK]) for at in range(0, len(text), CHUNK)]
    return Words(text, counts, np.concatenate(parts))


def _hashes(text: pa.Array) -> UInt64[np.ndarray, "v 2"]:
    """Of each word w1 .. wn the sum of (wi + 1) BASE^(n - i), and BASE^n, modulo 2^64."""
    _, offsets, letters = text.buffers()
    ends = np.frombuffer(offsets, np.int64)[text.offset : text.offset + len(text) + 1]
    codes = np.frombuffer(letters, np.uint8)[ends[0] : ends[-1]].astype(np.uint64) + np.uint64(1)
    ends = ends - ends[0]
    power, inverse = (_powers(base, len(codes) + 1) for base in (_BASE, _INVERSE))
    sums = np.zeros(len(codes) + 1, np.uint64)
    np.cumsum(codes * inverse[:-1], out=sums[1:])
    # A word is never empty: its last letter is at its end - 1.
    own = (sums[ends[1:]] - sums[ends[:-1]]) * power[ends[1:] - 1]
    return np.stack([own, power[np.diff(ends)]], 1)


def _powers(base: int, count: int) -> UInt64[np.ndarray, "n"]:
    factors = np.full(count, base, np.uint64)
    factors[0] = 1
    return np.cumprod(factors)


def joined(
    one: UInt64[np.ndarray, "n 2"], other: UInt64[np.ndarray, "n 2"]
) -> UInt64[np.ndarray, "n 2"]:
    """The hashes of pairs, from those of their words."""
    own = (one[:, 0] * np.uint64(_BASE) + np.uint64(_JOINT)) * other[:, 1] + other[:, 0]
    return np.stack([own, one[:, 1] * np.uint64(_BASE) * other[:, 1]], 1)


def chunks(ids: Path) -> Iterator[tuple[Int32[np.ndarray, "n"], np.ndarray]]:
    """Ids, and which begin a sentence; in chunks that end with one."""
    raw, at = np.memmap(ids, "<i4", "r"), 0
    while at < len(raw):
        chunk = np.array(raw[at : at + CHUNK + 1])
        end = len(chunk)
        if end > CHUNK:  # a sentence is far shorter: another begins
            end = int(np.flatnonzero(chunk < 0)[-1])
        chunk, at = chunk[:end], at + end
        yield chunk ^ (chunk >> 31), chunk < 0


def pairs_in(ids: Int32[np.ndarray, "n"], begins: np.ndarray, hashes: np.ndarray) -> tuple:
    """Where a pair begins, and its key."""
    at = np.flatnonzero(~begins[1:])
    return at, joined(hashes[ids[at]], hashes[ids[at + 1]])[:, 0].copy()


def count(ids: Path, words: Words, min_count: int) -> Counted:
    """Count words and pairs; the pairs lie in files beside `ids`, a part of them in memory.

    Args:
        ids: file of the text, int32; a sentence begins where one is ``~id``.
        words: of these ids.
        min_count: pairs that come more often are kept.
    """
    bits = min((ids.stat().st_size // 4 // _PART).bit_length(), _MOST_PARTS.bit_length() - 1)

    def part_of(keys: np.ndarray) -> np.ndarray:
        return (keys >> np.uint64(64 - bits)).astype(np.int64) if bits else np.zeros(len(keys), int)

    paths = [ids.with_name(f"pairs-{part}") for part in range(1 << bits)]
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(path.open("wb")) for path in paths]
        for chunk, begins in chunks(ids):
            _, keys = pairs_in(chunk, begins, words.hashes)
            keys.sort()
            cuts = np.searchsorted(part_of(keys), np.arange(len(files) + 1))
            for file, (low, high) in zip(files, itertools.pairwise(cuts), strict=True):
                file.write(keys[low:high].data)
    entries, kept, totals = 0, list[np.ndarray](), list[np.ndarray]()
    whole, parts = words.counts.copy(), part_of(words.hashes[:, 0])
    for part, path in enumerate(paths):
        keys, counts = np.unique(np.fromfile(path, np.uint64), return_counts=True)
        path.unlink()
        # Words; some are spelt as a pair, and some have all been joined to others.
        own = np.flatnonzero((parts == part) & (words.counts > 0))
        both = np.concatenate([keys, words.hashes[own, 0]])
        every, places = np.unique(both, return_inverse=True)
        sums = np.zeros(len(every), np.int64)
        np.add.at(sums, places, np.concatenate([counts, words.counts[own]]))
        entries += len(every)
        whole[own] = sums[places[len(keys) :]]
        often = sums[places[: len(keys)]] > min_count
        kept.append(keys[often])
        totals.append(sums[places[: len(keys)]][often])
    return Counted(entries, whole, np.concatenate(kept), np.concatenate(totals))
