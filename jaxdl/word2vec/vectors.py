"""A table of word vectors, and writing it; `vector_files` reads files of other tools too.

Sources: gensim 4.4.0's keyedvectors.py; word2vec.c.
"""

import difflib
import gzip
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import BufferedIOBase, BufferedWriter
from pathlib import Path

import numpy as np

from jaxdl.errors import InputError
from jaxdl.files.atomic import whole_file
from jaxdl.files.text import show
from jaxdl.word2vec.vector_files import not_finite, read
from jaxdl.word2vec.vector_rows import ANY, LONGEST_WORD, Format, Table

Neighbours = list[tuple[str, float]]
Opened = Callable[[Path], AbstractContextManager[BufferedWriter]]
_BLOCK = 65536  # rows that are worked on at once


class UnknownWord(InputError, KeyError):
    """A word that has no vector; the message names close spellings. A KeyError too, as gensim's."""

    __str__ = Exception.__str__  # KeyError's would quote the message


def unit(rows: np.ndarray) -> Table:
    """Rows (n, D) at length 1, through float64 as gensim's `unitvec`; a zero row stays zero."""
    rows = rows.astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows * (1 / np.where(norms > 0, norms, 1))).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Vectors:
    """Words, most frequent first, and their vectors, float32 or float16 (V, D), read-only.

    Raises InputError: no words, a word twice, not one vector a word, NaN or infinity.
    """

    words: tuple[str, ...]
    table: Table

    def __post_init__(self) -> None:
        if not self.table.size or len(self.words) != len(self.table):
            raise InputError(f"{len(self.words)} words, table {self.table.shape}; give (V, D)")
        if len(self.index) != len(self.words):
            twice = next(w for row, w in enumerate(self.words) if self.index[w] != row)
            raise InputError(f"the word {show(twice)} comes twice; give each word once")
        if (bad := not_finite(self.table)) >= 0:
            text = f"NaN or infinity in the vector of {show(self.words[bad])}"
            raise InputError(f"{text}; train again with a lower learning rate")
        object.__setattr__(self, "table", _read_only(self.table))

    @cached_property
    def index(self) -> dict[str, int]:
        """Word -> row."""
        return {word: row for row, word in enumerate(self.words)}

    @cached_property
    def normalised(self) -> Table:
        """The table with every row at length 1 (zero rows stay zero), made when first asked."""
        blocks = [unit(self.table[at : at + _BLOCK]) for at in range(0, len(self.words), _BLOCK)]
        return _read_only(np.concatenate(blocks))

    @cached_property
    def _norms(self) -> np.ndarray:
        """Length of each row, float64 (V,); 1 of a zero row."""
        blocks = (self.table[at : at + _BLOCK] for at in range(0, len(self.words), _BLOCK))
        norms = np.concatenate([np.linalg.norm(rows.astype("f8"), axis=1) for rows in blocks])
        return np.where(norms > 0, norms, 1)

    def cosines(self, query: np.ndarray) -> np.ndarray:
        """Product of a vector, float32 (D,), with each row at length 1: float32 (V,).

        No second table is made, so that a table on the disk stays there.
        """
        if not 1e-15 < self._norms.min() <= self._norms.max() < 1e15:
            return self.normalised @ query  # products of such rows have no float32
        found = np.empty(len(self.words), np.float32)
        for at in range(0, len(found), _BLOCK):
            found[at : at + _BLOCK] = self.table[at : at + _BLOCK].astype("f4", copy=False) @ query
        return (found / self._norms).astype(np.float32)

    def rows(self, words: str | Sequence[str]) -> list[int]:
        """Rows of words; an unknown one raises UnknownWord with up to three close spellings."""
        words = [words] if isinstance(words, str) else words
        for word in (word for word in words if word not in self.index):
            close = [w for w in (word.lower(), word.title(), word.upper()) if w in self.index]
            if len(word) <= 40:  # bounded: the most frequent 100,000, of about the same length
                near = [w for w in self.words[:100_000] if abs(len(w) - len(word)) <= 2]
                close += difflib.get_close_matches(word, near)
            names = ", ".join(show(w) for w in list(dict.fromkeys(close))[:3])
            hint = f"did you mean {names}?" if names else "none is spelt like it; ask for another"
            raise UnknownWord(f"{show(word)} is not among the {len(self.words)} words; {hint}")
        return [self.index[word] for word in words]

    def best(self, scores: np.ndarray, leave: Sequence[int], topn: int, first: int) -> Neighbours:
        """Words of the best scores, best first; of equal scores the lower row.

        Args:
            scores: (n,) of the rows from `first` on; is changed.
            leave: rows that are left out.
            topn: so many at most.
            first: row of the first score.
        """
        left_out = {row - first for row in leave if first <= row < first + len(scores)}
        scores[list(left_out)] = -np.inf
        topn = min(topn, len(scores) - len(left_out))
        if topn < 1:
            return []
        found = np.flatnonzero(scores >= np.partition(scores, -topn)[-topn])
        found = found[np.argsort(-scores[found], kind="stable")][:topn]
        return [(self.words[first + row], float(scores[row])) for row in found]


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view


