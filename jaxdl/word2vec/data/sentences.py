"""Sentences of a Python program, written as the text that the encoder reads; their phrases."""

import tempfile
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

from jaxdl.errors import InputError
from jaxdl.files.text import show
from jaxdl.word2vec.data.corpus import encode
from jaxdl.word2vec.data.phrases import Rules

BLANK = "\ue000"  # stands for a blank within a token: the text is split at blanks


def paths_of(given: Any) -> tuple[Path, ...]:
    return (Path(given),) if isinstance(given, (str, Path)) else tuple(map(Path, given))


def read_sentences(files: Iterable[Path]) -> Iterable[list[str]]:
    """The sentences of text files."""
    for path in files:
        try:
            with path.open(encoding="utf-8") as lines:
                yield from (line.split() for line in lines)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read as UTF-8 text ({error})") from error


def check_token(token: Any) -> None:
    if not isinstance(token, str):
        raise InputError(f"the token {token!r} is not a text; give lists of words")
    blank = not token or any(c.isspace() and c != " " for c in token)
    if blank or BLANK in token or token != token.strip():
        raise InputError(f"the token {show(token)} is empty, or has white space; split it first")


def write_sentences(path: Path, sentences: Iterable[Any], known: frozenset[str] | None) -> Path:
    """The sentences as text, one a line; only the words that are known, if some are."""
    if isinstance(sentences, (str, bytes)):
        raise InputError("sentences is a text; give lists of words, or corpus_file=PATH")
    checked: set[str] = set()
    count = written = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for count, sentence in enumerate(sentences, 1):
            if isinstance(sentence, (str, bytes)):
                text = f"sentence {count} is a text ({show(str(sentence)[:40])})"
                raise InputError(f"{text}; split it into words")
            tokens = [t for t in sentence if known is None or t in known]
            for token in tokens:
                if token not in checked:
                    check_token(token)
                    checked.add(token)
            file.write(" ".join(t.replace(" ", BLANK) for t in tokens) + "\n")
            written += len(tokens)
    if not count:
        raise InputError("no sentence: an iterator can be read once; give a list, or a new one")
    if not written:
        text = "has a word" if known is None else "has a word of the vocabulary"
        raise InputError(f"none of {count} sentences {text}; there is nothing to train on")
    return path


def phrases(
    sentences: Iterable[Any],
    passes: int = 1,
    min_count: int = 5,
    threshold: float | int = 10.0,
) -> list[list[str]]:
    """The sentences with words joined that come together more often than by chance: new_york.

    One pass gives what gensim's ``Phrases(sentences)[sentences]`` does; a second one makes phrases
    of phrases. Source: Mikolov et al. 2013; see `jaxdl.word2vec.data.phrases`.

    Args:
        sentences: lists of tokens, read once.
        passes: how often.
        min_count: a pair of words must come more often.
        threshold: its score must be above.

    Returns:
        The sentences that have a token; one of more than 10,000 tokens in several.

    Raises:
        InputError: sentences that are none, or a number that is out of range.
    """
    if passes < 1 or min_count < 1 or not 0 < threshold < float("inf"):
        text = f"passes={passes}, min_count={min_count}, threshold={threshold}"
        raise InputError(f"{text}: give 1 or more, and a threshold above 0")
    with tempfile.TemporaryDirectory(prefix="jaxdl-") as place:
        folder = Path(place)
        file = write_sentences(folder / "sentences.txt", sentences, None)
        rules = Rules(passes, min_count, float(threshold))
        corpus = encode([file], folder / "cache", tokens="split", min_count=1, phrases=rules)
        words = [word.replace(BLANK, " ") for word in corpus.words]
        return [
            [words[row] for row in corpus.ids[start:end].tolist()]
            for start, end in pairwise(corpus.sentences.tolist())
        ]
