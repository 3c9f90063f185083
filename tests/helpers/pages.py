"""The Markdown pages, and what their fences hold: commands, snippets of Python, output."""

import re

from tests.helpers.processes import ROOT

TOPS = ("jaxdl", "experiments", "benchmarks", "tests", "containers")
PAGES = sorted([*ROOT.glob("*.md"), *(path for top in TOPS for path in (ROOT / top).rglob("*.md"))])
TEXTS = {str(path.relative_to(ROOT)): path.read_text() for path in PAGES}
# What was, not what is: it may name files that are gone.
CURRENT = {name: text for name, text in TEXTS.items() if name != "CHANGELOG.md"}
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
OUTPUT = "text"  # a fence of what a command prints begins with ```text


def fences(text: str) -> list[tuple[str, str]]:
    """The fences of a page: what the first line says (of commands nothing), and the lines."""
    blocks = [block.removesuffix("```").split("\n", 1) for block in FENCE.findall(text)]
    return [(first.removeprefix("```"), lines) for first, lines in blocks]


def commands(text: str) -> list[str]:
    """The lines of a page's commands, continued lines joined, without comments."""
    lines = "\n".join(lines for kind, lines in fences(text) if not kind)
    joined = lines.replace("\\\n", " ").splitlines()
    return [" ".join(bare.split()) for line in joined if (bare := re.split(r"\s#|^#", line)[0])]


def spans(text: str) -> list[str]:
    """What a page has in backticks outside of its fences."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", FENCE.sub("", text))]


def snippets(text: str) -> list[tuple[str, str]]:
    """A page's snippets of Python, each with the heading that it stands below."""
    found = []
    for section in re.split(r"^##+ ", "# " + text, flags=re.MULTILINE):
        heading, _, below = section.partition("\n")
        found += [(heading, lines) for kind, lines in fences(below) if kind == "python"]
    return found
