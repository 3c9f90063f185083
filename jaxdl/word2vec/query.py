"""``jaxdl word2vec query``: neighbours and analogies of trained vectors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rich.table import Table
from rich.text import Text

from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError
from jaxdl.files.text import clip
from jaxdl.word2vec.keyed_vectors import KeyedVectors


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


def query(
    run: Path, words: Sequence[str], *, topn: int = 10, task: Literal["similar", "odd"] = "similar"
) -> None:
    """Print the neighbours of each word, or of a sum; or which word does not match the others.

    Args:
        run: run folder, or a file of vectors in any format of `jaxdl.word2vec.vector_files`.
        words: to look up; with "+" and "-" between them, a sum.
        topn: how many neighbours.
        task: "odd" finds the word that does not match.
    """
    if not words:
        raise InputError("name a word, or more")
    found = KeyedVectors.load(run)
    bar = Bar()
    if task == "odd":
        bar.line(f"{found.doesnt_match(words)} does not match the others")
        return
    signed = expression(words)
    asked = [(w, ([w], [])) for w in words] if signed is None else [("", signed)]
    for title, (plus, minus) in asked:
        table = Table(title=title or " ".join(words), title_justify="left")
        table.add_column("word", overflow="fold")
        table.add_column("cosine", justify="right")
        for word, cosine in found.most_similar(plus, minus, topn):
            table.add_row(Text(clip(word, 100)), f"{cosine:.3f}")
        bar.console.print(table)
