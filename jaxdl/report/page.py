"""The report page: one HTML file that needs no other."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from jaxdl.files.atomic import write_bytes
from jaxdl.files.text import visible
from jaxdl.training.run_folder import flatten


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,  # not Markup
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(macro: str, **values: Any) -> str:
    """HTML of one macro of the report's template; text in the values is escaped, Markup is not."""
    # A plain string: adding to Markup would escape what is added.
    return str(getattr(_templates().get_template("report.html.j2").module, macro)(**values))


def write_page(
    path: Path,
    title: str,
    sections: Sequence[tuple[str, str]],
    record: Mapping[str, Any],
    write: Callable[[Path, bytes], None] = write_bytes,
) -> None:
    """Write the report: one HTML file that needs no other, atomically.

    Args:
        path: where to.
        title: plain text.
        sections: title (plain text) and HTML (trusted as it is) of each.
        record: what `run_record` made; shown at the end, as far as it is there.
        write: writes it.
    """
    names = ("config", "versions", "device", "git")
    html = render(
        "page",
        title=title,
        sections=[(name, Markup(text)) for name, text in sections],
        started=record.get("started"),
        command=shlex.join(record.get("argv") or []),
        **{name: flatten(record.get(name) or {}) for name in names},
    )
    write(path, f"{html.strip()}\n".encode(errors="backslashreplace"))
