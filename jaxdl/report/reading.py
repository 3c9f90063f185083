"""Reading a run folder for the page: what is missing or damaged is noted, and text is made fit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from jaxdl.errors import InputError
from jaxdl.files import schema
from jaxdl.files.atomic import read_json
from jaxdl.files.text import clip

T = TypeVar("T")


class Notes(list[str]):
    """What a run lacks; the page shows it."""

    def __init__(self, run: Path) -> None:
        self.run = run

    def read(self, read: Callable[[Path], T], name: str, instead: T) -> T:
        """``read(run / name)``, or a note and something else instead."""
        path = self.run / name
        try:
            if ".." in path.relative_to(self.run).parts:  # a name from a file may lead elsewhere
                raise InputError(f"{name} leaves the run")
            if not path.exists():
                raise InputError(f"{name} is missing")
            return read(path)
        except (OSError, ValueError, SyntaxError) as error:  # Pillow raises all three
            text = str(error).replace(f"{self.run}/", "")
            self.append(text if name in text else f"{name}: {text}")
            return instead

    def json(self, name: str, wanted: schema.Schema, instead: T) -> T:
        """The content of a JSON file that fits, or a note and something else instead."""
        return self.read(lambda path: schema.read(path, wanted), name, instead)

    def warn(self, summary: Any) -> None:
        """What a run's summary says against its own results."""
        found = summary.get("warnings") if isinstance(summary, dict) else None
        if isinstance(found, list):
            self += [clip(str(text), 500) for text in found]


def reader(make: Callable[[Any], T], what: str) -> Callable[[Path], T]:
    """Reads a JSON file and makes something of it; InputError if that cannot be done."""

    def read(path: Path) -> T:
        found = read_json(path)
        try:
            return make(found)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise InputError(f"{path}: is not {what} ({error!r})") from error

    return read


def part(tree: dict[str, Any], name: str) -> dict[str, Any]:
    """An object within another, empty if there is none."""
    found = tree.get(name)
    return found if isinstance(found, dict) else {}
