"""The Markdown pages: short lines, links that lead somewhere, names that exist, plain words."""

import re

import pytest

from jaxdl import __main__ as program
from jaxdl.cli.options import Command, by_flag
from tests.helpers.pages import CURRENT, FENCE, TEXTS, TOPS, commands, snippets, spans
from tests.helpers.processes import ROOT

LONGEST = {
    "CONTRIBUTING.md": 60,
    "README.md": 110,
    "README.ja.md": 115,
    "benchmarks/README.md": 80,
}
FORBIDDEN = {
    r"\bthe seed's\b|\bseed posts?\b": "the 2016 posts; a seed is a random one",
    r"\banew\b": "again",
    r"\bin one room\b": "say where",
    r"\bgoes before them\b": "is used instead of them",
    r"\b(goes|gone) on\b": "resumes, resumed",
    r"\btold (apart|with)\b": "separate",
}


def anchors(text: str) -> set[str]:
    """Of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(text: str) -> list[str]:
    """What a page's links and pictures name, but for other sites."""
    found = re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", text))
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def dead(name: str, text: str) -> list[str]:
    """Links of the page `name` (relative to the root) that lead nowhere."""
    lost = []
    for link in links(text):
        file, _, anchor = link.partition("#")
        path = (ROOT / name).parent / file if file else ROOT / name
        if not path.exists() or (anchor and anchor not in anchors(path.read_text())):
            lost.append(link)
    return lost


@pytest.mark.parametrize("name", TEXTS)
def test_lines_are_at_most_100_characters(name: str):
    """Tables, links and commands too: a row that is longer needs other columns."""
    assert not [line for line in TEXTS[name].splitlines() if len(line) > 100]


@pytest.mark.parametrize(("name", "most"), LONGEST.items())
def test_the_first_pages_are_short(name: str, most: int):
    assert len(TEXTS[name].splitlines()) <= most


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_to_a_file_or_a_heading(name: str):
    assert not dead(name, TEXTS[name])


def test_a_link_to_nothing_is_seen():
    assert "#kept" in dead("README.md", "## Keep\n[a](#keep) [b](#kept)")
    assert dead("jaxdl/fcn/README.md", "[a](README.md#presets) [b](../NONE.md)") == ["../NONE.md"]
    assert anchors("# `jaxdl doctor`: what?\n") == {"jaxdl-doctor-what"}


@pytest.mark.parametrize("name", TEXTS)
def test_words_are_plain(name: str):
    text = " ".join(TEXTS[name].split())
    assert not {word: say for word, say in FORBIDDEN.items() if re.search(word, text, re.I)}


def test_files_tests_and_targets_exist():
    """What a page names in backticks or in its code."""
    code = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    gone: set[tuple[str, str]] = set()
    for name, text in CURRENT.items():
        for span in [*spans(text), *commands(text)]:
            if re.match(rf"({'|'.join(TOPS)})/\S*$", span) and not (ROOT / span).exists():
                gone.add((name, span))
            if re.match(r"test_\w+$", span) and f"def {span}(" not in code:
                gone.add((name, span))
            gone |= {(name, made) for made in re.findall(r"\bmake ([a-z][\w-]*)", span)
                     if made not in targets}  # fmt: skip
    assert not gone


def test_the_house_says_where_to_change_what():
    _, table = TEXTS["jaxdl/README.md"].split("## Where do I change what")
    named = re.findall(r"`(jaxdl/[^`]+)`", table.split("\n## ")[0])
    assert len(named) > 15


def test_the_japanese_page_says_the_same():
    """The same commands, links and numbers."""
    english, japanese = TEXTS["README.md"], TEXTS["README.ja.md"]
    assert commands(english) == commands(japanese)
    assert [code for _, code in snippets(english)] == [code for _, code in snippets(japanese)]
    others = {"README.md", "README.ja.md"}
    assert set(links(english)) - others == set(links(japanese)) - others

    def rows(text: str) -> list[list[str]]:
        found = [line.split("|")[2:] for line in text.splitlines() if line.startswith("| ")]
        return [[cell.strip() for cell in row] for row in found][1:]

    assert rows(english) == rows(japanese)


def options(text: str) -> set[str]:
    """The flags in a text, --help apart; ``--[no-]flag`` is two."""
    both = re.sub(r"--\[no-\]([a-z0-9-]+)", r"--\1 --no-\1", text)
    return set(re.findall(r"--[a-z][a-z0-9-]*", both)) - {"--help"}


def taken(command: Command) -> set[str]:
    """The flags that a command takes."""
    flags = {f for f, option in by_flag(command.options).items() if not option.positional}
    both = {f.replace("--", "--no-", 1) for f in flags if by_flag(command.options)[f].kind is bool}
    return flags | both | ({"--config"} if command.where is not None else set())


def test_options_that_the_text_names_exist():
    """Of ``jaxdl SUBJECT COMMAND --option``; a subject's page may name those of all its commands.

    tests/test_page_commands.py has what is in fences.
    """
    has = {name: taken(command) for name, command in program.commands().items()}
    unknown, seen = set[tuple[str, str, str]](), set[str]()
    for page, text in CURRENT.items():
        named = spans(text)
        for span in named:
            which = next((name for name in has if f"{span} ".startswith(f"jaxdl {name} ")), None)
            if which is not None:
                seen |= {which}
                unknown |= {(page, which, flag) for flag in options(span) - has[which]}
        subject = page.split("/")[1] if page.startswith("jaxdl/") else ""
        if subject in program.SUBJECTS:
            mine = set().union(*(has[name] for name in has if name.split()[0] == subject))
            unknown |= {(page, subject, flag) for flag in options(" ".join(named)) - mine}
    assert not unknown
    assert {"fcn train", "lstm predict", "word2vec query", "digits"} <= seen