def load(path: Path, form: Format = ANY) -> Vectors:
    """Read any format of `vector_files.read`, which see. Raises InputError."""
    return Vectors(*read(path, form))


@contextmanager
def _writing(path: Path, opened: Opened) -> Generator[BufferedIOBase]:
    """A file that appears whole or not at all; packed if it is named .gz."""
    with opened(path) as file:
        if path.suffix.lower() == ".gz":
            with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
                yield packed
        else:
            yield file


def _encoded(path: Path, words: Sequence[str], apart: bytes = b" \n") -> list[bytes]:
    """Words as bytes, or InputError for one that would not be read back."""
    encoded = []
    for word in words:
        try:
            raw = word.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raw = b""
        same = raw.decode("utf-8", "surrogateescape") == word and 0 < len(raw) <= LONGEST_WORD
        if not same or any(byte in raw for byte in apart):
            text = "is empty, has a blank or a newline, or is no text in UTF-8"
            raise InputError(f"{path}: the word {show(word)} {text}; rename it before saving")
        encoded.append(raw)
    return encoded


def save_text(
    path: Path, vectors: Vectors, *, header: bool = True, opened: Opened = whole_file
) -> None:
    """Write word2vec text, byte for byte as gensim 4.4.0: the shortest digits of each number.

    The file appears whole or not at all, packed if it is named .gz. Raises InputError for a word
    that a reader would take apart: empty, with a blank or newline, over 1 MiB.

    Args:
        path: of the file.
        vectors: what is written.
        header: whether the first line has the number of words and of dimensions; GloVe has none.
        opened: how the file is opened; raises as it.
    """
    encoded = _encoded(path, vectors.words)
    with _writing(path, opened) as file:
        if header:
            file.write(b"%d %d\n" % vectors.table.shape)
        for word, vector in zip(encoded, vectors.table, strict=True):
            file.write(b"%b %b\n" % (word, " ".join(map(str, vector)).encode()))


def save_binary(
    path: Path, vectors: Vectors, newlines: bool = False, *, opened: Opened = whole_file
) -> None:
    """Write word2vec binary as gensim, or with `newlines` as word2vec.c; see `save_text`."""
    encoded = _encoded(path, vectors.words)
    with _writing(path, opened) as file:
        file.write(b"%d %d\n" % vectors.table.shape)
        for word, vector in zip(encoded, vectors.table, strict=True):
            file.write(b"%b %b%b" % (word, vector.astype("<f4").tobytes(), b"\n" * newlines))


def save_npz(path: Path, vectors: Vectors, *, opened: Opened = whole_file) -> None:
    """Write .npz: `vectors` float32 or float16 (V, D), `words` uint8: UTF-8, newlines between.

    The words are split by ``bytes(npz["words"]).decode().split("\\n")``; see `save_text`.
    """
    if path.suffix.lower() == ".gz":
        raise InputError(f"{path}: an .npz is not packed again; give it another name")
    joined = np.frombuffer(b"\n".join(_encoded(path, vectors.words, b"\n")), np.uint8)
    dtype = vectors.table.dtype.newbyteorder("<")
    with opened(path) as file:
        whole = np.ascontiguousarray(vectors.table, dtype)
        np.savez(file, allow_pickle=False, words=joined, vectors=whole)
