"""Words and their vectors as a Python object: looked up, added, averaged.

`jaxdl.word2vec.keyed_vectors` asks it questions. Source: gensim 4.4.0's keyedvectors.py.
"""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from jaxdl.errors import InputError
from jaxdl.word2vec.vector_rows import WIDEST
from jaxdl.word2vec.vectors import UnknownWord, Vectors, unit

Key = str | int | np.integer  # a word, or the number of its row
_KEYS = (str, int, np.integer)
Own = TypeVar("Own", bound="KeyedTable")


def listed(value: Any) -> list[Any]:
    """One key or vector, or several, as a list."""
    if value is None:
        return []
    array = isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind == "f"
    return [value] if isinstance(value, _KEYS) or array else list(value)


def float_dtype(given: Any) -> np.dtype:
    if (found := np.dtype(given)) not in (np.float32, np.float16):
        raise InputError(f"vectors of {found}: give float32 or float16")
    return found


class KeyedTable:
    """Words and their vectors. Methods raise UnknownWord (a KeyError) for a word without a vector.

    Args:
        vector_size: numbers in a vector.
        count: not supported.
        dtype: float32 or float16.

    Attributes:
        vector_size: numbers in a vector.
        index_to_key: the words by their rows, most frequent first.
        counts: how often each word came in the text, int64 (V,); None if that is not known.
    """

    def __init__(self, vector_size: int, count: int = 0, dtype: Any = np.float32) -> None:
        if count:
            raise InputError("count: rows without words are not kept; use add_vectors")
        if not 1 <= vector_size <= WIDEST:
            raise InputError(f"vector_size {vector_size}: give 1 to {WIDEST}")
        self.vector_size = int(vector_size)
        self.index_to_key: list[str] = []
        self.counts: np.ndarray | None = None
        self._dtype, self._held = float_dtype(dtype), None

    _held: Vectors | None

    @classmethod
    def of(cls: type[Own], found: Vectors, counts: Any = None) -> Own:
        """Of a table, and the count of each word if it is known; nothing is copied."""
        made = cls(found.table.shape[1], dtype=found.table.dtype)
        made._hold(found)
        if counts is not None:
            made.counts = np.asarray(counts, np.int64)
            if made.counts.shape != (len(made),):
                raise InputError(f"{len(made)} words, counts {made.counts.shape}: give one each")
        return made

    def _hold(self, found: Vectors) -> None:
        self._held, self.index_to_key = found, list(found.words)

    @property
    def table(self) -> Vectors:
        """Words and vectors together. InputError: there are none."""
        if self._held is None:
            raise InputError("there are no vectors yet; give some to add_vectors")
        return self._held

    @property
    def vectors(self) -> np.ndarray:
        """float32 or float16 (V, D), read-only: `add_vectors` changes them."""
        if self._held is None:
            return np.zeros((0, self.vector_size), self._dtype)
        return self._held.table

    @property
    def key_to_index(self) -> dict[str, int]:
        """Word -> row."""
        return {} if self._held is None else self._held.index

    def __repr__(self) -> str:
        return f"{type(self).__name__}<vector_size={self.vector_size}, {len(self)} keys>"

    def __len__(self) -> int:
        return len(self.index_to_key)

    def __iter__(self) -> Iterator[str]:
        return iter(self.index_to_key)

    def __contains__(self, key: Any) -> bool:
        return self.get_index(key, -1) >= 0

    def __getitem__(self, keys: Key | Sequence[Key] | np.ndarray) -> np.ndarray:
        """The vector of a key, (D,), or those of several, (n, D)."""
        if isinstance(keys, _KEYS):
            return self.get_vector(keys)
        return self.vectors[[self.get_index(key) for key in keys]]

    def __setitem__(self, keys: str | Sequence[str], weights: Any) -> None:
        """`add_vectors` with `replace`."""
        self.add_vectors(keys, weights, replace=True)

    def get_index(self, key: Any, default: int | None = None) -> int:
        """The row of a key; UnknownWord if it has none and there is no `default`."""
        row = self.key_to_index.get(key) if isinstance(key, str) else key
        number = isinstance(row, (int, np.integer)) and not isinstance(row, bool)
        if number and 0 <= row < len(self):
            return int(row)
        if default is not None:
            return default
        if isinstance(key, str) and self._held is not None:
            self._held.rows(key)
        text = "give a word, or a vector as a NumPy array"
        raise UnknownWord(f"{key!r} is no word and no row of {len(self)}; {text}")

    def get_vector(self, key: Key, norm: bool = False) -> np.ndarray:
        """The vector of a key, (D,), read-only; of length 1 if `norm`."""
        vector = self.vectors[self.get_index(key)]
        if norm:
            vector = unit(vector[None])[0]
            vector.flags.writeable = False
        return vector

    def get_vecattr(self, key: Key, attr: str) -> int:
        """The "count" of a word, of a run's vectors or if `fvocab` gave it; 0 of one added since.

        Raises:
            InputError: another `attr`, or the counts are not known.
        """
        row = self.get_index(key)
        if attr != "count" or self.counts is None:
            text = "load a run's folder, or give load_word2vec_format its fvocab"
            raise InputError(f"{attr!r}: only counts are kept, and only where known: {text}")
        return int(self.counts[row])

    def get_normed_vectors(self) -> np.ndarray:
        """All vectors at length 1, float32 (V, D), read-only; a zero vector stays zero."""
        return self.table.normalised

    def add_vectors(
        self, keys: Key | Sequence[Key], weights: Any, extras: Any = None, replace: bool = False
    ) -> None:
        """Add words and their vectors at the end; of words that are there, replace the vectors.

        Args:
            keys: a word, or n of them, each once.
            weights: (D,) or (n, D), finite.
            extras: not supported.
            replace: else words that are there keep their vectors.
        """
        words = listed(keys)
        if extras is not None:
            raise InputError("extras: words have vectors only; keep other figures in a dict")
        if any(not isinstance(word, str) or not word for word in words):
            raise InputError("keys: give words, as texts that are not empty")
        with np.errstate(over="ignore"):  # infinity is refused by `Vectors`
            given = np.asarray(weights).astype(self._dtype)
        given = given[None] if given.ndim == 1 and len(words) == 1 else given
        if given.shape != (len(words), self.vector_size) or len(set(words)) != len(words):
            text = f"{len(words)} words, {len(set(words))} of them different"
            raise InputError(f"{text}, and vectors {given.shape}: give (n, {self.vector_size})")
        known = np.array([word in self.key_to_index for word in words], bool)
        new = [word for word, there in zip(words, known, strict=True) if not there]
        table = np.concatenate([self.vectors, given[~known]])
        if replace:
            there = [word for word in words if word in self.key_to_index]
            table[[self.key_to_index[word] for word in there]] = given[known]
        if self.counts is not None:
            self.counts = np.concatenate([self.counts, np.zeros(len(new), np.int64)])
        if len(table):
            self._hold(Vectors((*self.index_to_key, *new), table))

    def _vector(self, given: Any) -> np.ndarray:
        """A vector that was given, float64 (D,)."""
        vector = np.asarray(given, np.float64)
        if vector.shape != (self.vector_size,) or not np.isfinite(vector).all():
            raise InputError(f"a vector {vector.shape}: give {self.vector_size} finite numbers")
        return vector

    def _mean(self, keys: Sequence[Any], weights: np.ndarray, normed: bool) -> np.ndarray:
        """Weighted mean, float64 (D,), of words' vectors (`normed`: at length 1) and vectors."""
        if not len(keys):
            raise InputError("no word to compare with; give one at least")
        if weights.shape != (len(keys),) or not np.isfinite(weights).all():
            raise InputError(f"{len(keys)} keys, weights {weights.shape}: give a number for each")
        rows = [
            self._vector(key)
            if isinstance(key, np.ndarray)
            else self.get_vector(self.get_index(key), norm=normed).astype(np.float64)
            for key in keys
        ]
        total = np.abs(weights).sum()
        return weights @ np.stack(rows) / (total if total > 0 else 1)

    def get_mean_vector(
        self,
        keys: Any,
        weights: Any = None,
        pre_normalize: bool = True,
        post_normalize: bool = False,
        ignore_missing: bool = True,
    ) -> np.ndarray:
        """Weighted mean, float32 (D,), of the vectors of words and of vectors.

        Args:
            keys: words, rows or vectors, each (D,).
            weights: a number for each; by default 1.
            pre_normalize: words' vectors are taken at length 1.
            post_normalize: the mean is given at length 1.
            ignore_missing: unknown words are left out, but not if none is known.
        """
        asked = listed(keys)
        given = np.ones(len(asked)) if weights is None else np.asarray(weights, np.float64)
        if given.shape == (len(asked),) and ignore_missing:
            kept = [n for n, key in enumerate(asked) if isinstance(key, np.ndarray) or key in self]
            if kept:  # else the first is named
                asked, given = [asked[n] for n in kept], given[kept]
        mean = self._mean(asked, given, pre_normalize)
        return unit(mean[None])[0] if post_normalize else mean.astype(np.float32)
