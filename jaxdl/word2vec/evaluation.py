"""gensim's evaluations of word vectors: judged word pairs and analogies, with its rules.

Source: gensim 4.4.0's keyedvectors.py, whose numbers these are.
"""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxdl.word2vec.evaluation_files import read_analogies, read_word_pairs
from jaxdl.word2vec.vectors import Vectors, unit

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
    vectors: Vectors,
    path: Path,
    delimiter: str | None = None,
    rules: Rules = GENSIM,
    encoding: str = "utf-8",
) -> WordPairs:
    """Cosines beside human judgement, of the pairs of `read_word_pairs`, which raises.

    Fewer than two pairs of known words have no correlation: NaN.
    """
    fold, known = rules.known(vectors.words)
    gold, model, oov = [], [], 0
    for first, second, judged in read_word_pairs(path, delimiter, encoding):
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


class Answers(NamedTuple):
    """Analogies question by question.

    Attributes:
        names: of the sections, in the file's order.
        asked: section and the four words, folded, of each question that counts.
        right: whether it was answered right, bool (n,).
        oov: unknown questions in percent.
    """

    names: list[str]
    asked: list[tuple[int, tuple[str, ...]]]
    right: np.ndarray
    oov: float


def answer_analogies(vectors: Vectors, path: Path, rules: Rules = GENSIM) -> Answers:
    """Answer the questions "a b c d" (a is to b as c is to d) of `read_analogies`, which raises.

    See `_answers` for what counts as the answer.
    """
    fold, known = rules.known(vectors.words)
    names, listed = read_analogies(path)
    asked = [(section, tuple(map(fold, words))) for section, words in listed]
    rows = np.array([[known.get(word, -1) for word in words] for _, words in asked])
    whole = rows.min(1) >= 0
    right = np.zeros(len(asked), bool)
    same = np.array([known[fold(word)] for word in vectors.words[: rules.restrict_vocab]], int)
    right[whole] = _answers(vectors, rows[whole, :3], same) == rows[whole, 3]
    counted = np.ones_like(whole) if rules.dummy4unknown else whole
    asked = list(itertools.compress(asked, counted))
    return Answers(names, asked, right[counted], 100 * float((~whole).mean()))


def evaluate_analogies(vectors: Vectors, path: Path, rules: Rules = GENSIM) -> Analogies:
    """The counts of `answer_analogies`, which raises."""
    found = answer_analogies(vectors, path, rules)
    sections = np.array([section for section, _ in found.asked], int)
    correct, total = (
        np.bincount(these, minlength=len(found.names)).tolist()
        for these in (sections[found.right], sections)
    )
    counts = tuple(itertools.starmap(Section, zip(found.names, correct, total, strict=True)))
    return Analogies(counts, Section("Total accuracy", sum(correct), sum(total)), found.oov)


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


def scores_of(
    vectors: Vectors, word_pairs: Sequence[Path], analogies: Sequence[Path]
) -> dict[str, dict[str, Any]]:
    """The score of each file, by its name; files of one name are told apart by their whole paths.

    Each has its "kind", "score", the lines "used" and "all"; pairs have "pearson" too. A score is
    NaN if the vectors have too few of the file's words.
    """
    often = Counter(path.name for path in (*word_pairs, *analogies))
    found: dict[str, dict[str, Any]] = {}

    def add(path: Path, kind: str, score: float, used: int, every: int, **more: float) -> None:
        name = str(path) if often[path.name] > 1 else path.name
        found[name] = {"kind": kind, "score": score, **more, "used": used, "all": every}

    for path in word_pairs:
        pairs, every = evaluate_word_pairs(vectors, path), len(read_word_pairs(path))
        add(path, "pairs", pairs.spearman, pairs.pairs, every, pearson=pairs.pearson)
    for path in analogies:
        total, every = evaluate_analogies(vectors, path).total, len(read_analogies(path)[1])
        add(path, "analogies", total.accuracy if total.asked else math.nan, total.asked, every)
    return found


def in_words(score: float | None, digits: int = 3) -> str:
    """A score or loss as it is printed; a dash if there is none."""
    return "-" if score is None or math.isnan(score) else f"{score:.{digits}f}"


def without_score(found: dict[str, dict[str, Any]]) -> list[str]:
    """A warning for each file of `scores_of` that has no score."""
    return [
        f"{name}: no score, with only {one['used']} of {one['all']} lines of known words; "
        "give an evaluation in the text's language, or train with a lower --min-count"
        for name, one in found.items()
        if in_words(one["score"]) == "-"
    ]
