"""Word vectors: neighbours, analogies, and gensim's evaluations; files are in `vectorfiles`.

Sources: gensim 4.4.0's keyedvectors.py; 3CosAdd and 3CosMul: Levy, Goldberg 2014.
"""

import difflib
import itertools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxdl import vectorfiles
from jaxdl.errors import InputError
from jaxdl.vectorfiles import Table, not_finite, read_text_file, show

Neighbours = list[tuple[str, float]]
_SCORES = 1 << 24  # scores in one product: 64 MiB


def _unit(rows: np.ndarray) -> Table:
    """Rows (n, D) at length 1, through float64 as gensim's `unitvec`; a zero row stays zero."""
    rows = rows.astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows * (1 / np.where(norms > 0, norms, 1))).astype(np.float32)


def _pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Correlation of two float64 (n,); NaN where one is constant."""
    x, y = x - x.mean(), y - y.mean()
    scale = math.sqrt(x @ x) * math.sqrt(y @ y)
    return float(x @ y) / scale if scale else math.nan


def _ranks(x: np.ndarray) -> np.ndarray:
    """Ranks from 1 of float64 (n,); equal values share the mean of theirs."""
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


@dataclass(frozen=True, slots=True)
class Rules:
    """gensim's options: use the first `restrict_vocab` words, in upper case or not; leave out what
    has an unknown word, or count it as cosine 0 or as a wrong answer (`dummy4unknown`)."""

    restrict_vocab: int | None = 300_000
    case_insensitive: bool = True
    dummy4unknown: bool = False

    def known(self, words: Sequence[str]) -> tuple[Callable[[str], str], dict[str, int]]:
        """How to fold a word, and the first row of each folded word."""
        fold, words = str.upper if self.case_insensitive else str, words[: self.restrict_vocab]
        return fold, {fold(words[row]): row for row in reversed(range(len(words)))}


GENSIM = Rules()


class WordPairs(NamedTuple):
    """Correlations with human judgement over `pairs` pairs; `oov`: unknown pairs in percent."""

    pearson: float
    spearman: float
    oov: float
    pairs: int


class Section(NamedTuple):
    """A section of analogies: questions answered right, and asked."""

    name: str
    correct: int
    asked: int

    @property
    def accuracy(self) -> float:
        """From 0 to 1; 0 if nothing was asked."""
        return self.correct / max(self.asked, 1)


class Analogies(NamedTuple):
    """The sections in the file's order, their sum, and unknown questions in percent."""

    sections: tuple[Section, ...]
    total: Section
    oov: float


