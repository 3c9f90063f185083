"""What the word2vec experiment measures and leaves behind of its vectors."""

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from experiments.word2vec_data import Vocabulary
from jaxdl import report
from jaxdl.evaluation import evaluate_analogies, evaluate_word_pairs
from jaxdl.vectors import Vectors, save_binary

if TYPE_CHECKING:
    from experiments.word2vec import Config

MAP_WORDS = 400
NEIGHBOURS = 8


def evaluate(cfg: "Config", vocabulary: Vocabulary, inputs: jax.Array) -> dict[str, Any]:
    """The scores of every --word-pairs and --analogies file."""
    if not cfg.word_pairs and not cfg.analogies:
        return {}
    vectors = Vectors(vocabulary.words, np.asarray(inputs))
    found: dict[str, Any] = {}
    for path in cfg.word_pairs:
        pairs = evaluate_word_pairs(vectors, path)
        every = round(pairs.pairs / max(1e-9, 1 - pairs.oov / 100))
        scores = {"score": pairs.spearman, "pearson": pairs.pearson}
        found[path.name] = {"kind": "pairs", **scores, "used": pairs.pairs, "all": every}
    for path in cfg.analogies:
        answers = evaluate_analogies(vectors, path)
        found[path.name] = {
            "kind": "analogies",
            "score": answers.total.accuracy,
            "used": answers.total.asked,
            "all": round(answers.total.asked / max(1e-9, 1 - answers.oov / 100)),
        }
    return found


def doubts(rows: list[dict[str, Any]]) -> list[str]:
    """Why the vectors of a run with these rows of metrics are no good result."""
    if any(row["train"]["pairs"] for row in rows):
        return []
    return [
        "not one pair of words was trained on: the vectors are the random start; give more text, "
        "with several words of the vocabulary a line (split, if it has no blanks between words), "
        "or lower --min-count or --subsample"
    ]


def chosen_words(cfg: "Config", vocabulary: Vocabulary) -> list[str]:
    """--words that are there, or a dozen spread over the more frequent ones."""
    known = set(vocabulary.words)
    if cfg.words:
        return [word for word in cfg.words if word in known]
    long = [word for word in vocabulary.words[50:5000] if len(word) > 3] or vocabulary.words[:12]
    places = np.unique(np.geomspace(1, len(long), 12).astype(int)) - 1
    return [long[place] for place in places]


def write_results(cfg: "Config", vocabulary: Vocabulary, inputs: np.ndarray) -> None:
    """vectors.bin, and what the report shows of them."""
    vectors = Vectors(vocabulary.words, inputs)
    save_binary(cfg.out / "vectors.bin", vectors)
    counts = dict(zip(vocabulary.words, vocabulary.counts.tolist(), strict=True))
    shown = [
        {"word": w, "count": counts[w], "neighbours": vectors.most_similar(w, topn=NEIGHBOURS)}
        for w in chosen_words(cfg, vocabulary)
    ]
    report.write_json(cfg.out / "neighbours.json", {"words": shown})
    words = vocabulary.words[:MAP_WORDS]
    from jaxdl.wordfigures import word_map  # matplotlib takes long to import

    drawn = word_map(words, inputs[:MAP_WORDS], cfg.seed)
    drawn["counts"] = vocabulary.counts[:MAP_WORDS].tolist()
    report.write_json(cfg.out / "map.json", drawn)
