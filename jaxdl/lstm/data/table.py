"""A file as a table: CSV of any separator and encoding, plain or gzip, or parquet.

Python's `csv` cuts the lines: pyarrow's reader passes over comments and blank lines without their
numbers, and a message must name the line. pyarrow reads parquet.
"""

import contextlib
import csv
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple, cast

import numpy as np

from jaxdl.errors import InputError
from jaxdl.files.limits import check_claimed, check_unpacked
from jaxdl.files.text import reason, show
from jaxdl.lstm.choices import Decimal
from jaxdl.lstm.data.cells import is_missing, number

LONGEST_ROW = 1 << 20  # characters
_SAMPLE = 100  # lines that tell the separator
_OTHERS = {
    b"PK\3\4": "is a zip file or an Excel workbook; save it as CSV",
    b"\xd0\xcf\x11\xe0": "is an old Excel workbook; save it as CSV",
    b"BZh": "is packed by bzip2; unpack it (bunzip2 -k)",
    b"\xfd7zXZ": "is packed by xz; unpack it (unxz -k)",
    b"\x28\xb5\x2f\xfd": "is packed by zstd; unpack it (unzstd)",
    b"\x89HDF": "is an HDF5 file; save it as CSV or parquet",
}
_BOMS = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas", " ": "spaces"}
_ALONE = re.compile(r'"?[+-]?\d+(,\d+)*(\.\d+)?"?')  # one number, or numbers between commas
_NUMERIC_TIME = re.compile(r"\d[\dTZQMW/.: +-]*", re.IGNORECASE)
_MONTHS = re.compile(r"(?i)\b(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b.*\d")


class Table(NamedTuple):
    """Columns of equal length, of text or of parquet's numbers and times; how it was written."""

    names: list[str]  # as in the file; "" for a column without one
    columns: list[list[str] | np.ndarray]
    lines: list[int]  # of each row, from 1
    unit: str  # "line", or "row" of a file that has no lines
    separator: str | None
    told: list[str]  # what is not as usual

    def place(self, row: int) -> str:
        """A row, for a message."""
        return f"{self.unit} {self.lines[row]}"


def read_table(path: Path, decimal: Decimal | None = None) -> Table:
    """The table that a file holds.

    Args:
        path: the file; its content says what it is, never its name.
        decimal: a comma in a file without other separators is part of its numbers.

    Raises:
        InputError: it cannot be read, or is no table.
    """
    try:
        with path.open("rb") as file:
            head = file.read(8)
        if head[:4] == b"PAR1":
            return _parquet(path)
        for mark, text in _OTHERS.items():
            if head.startswith(mark):
                raise InputError(f"{path}: {text}")
        packed = head[:2] == b"\x1f\x8b"
        lines, encoding = _lines(
            path, cast(Callable[..., IO[bytes]], gzip.open if packed else open)
        )
        told = ["gzip"] * packed + [encoding] * (encoding != "UTF-8")
        return _text_table(path, lines, decimal, told)
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, (gzip.BadGzipFile, EOFError, zlib.error)):
            text = f"is a damaged gzip file ({reason(error)}); take a whole copy"
            raise InputError(f"{path}: {text}") from error
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error


def _lines(path: Path, opened: Callable[..., IO[bytes]]) -> tuple[list[str], str]:
    """The lines of a text, and its encoding in words."""
    with opened(path, "rb") as file:
        head = file.read(400)
    known = [name for mark, name in _BOMS.items() if head.startswith(mark)]
    zeros = [head[n::2].count(0) * 4 > len(head) for n in (0, 1)]
    if not known and zeros[0] != zeros[1]:  # of each two bytes of Latin text one is 0
        known = ["utf-16-be" if zeros[0] else "utf-16-le"]
    size = path.stat().st_size
    for encoding in known or ("utf-8", "cp1252"):
        try:
            with opened(path, "rb") as file:
                text = io.TextIOWrapper(file, encoding, newline="")
                found, total = [], 0
                while line := text.readline(LONGEST_ROW):
                    total += len(line)
                    if len(line) >= LONGEST_ROW:
                        raise InputError(
                            f"{path}: a row of {LONGEST_ROW} characters or more; give a step a line"
                        )
                    check_unpacked(path, size, total)
                    found.append(line)
        except UnicodeError:
            continue
        words = {"utf-8-sig": "utf-8", "cp1252": "Latin-1 (Windows-1252), as it is not UTF-8"}
        return found, words.get(encoding, encoding).replace("utf", "UTF")
    raise InputError(f"{path}: is no text of a known encoding; save it as CSV in UTF-8")


