"""words.html in Chromium, opened from a file, with no network: `make test-pages`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxdl.word2vec.keyed_vectors import KeyedVectors
from jaxdl.word2vec.vectors import Vectors
from jaxdl.word2vec.words_page import page_bytes
from tests.helpers.opened import is_dark, opened_page, widths

pytestmark = [pytest.mark.browser, pytest.mark.slow]

HOSTILE = (
    "<img src=x onerror=document.title='run'>",
    "</script><script>document.title='run'</script>",
    "\u202eback",
    "a-b",
    "w" * 300,
)
WORDS = (*HOSTILE, "king", "queen", "man", "woman", *(f"word{n}" for n in range(391)))


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    """Words around 40 middles, so that neighbours differ; of very different lengths."""
    rng = np.random.default_rng(0)
    middles = rng.normal(size=(40, 50))
    table = middles[np.arange(len(WORDS)) % 40] + 0.8 * rng.normal(size=(len(WORDS), 50))
    return Vectors(WORDS, (table * rng.uniform(0.01, 9, (len(WORDS), 1))).astype(np.float32))


@pytest.fixture(scope="module")
def file(vectors: Vectors, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("words") / "words.html"
    path.write_bytes(page_bytes(vectors, 200))
    return path


@pytest.fixture
def tab(browser: Any, file: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    with opened_page(browser, file, **getattr(request, "param", {})) as tab:
        yield tab
        assert tab.title() == "jaxdl: look words up"


def found(tab: Any) -> list[tuple[str, float]]:
    """The table's words and cosines."""
    lines = tab.locator("#found tbody tr")
    words, scores = lines.locator("bdi").all_text_contents(), lines.locator("td:nth-child(2)")
    return list(zip(words, map(float, scores.all_text_contents()), strict=True))


def test_neighbours_are_those_of_query_up_to_the_rounding(tab: Any, vectors: Vectors):
    named = "(found) => found.map(([n, score]) => [words[n], score])"
    script = f"words.map((_, row) => ({named})(nearest([{{row, weight: 1}}], 10)))"
    keyed, same = KeyedVectors.of(vectors), 0
    for word, near in zip(WORDS, tab.evaluate(script), strict=True):
        wanted = keyed.most_similar(word, topn=10)
        same += near[0][0] == wanted[0][0]
        exact = dict(keyed.most_similar(word, topn=len(WORDS)))
        assert all(abs(exact[other] - score) <= 0.02 for other, score in near)
        # The tenth is not far from the true tenth.
        assert near[-1][1] >= wanted[-1][1] - 0.02
    assert same >= 0.97 * len(WORDS)


def test_typed_words_are_answered_as_by_query(tab: Any, vectors: Vectors):
    keyed = KeyedVectors.of(vectors)
    tab.fill("#query", "king")
    (first, score), *_ = keyed.most_similar("king")
    assert found(tab)[0] == (first, pytest.approx(score, abs=0.02))
    tab.fill("#query", "king - man + woman")
    (first, score), *_ = keyed.most_similar(["king", "woman"], ["man"])
    assert found(tab)[0] == (first, pytest.approx(score, abs=0.02))
    assert tab.inner_text("#title") == "king - man + woman"
    words = ["word0", "word40", "word80", "king"]
    tab.fill("#query", " ".join(words))
    assert found(tab)[0][0] == keyed.doesnt_match(words)
    assert tab.locator("tr.odd bdi").all_text_contents() == [keyed.doesnt_match(words)]
    tab.fill("#query", "a-b")  # a sign within a word is none
    assert found(tab)[0][0] == keyed.most_similar("a-b")[0][0]


