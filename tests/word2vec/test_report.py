"""The word2vec section of the page: its numbers, its map, and what it says of a broken run."""

import functools
import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxdl.files.atomic import read_json, write_json
from jaxdl.report.page import write_page
from jaxdl.training.run_folder import Recorder, run_record
from jaxdl.word2vec import report
from jaxdl.word2vec.report import training_curves, word2vec_section
from jaxdl.word2vec.word_map import MAP_SIZE, place_labels, word_map
from tests.report.test_report import _Page

HOSTILE = ["<script>alert(1)</script>", '"it\'s" &amp;', "日本語", "$x_1$", "w" * 5000, "\u202eabc"]
PAIRS = {"kind": "pairs", "score": 0.6214, "pearson": 0.58, "used": 351, "all": 353}
ANALOGIES = {"kind": "analogies", "score": 0.2437, "used": 9000, "all": 19544}
CONFIG = {
    "objective": "negative-sampling",
    "architecture": "skip-gram",
    "orientation": "context",
    "width": 50,
    "window": 7,
    "negatives": 11,
    "optimizer": "<sgd>",
}


def _rows(epochs: int = 2) -> list[dict[str, Any]]:
    """Four rows an epoch; words/s grow, the loss falls, the last row of each is evaluated."""
    rows = []
    for n in range(1, 4 * epochs + 1):
        score = {"wordsim353.tsv": PAIRS, "questions-words.txt": ANALOGIES} if n % 4 == 0 else {}
        train = {"loss": 2 + 1 / n, "positive": 0.7, "negative": None, "pairs": 1e6}
        rows.append(
            {"step": 10 * n, "epoch": n / 4, "train": train, "evaluation": score}
            | {"heldout": {"loss": 2.5 + 1 / n, "pairs": 100}, "learning_rate": 0.025 / n}
            | {"raw_words_per_s": 1e6 + n, "words_per_s": 5e5 + n, "seconds": 1.5}
        )
    return rows


def _fake_run(run: Path, config: dict[str, Any] | None = None) -> None:
    """A whole run folder whose words are hostile."""
    corpus = {"files": ["<text8>"], "raw_words": 17_005_207, "kept_words": 16_718_844}
    corpus |= {"vocabulary": 71_290, "sentences": 1, "seconds": 3.25}
    record = run_record("word2vec", CONFIG | (config or {}), None)
    write_json(run / "run.json", record | {"corpus": corpus})
    with Recorder(run, 0) as recorder:
        for row in _rows():
            recorder.row(row["step"], row)
    words = [*HOSTILE, *(f"word{n}" for n in range(20))]
    near = [[[other, 0.987 - n / 100] for n, other in enumerate(words[:5])] for _ in words]
    lines = [
        {"word": word, "count": 9000 - n, "neighbours": near[n]} for n, word in enumerate(words)
    ]
    write_json(run / "neighbours.json", {"words": lines})
    places = np.random.default_rng(0).normal(size=(2, len(words)))
    counts = list(range(9000, 9000 - len(words), -1))
    write_json(run / "map.json", {"words": words, "x": places[0], "y": places[1], "counts": counts})
    summary = {"loss": 2.1234, "heldout_loss": 2.6543, "vocabulary": 71_290, "epochs": 2}
    summary |= {"raw_words": 17_005_207, "raw_words_per_s": 1.25e6, "words_per_s": 6.5e5}
    summary |= {"seconds": 40.5, "encode_seconds": 3.5, "evaluation": {"wordsim353.tsv": PAIRS}}
    write_json(run / "summary.json", {"word2vec": summary})


def _section(run: Path) -> _Page:
    title, html, *_ = word2vec_section(run)
    assert title == "Word vectors"
    assert str(run) not in html
    return _Page(html)


def _totals(page: _Page) -> dict[str, str]:
    return dict(zip(*page.tables["numbers totals"], strict=True))


