"""Words that come together more often than by chance, joined to one: new york -> new_york.

A pass counts the words and the pairs of neighbours of a sentence, scores each pair by ::

    (count(a b) - min_count) / count(a) / count(b) * (different words and pairs)

and joins, from the left, the pairs whose score is above the threshold. It streams over the ids of
an encoded text; `phrase_counts` counts.

Source: Mikolov et al. 2013, word2phrase.c, which has the number of all words in the last factor;
gensim 4.4.0's phrases.py.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Int32, Int64, UInt64

from jaxdl.word2vec.data.phrase_counts import (
    CHUNK,
    Counted,
    Words,
    chunks,
    count,
    joined,
    pairs_in,
    words_of,
)
from jaxdl.word2vec.data.vocabulary import ranked, too_rare


@dataclass(frozen=True, slots=True)
class Rules:
    """How phrases are found.

    Attributes:
        passes: of which each can join what the one before has joined; 0 finds none.
        min_count: a pair must come more often.
        threshold: its score must be above.
    """

    passes: int = 0
    min_count: int = 5
    threshold: float = 10.0


class Phrase(NamedTuple):
    """A pair that was joined: its text, how often it came, its score."""

    text: str
    count: int
    score: float


def scores(
    counted: Counted,
    one: Int32[np.ndarray, "n"],
    other: Int32[np.ndarray, "n"],
    pairs: Int64[np.ndarray, "n"],
    min_count: int,
) -> np.ndarray:
    """gensim's `original_scorer` of pairs of word ids that come `pairs` times, float64."""
    product = counted.words[one].astype(np.float64) * counted.words[other]
    return (pairs - min_count) / product * counted.entries


class _Found(NamedTuple):
    """The pairs of a chunk that are joined."""

    at: Int64[np.ndarray, "n"]  # where they begin
    keys: UInt64[np.ndarray, "n"]
    counts: Int64[np.ndarray, "n"]
    scores: np.ndarray

    def only(self, which: np.ndarray) -> "_Found":
        return _Found(*(each[which] for each in self))


def _find(
    chunk: Int32[np.ndarray, "n"], begins: np.ndarray, words: Words, counted: Counted, rules: Rules
) -> _Found:
    at, keys = pairs_in(chunk, begins, words.hashes)
    place = np.searchsorted(counted.keys[:-1], keys)
    often = counted.keys[place] == keys
    at, keys, counts = at[often], keys[often], counted.pairs[place[often]]
    score = scores(counted, chunk[at], chunk[at + 1], counts, rules.min_count)
    found = _Found(at, keys, counts, score).only(score > rules.threshold)
    # Of overlapping pairs the first is joined, the third, ...
    first = np.flatnonzero(np.diff(found.at, prepend=-2) != 1)
    run = np.repeat(first, np.diff(first, append=len(found.at)))
    return found.only((np.arange(len(run)) - run) % 2 == 0)


class _Phrases:
    """The phrases of a pass, numbered behind the words as they are found."""

    def __init__(self, words: Words) -> None:
        self._words, self._order = words, np.argsort(words.hashes[:, 0])
        self._known = words.hashes[self._order, 0]
        self._ids: dict[int, int] = {}
        self._new: list[bytes] = []
        self._hashes: list[np.ndarray] = []
        self._told: dict[int, Phrase] = {}

    def ids(self, chunk: Int32[np.ndarray, "n"], found: _Found) -> Int32[np.ndarray, "m"]:
        """The ids of the pairs that were found in a chunk."""
        # Of a phrase that is made of different pairs the last one's score is told, as in gensim.
        every, last, back = np.unique(found.keys[::-1], return_index=True, return_inverse=True)
        for key, n in zip(every.tolist(), (len(found.keys) - 1 - last).tolist(), strict=True):
            one, other = chunk[found.at[n] : found.at[n] + 2].tolist()
            if key not in self._ids:
                text = b"_".join(self._words.text[word].as_py() for word in (one, other))
                self._ids[key] = self._number(key, text, one, other)
                self._told[key] = Phrase(text.decode(), 0, 0.0)
            count, score = int(found.counts[n]), float(found.scores[n])
            self._told[key] = self._told[key]._replace(count=count, score=score)
        return np.array([self._ids[key] for key in every.tolist()], np.int32)[back][::-1]

    def _number(self, key: int, text: bytes, one: int, other: int) -> int:
        row = int(np.searchsorted(self._known, np.uint64(key)))
        if row < len(self._known) and self._known[row] == key:
            return int(self._order[row])  # of a word that is spelt alike
        self._new.append(text)
        self._hashes += [joined(self._words.hashes[[one]], self._words.hashes[[other]])[0]]
        return len(self._words.text) + len(self._new) - 1

    def words(self, counts: Int64[np.ndarray, "v"]) -> Words:
        """The words before the pass, and the new ones."""
        text = pa.concat_arrays([self._words.text, pa.array(self._new, pa.large_binary())])
        new = np.array(self._hashes, np.uint64).reshape(-1, 2)
        whole = np.zeros(len(text), np.int64)
        whole[: len(counts)] = counts
        return Words(text, whole, np.concatenate([self._words.hashes, new]))

    def told(self) -> list[Phrase]:
        """All of them, the best first."""
        return sorted(self._told.values(), key=lambda one: (-one.score, one.text))


