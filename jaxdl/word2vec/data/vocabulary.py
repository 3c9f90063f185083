"""The words of a text with exact counts: a table that goes to disk when it is full."""

import itertools
import zlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Int32

from jaxdl.errors import InputError
from jaxdl.word2vec.data.tokens import Block

_PARTS = 16  # of the words that were written out; one is summed at a time
_WORD_COST = 150  # bytes of memory for a word in the table, besides its letters


def too_rare(min_count: int, largest: int) -> InputError:
    """No word is left; the most frequent one comes `largest` times."""
    return InputError(
        f"no word comes {min_count} times or more: the most frequent comes {largest} times; lower "
        "min_count or give more text"
    )


def ranked(words: pa.Array, counts: np.ndarray, max_vocab: int | None) -> pa.Table:
    """Columns word, count, and the place it was at: most frequent first, equal ones by letters."""
    table = pa.table({"count": counts, "word": words, "at": np.arange(len(words), dtype=np.int32)})
    return table.sort_by([("count", "descending"), ("word", "ascending")])[:max_vocab]


class Vocabulary:
    """Provisional ids of words and their counts, in memory and, above `limit` bytes, on disk."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit
        self._number = itertools.count()
        self._written: list[int] = []  # number of words in each table on disk
        self._clear()

    def _clear(self) -> None:
        self._ids: defaultdict[bytes, int] = defaultdict(self._number.__next__)
        self._counts = np.zeros(1 << 12, np.int64)
        self._cost = 0

    def add(self, block: Block) -> Int32[np.ndarray, "n"]:
        """Count a block's tokens; their provisional ids."""
        before, words = len(self._ids), block.words
        ids = np.fromiter(map(self._ids.__getitem__, words), np.int32, len(words))
        new = len(self._ids) - before
        self._cost += sum(map(len, itertools.islice(reversed(self._ids), new))) + _WORD_COST * new
        while len(self._ids) > len(self._counts):
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
        counts = np.bincount(block.index, minlength=len(words))
        np.add.at(self._counts, ids - sum(self._written), counts)
        provisional = ids[block.index]
        if self._cost > self._limit:
            self._write_out()
        return provisional

    def _in_memory(self) -> pa.Table:
        ids = np.arange(len(self._ids), dtype=np.int32) + np.int32(sum(self._written))
        words = pa.array(self._ids, pa.large_binary(), size=len(self._ids))
        counts = self._counts[: len(self._ids)]
        return pa.table({"word": words, "id": ids, "count": counts})

    def _write_out(self) -> None:
        table = self._in_memory()
        parts = np.fromiter((zlib.crc32(w) % _PARTS for w in self._ids), np.uint8, len(self._ids))
        for part in range(_PARTS):
            path = self._folder / f"table-{len(self._written)}-{part}"
            with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as out:
                out.write_table(table.filter(pa.array(parts == part)))
        self._written.append(len(self._ids))
        self._clear()

    def _tables(self) -> Iterator[pa.Table]:
        """All words with all their ids; a word is in one table only. Takes the files away."""
        if not self._written:
            yield self._in_memory()
            return
        self._write_out()
        for part in range(_PARTS):
            paths = [self._folder / f"table-{n}-{part}" for n in range(len(self._written))]
            tables = []
            for path in paths:
                with pa.OSFile(str(path), "rb") as file, pa.ipc.open_file(file) as table:
                    tables.append(table.read_all())
                path.unlink()
            yield pa.concat_tables(tables)

    def finish(
        self, min_count: int, max_vocab: int | None
    ) -> tuple[pa.Table, Int32[np.ndarray, "provisional"]]:
        """Words that are kept with their counts, and provisional id -> place in words, or -1."""
        final = np.empty(sum(self._written) + len(self._ids), np.int32)
        words, counts, kept, largest = [], [], 0, 0
        for table in self._tables():
            coded = table["word"].combine_chunks().dictionary_encode()
            sums = np.zeros(len(coded.dictionary), np.int64)
            slots = coded.indices.to_numpy()
            np.add.at(sums, slots, table["count"].to_numpy())
            keep = sums >= min_count
            largest = max(largest, sums.max(initial=0))
            final[table["id"].to_numpy()] = np.where(keep, kept + np.cumsum(keep) - 1, -1)[slots]
            words.append(coded.dictionary.filter(pa.array(keep)))
            counts.append(sums[keep])
            kept += len(counts[-1])
        if not kept:
            raise too_rare(min_count, int(largest))
        columns = pa.concat_arrays(words), np.concatenate(counts)
        del words, counts  # both are large where the vocabulary is
        merged = ranked(*columns, max_vocab)
        del columns
        places = np.full(kept + 1, -1, np.int32)  # the last one is for -1
        places[merged["at"].to_numpy()] = np.arange(len(merged))
        for first in range(0, len(final), 1 << 20):  # in place
            final[first : first + (1 << 20)] = places[final[first : first + (1 << 20)]]
        return merged, final
