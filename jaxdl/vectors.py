"""Word vectors: the files of word2vec.c and gensim, neighbours, analogies, gensim's evaluations.

Text is a header "V D", then a line "word x1 .. xD" each; binary has D little-endian float32 after
"word ", then a newline (word2vec.c) or none (gensim). A file's figures are held against its size
before memory is taken, and nothing is unpickled. Sources: word2vec.c (Mikolov et al. 2013), gensim
4.4.0's keyedvectors.py; 3CosAdd and 3CosMul: Levy, Goldberg 2014.
"""

import difflib
import gzip
import itertools
import math
import os
import re
import struct
import zipfile
import zlib
from array import array
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import BufferedIOBase
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from jaxdl.errors import InputError

Table = Float32[np.ndarray, "V D"]
Neighbours = list[tuple[str, float]]
_LONGEST = 1 << 20  # bytes of a word
_SCORES = 1 << 24  # scores in one product: 64 MiB
_TIGHTEST = 1032  # deflate's highest ratio
_NPY = rb"\{'descr': '%b', 'fortran_order': False, 'shape': \(([\d, ]{1,50})\), \}\s*"
_NUMBER = re.compile(rb"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?([nN][aA][nN]|[iI][nN][fF])")

_DAMAGE = (OSError, EOFError, ValueError, RuntimeError, OverflowError)
_DAMAGE += (struct.error, zlib.error, zipfile.BadZipFile)


def _show(word: str | bytes) -> str:
    return repr(word) if len(word) <= 40 else f"{word[:40]!r}..."


def _unit(rows: np.ndarray) -> Table:
    """Rows (n, D) at length 1, through float64 as gensim's `unitvec`; a zero row stays zero."""
    rows = rows.astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows * (1 / np.where(norms > 0, norms, 1))).astype(np.float32)