def join(ids: Path, words: Words, rules: Rules) -> tuple[Words, list[Phrase]]:
    """One pass over a text: its pairs are counted, and joined in place.

    Args:
        ids: file of the text, int32; a sentence begins where one is ``~id``.
        words: of these ids.
        rules: how phrases are found.

    Returns:
        The words after it, of which some may come no more; and the phrases.
    """
    counted = count(ids, words, rules.min_count)
    if not len(counted.keys):
        return words, []
    phrases, counts = _Phrases(words), np.zeros(0, np.int64)
    with (made := ids.with_name("joined")).open("wb") as out:
        for chunk, begins in chunks(ids):
            found = _find(chunk, begins, words, counted, rules)
            chunk[found.at] = phrases.ids(chunk, found)
            chunk, begins = (np.delete(each, found.at + 1) for each in (chunk, begins))
            more = np.bincount(chunk, minlength=len(counts))
            more[: len(counts)] += counts
            counts = more
            chunk[begins] = ~chunk[begins]
            out.write(chunk.astype("<i4", copy=False).data)
    os.replace(made, ids)
    return phrases.words(counts), phrases.told()


def join_all(
    ids: Path, final: Int32[np.ndarray, "provisional"], every: pa.Table, rules: Rules
) -> tuple[Words, list[list[Phrase]]]:
    """All passes; see `join`.

    Args:
        ids: file of the text, of provisional ids.
        final: the row of each of these in `every`.
        every: columns word and count, all words of the text.
        rules: how phrases are found.
    """
    raw = np.memmap(ids, "<i4", "r+")
    for at in range(0, len(raw), CHUNK):
        chunk = raw[at : at + CHUNK]
        chunk[:] = final[chunk ^ (chunk >> 31)] ^ (chunk >> 31)
    raw.flush()
    words = words_of(every["word"].combine_chunks(), every["count"].to_numpy())
    found = list[list[Phrase]]()
    for _ in range(rules.passes):
        words, phrases = join(ids, words, rules)
        found.append(phrases)
    return words, found


def frequent(
    words: Words, min_count: int, max_vocab: int | None
) -> tuple[pa.Table, Int32[np.ndarray, "v"]]:
    """As `Vocabulary.finish`: the words that are kept, and the place of each word, or -1.

    Raises:
        InputError: no word comes min_count times.
    """
    often = np.flatnonzero(words.counts >= min_count)
    if not len(often):
        raise too_rare(min_count, int(words.counts.max()))
    kept = ranked(words.text.take(pa.array(often)), words.counts[often], max_vocab)
    places = np.full(len(words.text), -1, np.int32)
    places[often[kept["at"].to_numpy()]] = np.arange(len(kept))
    return kept, places


def write_phrases(path: Path, found: list[list[Phrase]]) -> None:
    """A line "pass, phrase, count, score" for each, between tabs; the best of a pass first."""
    with path.open("w", encoding="utf-8", newline="\n") as out:
        for number, phrases in enumerate(found, 1):
            out.writelines(f"{number}\t{p.text}\t{p.count}\t{p.score}\n" for p in phrases)
