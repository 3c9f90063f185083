"""``python -m experiments.word2vec query``: neighbours and analogies of trained vectors."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.table import Table
from rich.text import Text

from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError
from jaxdl.files.text import clip
from jaxdl.word2vec import vectors


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Neighbours of each word; with + and - between them, of the sum: king - man + woman.

    Put blanks around + and -.
    """

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder, or a file of vectors (word2vec's text or binary format, npz)."""
    words: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Words to look up."""
    topn: int = 10
    """How many neighbours."""
    task: Literal["similar", "odd"] = "similar"
    """odd: which of the words does not match the others."""


def expression(words: Sequence[str]) -> tuple[list[str], list[str]] | None:
    """(added, subtracted) words of ``a - b + c``; None where there is no sign.

    Raises:
        InputError: a sign without a word, or two words without a sign between them.
    """
    if not {"+", "-"} & set(words):
        return None
    sides: dict[str, list[str]] = {"+": [], "-": []}
    sign = "+"
    for n, word in enumerate(words):
        is_sign = word in sides
        if is_sign == (n % 2 == 0):
            raise InputError(f"{' '.join(words)}: write words and signs in turn, as in a - b + c")
        if is_sign:
            sign = word
        else:
            sides[sign].append(word)
    if words[-1] in sides:
        raise InputError(f"{' '.join(words)}: a word is missing after the last {words[-1]}")
    return sides["+"], sides["-"]


def query(argv: Sequence[str], prog: str = "jaxdl word2vec query") -> None:
    """The command."""
    options = tyro.cli(Query, args=list(argv), prog=prog)
    if not options.words:
        raise InputError("name a word, or more")
    if options.topn < 1:
        raise InputError(f"--topn {options.topn}: must be 1 or more")
    path = options.run / "vectors.bin" if options.run.is_dir() else options.run
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; name a finished run or a vectors file")
    found = vectors.load(path)
    bar = Bar()
    if options.task == "odd":
        bar.line(f"{found.doesnt_match(options.words)} does not match the others")
        return
    signed = expression(options.words)
    asked = [(w, ([w], [])) for w in options.words] if signed is None else [("", signed)]
    for title, (plus, minus) in asked:
        table = Table(title=title or " ".join(options.words), title_justify="left")
        table.add_column("word", overflow="fold")
        table.add_column("cosine", justify="right")
        for word, cosine in found.most_similar(plus, minus, options.topn):
            table.add_row(Text(clip(word, 100)), f"{cosine:.3f}")
        bar.console.print(table)
