"""The report page: one HTML file that needs no other."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from jaxdl.files.atomic import plain, write_bytes
from jaxdl.files.text import clip, visible
from jaxdl.report.scripted import hash_of, policy
from jaxdl.training.run_folder import flatten

T = TypeVar("T")
_OWN = Path(__file__).parent
_SHOWN = 3  # figures and pictures of the summary
_STEPS = 5
# The file of a subject's macros, if it is not the common one.
_FILES = {"page": "page.html.j2", "fcn": "fcn.html.j2"}


class Section(NamedTuple):
    """A subject on the page, and what the summary at its top says of it.

    Attributes:
        title: plain text.
        html: trusted as it is.
        figures: key numbers, the most telling first: value, and what it is.
        pictures: likewise: HTML (trusted as it is), and what it shows.
        warnings: plain text.
        steps: what to try next: why, and the command.
        defaults: the options of the subject, where none is given.
    """

    title: str
    html: str
    figures: Sequence[tuple[str, str]] = ()
    pictures: Sequence[tuple[str, str]] = ()
    warnings: Sequence[str] = ()
    steps: Sequence[tuple[str, str]] = ()
    defaults: Mapping[str, Any] | None = None


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(_OWN),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,  # not Markup
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(macro: str, **values: Any) -> str:
    """HTML of one macro of the report's templates; text in the values is escaped, Markup is not."""
    # A plain string: adding to Markup would escape what is added.
    template = _templates().get_template(_FILES.get(macro.split("_")[0], "report.html.j2"))
    return str(getattr(template.module, macro)(**values))


def write_page(
    path: Path,
    title: str,
    sections: Sequence[Section],
    record: Mapping[str, Any],
    write: Callable[[Path, bytes], None] = write_bytes,
    defaults: Mapping[str, Any] | None = None,
) -> None:
    """Write the report: one HTML file that needs no other, atomically.

    Args:
        path: where to.
        title: plain text.
        sections: the subjects; the summary takes its figures and pictures from all in turn.
        record: what `run_record` made; shown at the end, as far as it is there.
        write: writes it.
        defaults: of the record's configuration, in its form; by default those of the only section.
    """
    if defaults is None:
        defaults = (sections[0].defaults if len(sections) == 1 else None) or {}
    known = flatten(plain(defaults))
    found = {name: flatten(record.get(name) or {}) for name in ("versions", "device", "git")}
    config = flatten(plain(record.get("config") or {}))
    js = "\n".join((_OWN / name).read_text("utf-8") for name in ("common.js", "report.js"))
    # Figures and tables have styles in their elements, which hashes do not allow.
    sources = {
        "script-src": hash_of(js),
        "style-src": "'unsafe-inline'",
        "img-src": "data:",
    }
    html = render(
        "page",
        title=title,
        sections=[(each.title, Markup(each.html)) for each in sections],
        figures=_in_turn([each.figures for each in sections])[:_SHOWN],
        pictures=[
            (Markup(html), what)
            for html, what in _in_turn([each.pictures for each in sections])[:_SHOWN]
        ],
        warnings=[clip(text, 300) for each in sections for text in each.warnings],
        steps=_in_turn([each.steps for each in sections])[:_STEPS],
        config=config,
        changed={k: v for k, v in config.items() if k in known and known[k] != v},
        started=record.get("started"),
        command=shlex.join(record.get("argv") or []),
        policy=Markup(policy(sources)),
        css=Markup("".join((_OWN / n).read_text("utf-8") for n in ("theme.css", "report.css"))),
        js=Markup(js),
        **found,
    )
    write(path, f"{html.strip()}\n".encode(errors="backslashreplace"))


def _in_turn(lists: Sequence[Sequence[T]]) -> list[T]:
    """The first of each, then the second of each, and so on."""
    longest = max(map(len, lists), default=0)
    return [each[n] for n in range(longest) for each in lists if n < len(each)]
