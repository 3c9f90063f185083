"""Reading word vectors: word2vec's text and binary, GloVe's text, and .npz, to words and a table.

Text is a header "V D", then a line "word x1 .. xD" each; GloVe's has no header. Binary has D
little-endian float32 after "word ", then a newline (word2vec.c) or none (gensim). A file's numbers
are held against its size before memory is taken, and nothing is unpickled. Sources: word2vec.c
(Mikolov et al. 2013), gensim 4.4.0's keyedvectors.py.
"""

import gzip
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path

import numpy as np

from jaxdl.errors import InputError
from jaxdl.files.limits import check_unpacked
from jaxdl.files.text import reason, show
from jaxdl.word2vec.vector_npz import read_npz
from jaxdl.word2vec.vector_rows import (
    ANY,
    LONGEST_WORD,
    WIDEST,
    Format,
    Table,
    ends,
    is_row,
    read_binary,
    read_text,
)

_HEADER = re.compile(rb"[ \t]*(-?\d+)[ \t]+(-?\d+)[ \t]*\r?\n")
# What other files begin with, and what to do with them.
_OTHERS = {
    b"\x80": "this is a pickle, which can run code; let gensim save_word2vec_format it",
    b"\x93NUMPY": "this is an array without words; give both to KeyedVectors.add_vectors and save",
    b"\xba\x16\x4f\x2f": "this is a fastText model; take the .vec file that was written beside it",
    b"\x89HDF": "this is HDF5, which is not read; write the vectors as word2vec's text",
}


_DAMAGE = (OSError, EOFError, ValueError, RuntimeError, OverflowError)
_DAMAGE += (struct.error, zlib.error, zipfile.BadZipFile, MemoryError)


def not_finite(table: Table) -> int:
    """The first row with NaN or infinity, or -1."""
    for at in range(0, len(table), 65536):
        finite = np.isfinite(table[at : at + 65536]).all(1)
        if not finite.all():
            return at + int(finite.argmin())
    return -1


@contextmanager
def _reading(path: Path) -> Generator[tuple[BufferedIOBase, int]]:
    """A file's bytes, unpacked if it is gzip, and their number.

    Errors of unpackers about a damaged file become one line that names the file.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not packed:
                yield file, os.fstat(file.fileno()).st_size
                return
            with gzip.open(file) as stream:
                size, whole = 0, os.fstat(file.fileno()).st_size
                while block := stream.read(1 << 20):
                    size += len(block)
                    check_unpacked(path, whole, size)
                stream.seek(0)
                yield stream, size
    except InputError:
        raise
    except _DAMAGE as error:
        kind = "" if isinstance(error, OSError) else f"{type(error).__name__}: "
        text = f"cannot be read ({kind}{reason(error)}); check the path, or fetch the file again"
        raise InputError(f"{path}: {text}") from error


def read_text_file(path: Path, encoding: str = "utf-8") -> str:
    """A whole text, plain or gzip, at most 64 MiB, without a byte order mark; else InputError."""
    with _reading(path) as (stream, size):
        if size > 1 << 26:
            raise InputError(f"{path}: {size} bytes, more than 64 MiB; give an evaluation set")
        content: bytes = stream.read()
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line, name = content.count(b"\n", 0, error.start) + 1, encoding.upper()
        raise InputError(f"{path}, line {line}: is not {name}; save it as UTF-8") from error
    except LookupError as error:
        raise InputError(f"{path}: {error}; give utf-8") from error


def read(path: Path, form: Format = ANY) -> tuple[tuple[str, ...], Table]:
    """Read word2vec's text or binary, GloVe's text, or an .npz of `save_npz`; each may be gzip.

    The content tells the format, but .txt and .vec are text, and .bin is binary where one or two
    numbers a word could be either. Bytes that are not UTF-8 become surrogate escapes, which saving
    turns back. Of a word that comes twice the first counts, as in gensim.

    Raises:
        InputError: missing, cut short, a header that does not fit, a row that is not its word and D
            numbers, an empty word, a binary word with a blank, NaN or infinity, anything pickled.
    """
    with _reading(path) as (stream, size):
        if stream.read(2) == b"PK":
            words, table = read_npz(path, stream, size, form.mmap)
            words, table = words[: form.limit], table[: form.limit]
            return _first_of_each(path, words, _cast(table, form), lambda row: f"word {row + 1}")
        if form.mmap:
            raise InputError(f"{path}: only what save wrote can be mapped; load it, and save it")
        stream.seek(0)
        header = stream.readline(100)
        for start, text in _OTHERS.items():
            if header.startswith(start):
                raise InputError(f"{path}, line 1: {show(header)} is not a header; {text}")
        match = _HEADER.fullmatch(header) if form.header is not False else None
        if match is None:
            count, width = _without_header(path, stream, form)
            headed = 0
        else:
            count, width = int(match[1]), int(match[2])
            headed = len(header)
        if count < 1 or not 1 <= width <= WIDEST:
            text = f"{count} words of {width} numbers; give 1 or more, of at most {WIDEST}"
            raise InputError(f"{path}, line 1: {text}")
        whole = form.limit is None or count <= form.limit
        count = count if form.limit is None else min(count, form.limit)
        # As text, whose last line may lack its end.
        _fits(path, count, width, count * (2 * width + 2) - 1, size - headed)
        stream.seek(headed)
        if not headed or _is_text(path, stream, form, count, width):
            stream.seek(headed)
            first = 1 + bool(headed)  # line of the first word
            words, table = read_text(path, stream, count, width, first, form)
            if whole:
                ends(path, count, stream.read(1 << 20).strip())
            return _first_of_each(path, words, table, lambda row: f"line {row + first}")
        _fits(path, count, width, count * (4 * width + 2), size - headed)
        stream.seek(headed)
        words, table, starts = read_binary(path, stream, count, width, form, whole)
        return _first_of_each(path, words, table, lambda row: f"byte {starts[row]}")


def _without_header(path: Path, stream: BufferedIOBase, form: Format) -> tuple[int, int]:
    """Words and numbers a word of a file whose first line is a word already, as GloVe's."""
    stream.seek(0)
    line = stream.readline(LONGEST_WORD)
    width = line.rstrip().count(b" ")
    sure = form.header is False
    stream.seek(0)
    if b"\0" in (start := stream.read(100)):
        text = "binary without a header, as old fastText models; take the .vec file beside it"
        raise InputError(f"{path}, line 1: {show(start)} is not a header: {text}")
    if form.header or form.kind == "binary" or width < 2 - sure or not is_row(line, width):
        text = "nor a word and its numbers; give word2vec's text or binary, GloVe's text, or .npz"
        raise InputError(f"{path}, line 1: {show(line[:100])} is not a header, {text}")
    stream.seek(0)
    count, last = 0, b"\n"
    while block := stream.read(1 << 20):
        if b"\0" in block:  # of a sparse file there may be terabytes
            raise InputError(f"{path}: begins as text, and holds NUL bytes; fetch the file again")
        count += block.count(b"\n")
        last = block[-1:]
    return count + (last != b"\n"), width


