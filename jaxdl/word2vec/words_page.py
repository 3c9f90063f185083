"""``words.html``: word vectors on one page that looks words up, without a server.

The page holds each vector's direction in whole numbers of 8 bits, and a map of the most frequent
words. Its Content-Security-Policy allows its own script and no address.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Int8

from jaxdl.files.atomic import write_bytes
from jaxdl.report.scripted import base64_text, render_page
from jaxdl.training.steps import Say
from jaxdl.word2vec.keyed_vectors import path_of
from jaxdl.word2vec.vectors import Vectors, load, unit

FILE = "words.html"
MOST = 10_000  # words on the page
MAPPED = 1000  # words on its map
LARGEST = 1_350_000  # bytes of vectors, before base64 adds a third: the page stays below 2 MB
_OWN = Path(__file__).parent


def export_page(
    run: Path,
    path: Path,
    write: Callable[[Path, bytes], None] = write_bytes,
    say: Say = print,
) -> None:
    """Write the page of a run, or of a file of vectors.

    Args:
        run: as `jaxdl.word2vec.keyed_vectors.path_of` takes it.
        path: where to.
        write: writes it.
        say: gets the line for the user.

    Raises:
        InputError: the vectors cannot be read.
    """
    vectors = load(path_of(run))
    content = page_bytes(vectors)
    write(path, content)
    shown, count = shown_words(vectors), len(vectors.words)
    few = f" most frequent of {count:,}" if shown < count else ""
    say(f"{shown:,}{few} words on a page of {len(content) / 1e6:.1f} MB: {path}")


def shown_words(vectors: Vectors) -> int:
    """How many words, the most frequent, the page has room for."""
    return min(len(vectors.words), MOST, max(1, LARGEST // vectors.table.shape[1]))


def page_bytes(vectors: Vectors, mapped: int = MAPPED) -> bytes:
    """The page.

    Args:
        vectors: the most frequent word first.
        mapped: so many words, at most, are on the map.
    """
    count = shown_words(vectors)
    words, table = vectors.words[:count], vectors.table[:count]
    from jaxdl.word2vec.word_map import word_map  # scikit-learn takes long to import

    places = word_map(words[:mapped], table[:mapped].astype(np.float32), 0)
    data = {
        "words": words,
        "width": table.shape[1],
        "all": len(vectors.words),
        "map": {axis: [round(value, 2) for value in places[axis]] for axis in "xy"},
    }
    return render_page(
        _OWN / "words.html.j2",
        [_OWN / "words.js", _OWN / "words_map.js"],
        _OWN / "words.css",
        data,
        {},
        vectors=base64_text(quantised(table).tobytes()),
    )


def quantised(table: np.ndarray) -> Int8[np.ndarray, "n d"]:
    """The direction of each row (n, d) in whole numbers, the largest of a row 127 or -127."""
    rows = unit(table)
    largest = np.abs(rows).max(1, keepdims=True)
    return np.rint(rows * (127 / np.where(largest > 0, largest, 1))).astype(np.int8)