def _pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Correlation of two float64 (n,); NaN where one is constant."""
    x, y = x - x.mean(), y - y.mean()
    scale = math.sqrt(x @ x) * math.sqrt(y @ y)
    return float(x @ y) / scale if scale else math.nan


def _ranks(x: np.ndarray) -> np.ndarray:
    """Ranks from 1 of float64 (n,); equal values share the mean of theirs."""
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


@dataclass(frozen=True, slots=True)
class Rules:
    """gensim's options: use the first `restrict_vocab` words, in upper case or not; leave out what
    has an unknown word, or count it as cosine 0 or as a wrong answer (`dummy4unknown`)."""

    restrict_vocab: int | None = 300_000
    case_insensitive: bool = True
    dummy4unknown: bool = False

    def known(self, words: Sequence[str]) -> tuple[Callable[[str], str], dict[str, int]]:
        """How to fold a word, and the first row of each folded word."""
        fold, words = str.upper if self.case_insensitive else str, words[: self.restrict_vocab]
        return fold, {fold(words[row]): row for row in reversed(range(len(words)))}


GENSIM = Rules()


class WordPairs(NamedTuple):
    """Correlations with human judgement over `pairs` pairs; `oov`: unknown pairs in percent."""

    pearson: float
    spearman: float
    oov: float
    pairs: int


class Section(NamedTuple):
    """A section of analogies: questions answered right, and asked."""

    name: str
    correct: int
    asked: int

    @property
    def accuracy(self) -> float:
        """From 0 to 1; 0 if nothing was asked."""
        return self.correct / max(self.asked, 1)


class Analogies(NamedTuple):
    """The sections in the file's order, their sum, and unknown questions in percent."""

    sections: tuple[Section, ...]
    total: Section
    oov: float


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
            raise InputError(f"the word {_show(twice)} comes twice; give each word once")
        if (bad := _not_finite(self.table)) >= 0:
            text = f"NaN or infinity in the vector of {_show(self.words[bad])}"
            raise InputError(f"{text}; train again with a lower learning rate")
        object.__setattr__(self, "table", _read_only(self.table))

    @cached_property
    def index(self) -> dict[str, int]:
        """Word -> row."""
        return {word: row for row, word in enumerate(self.words)}

    @cached_property
    def normalised(self) -> Table:
        """The table with every row at length 1 (zero rows stay zero), made when first asked."""
        blocks = [_unit(self.table[at : at + 65536]) for at in range(0, len(self.words), 65536)]
        return _read_only(np.concatenate(blocks))

    def rows(self, words: str | Sequence[str]) -> list[int]:
        """Rows of words; an unknown one raises InputError with up to three close spellings."""
        words = [words] if isinstance(words, str) else words
        for word in (word for word in words if word not in self.index):
            close = [w for w in (word.lower(), word.title(), word.upper()) if w in self.index]
            if len(word) <= 40:  # bounded: the most frequent 100,000, of about the same length
                near = [w for w in self.words[:100_000] if abs(len(w) - len(word)) <= 2]
                close += difflib.get_close_matches(word, near)
            names = ", ".join(_show(w) for w in list(dict.fromkeys(close))[:3])
            hint = f"did you mean {names}?" if names else "none is spelt like it; ask for another"
            raise InputError(f"{_show(word)} is not among the {len(self.words)} words; {hint}")
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
        return self._best(self.normalised @ _unit(query[None])[0], plus + minus, topn)

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
        unit = self.normalised[self.rows(words)]
        return min(zip((unit @ _unit(unit.sum(0)[None])[0]).tolist(), words, strict=True))[1]

    def evaluate_word_pairs(
        self, path: Path, delimiter: str = "\t", rules: Rules = GENSIM
    ) -> WordPairs:
        """Cosines beside human judgement: lines of word, word, number; # starts a comment.

        As gensim does, other lines are passed over. InputError: unreadable, fewer than two pairs.
        """
        fold, known = rules.known(self.words)
        gold, model, oov = [], [], 0
        for line in re.split("\r\n|\r|\n", _read_text_file(path)):
            if line.startswith("#"):
                continue
            try:
                a, b, number = fold(line).split(delimiter)
                judged = float(number)
            except ValueError:
                continue
            unknown = a not in known or b not in known
            oov += unknown
            if not unknown:
                # One float32 product each: rounded, and so tied in rank, as gensim's.
                pair = _unit(self.table[[known[a], known[b]]])
                model.append(float(pair[0] @ pair[1]))
            elif rules.dummy4unknown:
                model.append(0.0)
            gold.extend([judged] * (len(model) - len(gold)))
        x, y = np.array(gold), np.array(model)
        if len(x) < 2 or not np.isfinite(x).all():
            text = f"{len(x)} usable pairs, {oov} with unknown words"
            raise InputError(
                f"{path}: {text}; give two or more, finite: word, word, number by {delimiter!r}"
            )
        share = 100 * oov / (len(x) if rules.dummy4unknown else len(x) + oov)
        return WordPairs(_pearson(x, y), _pearson(_ranks(x), _ranks(y)), share, len(x))

    def evaluate_analogies(self, path: Path, rules: Rules = GENSIM) -> Analogies:
        """Questions "a b c d" (a is to b as c is to d), in sections that a line ": name" starts.

        As gensim does, lines not of four words are passed over; see `_answers` for what counts as
        the answer. InputError: unreadable, a line before the first section, no questions.
        """
        fold, known = rules.known(self.words)
        names: list[str] = []
        asked: list[tuple[int, ...]] = []  # section, then the rows of a, b, c, d: -1 if unknown
        for number, line in enumerate(_read_text_file(path).removesuffix("\n").split("\n"), 1):
            if line.startswith(": "):
                names.append(line.lstrip(": ").strip())
            elif not names:
                raise InputError(f"{path}, line {number}: no section yet; put ': its name' first")
            elif len(words := fold(line).split()) == 4:
                asked.append((len(names) - 1, *(known.get(word, -1) for word in words)))
        if not asked:
            raise InputError(f"{path}: no questions; give lines of four words")
        questions = np.array(asked)
        whole = questions.min(1) >= 0
        right = np.zeros(len(questions), bool)
        same = np.array([known[fold(word)] for word in self.words[: rules.restrict_vocab]], int)
        right[whole] = self._answers(questions[whole, 1:4], same) == questions[whole, 4]
        counted = np.ones_like(whole) if rules.dummy4unknown else whole
        correct, total = (
            np.bincount(questions[these, 0], minlength=len(names)).tolist()
            for these in (right, counted)
        )
        sections = tuple(itertools.starmap(Section, zip(names, correct, total, strict=True)))
        everything = Section("Total accuracy", sum(correct), sum(total))
        return Analogies(sections, everything, 100 * float((~whole).mean()))

    def _answers(self, questions: np.ndarray, same: np.ndarray) -> np.ndarray:
        """Row that answers each question by 3CosAdd: int (Q,) for rows of a, b, c (Q, 3).

        `same` (R,) is the first row of the same folded word. Rows a, b and c are left out; of the
        five best others the first that is not a, b or c in another case answers, else the last,
        which is gensim's rule. Of equal scores the lower row is first. -1: no other word.
        """
        unit = self.normalised
        answers = np.full(len(questions), -1)
        step = max(1, _SCORES // max(len(same), 1))
        for start in range(0, len(questions), step):
            part = questions[start : start + step]
            answer = answers[start : start + step]  # a view
            scores = (unit[part[:, 1]] + unit[part[:, 2]] - unit[part[:, 0]]) @ unit[: len(same)].T
            np.put_along_axis(scores, part, -np.inf, 1)
            left = np.arange(len(part))
            for turn in range(5):
                best = (scores if turn == 0 else scores[left]).argmax(1)
                there = np.isfinite(scores[left, best])
                left, best = left[there], best[there]
                answer[left] = same[best]
                scores[left, best] = -np.inf
                left = left[(part[left] == same[best][:, None]).any(1)]
                if not left.size:
                    break
        return answers


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view


def _not_finite(table: Table) -> int:
    """The first row with NaN or infinity, or -1."""
    for at in range(0, len(table), 65536):
        finite = np.isfinite(table[at : at + 65536]).all(1)
        if not finite.all():
            return at + int(finite.argmin())
    return -1


@contextmanager
def _reading(path: Path) -> Generator[tuple[BufferedIOBase, int]]:
    """A file's bytes, unpacked if it is gzip, and how many they are.

    What unpackers raise over a damaged file is told as one line about the file.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not packed:
                yield file, os.fstat(file.fileno()).st_size
                return
            with gzip.open(file) as stream:
                size = 0
                while block := stream.read(1 << 20):
                    size += len(block)
                stream.seek(0)
                yield stream, size
    except InputError:
        raise
    except _DAMAGE as error:
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        reason = " ".join(reason.split())
        text = f"cannot be read ({reason}); check the path, or fetch the file again"
        raise InputError(f"{path}: {text}") from error


def _read_text_file(path: Path) -> str:
    """A whole file of UTF-8, plain or gzip, at most 64 MiB; else InputError."""
    with _reading(path) as (stream, size):
        if size > 1 << 26:
            raise InputError(f"{path}: {size} bytes, more than 64 MiB; give an evaluation set")
        content: bytes = stream.read()
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, line {line}: is not UTF-8; save it as UTF-8") from error


def _inside(raw: bytes) -> str:
    """Says so where a word that was cut off ends in the middle of a character."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":
            return ", in the middle of a character"
    return ""


def load(path: Path) -> Vectors:
    """Read word2vec text or binary, or an .npz of `save_npz`; each may be packed with gzip.

    The content tells the format, but .txt and .vec are text, and .bin is binary where one or two
    numbers a word could be either. Bytes that are not UTF-8 become surrogate escapes, which saving
    turns back. Of a word that comes twice the first counts, as in gensim.

    Raises:
        InputError: missing, cut short, no header or one that does not fit, a row that is not its
            word and D numbers, an empty word, NaN or infinity, anything pickled.
    """
    with _reading(path) as (stream, size):
        if stream.read(2) == b"PK":
            words, table = _read_npz(path, stream, size)
            return _first_of_each(path, words, table, lambda row: f"word {row + 1}")
        stream.seek(0)
        header = stream.readline(100)
        match = re.fullmatch(rb"[ \t]*(-?\d+)[ \t]+(-?\d+)[ \t]*\r?\n", header)
        if not match:
            text = "put the number of words and of dimensions there, as GloVe's files need"
            if header[:1] == b"\x80":
                text = "this is a pickle, which can run code; let gensim save_word2vec_format it"
            raise InputError(f"{path}, line 1: {_show(header)} is not a header; {text}")
        count, width = int(match[1]), int(match[2])
        if count < 1 or width < 1:
            raise InputError(f"{path}, line 1: {count} words of {width} numbers; give 1 or more")
        _fits(path, count, width, count * (2 * width + 2), size - len(header))
        peek = [stream.readline(_LONGEST + 64 * width) for _ in range(min(3, count))]
        stream.seek(len(header))
        name = path.name.lower().removesuffix(".gz")
        if name.endswith((".txt", ".vec")) or (
            not (name.endswith(".bin") and width < 3) and all(_is_row(line, width) for line in peek)
        ):
            words, table = _read_text(path, stream, count, width)
            return _first_of_each(path, words, table, lambda row: f"line {row + 2}")
        _fits(path, count, width, count * (4 * width + 2), size - len(header))
        words, table, starts = _read_binary(path, stream, count, width)
        return _first_of_each(path, words, table, lambda row: f"byte {starts[row]}")


def _fits(path: Path, count: int, width: int, least: int, size: int) -> None:
    if least > size:
        text = f"{count} words of {width} numbers take {least} bytes or more, and {size} follow"
        raise InputError(f"{path}, line 1: {text}; the file is cut short, or this line is wrong")


def _is_row(line: bytes, width: int) -> bool:
    """Whether a line is a word and as many numbers as it should be."""
    _, *numbers = line.rstrip().split(b" ")
    return len(numbers) == width and all(map(_NUMBER.fullmatch, numbers))


def _first_of_each(
    path: Path, words: list[str], table: Table, where: Callable[[int], str]
) -> Vectors:
    """The vectors without words that came before; `where` tells the place of a row."""
    if (bad := _not_finite(table)) >= 0:
        text = f"NaN or infinity in the vector of {_show(words[bad])}; train again, or mend it"
        raise InputError(f"{path}, {where(bad)}: {text}")
    first = {words[row]: row for row in reversed(range(len(words)))}
    if len(first) < len(words):
        rows = sorted(first.values())
        words, table = [words[row] for row in rows], table[rows]
    return Vectors(tuple(words), table)


def _read_text(
    path: Path, stream: BufferedIOBase, count: int, width: int
) -> tuple[list[str], Table]:
    words: list[str] = []
    table = np.empty((count, width), np.float32)
    longest = _LONGEST + 64 * width
    for row in range(count):
        line = stream.readline(longest)
        word, *numbers = line.rstrip().split(b" ")
        at = f"{path}, line {row + 2}"
        if not line.endswith(b"\n"):
            if len(line) == longest:
                raise InputError(f"{at}: more than {longest} bytes; is this a vectors file?")
            text = f"the file ends before line {row + 2}'s end{'' if numbers else _inside(word)}"
            whole = "fetch it again, or end its last line if that is whole"
            raise InputError(f"{at}: {text}, word {row + 1} of {count}; {whole}")
        if not word or len(numbers) != width:
            text = f"the word {_show(word)} and {len(numbers)} numbers, where line 1 says {width}"
            raise InputError(f"{at}: {text}; give a word without spaces, then its numbers")
        try:
            table[row] = array("f", map(float, numbers))
        except (ValueError, OverflowError) as error:
            wrong = next((n for n in numbers if not _NUMBER.fullmatch(n)), b"")
            raise InputError(f"{at}: {_show(wrong)} is no float32; mend the line") from error
        words.append(word.decode("utf-8", "surrogateescape"))
    _ends(path, count, stream.read(longest).strip())
    return words, table


def _ends(path: Path, count: int, rest: bytes) -> None:
    if rest:
        text = f"goes on after the {count} words that line 1 counts, with {_show(rest)}"
        raise InputError(f"{path}: {text}; correct the count, or fetch the file again")


def _read_binary(
    path: Path, stream: BufferedIOBase, count: int, width: int
) -> tuple[list[str], Table, array]:
    words: list[str] = []
    table = np.empty((count, width), np.float32)
    starts = array("q")  # byte of each vector
    held, at, need = b"", 0, 4 * width  # held[at:] is not read yet
    for row in range(count):
        while (space := held.find(b" ", at)) < 0 or len(held) - space <= need:
            block = stream.read(max(1 << 20, need))
            if not block or (space < 0 and len(held) - at > _LONGEST):
                tail = held[at:].lstrip(b"\n")
                part = f"a word{_inside(tail)}" if space < 0 else "a vector"
                text = f"no end of {part}, number {row + 1} of {count}, read as binary"
                raise InputError(f"{path}, byte {stream.tell()}: {text}; fetch the file again")
            held, at = held[at:] + block, 0
        word = held[at:space].lstrip(b"\n")  # word2vec.c's newline after a vector
        starts.append(stream.tell() - len(held) + space + 1)
        if not word:
            text = f"word {row + 1} of {count} is empty, read as binary"
            raise InputError(f"{path}, byte {starts[row]}: {text}; fetch the file again")
        words.append(word.decode("utf-8", "surrogateescape"))
        table[row] = np.frombuffer(held, "<f4", width, space + 1)
        at = space + 1 + need
    _ends(path, count, (held[at:] + stream.read(1 << 10)).lstrip(b"\n"))
    return words, table, starts


def _read_npz(path: Path, stream: BufferedIOBase, size: int) -> tuple[list[str], Table]:
    with zipfile.ZipFile(stream) as archive:
        raw = _member(path, archive, "words", np.dtype("u1"), 1, size)
        table = _member(path, archive, "vectors", np.dtype("<f4"), 2, size)
    words = raw.tobytes().decode("utf-8", "surrogateescape").split("\n")
    if not table.size or len(words) != len(table) or not all(words):
        text = f"{len(words)} words, {words.count('')} of them empty, for vectors {table.shape}"
        raise InputError(f"{path}: {text}; write it with save_npz")
    return words, table.astype(np.float32, copy=False)


def _member(
    path: Path, archive: zipfile.ZipFile, name: str, dtype: np.dtype, ndim: int, size: int
) -> np.ndarray:
    """An array of an .npz, with its size held against the file's before it is read."""
    if f"{name}.npy" not in archive.namelist():
        raise InputError(f"{path}: no array {name!r}; give an .npz that save_npz wrote")
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as file:
        # NumPy's reader would evaluate the header as Python; this is what its writer puts there.
        file.read(8)
        header = file.read(int.from_bytes(file.read(2), "little"))
        match = re.fullmatch(_NPY % re.escape(dtype.str.encode()), header)
        shape = tuple(map(int, re.findall(rb"\d+", match[1]))) if match else ()
        if len(shape) != ndim or 0 in shape:
            text = f"{name} is {_show(header.strip())}, expected {ndim}-D {dtype} in C order"
            raise InputError(f"{path}: {text}; write it with save_npz")
        least, there = math.prod(shape) * dtype.itemsize, info.file_size - 10 - len(header)
        deflated = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        if not deflated or least != there or info.file_size > size * _TIGHTEST:
            text = f"{name} {shape} takes {least} bytes, and {there} are there"
            raise InputError(f"{path}: {text}; fetch the file again")
        return np.frombuffer(file.read(), dtype).reshape(shape)


@contextmanager
def _writing(path: Path) -> Generator[BufferedIOBase]:
    """A file that appears whole or not at all; packed if it is named .gz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            if path.suffix.lower() == ".gz":
                with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
                    yield packed
            else:
                yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _encoded(path: Path, words: Sequence[str]) -> list[bytes]:
    """Words as bytes, or InputError for one that would not be read back."""
    encoded = []
    for word in words:
        try:
            raw = word.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raw = b""
        same = raw.decode("utf-8", "surrogateescape") == word and 0 < len(raw) <= _LONGEST
        if not same or b" " in raw or b"\n" in raw:
            text = "is empty, has a space or a newline, or is no text in UTF-8"
            raise InputError(f"{path}: the word {_show(word)} {text}; rename it before saving")
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
    """Write word2vec binary: as gensim 4.4.0, or with `newlines` as word2vec.c; see `save_text`."""
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
        table = np.ascontiguousarray(vectors.table, "<f4")
        np.savez(file, allow_pickle=False, words=joined, vectors=table)
