"""Sentences of a Python program, written as the text that the encoder reads."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jaxdl.errors import InputError
from jaxdl.files.text import show

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
    count = 0
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
    if not count:
        raise InputError("no sentence: an iterator can be read once; give a list, or a new one")
    return path
