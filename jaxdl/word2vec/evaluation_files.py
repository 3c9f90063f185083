"""Files that word vectors are evaluated with: judged pairs in any published layout, and analogies.

Sources: gensim 4.4.0's keyedvectors.py; the files of WordSim-353, SimLex-999, MEN, RG-65, RW,
SimVerb-3500 and MTurk-771.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from jaxdl.errors import InputError
from jaxdl.word2vec.vector_files import read_text_file

LARGEST = 1e100  # of a judgement: the square of a larger one may be infinite
_DELIMITERS = ("\t", ",", ";", None)  # None: blanks
Pair = tuple[str, str, float]


def _number(text: str) -> float | None:
    """A number, if it is one as such files write it."""
    try:
        return float(text)
    except ValueError:
        return None


def _cells(lines: list[str], delimiter: str | None) -> list[list[str]]:
    """The cells of each line; in quotes they may hold a comma or semicolon."""
    if delimiter not in (",", ";"):
        return [line.split(delimiter) for line in lines]
    try:
        return [cells for line in lines for cells in csv.reader([line], delimiter=delimiter)]
    except csv.Error:
        return []


def _pairs(lines: list[str], delimiter: str | None) -> list[Pair]:
    """Two words and the first number after them, of the lines with the usual number of cells.

    Cells in front of the words that are numbers, those of a count of lines, are passed over.
    """
    table = [cells for cells in _cells(lines, delimiter) if len(cells) > 2]
    width = Counter(map(len, table)).most_common(1)
    table = [[cell.strip() for cell in cells] for cells in table if len(cells) == width[0][0]]
    if not table:
        return []
    columns = [[_number(cell) for cell in column] for column in zip(*table, strict=True)]
    numbers = [sum(number is not None for number in column) for column in columns]
    usual = [2 * count > len(table) for count in numbers]  # a header may have numbers too
    first = 1 if len(columns) > 3 and usual[0] else 0
    if usual[first] or usual[first + 1]:  # a file of vectors, say
        return []
    scores = usual[first + 2 :]
    judged = columns[first + 2 + (scores.index(True) if any(scores) else 0)]
    rows = zip(table, judged, strict=True)
    return [(row[first], row[first + 1], number) for row, number in rows if number is not None]


def read_word_pairs(
    path: Path, delimiter: str | None = None, encoding: str = "utf-8"
) -> list[Pair]:
    """Word, word and judgement of each line; # starts a comment, other lines are passed over.

    Args:
        path: of the file, plain or gzip.
        delimiter: between the cells; None finds out: tab, comma, semicolon or blanks. The judgement
            is the first column of numbers behind the words, as in SimLex' published file.
        encoding: of the file.

    Raises:
        InputError: unreadable, fewer than two pairs, or a judgement that is not finite.
    """
    text = read_text_file(path, encoding)
    lines = [line for line in re.split("\r\n|\r|\n", text) if line and not line.startswith("#")]
    tried = _DELIMITERS if delimiter is None else (delimiter,)
    found = max((_pairs(lines, each) for each in tried), key=len)
    if len(found) < 2 or not all(abs(judged) < LARGEST for _, _, judged in found):
        form = "tab, comma, semicolon or blanks" if delimiter is None else repr(delimiter)
        raise InputError(
            f"{path}: {len(found)} usable pairs; give two or more, finite: word, word, number by "
            f"{form}"
        )
    return found


def read_analogies(path: Path) -> tuple[list[str], list[tuple[int, tuple[str, ...]]]]:
    """The names of the sections (a line ": name" starts one), and each question's section and four
    words; other lines are passed over.

    Raises:
        InputError: unreadable, a line before the first section, no questions.
    """
    names: list[str] = []
    questions: list[tuple[int, tuple[str, ...]]] = []
    for number, line in enumerate(read_text_file(path).removesuffix("\n").split("\n"), 1):
        if line.startswith(": "):
            names.append(line.lstrip(": ").strip())
        elif not names:
            raise InputError(f"{path}, line {number}: no section yet; put ': its name' first")
        elif len(words := line.split()) == 4:
            questions.append((len(names) - 1, tuple(words)))
    if not questions:
        raise InputError(f"{path}: no questions; give lines of four words")
    return names, questions


def check_files(word_pairs: Iterable[Path], analogies: Iterable[Path]) -> None:
    """Read every file, before anything else is done; raises as the readers above."""
    for path in word_pairs:
        read_word_pairs(path)
    for path in analogies:
        read_analogies(path)
