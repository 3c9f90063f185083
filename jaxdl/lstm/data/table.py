"""A file as a table: text of any separator and encoding, plain or gzip, or parquet."""

import csv
import gzip
import itertools
import re
import zlib
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxdl.errors import InputError
from jaxdl.files.limits import check_claimed
from jaxdl.files.text import reason
from jaxdl.lstm.choices import Decimal
from jaxdl.lstm.data.cells import is_missing, number
from jaxdl.lstm.data.text import (
    PACKED,
    SEPARATORS,
    encodings_of,
    find_separator,
    lines_of,
    rows_of,
    told_encoding,
)

_SAMPLE = 100  # lines that tell the separator
_OTHERS = {
    b"PK\3\4": "is a zip file or an Excel workbook; save it as CSV",
    b"\xd0\xcf\x11\xe0": "is an old Excel workbook; save it as CSV",
    b"BZh": "is packed by bzip2; unpack it (bunzip2 -k)",
    b"\xfd7zXZ": "is packed by xz; unpack it (unxz -k)",
    b"\x28\xb5\x2f\xfd": "is packed by zstd; unpack it (unzstd)",
    b"\x89HDF": "is an HDF5 file; save it as CSV or parquet",
}
_NUMERIC_TIME = re.compile(r"\d[\dTZQMW/.: +-]*", re.IGNORECASE)
_MONTHS = re.compile(r"(?i)\b(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b.*\d")


class Table(NamedTuple):
    """Columns of equal length, of text or of parquet's numbers and times; how it was written."""

    names: list[str]  # as in the file; "" for a column without one
    columns: list[list[str] | np.ndarray]
    lines: Sequence[int]  # of each row, from 1
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
        for encoding in encodings_of(path):
            told = ["gzip"] * head.startswith(PACKED)
            told += [] if encoding.startswith("utf-8") else [told_encoding(encoding)]
            try:
                return _text_table(path, lines_of(path, encoding), decimal, told)
            except UnicodeError:
                continue
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        text = f"is a damaged gzip file ({reason(error)}); take a whole copy"
        raise InputError(f"{path}: {text}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    raise InputError(f"{path}: is no text of a known encoding; save it as CSV in UTF-8")


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


def _text_table(
    path: Path, lines: Iterator[str], decimal: Decimal | None, told: list[str]
) -> Table:
    """A table of text, column by column."""
    first = list(itertools.islice(lines, _SAMPLE))
    separator = find_separator(first, decimal, str(path))
    comments: list[int] = []
    rows = rows_of(itertools.chain(first, lines), separator, comments)
    mark = SEPARATORS[separator or ","]
    names: list[str] = []
    columns: list[list[str]] = []
    places = array("q")

    def add(at: int, cells: list[str]) -> None:
        if len(cells) != len(columns):
            raise InputError(
                f"{path}: line {at}: {len(cells)} values, but there are {len(columns)} columns; "
                f"put {mark} between the columns, and nowhere else"
            )
        places.append(at)
        for column, cell in zip(columns, cells, strict=True):
            column.append(cell)

    blank: list[int] = []  # lines of values that are missing, if another follows
    try:
        top: list[tuple[int, list[str]]] = []  # to the second row that is not blank
        while sum(any(cells) for _, cells in top) < 2 and (row := next(rows, None)):
            top += [row] if top or any(row[1]) else []
        second = top[-1][1] if len(top) > 1 else []
        named = bool(top) and _has_names(top[0][1], second)
        if top:
            names = top[0][1] if named else [str(n + 1) for n in range(len(top[0][1]))]
            columns = [[] for _ in names]
        for at, cells in itertools.chain(top[named:], rows):
            if not cells:
                blank += [at] if separator is None and places else []
                continue
            for line in blank:
                add(line, [""])
            blank = []
            add(at, cells)
    except csv.Error as error:
        raise InputError(
            f"{path}: is not CSV ({reason(error)}); save it as CSV with commas"
        ) from error
    if not places:
        what = "a line of column names and lines of numbers"
        raise InputError(f"{path}: holds no step; give {what}")
    while len(names) > 1 and not names[-1] and not any(columns[-1]):
        del names[-1], columns[-1]  # a separator at the end of each line
    if separator not in (None, ","):
        told = [*told, f"separated by {SEPARATORS[separator]}"]
    told += [f"{len(comments)} line{'s' * (len(comments) > 1)} of comments"] * bool(comments)
    told += [] if named else ["no line of names: columns have numbers"]
    return Table(names, [*columns], places, "line", separator, told)


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
