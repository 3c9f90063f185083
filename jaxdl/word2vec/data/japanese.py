"""Japanese text -> words, by SudachiPy and its core dictionary (the extra `ja`).

Words are as they stand in the text (mode C: names and compounds stay whole), in lower case; signs
and numbers are left out, as with the tokens `words`.
"""

import threading
from importlib import metadata
from typing import Any

from jaxdl.errors import InputError

_PIECE = 8000  # letters at once: Sudachi takes 49,149 bytes
_local = threading.local()  # a tokeniser serves one thread


def versions() -> str:
    """Of the tokeniser and its dictionary, which decide the words.

    Raises:
        InputError: they are not installed.
    """
    try:
        return " ".join(metadata.version(name) for name in ("sudachipy", "sudachidict_core"))
    except metadata.PackageNotFoundError as error:
        raise InputError(
            "--tokens ja: needs SudachiPy and its dictionary: pip install 'jaxdl-functional[ja]'"
        ) from error


def words_of(line: str) -> list[str]:
    """The words of a line."""
    tokenizer: Any = getattr(_local, "tokenizer", None)
    if tokenizer is None:
        import sudachipy

        tokenizer = sudachipy.Dictionary().tokenizer(mode=sudachipy.SplitMode.C)
        _local.tokenizer = tokenizer
    found = []
    for start in range(0, len(line), _PIECE):
        for morpheme in tokenizer.tokenize(line[start : start + _PIECE]):
            word = morpheme.surface().lower()
            if any(map(str.isalpha, word)) and not word.isspace():
                found.append("".join(word.split()))
    return found


def cut(data: bytes) -> int:
    """A number of bytes after which no word is open: at a line's or a sentence's end."""
    for end in (b"\n", "。".encode()):
        if (at := data.rfind(end)) >= 0:
            return at + len(end)
    return 0
