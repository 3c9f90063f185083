"""A text file as lines and rows: plain or gzip, of the usual encodings and separators.

Python's `csv` cuts the lines: pyarrow's reader passes over comments and blank lines without their
numbers, and a message must name the line.
"""

import contextlib
import csv
import gzip
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, cast

from jaxdl.errors import InputError
from jaxdl.files.limits import check_unpacked
from jaxdl.files.text import show
from jaxdl.lstm.choices import Decimal
from jaxdl.lstm.data.cells import is_missing

LONGEST_ROW = 1 << 20  # characters
PACKED = b"\x1f\x8b"
_TIMES = 4  # bytes in memory for one of text, at least
_BOMS = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_WORDS = {"utf-8-sig": "UTF-8", "cp1252": "Latin-1 (Windows-1252), as it is not UTF-8"}
SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas", " ": "spaces"}
_ALONE = re.compile(r'"?[+-]?\d+(,\d+)*(\.\d+)?"?')  # one number, or numbers between commas


def _open(path: Path) -> io.BufferedIOBase:
    with path.open("rb") as file:
        packed = file.read(2) == PACKED
    return gzip.GzipFile(path) if packed else path.open("rb")


def encodings_of(path: Path) -> list[str]:
    """The encodings to try, of which the first that can read the whole file is right.

    Raises:
        InputError: a gzip file unpacks to far more than a series has.
        OSError, EOFError, zlib.error: as reading it.
    """
    size = path.stat().st_size
    with _open(path) as file:
        head = file.read(400)
        total = len(head)
        while isinstance(file, gzip.GzipFile) and (block := file.read(1 << 20)):
            total += len(block)
            check_unpacked(path, size, _TIMES * total)
    known = [name for mark, name in _BOMS.items() if head.startswith(mark)]
    zeros = [4 * head[n::2].count(0) > len(head) for n in (0, 1)]
    if not known and zeros[0] != zeros[1]:  # of each two bytes of Latin text one is 0
        known = ["utf-16-be" if zeros[0] else "utf-16-le"]
    return known[:1] or ["utf-8", "cp1252"]


def told_encoding(encoding: str) -> str:
    """An encoding in words."""
    return _WORDS.get(encoding, encoding.replace("utf", "UTF"))


def lines_of(path: Path, encoding: str) -> Iterator[str]:
    """The lines of a text, with their ends; raises as reading it, and UnicodeError.

    Raises:
        InputError: a row without an end: it is found before it fills the memory.
    """
    with _open(path) as file:
        text = io.TextIOWrapper(cast(IO[bytes], file), encoding, newline="")
        while line := text.readline(LONGEST_ROW):
            if len(line) >= LONGEST_ROW:
                what = f"a row of {LONGEST_ROW} characters or more"
                raise InputError(f"{path}: {what}; give a step a line")
            yield line


def rows_of(
    lines: Iterable[str], separator: str | None, comments: list[int]
) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each row; a blank line has none. csv.Error as `csv.reader`.

    Args:
        lines: of the whole text.
        separator: None if there is one column.
        comments: gets the numbers of the lines that begin with #, which are passed over.
    """
    at = 0

    def feed() -> Iterator[str]:
        nonlocal at
        for at, line in enumerate(lines, 1):
            if line.startswith("#"):
                comments.append(at)
            else:
                yield line.strip() + "\n" if separator == " " else line

    mark = "\U0010fffe" if separator is None else separator  # no character
    for cells in csv.reader(feed(), delimiter=mark, skipinitialspace=True, strict=True):
        yield at, [cell.strip() for cell in cells]


def find_separator(lines: Sequence[str], decimal: Decimal | None, source: str) -> str | None:
    """What separates the columns, by the number of cells that most lines have; None: one column.

    Raises:
        InputError: commas that may separate columns or mark decimals or thousands.
    """
    sample = [line for line in lines if line.strip() and line[0] != "#"]
    for separator in SEPARATORS:
        counts: list[int] = []
        with contextlib.suppress(csv.Error):  # quotes that the sample does not end
            for _, cells in rows_of(sample, separator, []):
                counts.append(len(cells))
        if not counts:
            continue
        ((most, times),) = Counter(counts).most_common(1)
        if most < 2 or times < len(counts) * (0.9 if separator == " " else 0.5):
            continue
        if separator == " " and counts[0] != most:
            continue
        if counts[1:] and most not in counts[1:]:
            continue  # it is part of a name
        if separator == ",":
            texts = [line.strip() for line in sample]
            alone = [is_missing(text) or bool(_ALONE.fullmatch(text)) for text in texts]
            if all(alone[1:]) and counts[0] == 1 < len(counts):
                return None  # a line of one name, then one number a line
            if all(alone):
                groups = all(len(p) == 3 for text in texts for p in text.split(",")[1:])
                if decimal is not None or len(set(counts)) > 1:
                    return None
                if most == 2 or groups:
                    raise InputError(
                        f"{source}: a line such as {show(texts[0])} may be one number or "
                        f"{most}; say --decimal comma or --decimal point if it is one, or give the "
                        "columns a first line of names"
                    )
        return separator
    return None
