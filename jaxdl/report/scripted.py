"""Pages that compute: one HTML file with its scripts and data inside, which opens no address."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

_OWN = Path(__file__).parent


def render_page(
    template: Path,
    scripts: Sequence[Path],
    style: Path,
    data: Any,
    sources: Mapping[str, str],
    **values: Any,
) -> bytes:
    """A page that runs its own scripts alone, by their hashes, and opens no address.

    Args:
        template: extends ``shell.html.j2``; text in the values is escaped.
        scripts: joined to one, after ``common.js``.
        style: follows ``theme.css``.
        data: goes into the page as JSON, in the element "data".
        sources: further rules of its Content-Security-Policy.
        values: of the template.
    """
    js = "\n".join(path.read_text("utf-8") for path in (_OWN / "common.js", *scripts))
    css = "".join(path.read_text("utf-8") for path in (_OWN / "theme.css", style))
    environment = Environment(
        loader=FileSystemLoader([template.parent, _OWN]), autoescape=True, undefined=StrictUndefined
    )
    html = environment.get_template(template.name).render(
        policy=policy({"script-src": hash_of(js), "style-src": hash_of(css), **sources}),
        css=Markup(css),
        js=Markup(js),
        data=Markup(script_json(data)),
        **values,
    )
    return html.encode()


def policy(sources: Mapping[str, str]) -> str:
    """A Content-Security-Policy that allows these sources and nothing else."""
    rules = {"default-src": "'none'", **sources, "base-uri": "'none'", "form-action": "'none'"}
    return "; ".join(f"{name} {source}" for name, source in rules.items())


def base64_text(content: bytes) -> str:
    """Bytes for `bytesOf` of ``common.js``."""
    return base64.b64encode(content).decode()


def hash_of(text: str) -> str:
    """A source of a Content-Security-Policy: what is between an element's tags, exactly."""
    return f"'sha256-{base64_text(hashlib.sha256(text.encode()).digest())}'"


def script_json(value: Any) -> str:
    """JSON that ends no element, whatever the text in it."""
    return re.sub("[<>&]", lambda c: f"\\u{ord(c[0]):04x}", json.dumps(value))