def _is_text(path: Path, stream: BufferedIOBase, form: Format, count: int, width: int) -> bool:
    """Whether a file with a header is text: told by `form`, its name, or its first lines."""
    peek = [stream.readline(LONGEST_WORD + 64 * width) for _ in range(min(3, count))]
    rows = all(is_row(line, width) for line in peek)
    name = path.name.lower().removesuffix(".gz")
    if form.kind is None:
        return name.endswith((".txt", ".vec")) or (
            rows and not (name.endswith(".bin") and width < 3)
        )
    if (form.kind == "text") != rows and (width > 2 or not rows):
        odd = any(byte < 9 for line in peek for byte in line)
        if odd if form.kind == "text" else rows:
            other = "binary" if form.kind == "text" else "text"
            raise InputError(f"{path}: is {other}; read it with binary={other == 'binary'}")
    return form.kind == "text"


def _cast(table: np.ndarray, form: Format) -> np.ndarray:
    with np.errstate(over="ignore"):  # infinity is refused next
        return table if form.dtype is None else table.astype(form.dtype, copy=False)


def _fits(path: Path, count: int, width: int, least: int, size: int) -> None:
    if least > size:
        text = f"{count} words of {width} numbers take {least} bytes or more, and {size} follow"
        raise InputError(f"{path}, line 1: {text}; the file is cut short, or this line is wrong")


def _first_of_each(
    path: Path, words: list[str], table: np.ndarray, where: Callable[[int], str]
) -> tuple[tuple[str, ...], Table]:
    """The words and vectors without words that came before; `where` tells the place of a row."""
    if (bad := not_finite(table)) >= 0:
        text = f"NaN or infinity in the vector of {show(words[bad])}; train again, or mend it"
        raise InputError(f"{path}, {where(bad)}: {text}")
    first = {words[row]: row for row in reversed(range(len(words)))}
    if len(first) < len(words):
        rows = sorted(first.values())
        words, table = [words[row] for row in rows], table[rows]
    return tuple(words), table
