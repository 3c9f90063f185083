"""What the word2vec experiment measures and leaves behind of its vectors."""

from typing import Any

import jax
import numpy as np

from jaxdl.files import atomic
from jaxdl.files.text import show
from jaxdl.word2vec.config import Config
from jaxdl.word2vec.dataset import Vocabulary
from jaxdl.word2vec.evaluation import scores_of, without_score
from jaxdl.word2vec.keyed_vectors import KeyedVectors
from jaxdl.word2vec.vectors import Vectors, save_binary

MAP_WORDS = 400
NEIGHBOURS = 8


def evaluate(cfg: Config, vocabulary: Vocabulary, inputs: jax.Array) -> dict[str, Any]:
    """`scores_of` every --word-pairs and --analogies file."""
    if not (cfg.word_pairs or cfg.analogies):
        return {}
    vectors = Vectors(vocabulary.words, np.asarray(inputs))
    return scores_of(vectors, cfg.word_pairs, cfg.analogies)


def doubts(cfg: Config, vocabulary: Vocabulary, rows: list[dict[str, Any]]) -> list[str]:
    """Why the vectors of a run with these rows of metrics are no good result, or not shown."""
    known = set(vocabulary.words)
    unknown = [show(word) for word in cfg.words if word not in known]
    found = without_score(rows[-1]["evaluation"])
    if unknown:
        text = f"not among the {len(known):,} words of the vocabulary, so not shown"
        found = [f"--words {', '.join(unknown)}: {text}", *found]
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
    keyed = KeyedVectors.of(vectors)
    counts = dict(zip(vocabulary.words, vocabulary.counts.tolist(), strict=True))
    shown = [
        {"word": w, "count": counts[w], "neighbours": keyed.most_similar(w, topn=NEIGHBOURS)}
        for w in chosen_words(cfg, vocabulary)
    ]
    atomic.write_json(cfg.out / "neighbours.json", {"words": shown})
    words = vocabulary.words[:MAP_WORDS]
    from jaxdl.word2vec.word_map import word_map  # matplotlib takes long to import

    drawn = word_map(words, inputs[:MAP_WORDS], cfg.seed)
    drawn["counts"] = vocabulary.counts[:MAP_WORDS].tolist()
    atomic.write_json(cfg.out / "map.json", drawn)