def _rows(lines: Sequence[str], separator: str | None) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each row; a blank line has none. csv.Error as `csv.reader`."""
    at = 0

    def feed() -> Iterator[str]:
        nonlocal at
        for at, line in enumerate(lines, 1):  # noqa: B007 at is read by the loop below
            if not line.startswith("#"):
                yield line.strip() + "\n" if separator == " " else line

    mark = "\x1f" if separator is None else separator
    for cells in csv.reader(feed(), delimiter=mark, skipinitialspace=True, strict=True):
        yield at, [cell.strip() for cell in cells]


def find_separator(lines: Sequence[str], decimal: Decimal | None, source: str) -> str | None:
    """What separates the columns, by the number of cells that most lines have; None: one column.

    Raises:
        InputError: commas that may separate columns or mark decimals or thousands.
    """
    sample = [line for line in lines if line.strip() and line[0] != "#"][:_SAMPLE]
    for separator in _SEPARATORS:
        counts: list[int] = []
        with contextlib.suppress(csv.Error):  # quotes that the sample does not end
            for _, cells in _rows(sample, separator):
                counts.append(len(cells))
        if not counts:
            continue
        ((most, times),) = Counter(counts).most_common(1)
        if most < 2 or times < len(counts) * (0.9 if separator == " " else 0.5):
            continue
        if separator == " " and counts[0] != most:
            continue
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


def _is_value(cell: str) -> bool:
    """Whether a cell of the first line is a number or a time, and so no name."""
    value = number(cell, "point") is not None or number(cell, "comma") is not None
    return value or bool(_NUMERIC_TIME.fullmatch(cell) or _MONTHS.search(cell))


def _has_names(first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether the first row names the columns."""
    words = [n for n, cell in enumerate(first) if not is_missing(cell) and not _is_value(cell)]
    if words and not any(map(_is_value, first)):
        return True
    if any(n < len(second) and _is_value(second[n]) for n in words):
        return True
    # Columns that are years, over rows that are not.
    heads = [n for n, cell in enumerate(first) if re.fullmatch(r"[12]\d{3}", cell)]
    years = [int(first[n]) for n in heads]
    if len(years) < 2 or years != list(range(years[0], years[0] + len(years))):
        return False
    below = [number(second[n]) for n in heads if n < len(second)]
    return bool(below) and not any(v is None or 1000 <= v < 3000 for v in below)


def _text_table(path: Path, lines: list[str], decimal: Decimal | None, told: list[str]) -> Table:
    separator = find_separator(lines, decimal, str(path))
    rows: list[list[str]] = []
    places: list[int] = []
    blank: list[int] = []  # places of rows without a cell
    try:
        for at, cells in _rows(lines, separator):
            if any(cells):
                rows += [[""]] * len(blank)
                places += blank
                blank = []
                rows.append(cells)
                places.append(at)
            elif rows and (separator is None or len(cells) > 1):
                blank += [at] if separator is None else []  # a value that is missing
                if separator is not None:
                    rows.append(cells)
                    places.append(at)
    except csv.Error as error:
        raise InputError(f"{path}: is not CSV ({error}); save it as CSV with commas") from error
    comments = sum(line.startswith("#") for line in lines)
    if separator not in (None, ","):
        told = [*told, f"separated by {_SEPARATORS[separator]}"]
    told += [f"{comments} line{'s' * (comments > 1)} of comments"] * (comments > 0)
    named = bool(rows) and _has_names(rows[0], rows[1] if len(rows) > 1 else [])
    names = rows.pop(0) if named else [str(n + 1) for n in range(len(rows[0]) if rows else 0)]
    if named:
        del places[0]
    if not rows:
        what = "a line of column names and lines of numbers"
        raise InputError(f"{path}: holds no step; give {what}")
    while (
        len(names) > 1 and not names[-1] and not any("".join(row[len(names) - 1 :]) for row in rows)
    ):
        names.pop()  # a separator at the end of each line
        rows = [row[: len(names)] for row in rows]
    for row, at in zip(rows, places, strict=True):
        if len(row) != len(names):
            raise InputError(
                f"{path}: line {at}: {len(row)} values, but there are {len(names)} columns; put "
                f"{_SEPARATORS[separator or ',']} between the columns, and nowhere else"
            )
    told += [] if named else ["no line of names: columns have numbers"]
    return Table(names, [list(c) for c in zip(*rows, strict=True)], places, "line", separator, told)


def _parquet(path: Path) -> Table:
    """Parquet's columns: numbers as float64 with NaN, times as datetime64, the rest as text."""
    import pyarrow as pa  # takes long to import
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            facts = file.metadata
            check_claimed(path, path.stat().st_size, 8 * facts.num_rows * facts.num_columns)
            table = file.read()
        columns: list[list[str] | np.ndarray] = []
        for column in table.columns:
            kind = column.type
            if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
                columns.append(np.asarray(column.cast(pa.float64()).to_numpy(), np.float64))
            elif pa.types.is_timestamp(kind) or pa.types.is_date(kind):
                columns.append(np.asarray(column.cast(pa.timestamp("us")).to_numpy()))
            else:
                columns.append(["" if v is None else str(v) for v in column.to_pylist()])
    except (pa.ArrowException, ValueError, OverflowError) as error:
        text = f"cannot be read as parquet ({reason(error)}); save it again, or as CSV"
        raise InputError(f"{path}: {text}") from error
    if not table.num_rows or not columns:
        raise InputError(f"{path}: holds no step; give a column of numbers")
    lines = list(range(1, table.num_rows + 1))
    return Table(list(table.column_names), columns, lines, "row", None, ["parquet"])
