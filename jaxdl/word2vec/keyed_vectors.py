"""Word vectors as a Python object, with the methods of gensim 4.4.0's `KeyedVectors`.

Here: evaluation and files; above it `keyed_queries`, and `keyed_table`. Names, meanings and
defaults are those of gensim's keyedvectors.py; the README beside this file has the differences. No
JAX is needed.
"""

import codecs
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jaxdl.errors import InputError
from jaxdl.files.atomic import write_bytes
from jaxdl.files.limits import read_bytes
from jaxdl.files.text import reason
from jaxdl.word2vec import evaluation, vectors
from jaxdl.word2vec.keyed_queries import KeyedQueries
from jaxdl.word2vec.keyed_table import Own, float_dtype
from jaxdl.word2vec.vector_rows import Format
from jaxdl.word2vec.vectors import Vectors

VOCABULARY = "vocabulary.txt"  # of a run


def path_of(given: str | Path) -> Path:
    """The file of vectors: that of a run folder, or the file itself. InputError: there is none."""
    path = Path(given)
    path = path / "vectors.bin" if path.is_dir() else path
    if not path.is_file():
        from jaxdl.training.opening import check_overwriting  # imports jax, which takes long

        check_overwriting(path)
        raise InputError(f"{path}: there is no such file; name a finished run or a vectors file")
    return path


def _counts(path: Path, words: Sequence[str]) -> np.ndarray:
    """Counts of words, int64 (V,), from a line "word count" each, a blank or tab between."""
    try:
        text = read_bytes(path, 1 << 32).decode("utf-8", "surrogateescape")
        lines = [re.fullmatch(r"(.+)[ \t](\d+)\r?", line) for line in text.split("\n") if line]
        counts = {line[1]: int(line[2]) for line in lines if line is not None}
        return np.array([counts[word] for word in words], np.int64)
    except (OSError, KeyError, OverflowError) as error:
        text = f'no line "word count" for each word ({reason(error)})'
        raise InputError(
            f"{path}: {text}; give the file that was written with the vectors"
        ) from error


def _p_value(correlation: float, count: int) -> float:
    """Two-sided, of `count` pairs that have nothing to do with each other."""
    from scipy.special import stdtr  # here, as queries do without

    if count < 3 or math.isnan(correlation):
        return math.nan
    left = (1 - correlation) * (1 + correlation)
    t = math.inf if left <= 0 else abs(correlation) * math.sqrt((count - 2) / left)
    return float(2 * stdtr(count - 2, -t))


