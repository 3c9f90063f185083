"""What the `export` commands share: a folder of a model, its card, and an example that runs it."""

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from jaxdl.errors import InputError
from jaxdl.files.results import Results
from jaxdl.files.text import clip

CARD, EXAMPLE = "README.md", "example.py"
# A backtick would end the code, a bar the cell.
_INERT = str.maketrans({"`": "'", "|": "\N{BROKEN BAR}"})


class File(NamedTuple):
    """A file of an exported folder, and what it holds in words."""

    name: str
    content: bytes
    what: str


def need(format: str, library: str) -> None:
    """InputError if the library that a format needs is not installed."""
    if find_spec(library) is None:
        raise InputError(
            f"--format {format}: needs {library}; pip install 'jaxdl-functional[{format}]'"
        )


def check_folder(results: Results, out: Path, names: Sequence[str], others: Iterable[str]) -> None:
    """Refuse a folder before the work for it begins.

    Args:
        results: of the command.
        out: the folder.
        names: of the files that will be written, beside the card and the example.
        others: models of other exports: the card would no longer tell of them.

    Raises:
        InputError: see `jaxdl.files.results.Results.check`; or one of the others is there.
    """
    for name in others:
        if name not in names and (out / name).exists():
            raise InputError(
                f"{out}: holds {name} of another export, which {CARD} would no longer tell of; "
                "name another folder"
            )
    for name in (*names, CARD, EXAMPLE):
        results.check(out / name)


def write_folder(
    results: Results, out: Path, files: Sequence[File], page: str, example: str
) -> None:
    """Write all files; raises as `jaxdl.files.results.Results.file`."""
    for file in files:
        results.write(out / file.name, file.content)
    results.write(out / CARD, page.encode(errors="backslashreplace"))
    results.write(out / EXAMPLE, example.encode())


def code(text: str) -> str:
    """Foreign text as Markdown shows it and does nothing else with it, in a table too."""
    return f"`{clip(text, 100).translate(_INERT)}`"


def table(left: str, right: str, rows: Iterable[tuple[str, str]]) -> list[str]:
    """Lines of a Markdown table of two columns."""
    return [f"| {left} | {right} |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)]


def file_table(files: Sequence[File]) -> list[str]:
    """The files of a folder, for its card."""
    rows = [(f"`{file.name}`", file.what) for file in files]
    return table("file", "what", [*rows, (f"`{EXAMPLE}`", "runs it")])