@pytest.fixture(autouse=True)
def each_figure_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes a third of a second, and most tests damage what is not drawn."""
    monkeypatch.setattr(report, "training_curves", _drawn_once)


@functools.cache
def _draw(rows: str) -> str:
    return training_curves(json.loads(rows))


def _drawn_once(rows: list[dict[str, Any]]) -> str:
    return _draw(json.dumps(rows))


# --- the section


def test_page_has_the_numbers_and_every_neighbour(tmp_path: Path) -> None:
    _fake_run(tmp_path)
    path = tmp_path / "report.html"
    write_page(path, "Words", [word2vec_section(tmp_path)], read_json(tmp_path / "run.json"))
    html = path.read_text()
    page = _Page(html)
    assert page.open == []
    assert "To note" not in page.text
    assert "://" not in re.sub(r"xmlns(:\w+)?=\"[^\"]*\"", "", html)
    assert _totals(page) == {
        "vocabulary": "71,290",
        "words": "17,005,207",
        "epochs": "2",
        "seconds": "40.5",
        "words/s": "1,250,000",
        "words/s after subsampling": "650,000",
        "loss per pair": "2.1234",
        "held-out loss": "2.6543",
    }
    scores = ["wordsim353.tsv", "0.621", "Spearman", "0.580", "351", "353"]
    assert page.tables["numbers results"][1:] == [scores]
    near = page.tables["numbers words"][1:]
    assert len(near) == len(HOSTILE) + 20
    assert near[-1][:2] == ["word19", f"{9000 - len(HOSTILE) - 19:,}"]
    cut = f"{'w' * 31}\N{HORIZONTAL ELLIPSIS}"
    words, cosines = [*HOSTILE[:4], cut], ["0.99", "0.98", "0.97", "0.96", "0.95"]
    for line in near:
        assert (
            line[2].split() == " ".join(itertools.chain(*zip(words, cosines, strict=True))).split()
        )


def test_hostile_words_stay_words(tmp_path: Path) -> None:
    _fake_run(tmp_path)
    html = word2vec_section(tmp_path).html
    page = _Page(html)  # refuses script elements
    for word in HOSTILE[:4]:
        assert page.text.count(word) > 1
    assert "<script" not in html
    assert "&amp;amp;" in html
    # Too long, or turning the text around.
    assert "w" * 33 not in html
    assert "\u202e" not in html
    assert "<text8>" in page.text


def test_an_unfinished_run_shows_its_last_row(tmp_path: Path) -> None:
    _fake_run(tmp_path)
    (tmp_path / "summary.json").unlink()
    with Recorder(tmp_path, 50) as recorder:  # after a quarter of the second epoch
        recorder.close()
    page = _section(tmp_path)
    values = ["71,290", "17,005,207", "1.25", "7.5", "1,000,003", "500,003", "2.2000", "2.7000"]
    assert list(_totals(page).values()) == values
    questions = ["questions-words.txt", "24.4 %", "share right", "\N{EN DASH}", "9,000", "19,544"]
    assert page.tables["numbers results"][2] == questions
    assert "the last row so far is shown" in page.text


FILES = ["run.json", "metrics.jsonl", "summary.json", "map.json", "neighbours.json"]
BROKEN = [None, "no such thing\nat all\n", "", "[1, 2]", '{"words": [1], "x": [NaN], "y": [2]}\n{}']


@pytest.mark.slow
@pytest.mark.parametrize("lost", FILES)
@pytest.mark.parametrize("content", BROKEN)
def test_page_tells_what_is_lost(tmp_path: Path, lost: str, content: str | None) -> None:
    _fake_run(tmp_path)
    path = tmp_path / lost
    path.unlink() if content is None else path.write_text(content)
    page = _section(tmp_path)
    notes = page.text[page.text.index("To note") :].split("Learning curves")[0]
    # An empty file of metrics is a run that has just begun.
    just_begun = lost == "metrics.jsonl" and content in ("", "[1, 2]")
    assert ("no row of metrics" if just_begun else lost) in notes
    assert ("Nearest neighbours" in page.text) == (lost != "neighbours.json")
    assert ("Map of the" in page.text) == (lost != "map.json")


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["map.json", "neighbours.json", "summary.json", "run.json"])
@pytest.mark.parametrize(
    "content",
    [
        *(None, 3, {}, {"words": 3}, {"words": [{"word": 1}]}, {"word2vec": 3, "corpus": []}),
        {"words": ["a", "b"], "x": [0, 1], "y": [0, 1], "counts": [1]},
        {"words": ["a"], "x": [None], "y": [0], "counts": [1]},
        {"words": ["a"], "x": [1e999], "y": [0], "counts": [1]},
        {"words": ["a"], "x": [1], "y": [0], "counts": [1e999]},
    ],
)
def test_json_of_another_shape_is_no_crash(tmp_path: Path, lost: str, content: object) -> None:
    _fake_run(tmp_path)
    (tmp_path / lost).write_text(json.dumps(content))
    page = _section(tmp_path)
    if lost in ("map.json", "neighbours.json"):
        assert f"{lost}: is not a" in page.text


def test_rows_may_lack_anything(tmp_path: Path) -> None:
    _fake_run(tmp_path)
    (tmp_path / "summary.json").unlink()
    with Recorder(tmp_path, 0) as recorder:
        recorder.row(1, {})
        recorder.row(2, {"epoch": 1.0, "train": 3, "heldout": {"loss": None}, "evaluation": []})
        recorder.row(3, {"epoch": 2.0, "evaluation": {"a": {"score": None}, "$語_": {}, "b": 1}})
    page = _section(tmp_path)
    assert _totals(page)["loss per pair"] == "\N{EN DASH}"
    assert page.tables["numbers results"][2][:3] == ["$語_", "\N{EN DASH}", "score"]


def test_a_run_that_has_just_begun(tmp_path: Path) -> None:
    with Recorder(tmp_path, 0):
        pass
    page = _section(tmp_path)
    assert "no row of metrics is finished yet" in page.text
    assert not page.tables
    assert "svg" not in word2vec_section(tmp_path).html


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, ["each word around, from the input table, predicts the word in the middle"]),
        ({}, ["vector of 50", "up to 7 words", "11 negatives"]),
        ({"orientation": "center"}, ["the word in the middle, from the input table, predicts"]),
        ({"architecture": "cbow"}, ["CBOW", "together predict the word in the middle"]),
        ({"objective": "full-softmax"}, ["full softmax"]),
        ({"objective": "hierarchical-softmax"}, ["Huffman tree"]),
    ],
)
def test_the_paragraph_says_what_was_trained(
    tmp_path: Path, config: dict[str, Any], said: list[str]
) -> None:
    _fake_run(tmp_path, config)
    text = " ".join(_section(tmp_path).text.split())
    assert all(phrase in text for phrase in said)
    assert ("negatives each" in text) == ("objective" not in config)


@pytest.mark.slow
def test_curves_follow_the_mode_and_have_a_panel_for_scores_if_any() -> None:
    svg = training_curves(_rows())
    assert svg == training_curves(_rows())
    assert svg.startswith("<svg")
    assert "Spearman, wordsim353.tsv" in svg
    assert "var(--test" in svg
    assert re.search(r"(?:stroke|fill): #", svg) is None
    assert "evaluation</text>" not in training_curves(_rows()[:3])
    assert "evaluation</text>" in svg


# --- the map


def _clusters(size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit-scale directions of 4 groups with some noise, at lengths that mislead: (4 size, 16)."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(4), size)
    vectors = np.eye(16)[group] + 0.1 * rng.normal(size=(4 * size, 16))
    return group, (vectors * rng.uniform(0.1, 10, (4 * size, 1))).astype(np.float32)


@pytest.mark.parametrize("size", [3, 25])
def test_map_keeps_groups_apart_and_is_the_same_each_time(size: int) -> None:
    group, vectors = _clusters(size, seed=size)
    words = [f"w{n}" for n in range(len(group))]
    found = word_map(words, vectors, 7)
    assert found == word_map(words, vectors, 7)
    assert found["words"] == words
    assert json.loads(json.dumps(found)) == found
    points = np.stack([found["x"], found["y"]], 1)
    distance = np.linalg.norm(points[:, None] - points, axis=-1)
    np.fill_diagonal(distance, np.inf)
    np.testing.assert_array_equal(group[distance.argmin(1)], group)
    inside = np.where(group[:, None] == group, distance, 0)
    between = np.where(group[:, None] != group, distance, np.inf)
    if size > 3:  # wholly apart: each group is smaller than the gaps round it
        assert inside[np.isfinite(inside)].max() < 2 * between.min()


@pytest.mark.parametrize("words", range(8))
@pytest.mark.parametrize("kind", ["random", "narrow", "equal", "zero"])
def test_map_of_few_or_odd_words(words: int, kind: str) -> None:
    vectors = np.random.default_rng(0).normal(size=(words, 1 if kind == "narrow" else 5))
    vectors = (
        vectors if kind in ("random", "narrow") else np.full((words, 5), kind == "equal", float)
    )
    found = word_map([str(n) for n in range(words)], vectors, 0)
    assert [len(column) for column in found.values()] == [words] * 3
    assert np.isfinite([found["x"], found["y"]]).all()
    labels = place_labels(found["words"], found["x"], found["y"], [1] * words)
    assert len(labels) == words
    if kind == "random" and words > 1:
        assert len(set(zip(found["x"], found["y"], strict=True))) == words


@pytest.mark.parametrize("spread", [0.0, 0.05, 1.0])
def test_shown_labels_do_not_overlap_and_touch_their_points(spread: float) -> None:
    rng = np.random.default_rng(1)
    x, y = spread * rng.normal(size=(2, 300)) + rng.integers(0, 3, (2, 300))
    words = [*HOSTILE, *("lm" * int(n) for n in rng.integers(1, 20, 300 - len(HOSTILE)))]
    counts = [int(c) for c in 10 ** rng.uniform(0, 6, 300)]
    labels = place_labels(words, x.tolist(), y.tolist(), counts)
    assert [label.count for label in labels] == sorted(counts, reverse=True)
    assert labels[0].shown
    shown = [label for label in labels if label.shown]
    for one, other in itertools.combinations(shown, 2):
        (left, top, right, bottom), (left2, top2, right2, bottom2) = one.box, other.box
        assert right <= left2 or right2 <= left or bottom <= top2 or bottom2 <= top
    for label in shown:
        left, top, right, bottom = label.box
        assert 0 <= left <= label.x + 1e-9
        assert label.x <= right + 1e-9 <= MAP_SIZE[0] + 1e-6
        assert 0 <= top <= label.y + 1e-9
        assert label.y <= bottom + 1e-9 <= MAP_SIZE[1] + 1e-6
    assert len(shown) > (9 if spread else 5)


def test_of_words_at_one_place_the_commonest_is_shown() -> None:
    labels = place_labels(["rare", "far", "common"], [0.0, 9.0, 0.0], [0.0, 9.0, 0.0], [1, 5, 9])
    assert [one.word for one in labels if one.shown] == ["common", "far"]
