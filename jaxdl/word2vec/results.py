"""What the word2vec experiment measures and leaves behind of its vectors."""

import math
from collections import Counter
from typing import Any

import jax
import numpy as np

from jaxdl.files import atomic
from jaxdl.word2vec.config import Config
from jaxdl.word2vec.dataset import Vocabulary
from jaxdl.word2vec.evaluation import (
    evaluate_analogies,
    evaluate_word_pairs,
    read_analogies,
    read_word_pairs,
)
from jaxdl.word2vec.vectors import Vectors, save_binary

MAP_WORDS = 400
NEIGHBOURS = 8


def check_evaluations(cfg: Config) -> None:
    """Refuse an evaluation file that cannot be used, before anything is trained.

    Raises:
        InputError: names the file and what it should hold.
    """
    for path in cfg.word_pairs:
        read_word_pairs(path)
    for path in cfg.analogies:
        read_analogies(path)


def evaluate(cfg: Config, vocabulary: Vocabulary, inputs: jax.Array) -> dict[str, Any]:
    """The scores of every --word-pairs and --analogies file, by its name.

    Files of one name are told apart by their whole paths. A score is NaN if the vocabulary has too
    few of the file's words.
    """
    files = (*cfg.word_pairs, *cfg.analogies)
    if not files:
        return {}
    often = Counter(path.name for path in files)
    names = [str(path) if often[path.name] > 1 else path.name for path in files]
    vectors = Vectors(vocabulary.words, np.asarray(inputs))
    found: dict[str, Any] = {}
    for name, path in zip(names, cfg.word_pairs, strict=False):
        pairs = evaluate_word_pairs(vectors, path)
        scores = {"score": pairs.spearman, "pearson": pairs.pearson}
        every = len(read_word_pairs(path))
        found[name] = {"kind": "pairs", **scores, "used": pairs.pairs, "all": every}
    for name, path in zip(names[len(cfg.word_pairs) :], cfg.analogies, strict=True):
        answers = evaluate_analogies(vectors, path).total
        score = answers.accuracy if answers.asked else math.nan
        every = len(read_analogies(path)[1])
        found[name] = {"kind": "analogies", "score": score, "used": answers.asked, "all": every}
    return found


def doubts(rows: list[dict[str, Any]]) -> list[str]:
    """Why the vectors of a run with these rows of metrics are no good result."""
    found = [
        f"{name}: no score, with only {one['used']} of {one['all']} lines of known words; "
        "give an evaluation in the text's language, or lower --min-count"
        for name, one in rows[-1]["evaluation"].items()
        if one["score"] is None
    ]
    if any(row["train"]["pairs"] for row in rows):
        return found
    return [
        "not one pair of words was trained on: the vectors are the random start; give more text, "
        "with several words of the vocabulary a line (split, if it has no blanks between words), "
        "or lower --min-count or --subsample",
        *found,
    ]


def chosen_words(cfg: Config, vocabulary: Vocabulary) -> list[str]:
    """--words that are there, or a dozen spread over the more frequent ones."""
    known = set(vocabulary.words)
    if cfg.words:
        return [word for word in cfg.words if word in known]
    long = [word for word in vocabulary.words[50:5000] if len(word) > 3] or vocabulary.words[:12]
    places = np.unique(np.geomspace(1, len(long), 12).astype(int)) - 1
    return [long[place] for place in places]


def write_results(cfg: Config, vocabulary: Vocabulary, inputs: np.ndarray) -> None:
    """vectors.bin, and what the report shows of them."""
    vectors = Vectors(vocabulary.words, inputs)
    save_binary(cfg.out / "vectors.bin", vectors)
    counts = dict(zip(vocabulary.words, vocabulary.counts.tolist(), strict=True))
    shown = [
        {"word": w, "count": counts[w], "neighbours": vectors.most_similar(w, topn=NEIGHBOURS)}
        for w in chosen_words(cfg, vocabulary)
    ]
    atomic.write_json(cfg.out / "neighbours.json", {"words": shown})
    words = vocabulary.words[:MAP_WORDS]
    from jaxdl.word2vec.word_map import word_map  # matplotlib takes long to import

    drawn = word_map(words, inputs[:MAP_WORDS], cfg.seed)
    drawn["counts"] = vocabulary.counts[:MAP_WORDS].tolist()
    atomic.write_json(cfg.out / "map.json", drawn)
