"""Questions to word vectors: neighbours, similarities, the odd one out.

Source: gensim 4.4.0's keyedvectors.py. 3CosMul: Levy, Goldberg 2014.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jaxdl.errors import InputError
from jaxdl.word2vec.keyed_table import Key, KeyedTable, listed
from jaxdl.word2vec.vectors import unit


class KeyedQueries(KeyedTable):
    """Words, their vectors, and what they are near to; arguments and errors as `KeyedTable`."""

    def _query(self, positive: Any, negative: Any) -> tuple[np.ndarray, list[int]]:
        """The unit vector that is asked for, float32 (D,), and the rows of the words in it."""
        keys, weights = [], []
        for given, sign in ((positive, 1.0), (negative, -1.0)):
            for item in listed(given):
                pair = isinstance(item, (tuple, list)) and len(item) == 2
                key, weight = item if pair else (item, sign)
                if not isinstance(weight, (int, float, np.number)):
                    raise InputError(f"weight {weight!r} of {key!r}: give a number, or a flat list")
                keys.append(key)
                weights.append(float(weight))
        mean = self._mean(keys, np.array(weights), True)
        rows = [self.get_index(key) for key in keys if not isinstance(key, np.ndarray)]
        return unit(mean[None])[0], rows

    def _part(self, most: int | None, start: int = 0, end: int | None = None) -> tuple[int, int]:
        """First row and end of the rows that are searched: the first `most`, if it is given."""
        start, end = (0, most) if most else (start, end)
        if not all(isinstance(n, (int, np.integer)) and n >= 0 for n in (start, end or 0)):
            raise InputError(f"rows {start} to {end}: give whole numbers, 0 or more")
        return int(start), min(int(end or len(self)), len(self))

    def _answer(self, scores: np.ndarray, leave: list[int], topn: Any, first: int) -> Any:
        return scores if topn is None else self.table.best(scores, leave, int(topn), first)

    def most_similar(
        self,
        positive: Any = None,
        negative: Any = None,
        topn: int | None = 10,
        clip_start: int = 0,
        clip_end: int | None = None,
        restrict_vocab: int | None = None,
        indexer: Any = None,
    ) -> Any:
        """Words by cosine with the mean of unit vectors, `negative` ones subtracted; best first.

        The words given are left out.

        Args:
            positive: a word, row or vector (D,), or a list of them and of pairs (each, weight).
            negative: likewise; the weight of one without a weight is -1.
            topn: so many at most; None gives the cosine of each row, float32 (V,).
            clip_start, clip_end: the rows that are searched.
            restrict_vocab: only so many first rows are searched.
            indexer: not supported.

        Returns:
            (word, cosine) of each.
        """
        if indexer is not None:
            raise InputError("indexer: not supported; every search here compares all rows")
        query, rows = self._query(positive, negative)
        first, end = self._part(restrict_vocab, clip_start, clip_end)
        return self._answer(self.table.cosines(query)[first:end], rows, topn, first)

    def similar_by_word(
        self, word: Key, topn: int | None = 10, restrict_vocab: int | None = None
    ) -> Any:
        """`most_similar` of one word."""
        return self.most_similar([word], topn=topn, restrict_vocab=restrict_vocab)

    similar_by_key = similar_by_word

    def similar_by_vector(
        self, vector: Any, topn: int | None = 10, restrict_vocab: int | None = None
    ) -> Any:
        """`most_similar` of a vector (D,); no word is left out."""
        vector = self._vector(vector)
        return self.most_similar([vector], topn=topn, restrict_vocab=restrict_vocab)

    def most_similar_cosmul(
        self,
        positive: Any = None,
        negative: Any = None,
        topn: int | None = 10,
        restrict_vocab: int | None = None,
    ) -> Any:
        """Words by 3CosMul: the product of cosines moved to 0..1, divided by those of `negative`.

        Arguments and result as `most_similar`, without weights.
        """
        sides: list[np.ndarray] = []
        rows = []
        for given in (positive, negative):
            product = np.ones(len(self))
            for key in listed(given):
                is_vector = isinstance(key, np.ndarray)
                if not is_vector:
                    rows.append(self.get_index(key))
                query = self._vector(key) if is_vector else self.get_vector(key, norm=True)
                product *= (1 + self.table.cosines(query.astype(np.float32))) / 2
            sides.append(product)
        if not listed(positive):
            raise InputError("no word to compare with; give one at least")
        first, end = self._part(restrict_vocab)
        scores = (sides[0] / (sides[1] + 1e-6)).astype(np.float32)
        return self._answer(scores[first:end], rows, topn, first)

    def similarity(self, w1: Key, w2: Key) -> float:
        """Cosine of two words."""
        a, b = self.get_vector(w1, norm=True), self.get_vector(w2, norm=True)
        return float(a @ b)

    def distance(self, w1: Key, w2: Key) -> float:
        """1 - cosine of two words."""
        return 1 - self.similarity(w1, w2)

    def distances(self, word_or_vector: Any, other_words: Iterable[Key] = ()) -> np.ndarray:
        """1 - cosine of a word or vector with `other_words` (all words if none), float32 (n,)."""
        is_vector = isinstance(word_or_vector, np.ndarray)
        query = self._vector(word_or_vector) if is_vector else self.get_vector(word_or_vector)
        query = unit(query[None])[0]
        if rows := [self.get_index(word) for word in other_words]:
            return 1 - unit(self.vectors[rows]) @ query
        return 1 - self.table.cosines(query)

    def closer_than(self, key1: Key, key2: Key) -> list[str]:
        """The words that are closer to `key1` than `key2` is, by their rows."""
        distances, own = self.distances(key1), self.get_index(key1)
        rows = np.flatnonzero(distances < distances[self.get_index(key2)])
        return [self.index_to_key[row] for row in rows if row != own]

    def rank(self, key1: Key, key2: Key) -> int:
        """1 if `key2` is the nearest word of `key1`, and so on."""
        return len(self.closer_than(key1, key2)) + 1

    def n_similarity(self, ws1: Sequence[Key], ws2: Sequence[Key]) -> float:
        """Cosine of the means of two lists; unknown words are left out, but not a whole list."""
        means = [self.get_mean_vector(ws, pre_normalize=False) for ws in (ws1, ws2)]
        a, b = unit(np.stack(means))
        return float(a @ b)

    def doesnt_match(self, words: Sequence[str]) -> str:
        """The word furthest by cosine from the mean of the unit vectors; of equals, the first in
        the alphabet. InputError for an unknown word (gensim drops it) or fewer than three words.
        """
        if len(words) < 3:
            raise InputError(f"{len(words)} words, and of two neither is odd; give three or more")
        rows = self.table.normalised[self.table.rows(words)]
        return min(zip((rows @ unit(rows.sum(0)[None])[0]).tolist(), words, strict=True))[1]