def test_what_cannot_be_answered_is_told_and_beginnings_are_completed(tab: Any):
    for text, said in (
        ("king -", "A word is missing after the last sign."),
        ("king - - man", "Write words and signs in turn, as in a - b + c."),
        ("+ king", "Write words and signs in turn, as in a - b + c."),
        ("king <b>", "<b> is not among the words of this page."),
    ):
        tab.fill("#query", text)
        assert tab.inner_text("#status") == said
        assert tab.locator("#result").is_hidden()
    tab.fill("#query", "king - wor")
    assert tab.locator("#suggestions button").count() == 12
    tab.keyboard.press("Enter")
    assert tab.input_value("#query") == "king - word0"
    assert len(found(tab)) == 12
    tab.locator("#found button").first.click()
    assert tab.inner_text("#title") in WORDS


def test_hostile_words_are_text(tab: Any):
    for word in HOSTILE[:2]:
        tab.evaluate("(word) => ask(word.split(' ')[0])", word)
        row = WORDS.index(word)
        tab.evaluate("(row) => { mark([row], []); chip(byId('examples'), words[row], null); }", row)
    assert tab.locator("img").count() == 0
    assert HOSTILE[0] in tab.inner_text("#examples")
    assert tab.evaluate("shown(words[2])") == "\ufffdback"
    assert len(tab.evaluate("shown(words[4])")) == 60


def test_the_map_zooms_moves_and_is_searched(tab: Any):
    zoom = "byId('map-status').dataset.zoom"
    tab.locator("#map").focus()
    tab.keyboard.press("+")
    tab.keyboard.press("+")
    assert float(tab.evaluate(zoom)) == pytest.approx(2.25)
    before = tab.evaluate("place(7)")
    tab.keyboard.press("ArrowRight")
    after = tab.evaluate("place(7)")
    assert after == [pytest.approx(before[0] - 60), pytest.approx(before[1])]
    tab.locator("#whole").click()
    box = tab.locator("#map").bounding_box()
    tab.mouse.move(box["x"] + 200, box["y"] + 100)
    under = "[view.x + (200 - size()[0] / 2) / scale(), view.y + (100 - size()[1] / 2) / scale()]"
    before = tab.evaluate(under)
    tab.mouse.wheel(0, -400)
    tab.wait_for_function(f"{zoom} > 2")
    assert tab.evaluate(under) == pytest.approx(before)  # what is under the pointer stays
    tab.mouse.down()
    tab.mouse.move(box["x"] + 230, box["y"] + 100)
    tab.mouse.up()
    assert tab.evaluate(under)[0] == pytest.approx(before[0] - 30 / tab.evaluate("scale()"))
    tab.fill("#find", "queen")
    assert tab.inner_text("#map-status") == "queen is in the middle of the map."
    across, down = tab.evaluate("[size()[0] / 2, size()[1] / 2]")
    assert tab.evaluate("place(6)") == [pytest.approx(across), pytest.approx(down)]
    tab.fill("#find", "word390")
    assert tab.inner_text("#map-status") == "word390 is not among the 200 words of the map."
    tab.fill("#find", "nowhere")
    assert tab.inner_text("#map-status") == "No word of the map begins with nowhere."


def test_the_keyboard_reaches_all(tab: Any):
    reached = []
    for _ in range(40):
        tab.keyboard.press("Tab")
        reached.append(tab.evaluate("document.activeElement.id || document.activeElement.tagName"))
    for wanted in ("query", "BUTTON", "find", "closer", "farther", "whole", "map"):
        assert wanted in reached


@pytest.mark.parametrize(
    "tab",
    [{"viewport": {"width": 390, "height": 740}}, {"color_scheme": "dark"}],
    ids=["phone", "dark"],
    indirect=True,
)
def test_a_phone_and_dark_mode(tab: Any, request: pytest.FixtureRequest):
    tab.evaluate("(row) => ask(words[row])", WORDS.index("a-b"))
    tab.evaluate("chip(byId('examples'), words[4], null)")  # a very long word
    width, window = widths(tab)
    assert width <= window
    assert is_dark(tab) == ("dark" in request.node.callspec.id)
