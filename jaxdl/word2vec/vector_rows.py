"""The rows of word vectors in a file: lines of text, or binary; and how to read them."""

import re
from array import array
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from jaxdl.errors import InputError
from jaxdl.files.text import show

Table = Float[np.ndarray, "V D"]  # float32, or float16 if asked for
LONGEST_WORD = 1 << 20  # bytes of a word
WIDEST = 1 << 16  # numbers a word
_NUMBER = re.compile(rb"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?([nN][aA][nN]|[iI][nN][fF])")


@dataclass(frozen=True, slots=True)
class Format:
    """How a file is read; by default the content tells all of it.

    Attributes:
        kind: text or binary.
        header: whether the first line counts words and numbers.
        limit: only so many first words are read.
        encoding, errors: of the words, as `bytes.decode` takes them.
        dtype: of the table, float32 or float16; None: float32, or what an .npz has.
        mmap: leaves the table of an .npz on the disk.
    """

    kind: Literal["text", "binary"] | None = None
    header: bool | None = None
    limit: int | None = None
    encoding: str = "utf-8"
    errors: str = "surrogateescape"
    dtype: Any = None
    mmap: bool = False

    def word(self, raw: bytes, at: str) -> str:
        """A word; InputError if it is empty or cannot be decoded."""
        try:
            if word := raw.decode(self.encoding, self.errors):
                return word
        except UnicodeDecodeError as error:
            text = f"the word {show(raw)} is not {self.encoding} ({error.reason})"
            hint = "unicode_errors='surrogateescape' keeps its bytes, 'replace' does not"
            raise InputError(f"{at}: {text}; {hint}") from error
        raise InputError(f"{at}: nothing is left of the word {show(raw)}; keep its bytes")


ANY = Format()


def is_row(line: bytes, width: int) -> bool:
    """Whether a line is a word and as many numbers as it should be."""
    _, *numbers = line.rstrip().split(b" ")
    return len(numbers) == width and all(map(_NUMBER.fullmatch, numbers))


def _inside(raw: bytes) -> str:
    """Says so where a word that was cut off ends in the middle of a character."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":
            return ", in the middle of a character"
    return ""


def read_text(
    path: Path, stream: BufferedIOBase, count: int, width: int, first: int, form: Format
) -> tuple[list[str], Table]:
    """The words and the table of `count` lines, of which the first is line `first`."""
    words: list[str] = []
    table = np.empty((count, width), form.dtype or np.float32)
    exact = "f" if table.dtype == np.float32 else "d"
    longest = LONGEST_WORD + 64 * width
    for row in range(count):
        line = stream.readline(longest)
        word, *numbers = line.rstrip().split(b" ")
        at = f"{path}, line {row + first}"
        if first == 1 and len(numbers) > width:  # some of GloVe's words have blanks
            parts, more = [word, *numbers[:-width]], numbers[-width:]
            if not any(map(_NUMBER.fullmatch, parts)):
                word, numbers = b" ".join(parts), more
        if not line.endswith(b"\n") and (row + 1 < count or not word or len(numbers) != width):
            if len(line) == longest:
                raise InputError(f"{at}: more than {longest} bytes; is this a vectors file?")
            where = "" if numbers else _inside(word)
            text = f"the file ends before line {row + first}'s end{where}"
            raise InputError(f"{at}: {text}, word {row + 1} of {count}; fetch it again")
        if not word or len(numbers) != width:
            text = f"the word {show(word)} and {len(numbers)} numbers, where line 1 has {width}"
            raise InputError(f"{at}: {text}; give a word without blanks, then its numbers")
        try:
            with np.errstate(over="ignore"):  # infinity is refused later
                table[row] = array(exact, map(float, numbers))
        except (ValueError, OverflowError) as error:
            wrong = next((n for n in numbers if not _NUMBER.fullmatch(n)), b"")
            raise InputError(f"{at}: {show(wrong)} is no float32; mend the line") from error
        words.append(form.word(word, at))
    return words, table


def ends(path: Path, count: int, rest: bytes) -> None:
    if rest:
        text = f"goes on after the {count} words that line 1 counts, with {show(rest)}"
        raise InputError(f"{path}: {text}; correct the count, or fetch the file again")


def read_binary(
    path: Path, stream: BufferedIOBase, count: int, width: int, form: Format, whole: bool
) -> tuple[list[str], Table, array]:
    """The words, the table, and the byte where each vector starts."""
    words: list[str] = []
    table = np.empty((count, width), form.dtype or np.float32)
    starts = array("q")
    part, odd = np.empty((min(count, 4096), width), np.float32), []
    held, at, need = b"", 0, 4 * width
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
        words.append(form.word(word, f"{path}, byte {starts[row]}"))
        place = row % len(part)
        part[place] = np.frombuffer(held, "<f4", width, space + 1)
        if row + 1 == count or place + 1 == len(part):
            first, found = row - place, part[: place + 1]
            odd += (first + np.flatnonzero(_is_wild(found))).tolist()
            with np.errstate(over="ignore"):  # infinity is refused later
                table[first : row + 1] = found
        at = space + 1 + need
    rest = (held[at:] + stream.read(1 << 10)).lstrip(b"\n")
    if width >= 8:  # fewer tell too little
        _check_no_blanks(path, stream, [(words[row], starts[row]) for row in odd], need)
    if whole:
        ends(path, count, rest)
    return words, table, starts


def _check_no_blanks(
    path: Path, stream: BufferedIOBase, odd: list[tuple[str, int]], need: int
) -> None:
    """InputError if a word was cut at a blank that belongs to it.

    Its vector then begins with the rest of the word and a blank, and lacks as many bytes at its
    end. So its numbers are beside their places: some are huge or tiny as no trained ones are, and
    none once they are moved. `odd` has the words of such vectors of `need` bytes, and where these
    start.
    """
    for word, start in odd:
        stream.seek(start)
        raw, after, end = stream.read(need), stream.read(need), -1
        while (end := raw.find(b" ", end + 1)) >= 0 and _is_clean(raw[:end]):
            moved = raw[end + 1 :] + after[: end + 1]
            if len(moved) == need and not _is_wild(np.frombuffer(moved, "<f4")[None])[0]:
                shown = show(f"{word} {raw[:end].decode()}")
                text = f"the word {shown} has a blank, at which binary files end a word"
                raise InputError(f"{path}: {text}; write it with an underscore instead")


def _is_wild(table: Table) -> np.ndarray:
    """Rows with a number that is no trained one, bool (V,)."""
    size = np.abs(table)
    return ~((size < 1e10) & ((size > 1e-15) | (size == 0))).all(1)


def _is_clean(raw: bytes) -> bool:
    """Whether bytes are text that can be printed."""
    try:
        return raw.decode().isprintable()
    except UnicodeDecodeError:
        return False
