"""Word vectors: neighbours, analogies, saving; `vectorfiles` reads files of other tools too.

Sources: gensim 4.4.0's keyedvectors.py; word2vec.c; 3CosAdd and 3CosMul: Levy, Goldberg 2014.
"""

import difflib
import gzip
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import BufferedIOBase
from pathlib import Path

import numpy as np

from jaxdl import vectorfiles
from jaxdl.atomic import whole_file
from jaxdl.errors import InputError
from jaxdl.limits import show
from jaxdl.vectorfiles import LONGEST_WORD, Table, not_finite

Neighbours = list[tuple[str, float]]


def unit(rows: np.ndarray) -> Table:
    """Rows (n, D) at length 1, through float64 as gensim's `unitvec`; a zero row stays zero."""
    rows = rows.astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows * (1 / np.where(norms > 0, norms, 1))).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Vectors:
    """Words, most frequent first, and their vectors, float32 (V, D), read-only.

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
        blocks = [unit(self.table[at : at + 65536]) for at in range(0, len(self.words), 65536)]
        return _read_only(np.concatenate(blocks))

    def rows(self, words: str | Sequence[str]) -> list[int]:
        """Rows of words; an unknown one raises InputError with up to three close spellings."""
        words = [words] if isinstance(words, str) else words
        for word in (word for word in words if word not in self.index):
            close = [w for w in (word.lower(), word.title(), word.upper()) if w in self.index]
            if len(word) <= 40:  # bounded: the most frequent 100,000, of about the same length
                near = [w for w in self.words[:100_000] if abs(len(w) - len(word)) <= 2]
                close += difflib.get_close_matches(word, near)
            names = ", ".join(show(w) for w in list(dict.fromkeys(close))[:3])
            hint = f"did you mean {names}?" if names else "none is spelt like it; ask for another"
            raise InputError(f"{show(word)} is not among the {len(self.words)} words; {hint}")
        return [self.index[word] for word in words]

    def _best(self, scores: np.ndarray, leave: list[int], topn: int) -> Neighbours:
        """Best first, of equal scores the lower row."""
        scores[leave] = -np.inf
        topn = min(topn, len(self.words) - len(set(leave)))
        if topn < 1:
            return []
        found = np.flatnonzero(scores >= np.partition(scores, -topn)[-topn])
        found = found[np.argsort(-scores[found], kind="stable")][:topn]
        return [(self.words[row], float(scores[row])) for row in found]

    def most_similar(
        self, positive: str | Sequence[str], negative: str | Sequence[str] = (), topn: int = 10
    ) -> Neighbours:
        """Words by cosine with the sum of unit vectors, `negative` ones subtracted; best first.

        The words given are left out. Raises InputError for an unknown word, or if none is given.
        """
        plus, minus = self.rows(positive), self.rows(negative)
        if not plus + minus:
            raise InputError("no word to compare with; give one at least")
        query = self.normalised[plus].sum(0) - self.normalised[minus].sum(0)
        return self._best(self.normalised @ unit(query[None])[0], plus + minus, topn)

    def analogy(
        self, a: str, b: str, c: str, method: str = "3cosadd", topn: int = 10
    ) -> Neighbours:
        """Words that are to c as b is to a (man, king, woman: queen), best first.

        "3cosadd" is most_similar([b, c], a); "3cosmul" scores cos b cos c / (cos a + 1e-6), cosines
        moved to 0..1. Raises InputError for an unknown word or method.
        """
        if method == "3cosadd":
            return self.most_similar([b, c], a, topn)
        if method != "3cosmul":
            raise InputError(f"no analogy method {method!r}; give 3cosadd or 3cosmul")
        rows = self.rows([a, b, c])
        at_a, at_b, at_c = (1 + self.normalised[rows] @ self.normalised.T) / 2
        return self._best(at_b * at_c / (at_a + np.float32(1e-6)), rows, topn)

    def doesnt_match(self, words: Sequence[str]) -> str:
        """The word furthest by cosine from the mean of the unit vectors; of equals, the first in
        the alphabet. InputError for an unknown word (gensim drops it) or fewer than three words.
        """
        if len(words) < 3:
            raise InputError(f"{len(words)} words, and of two neither is odd; give three or more")
        rows = self.normalised[self.rows(words)]
        return min(zip((rows @ unit(rows.sum(0)[None])[0]).tolist(), words, strict=True))[1]


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view


def load(path: Path) -> Vectors:
    """Read any format of `vectorfiles.read`, which see. Raises InputError."""
    return Vectors(*vectorfiles.read(path))


@contextmanager
def _writing(path: Path) -> Generator[BufferedIOBase]:
    """A file that appears whole or not at all; packed if it is named .gz."""
    with whole_file(path) as file:
        if path.suffix.lower() == ".gz":
            with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
                yield packed
        else:
            yield file


def _encoded(path: Path, words: Sequence[str]) -> list[bytes]:
    """Words as bytes, or InputError for one that would not be read back."""
    encoded = []
    for word in words:
        try:
            raw = word.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raw = b""
        same = raw.decode("utf-8", "surrogateescape") == word and 0 < len(raw) <= LONGEST_WORD
        if not same or b" " in raw or b"\n" in raw:
            text = "is empty, has a space or a newline, or is no text in UTF-8"
            raise InputError(f"{path}: the word {show(word)} {text}; rename it before saving")
        encoded.append(raw)
    return encoded


def save_text(path: Path, vectors: Vectors) -> None:
    """Write word2vec text, byte for byte as gensim 4.4.0: the shortest digits of each float32.

    The file appears whole or not at all, packed if it is named .gz. Raises InputError for a word
    that a reader would take apart: empty, with a space or newline, over 1 MiB.
    """
    encoded = _encoded(path, vectors.words)
    with _writing(path) as file:
        file.write(b"%d %d\n" % vectors.table.shape)
        for word, vector in zip(encoded, vectors.table, strict=True):
            file.write(b"%b %b\n" % (word, " ".join(map(str, vector)).encode()))


def save_binary(path: Path, vectors: Vectors, newlines: bool = False) -> None:
    """Write word2vec binary as gensim, or with `newlines` as word2vec.c; see `save_text`."""
    encoded = _encoded(path, vectors.words)
    with _writing(path) as file:
        file.write(b"%d %d\n" % vectors.table.shape)
        for word, vector in zip(encoded, vectors.table.astype("<f4", copy=False), strict=True):
            file.write(b"%b %b%b" % (word, vector.tobytes(), b"\n" * newlines))


def save_npz(path: Path, vectors: Vectors) -> None:
    """Write .npz: `vectors` float32 (V, D), `words` uint8: UTF-8, a newline between words.

    The words are split by ``bytes(npz["words"]).decode().split("\\n")``; see `save_text`.
    """
    joined = np.frombuffer(b"\n".join(_encoded(path, vectors.words)), np.uint8)
    with _writing(path) as file:
        whole = np.ascontiguousarray(vectors.table, "<f4")
        np.savez(file, allow_pickle=False, words=joined, vectors=whole)
