"""gensim's evaluations of word vectors: judged word pairs and analogies, with its rules.

Source: gensim 4.4.0's keyedvectors.py, whose numbers these are.
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
from jaxdl.word2vec.vector_files import read_text_file
from jaxdl.word2vec.vectors import Vectors, unit

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


def read_word_pairs(path: Path, delimiter: str = "\t") -> list[tuple[str, str, float]]:
    """Word, word and judgement of each line; # starts a comment, other lines are passed over.

    Raises:
        InputError: unreadable, fewer than two pairs, or a judgement that is not finite.
    """
    found = []
    for line in re.split("\r\n|\r|\n", read_text_file(path)):
        if line.startswith("#"):
            continue
        try:
            a, b, number = line.split(delimiter)
            found.append((a, b, float(number)))
        except ValueError:
            continue
    if len(found) < 2 or not all(abs(judged) < LARGEST for _, _, judged in found):
        raise InputError(
            f"{path}: {len(found)} usable pairs; give two or more, finite: word, word, number by "
            f"{delimiter!r}"
        )
    return found


def evaluate_word_pairs(
    vectors: Vectors, path: Path, delimiter: str = "\t", rules: Rules = GENSIM
) -> WordPairs:
    """Cosines beside human judgement, of the pairs of `read_word_pairs`, which raises.

    Fewer than two pairs of known words have no correlation: NaN.
    """
    fold, known = rules.known(vectors.words)
    gold, model, oov = [], [], 0
    for first, second, judged in read_word_pairs(path, delimiter):
        a, b = fold(first), fold(second)
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
    share = 100 * oov / (len(x) if rules.dummy4unknown else len(x) + oov)
    if len(x) < 2:
        return WordPairs(math.nan, math.nan, share, len(x))
    # Here, as it takes half a second: runs without judged pairs do without.
    from scipy.stats import rankdata

    return WordPairs(_pearson(x, y), _pearson(rankdata(x), rankdata(y)), share, len(x))


def read_analogies(path: Path) -> tuple[list[str], list[tuple[int, tuple[str, ...]]]]:
    """The names of the sections (a line ": name" starts one), and each question's section and four
    words; other lines are passed over.

    Raises:
        InputError: unreadable, a line before the first section, no questions.
    """
    names: list[str] = []
    questions: list[tuple[int, tuple[str, ...]]] = []
    for number, line in enumerate(read_text_file(path).removesuffix("\n").split("\n"), 1):
        if line.startswith(": "):
            names.append(line.lstrip(": ").strip())
        elif not names:
            raise InputError(f"{path}, line {number}: no section yet; put ': its name' first")
        elif len(words := line.split()) == 4:
            questions.append((len(names) - 1, tuple(words)))
    if not questions:
        raise InputError(f"{path}: no questions; give lines of four words")
    return names, questions


def evaluate_analogies(vectors: Vectors, path: Path, rules: Rules = GENSIM) -> Analogies:
    """Questions "a b c d" (a is to b as c is to d) of `read_analogies`, which raises.

    See `_answers` for what counts as the answer.
    """
    fold, known = rules.known(vectors.words)
    names, asked = read_analogies(path)
    # Section, then the rows of a, b, c, d: -1 if unknown.
    questions = np.array(
        [(section, *(known.get(fold(word), -1) for word in words)) for section, words in asked]
    )
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
