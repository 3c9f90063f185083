"""A page in the browser, as its user opens it: from a file, with no network."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def opened_page(browser: Any, file: Path, **options: Any) -> Iterator[Any]:
    """The page's tab; afterwards, that it kept to itself.

    Nothing was complained of, nothing but the file was asked for, and no name from a file was run
    (all hostile ones would change the title).
    """
    context = browser.new_context(offline=True, **options)
    context.set_default_timeout(120_000)
    tab, requests, complaints = context.new_page(), [], []
    tab.on("request", lambda one: requests.append(one.url))
    tab.on("console", lambda one: complaints.append(one.text))
    tab.on("pageerror", lambda one: complaints.append(str(one)))
    tab.goto(file.as_uri())
    title = tab.title()
    yield tab
    assert complaints == []
    assert {url.split(":")[0] for url in requests} <= {"file", "blob", "data"}
    assert [url for url in requests if url.startswith("file")] == [file.as_uri()]
    assert tab.title() == title
    context.close()


def widths(tab: Any) -> tuple[int, int]:
    """Of the whole page, and of the window."""
    page, window = tab.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    return page, window


def is_dark(tab: Any) -> bool:
    """Whether the text is lighter than the paper."""
    script = (
        "(({color, backgroundColor}) => [color, backgroundColor])(getComputedStyle(document.body))"
    )
    ink, paper = (
        sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))
        for colour in tab.evaluate(script)
    )
    return ink > paper