class KeyedVectors(KeyedQueries):
    """Words and their vectors, and the questions that they answer; see `KeyedTable` for arguments.

    A word without a vector raises UnknownWord: an InputError that is a KeyError too.
    """

    def evaluate_word_pairs(
        self,
        pairs: str | Path,
        delimiter: str | None = None,
        encoding: str = "utf-8",
        restrict_vocab: int | None = 300_000,
        case_insensitive: bool = True,
        dummy4unknown: bool = False,
    ) -> tuple[tuple[float, float], tuple[float, float], float]:
        """Correlation with human judgement; see `evaluation.read_word_pairs` for the file.

        Returns:
            Pearson's and Spearman's, each with its p-value, and the unknown pairs in percent.

        Raises:
            InputError: the file cannot be used, or fewer than two of its pairs are known.
        """
        rules = evaluation.Rules(restrict_vocab, case_insensitive, dummy4unknown)
        table = self.table
        found = evaluation.evaluate_word_pairs(table, Path(pairs), delimiter, rules, encoding)
        if found.pairs < 2:
            text = "give pairs in the language and the case of the vectors"
            raise InputError(f"{pairs}: {found.pairs} pairs of known words; {text}")
        both = (found.pearson, found.spearman)
        first, second = ((value, _p_value(value, found.pairs)) for value in both)
        return first, second, found.oov

    def evaluate_word_analogies(
        self,
        analogies: str | Path,
        restrict_vocab: int | None = 300_000,
        case_insensitive: bool = True,
        dummy4unknown: bool = False,
        similarity_function: Literal["most_similar"] = "most_similar",
    ) -> tuple[float, list[dict[str, Any]]]:
        """Share of analogy questions that are answered right, NaN if none was asked.

        Returns:
            The share, and for each section and "Total accuracy" its name ("section") and the
            questions, four words each, that were "correct" and "incorrect".
        """
        if similarity_function != "most_similar":
            raise InputError(f"similarity_function {similarity_function!r}: give most_similar")
        rules = evaluation.Rules(restrict_vocab, case_insensitive, dummy4unknown)
        found = evaluation.answer_analogies(self.table, Path(analogies), rules)
        sections: list[dict[str, Any]] = [
            {"section": name, "correct": [], "incorrect": []} for name in found.names
        ]
        total: dict[str, Any] = {"section": "Total accuracy", "correct": [], "incorrect": []}
        for (section, words), right in zip(found.asked, found.right, strict=True):
            for one in (sections[section], total):
                one["correct" if right else "incorrect"].append(words)
        count = len(found.asked)
        return len(total["correct"]) / count if count else math.nan, [*sections, total]

    def save_word2vec_format(
        self,
        fname: str | Path,
        fvocab: Any = None,
        binary: bool = False,
        total_vec: Any = None,
        write_header: bool = True,
        prefix: str = "",
        append: bool = False,
    ) -> None:
        """Write word2vec's text or binary, in the order of the rows; packed if it is named .gz.

        Args:
            fname: of the file, which appears whole or not at all.
            fvocab: file for a line "word count" each.
            total_vec, append: not supported.
            binary: else text.
            write_header: GloVe's text has none.
            prefix: is put before each word.

        Raises:
            InputError: a word that a reader would take apart: with a blank or newline, over 1 MiB.
        """
        if total_vec is not None or append:
            raise InputError("total_vec, append: not supported; write one whole file")
        if binary and not write_header:
            raise InputError("write_header=False: binary files need their header; write text")
        table = self.table
        if prefix:
            table = Vectors(tuple(f"{prefix}{word}" for word in table.words), table.table)
        lines: list[str] = []
        if fvocab is not None:
            lines = [f"{prefix}{word} {self.get_vecattr(word, 'count')}\n" for word in self]
        if binary:
            vectors.save_binary(Path(fname), table)
        else:
            vectors.save_text(Path(fname), table, header=write_header)
        if fvocab is not None:
            write_bytes(Path(fvocab), "".join(lines).encode("utf-8", "surrogateescape"))

    @classmethod
    def load_word2vec_format(
        cls: type[Own],
        fname: str | Path,
        fvocab: Any = None,
        binary: bool = False,
        encoding: str = "utf-8",
        unicode_errors: str = "strict",
        limit: int | None = None,
        datatype: Any = np.float32,
        no_header: bool = False,
    ) -> Own:
        """Read word2vec's text or binary, or GloVe's text; each may be packed by gzip.

        Args:
            fname: of the file.
            fvocab: file of a line "word count" each; gives the words their counts.
            binary: else text.
            encoding: of the words.
            unicode_errors: what becomes of words in another encoding, as `bytes.decode` takes it.
            limit: only so many first words are read.
            datatype: float32 or float16.
            no_header: the first line is a word already, as in GloVe's files.

        Raises:
            InputError: the file cannot be read as this; see `vector_files.read`.
        """
        if no_header and binary:
            raise InputError("no_header: binary files need their header; give binary=False")
        if limit is not None and limit < 0:
            raise InputError(f"limit {limit}: give 1 or more, or None for all")
        try:
            codecs.lookup(encoding), codecs.lookup_error(unicode_errors)
        except LookupError as error:
            raise InputError(f"{error}: give utf-8, and strict or surrogateescape") from error
        kind: Literal["text", "binary"] = "binary" if binary else "text"
        dtype = float_dtype(datatype)
        form = Format(kind, not no_header, limit or None, encoding, unicode_errors, dtype)
        found = vectors.load(Path(fname), form)
        return cls.of(found, None if fvocab is None else _counts(Path(fvocab), found.words))

    def intersect_word2vec_format(
        self,
        fname: str | Path,
        lockf: float | int = 0.0,
        binary: bool = False,
        encoding: str = "utf-8",
        unicode_errors: str = "strict",
    ) -> None:
        """Take the vectors of a file for the words that are here too; the others stay.

        Args:
            fname: of the file, in word2vec's format.
            lockf: must be 1: training goes on from the vectors. None can be kept from it.
            binary, encoding, unicode_errors: see `load_word2vec_format`.

        Raises:
            InputError: the file cannot be read, its vectors have another length, or it has none of
                the words.
        """
        if lockf != 1:
            raise InputError(f"lockf={lockf}: vectors cannot be kept from training; give lockf=1.0")
        found = type(self).load_word2vec_format(fname, None, binary, encoding, unicode_errors)
        if found.vector_size != self.vector_size:
            text = f"vectors of {found.vector_size} numbers, and these have {self.vector_size}"
            raise InputError(f"{fname}: has {text}; use vector_size={found.vector_size}")
        if not (common := [word for word in self if word in found]):
            raise InputError(f"{fname}: has none of the {len(self)} words; look at its spelling")
        self.add_vectors(common, found[common], replace=True)

    @property
    def vectors_lockf(self) -> np.ndarray:
        """Ones: gensim's factor of each vector in training. Assigned, it must be ones too."""
        return np.broadcast_to(np.float32(1), len(self))

    @vectors_lockf.setter
    def vectors_lockf(self, factors: Any) -> None:
        if not (np.asarray(factors) == 1).all():
            raise InputError("vectors_lockf: vectors cannot be kept from training; leave it at 1")

    def save(self, fname: str | Path) -> None:
        """Write an .npz, by whatever name; nothing is pickled. `load` reads it."""
        vectors.save_npz(Path(fname), self.table)

    @classmethod
    def load(cls: type[Own], fname: str | Path, mmap: Literal["r"] | None = None) -> Own:
        """Read what `save` wrote, any other file of vectors, or a run's folder.

        Args:
            fname: of the file or folder.
            mmap: "r" leaves the vectors that `save` wrote on the disk; they are read when used.
        """
        if mmap not in (None, "r"):
            raise InputError(f"mmap {mmap!r}: vectors are read-only; give 'r' or None")
        path = path_of(fname)
        found, vocabulary = (
            vectors.load(path, Format(mmap=mmap == "r")),
            path.parent / "vocabulary.txt",
        )
        is_run = Path(fname).is_dir() and vocabulary.is_file()
        return cls.of(found, _counts(vocabulary, found.words) if is_run else None)
