"""gensim's options of `Word2Vec` that are not among ours: taken without an effect, or refused."""

from collections.abc import Mapping
from typing import Any

from jaxdl.errors import InputError

# They change nothing here, or nothing that can be changed.
WITHOUT_EFFECT = (
    *("workers", "batch_words", "compute_loss", "comment", "max_vocab_size", "progress_per"),
    *("keep_raw_vocab", "corpus_count"),
)
# What they do by default, and what to use instead of the rest.
UNSUPPORTED: dict[str, tuple[Any, str]] = {
    "trim_rule": (None, "leave words out of the sentences, or use min_count and max_final_vocab"),
    "hashfxn": (hash, "the start depends on the seed alone"),
    "null_word": (0, "no row is kept for it"),
    "sorted_vocab": (1, "the most frequent words come first"),
}


def check_others(others: Mapping[str, Any]) -> None:
    """InputError for an option of gensim's that is not supported, or of nobody's."""
    for name, value in others.items():
        default, instead = UNSUPPORTED.get(name, (value, ""))
        if value is not None and value != default:
            raise InputError(f"Word2Vec({name}=...): is not supported: {instead}")
        if name not in (*UNSUPPORTED, *WITHOUT_EFFECT):
            raise InputError(f"Word2Vec has no option {name!r}; see help(Word2Vec)")


def check_loss(hs: int, negative: int, cbow_mean: int) -> None:
    """InputError for a loss that is none of ours."""
    if bool(hs) == bool(negative):
        raise InputError(
            f"hs={hs}, negative={negative}: one loss is trained: hs=1, negative=0 or hs=0, "
            "negative=5"
        )
    if not cbow_mean:
        raise InputError("cbow_mean=0: the sum of the context is not supported; use the mean")
