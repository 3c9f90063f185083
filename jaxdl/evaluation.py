"""gensim's evaluations of word vectors: judged word pairs and analogies, with its rules.

Source: gensim 4.4.0's keyedvectors.py, whose figures these are.
"""

import itertools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxdl.errors import InputError
from jaxdl.vectorfiles import read_text_file
from jaxdl.vectors import Vectors, unit

LARGEST = 1e100  # of a judgement: the square of a larger one may be infinite
_SCORES = 1 << 24  # scores in one product: 64 MiB


def _pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Correlation of two float64 (n,); NaN where one is constant."""
    x, y = x - x.mean(), y - y.mean()
    scale = math.sqrt(x @ x) * math.sqrt(y @ y)
    return float(x @ y) / scale if scale else math.nan


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


def evaluate_word_pairs(
    vectors: Vectors, path: Path, delimiter: str = "\t", rules: Rules = GENSIM
) -> WordPairs:
    """Cosines beside human judgement: lines of word, word, number; # starts a comment.

    As gensim does, other lines are passed over. InputError: unreadable, fewer than two pairs.
    """
    fold, known = rules.known(vectors.words)
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
            pair = unit(vectors.table[[known[a], known[b]]])
            model.append(float(pair[0] @ pair[1]))
        elif rules.dummy4unknown:
            model.append(0.0)
        gold.extend([judged] * (len(model) - len(gold)))
    x, y = np.array(gold), np.array(model)
    if len(x) < 2 or not (np.abs(x) < LARGEST).all():
        text = f"{len(x)} usable pairs, {oov} with unknown words"
        raise InputError(
            f"{path}: {text}; give two or more, finite: word, word, number by {delimiter!r}"
        )
    share = 100 * oov / (len(x) if rules.dummy4unknown else len(x) + oov)
    # Here, as it takes half a second: runs without judged pairs do without.
    from scipy.stats import rankdata

    return WordPairs(_pearson(x, y), _pearson(rankdata(x), rankdata(y)), share, len(x))


def evaluate_analogies(vectors: Vectors, path: Path, rules: Rules = GENSIM) -> Analogies:
    """Questions "a b c d" (a is to b as c is to d), in sections that a line ": name" starts.

    As gensim does, lines not of four words are passed over; see `_answers` for what counts as
    the answer. InputError: unreadable, a line before the first section, no questions.
    """
    fold, known = rules.known(vectors.words)
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
    same = np.array([known[fold(word)] for word in vectors.words[: rules.restrict_vocab]], int)
    right[whole] = _answers(vectors, questions[whole, 1:4], same) == questions[whole, 4]
    counted = np.ones_like(whole) if rules.dummy4unknown else whole
    correct, total = (
        np.bincount(questions[these, 0], minlength=len(names)).tolist()
        for these in (right, counted)
    )
    sections = tuple(itertools.starmap(Section, zip(names, correct, total, strict=True)))
    everything = Section("Total accuracy", sum(correct), sum(total))
    return Analogies(sections, everything, 100 * float((~whole).mean()))


def _answers(vectors: Vectors, questions: np.ndarray, same: np.ndarray) -> np.ndarray:
    """Row that answers each question by 3CosAdd: int (Q,) for rows of a, b, c (Q, 3).

    `same` (R,) is the first row of the same folded word. Rows a, b and c are left out; of the
    five best others the first that is not a, b or c in another case answers, else the last,
    which is gensim's rule. Of equal scores the lower row is first. -1: no other word.
    """
    rows = vectors.normalised
    answers = np.full(len(questions), -1)
    step = max(1, _SCORES // max(len(same), 1))
    for start in range(0, len(questions), step):
        part = questions[start : start + step]
        answer = answers[start : start + step]  # a view
        scores = (rows[part[:, 1]] + rows[part[:, 2]] - rows[part[:, 0]]) @ rows[: len(same)].T
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
