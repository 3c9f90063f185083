"""Reading word vectors: word2vec's text and binary, and .npz, to words and a float32 (V, D) table.

Text is a header "V D", then a line "word x1 .. xD" each; binary has D little-endian float32 after
"word ", then a newline (word2vec.c) or none (gensim). A file's numbers are held against its size
before memory is taken, and nothing is unpickled. Sources: word2vec.c (Mikolov et al. 2013), gensim
4.4.0's keyedvectors.py.
"""

import gzip
import math
import os
import re
import struct
import zipfile
import zlib
from array import array
from collections.abc import Callable, Generator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from jaxdl.errors import InputError
from jaxdl.files.limits import check_unpacked
from jaxdl.files.text import reason, show

Table = Float32[np.ndarray, "V D"]
LONGEST_WORD = 1 << 20  # bytes of a word
WIDEST = 1 << 16  # numbers a word
_NPY = rb"\{'descr': '%b', 'fortran_order': False, 'shape': \(([\d, ]{1,50})\), \}\s*"
_NUMBER = re.compile(rb"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?([nN][aA][nN]|[iI][nN][fF])")

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


def read_text_file(path: Path) -> str:
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


def read(path: Path) -> tuple[tuple[str, ...], Table]:
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
            raise InputError(f"{path}, line 1: {show(header)} is not a header; {text}")
        count, width = int(match[1]), int(match[2])
        if count < 1 or not 1 <= width <= WIDEST:
            text = f"{count} words of {width} numbers; give 1 or more, of at most {WIDEST}"
            raise InputError(f"{path}, line 1: {text}")
        _fits(path, count, width, count * (2 * width + 2), size - len(header))
        peek = [stream.readline(LONGEST_WORD + 64 * width) for _ in range(min(3, count))]
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


def _read_text(
    path: Path, stream: BufferedIOBase, count: int, width: int
) -> tuple[list[str], Table]:
    words: list[str] = []
    table = np.empty((count, width), np.float32)
    longest = LONGEST_WORD + 64 * width
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
            text = f"the word {show(word)} and {len(numbers)} numbers, where line 1 says {width}"
            raise InputError(f"{at}: {text}; give a word without spaces, then its numbers")
        try:
            table[row] = array("f", map(float, numbers))
        except (ValueError, OverflowError) as error:
            wrong = next((n for n in numbers if not _NUMBER.fullmatch(n)), b"")
            raise InputError(f"{at}: {show(wrong)} is no float32; mend the line") from error
        words.append(word.decode("utf-8", "surrogateescape"))
    _ends(path, count, stream.read(longest).strip())
    return words, table


def _ends(path: Path, count: int, rest: bytes) -> None:
    if rest:
        text = f"goes on after the {count} words that line 1 counts, with {show(rest)}"
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
            if not block or (space < 0 and len(held) - at > LONGEST_WORD):
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
    if (count := 1 + np.count_nonzero(raw == ord("\n"))) != len(table):
        text = f"{count} words, for vectors {table.shape}"
        raise InputError(f"{path}: {text}; write it with save_npz")
    words = raw.tobytes().decode("utf-8", "surrogateescape").split("\n")
    if not all(words):
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
            text = f"{name} is {show(header.strip())}, expected {ndim}-D {dtype} in C order"
            raise InputError(f"{path}: {text}; write it with save_npz")
        least, there = math.prod(shape) * dtype.itemsize, info.file_size - 10 - len(header)
        deflated = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        check_unpacked(path, size, info.file_size)
        if not deflated or least != there:
            text = f"{name} {shape} takes {least} bytes, and {there} are there"
            raise InputError(f"{path}: {text}; fetch the file again")
        return np.frombuffer(file.read(), dtype).reshape(shape)