@dataclass(frozen=True, eq=False)
class Vectors:
    """Words, most frequent first, and their vectors, float32 (V, D), read-only.

    Raises InputError: no words, a word twice, not one vector a word, NaN or infinity.
    """

    words: tuple[str, ...]
    table: Table

    def __post_init__(self) -> None:
        if not self.table.size or len(self.words) != len(self.table):
            raise InputError(f"{len(self.words)} words, table {self.table.shape}; give (V, D)")
        if len(self.index) != len(self.words):
            twice = next(w for row, w in enumerate(self.words) if self.index[w] != row)
            raise InputError(f"the word {show(twice)} comes twice; give each word once")
        if (bad := not_finite(self.table)) >= 0:
            text = f"NaN or infinity in the vector of {show(self.words[bad])}"
            raise InputError(f"{text}; train again with a lower learning rate")
        object.__setattr__(self, "table", _read_only(self.table))

    @cached_property
    def index(self) -> dict[str, int]:
        """Word -> row."""
        return {word: row for row, word in enumerate(self.words)}

    @cached_property
    def normalised(self) -> Table:
        """The table with every row at length 1 (zero rows stay zero), made when first asked."""
        blocks = [_unit(self.table[at : at + 65536]) for at in range(0, len(self.words), 65536)]
        return _read_only(np.concatenate(blocks))

    def rows(self, words: str | Sequence[str]) -> list[int]:
        """Rows of words; an unknown one raises InputError with up to three close spellings."""
        words = [words] if isinstance(words, str) else words
        for word in (word for word in words if word not in self.index):
            close = [w for w in (word.lower(), word.title(), word.upper()) if w in self.index]
            if len(word) <= 40:  # bounded: the most frequent 100,000, of about the same length
                near = [w for w in self.words[:100_000] if abs(len(w) - len(word)) <= 2]
                close += difflib.get_close_matches(word, near)
            names = ", ".join(show(w) for w in list(dict.fromkeys(close))[:3])
            hint = f"did you mean {names}?" if names else "none is spelt like it; ask for another"
            raise InputError(f"{show(word)} is not among the {len(self.words)} words; {hint}")
        return [self.index[word] for word in words]

    def _best(self, scores: np.ndarray, leave: list[int], topn: int) -> Neighbours:
        """Best first, of equal scores the lower row."""
        scores[leave] = -np.inf
        topn = min(topn, len(self.words) - len(set(leave)))
        if topn < 1:
            return []
        found = np.flatnonzero(scores >= np.partition(scores, -topn)[-topn])
        found = found[np.argsort(-scores[found], kind="stable")][:topn]
        return [(self.words[row], float(scores[row])) for row in found]

    def most_similar(
        self, positive: str | Sequence[str], negative: str | Sequence[str] = (), topn: int = 10
    ) -> Neighbours:
        """Words by cosine with the sum of unit vectors, `negative` ones subtracted; best first.

        The words given are left out. Raises InputError for an unknown word, or if none is given.
        """
        plus, minus = self.rows(positive), self.rows(negative)
        if not plus + minus:
            raise InputError("no word to compare with; give one at least")
        query = self.normalised[plus].sum(0) - self.normalised[minus].sum(0)
        return self._best(self.normalised @ _unit(query[None])[0], plus + minus, topn)

    def analogy(
        self, a: str, b: str, c: str, method: str = "3cosadd", topn: int = 10
    ) -> Neighbours:
        """Words that are to c as b is to a (man, king, woman: queen), best first.

        "3cosadd" is most_similar([b, c], a); "3cosmul" scores cos b cos c / (cos a + 1e-6), cosines
        moved to 0..1. Raises InputError for an unknown word or method.
        """
        if method == "3cosadd":
            return self.most_similar([b, c], a, topn)
        if method != "3cosmul":
            raise InputError(f"no analogy method {method!r}; give 3cosadd or 3cosmul")
        rows = self.rows([a, b, c])
        at_a, at_b, at_c = (1 + self.normalised[rows] @ self.normalised.T) / 2
        return self._best(at_b * at_c / (at_a + np.float32(1e-6)), rows, topn)

    def doesnt_match(self, words: Sequence[str]) -> str:
        """The word furthest by cosine from the mean of the unit vectors; of equals, the first in
        the alphabet. InputError for an unknown word (gensim drops it) or fewer than three words.
        """
        if len(words) < 3:
            raise InputError(f"{len(words)} words, and of two neither is odd; give three or more")
        unit = self.normalised[self.rows(words)]
        return min(zip((unit @ _unit(unit.sum(0)[None])[0]).tolist(), words, strict=True))[1]

    def evaluate_word_pairs(
        self, path: Path, delimiter: str = "\t", rules: Rules = GENSIM
    ) -> WordPairs:
        """Cosines beside human judgement: lines of word, word, number; # starts a comment.

        As gensim does, other lines are passed over. InputError: unreadable, fewer than two pairs.
        """
        fold, known = rules.known(self.words)
        gold, model, oov = [], [], 0
        for line in re.split("\r\n|\r|\n", read_text_file(path)):
            if line.startswith("#"):
                continue
            try:
                a, b, number = fold(line).split(delimiter)
                judged = float(number)
            except ValueError:
                continue
            unknown = a not in known or b not in known
            oov += unknown
            if not unknown:
                # One float32 product each: rounded, and so tied in rank, as gensim's.
                pair = _unit(self.table[[known[a], known[b]]])
                model.append(float(pair[0] @ pair[1]))
            elif rules.dummy4unknown:
                model.append(0.0)
            gold.extend([judged] * (len(model) - len(gold)))
        x, y = np.array(gold), np.array(model)
        if len(x) < 2 or not np.isfinite(x).all():
            text = f"{len(x)} usable pairs, {oov} with unknown words"
            raise InputError(
                f"{path}: {text}; give two or more, finite: word, word, number by {delimiter!r}"
            )
        share = 100 * oov / (len(x) if rules.dummy4unknown else len(x) + oov)
        return WordPairs(_pearson(x, y), _pearson(_ranks(x), _ranks(y)), share, len(x))

    def evaluate_analogies(self, path: Path, rules: Rules = GENSIM) -> Analogies:
        """Questions "a b c d" (a is to b as c is to d), in sections that a line ": name" starts.

        As gensim does, lines not of four words are passed over; see `_answers` for what counts as
        the answer. InputError: unreadable, a line before the first section, no questions.
        """
        fold, known = rules.known(self.words)
        names: list[str] = []
        asked: list[tuple[int, ...]] = []  # section, then the rows of a, b, c, d: -1 if unknown
        for number, line in enumerate(read_text_file(path).removesuffix("\n").split("\n"), 1):
            if line.startswith(": "):
                names.append(line.lstrip(": ").strip())
            elif not names:
                raise InputError(f"{path}, line {number}: no section yet; put ': its name' first")
            elif len(words := fold(line).split()) == 4:
                asked.append((len(names) - 1, *(known.get(word, -1) for word in words)))
        if not asked:
            raise InputError(f"{path}: no questions; give lines of four words")
        questions = np.array(asked)
        whole = questions.min(1) >= 0
        right = np.zeros(len(questions), bool)
        same = np.array([known[fold(word)] for word in self.words[: rules.restrict_vocab]], int)
        right[whole] = self._answers(questions[whole, 1:4], same) == questions[whole, 4]
        counted = np.ones_like(whole) if rules.dummy4unknown else whole
        correct, total = (
            np.bincount(questions[these, 0], minlength=len(names)).tolist()
            for these in (right, counted)
        )
        sections = tuple(itertools.starmap(Section, zip(names, correct, total, strict=True)))
        everything = Section("Total accuracy", sum(correct), sum(total))
        return Analogies(sections, everything, 100 * float((~whole).mean()))

    def _answers(self, questions: np.ndarray, same: np.ndarray) -> np.ndarray:
        """Row that answers each question by 3CosAdd: int (Q,) for rows of a, b, c (Q, 3).

        `same` (R,) is the first row of the same folded word. Rows a, b and c are left out; of the
        five best others the first that is not a, b or c in another case answers, else the last,
        which is gensim's rule. Of equal scores the lower row is first. -1: no other word.
        """
        unit = self.normalised
        answers = np.full(len(questions), -1)
        step = max(1, _SCORES // max(len(same), 1))
        for start in range(0, len(questions), step):
            part = questions[start : start + step]
            answer = answers[start : start + step]  # a view
            scores = (unit[part[:, 1]] + unit[part[:, 2]] - unit[part[:, 0]]) @ unit[: len(same)].T
            np.put_along_axis(scores, part, -np.inf, 1)
            left = np.arange(len(part))
            for turn in range(5):
                best = (scores if turn == 0 else scores[left]).argmax(1)
                there = np.isfinite(scores[left, best])
                left, best = left[there], best[there]
                answer[left] = same[best]
                scores[left, best] = -np.inf
                left = left[(part[left] == same[best][:, None]).any(1)]
                if not left.size:
                    break
        return answers


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view


def load(path: Path) -> Vectors:
    """Read any format of `vectorfiles.read`, which see. Raises InputError."""
    return Vectors(*vectorfiles.read(path))


def save_text(path: Path, vectors: Vectors) -> None:
    """Write word2vec text; see `vectorfiles.write_text`."""
    vectorfiles.write_text(path, vectors.words, vectors.table)


def save_binary(path: Path, vectors: Vectors, newlines: bool = False) -> None:
    """Write word2vec binary; see `vectorfiles.write_binary`."""
    vectorfiles.write_binary(path, vectors.words, vectors.table, newlines)


def save_npz(path: Path, vectors: Vectors) -> None:
    """Write .npz; see `vectorfiles.write_npz`."""
    vectorfiles.write_npz(path, vectors.words, vectors.table)
