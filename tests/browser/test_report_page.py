"""report.html in Chromium, opened from a file, with no network: `make test-pages`."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxdl.fcn.report import fcn_section
from jaxdl.files.atomic import read_json, write_json
from jaxdl.report.page import write_page
from jaxdl.word2vec.report import word2vec_section
from tests.helpers.opened import is_dark, opened_page, widths
from tests.helpers.voc_tree import jpeg, png, write
from tests.report import test_report as fcn
from tests.word2vec import test_report as word2vec

pytestmark = [pytest.mark.browser, pytest.mark.slow]

HOSTILE = "<img src=x onerror=document.title='run'>"
FACES = "[...document.querySelectorAll('.row')].map((row) => [...row.children].map((one) => {"
FACES += " const {left, right} = one.getBoundingClientRect(); return [left, right]; }))"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of an FCN and of word vectors, with names that are markup."""
    folder = tmp_path_factory.mktemp("report")
    run = folder / "fcn"
    fcn._fake_run(run)
    listed = []
    rng = np.random.default_rng(0)
    for name in (HOSTILE, "plain"):
        listed.append({"id": name, "mean_iu": 0.25})
        write(run / "fcn8s" / "worst" / f"{name}.jpg", jpeg(40, 60))
        for kind in ("", "_truth"):
            label = rng.integers(0, 3, (40, 60)).astype(np.uint8)
            write(run / "fcn8s" / "worst" / f"{name}{kind}.png", png(label))
    write_json(run / "fcn8s" / "worst" / "worst.json", listed)
    matrix = [[90, 5, 5], [1, 9, 0], [0, 0, 0]]
    write_json(run / "fcn8s" / "confusion.json", {"images": 2, "of": 9, "matrix": matrix})
    word2vec._fake_run(folder / "word2vec")
    sections = [fcn_section(run), word2vec_section(folder / "word2vec")]
    record = read_json(run / "run.json")
    write_page(folder / "report.html", f"jaxdl {HOSTILE}", sections, record)
    return folder / "report.html"


@pytest.fixture
def tab(browser: Any, file: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    with opened_page(browser, file, **getattr(request, "param", {})) as tab:
        yield tab
        assert tab.title() == f"jaxdl {HOSTILE}"
        assert tab.locator("img").count() == 0


def test_a_curve_tells_its_values_at_the_pointer_and_by_keyboard(tab: Any):
    curves, tip = tab.locator("svg[data-curves]").first, tab.locator(".tip").first
    assert tip.is_hidden()
    curves.focus()
    for _ in range(4):
        tab.keyboard.press("ArrowRight")
    # The fourth epoch is the first of FCN-16s.
    row = fcn._rows(1)[0]["test"]
    lines = tip.inner_text().splitlines()
    assert lines[0] == "epoch 4"
    assert f"FCN-16s, test: mean IU, %: {100 * row['mean_iu']:.5g}" in lines
    tab.keyboard.press("ArrowDown")
    assert "FCN-32s, test: loss: 0.5" in tip.inner_text().splitlines()
    tab.keyboard.press("Escape")
    assert tip.is_hidden()
    box = curves.bounding_box()
    tab.mouse.move(box["x"] + 0.97 * box["width"], box["y"] + 0.2 * box["height"])
    assert tip.inner_text().splitlines()[0] == "epoch 9"
    tab.mouse.move(box["x"] + 0.5 * box["width"], box["y"] - 30)
    assert tip.is_hidden()


def test_pictures_enlarge_and_show_their_errors(tab: Any):
    style = "(one) => [getComputedStyle(one).display, getComputedStyle(one).opacity]"
    layer, errors = tab.locator(".gallery .layer").first, tab.locator(".errors").first
    assert layer.evaluate(style) == ["inline", "0.6"]
    assert errors.evaluate(style)[0] == "none"
    tab.locator(".opacity").first.fill("25")
    assert layer.evaluate(style) == ["inline", "0.25"]
    tab.locator(".show-errors").first.check()
    assert (layer.evaluate(style)[0], errors.evaluate(style)) == ("none", ["inline", "0.25"])
    button = tab.locator(".enlarge").nth(2)
    assert button.get_attribute("aria-label") == "Enlarge: FCN-16s, one"
    button.focus()
    tab.keyboard.press("Enter")
    dialog = tab.locator("dialog")
    assert dialog.is_visible()
    assert dialog.locator("figure").count() == 5
    assert dialog.get_by_label("error map").is_checked()
    middle = "(one) => { const {left, right} = one.getBoundingClientRect();"
    middle += " return [left, right, innerWidth]; }"
    left, right, window = dialog.locator("figure").nth(2).evaluate(middle)
    assert 0 <= left < right <= window
    tab.keyboard.press("Escape")
    assert dialog.is_hidden()
    assert tab.evaluate("document.querySelectorAll('#sample-0').length") == 1


def test_the_summary_comes_first_and_names_are_text(tab: Any):
    summary = tab.inner_text("#summary")
    assert "mean IU of FCN-8s on 2 test images" in summary
    assert "pixel accuracy of FCN-8s" in summary
    assert "Spearman, wordsim353.tsv" in summary
    assert tab.locator("#summary figure svg").count() == 3
    assert "jaxdl fcn predict" in summary
    texts = tab.locator(".tile figcaption").all_inner_texts()
    assert any(HOSTILE in text for text in texts)
    assert "; 2 of the 9 images were looked at" in tab.inner_text("#section-1")


@pytest.mark.parametrize("tab", [{"viewport": {"width": 390, "height": 740}}], indirect=True)
def test_on_a_phone_what_scrolls_says_so_and_all_stages_are_seen(tab: Any):
    width, window = widths(tab)
    assert width <= window
    boxes = tab.evaluate(
        "[...document.querySelectorAll('.scroll')].map((one) => [one.scrollWidth > one.clientWidth"
        " + 1, one.previousElementSibling.className, !one.previousElementSibling.hidden,"
        " one.tabIndex])"
    )
    assert {wide for wide, *_ in boxes} == {True, False}
    for wide, name, told, tabs in boxes:
        assert (name, told, tabs == 0) == ("hint", wide, wide)
    rows = tab.evaluate(FACES)
    assert {len(row) for row in rows} == {3, 5}
    assert all(0 <= left < right <= window for row in rows for left, right in row)


@pytest.mark.parametrize("tab", [{"color_scheme": "dark"}], indirect=True)
def test_dark_mode(tab: Any):
    assert is_dark(tab)


def test_all_is_readable_without_scripts(browser: Any, file: Path):
    with opened_page(browser, file, java_script_enabled=False) as tab:
        for words in ("What to try next", "Confusion matrix of FCN-8s", "Nearest neighbours"):
            assert tab.get_by_text(words).first.is_visible()
        assert tab.locator(".gallery svg").count() == 2 * 5 + 2 * 3
        assert tab.locator(".opacity").first.is_hidden()
        assert tab.locator(".errors").first.is_hidden()
        tab.locator(".show-errors").first.check()  # by the style sheet
        assert tab.locator(".errors").first.is_visible()


def test_printed_it_is_short_and_closed_lists_are_open(tab: Any):
    tab.emulate_media(media="print")
    assert tab.locator(".names").first.is_visible()
    assert tab.locator(".controls").first.is_hidden()
    pages = len(re.findall(rb"/Type\s*/Page\b", tab.pdf(format="A4", print_background=True)))
    assert 2 <= pages <= 5
