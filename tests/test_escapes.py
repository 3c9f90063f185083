"""Whatever names a run's files hold, the page has the same kinds of elements, and no other."""

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from jaxdl.digits.report import digits_section
from jaxdl.fcn.report import fcn_section
from jaxdl.files.atomic import read_json, write_json
from jaxdl.lstm.report import lstm_section
from jaxdl.report.page import Section, write_page
from jaxdl.report.plots import svg_element
from jaxdl.report.reading import Notes
from jaxdl.training.run_folder import run_record
from jaxdl.word2vec.query import query
from jaxdl.word2vec.report import word2vec_section
from jaxdl.word2vec.vectors import Vectors, save_npz
from tests.helpers.voc_tree import jpeg, png, write

PLAIN = tuple(f"name {n}" for n in range(9))
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "--></svg><b onclick=x>",
    "</style></title><iframe src=//x>",
    "&lt;script&gt;",
    "{{ 7 * 7 }}{% raw %}",
    "$\\frac{1}{</text>}$",
    "\u202ereversed\x1b[2J\0",
)
RATES = {"accuracy": 0.9, "loss": 0.5}


def fcn(run: Path, names: tuple[str, ...]) -> Section:
    record = {"splits": {names[0]: 3, names[1]: 2}, "weights": {names[2]: {names[3]: names[4]}}}
    write_json(run / "run.json", run_record("fcn", {names[5]: names[6]}, names) | record)
    iu = [0.5] * len(names)
    test = {"loss": 1.0, "mean_iu": 0.5, "per_class_iu": iu}
    row = {"step": 1, "epoch": 1, "train": {"loss": 1.0}, "test": test}
    write_json(run / "summary.json", {"fcn32s": {"mean_iu": 0.5}})
    carried = {
        "source": names[0],
        "loaded": names[:3],
        "initialized": names[3:],
        "unused": [names[1]],
    }
    write_json(run / "fcn32s" / "transfer.json", carried)
    write(run / "fcn32s" / "metrics.jsonl", f"{_line(row)}\n")
    shown = [name for name in names if "\0" not in name and "//" not in name]
    write_json(run / "samples" / "samples.json", [{"id": name} for name in shown])
    write_json(run / "fcn32s" / "samples" / "accuracy.json", dict.fromkeys(shown, 0.5))
    for name in shown:
        write(run / "samples" / f"{name}.jpg", jpeg(8, 8))
        write(run / "samples" / f"{name}_truth.png", png(np.zeros((8, 8), np.uint8)))
        write(run / "fcn32s" / "samples" / f"{name}.png", png(np.ones((8, 8), np.uint8)))
    return fcn_section(run)


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row)


def word2vec(run: Path, names: tuple[str, ...]) -> Section:
    record = run_record("word2vec", {"optimizer": names[0], names[1]: names[2]}, None)
    write_json(run / "run.json", record | {"corpus": {"files": names, "raw_words": 9}})
    found = {name: {"kind": "pairs", "score": 0.5, "used": 1, "all": 2} for name in names}
    row = {"step": 1, "epoch": 1.0, "train": {"loss": 1.0}, "evaluation": found}
    write(run / "metrics.jsonl", f"{_line(row)}\n{_line(row | {'step': 2, 'epoch': 2.0})}\n")
    near = [[other, 0.5] for other in names]
    lines = [{"word": name, "count": 9, "neighbours": near} for name in names]
    write_json(run / "neighbours.json", {"words": lines})
    places = list(range(len(names)))
    words = {"words": [*names, *names], "counts": [9] * 18, "x": places * 2, "y": places * 2}
    write_json(run / "map.json", words)
    return word2vec_section(run)


def lstm(run: Path, names: tuple[str, ...]) -> Section:
    record = run_record("lstm_sine", {"window": names[0], "optimizer": names[1]}, None)
    series = {"source": names[2], "columns": names, "steps": 9, "training": 6, "tail": 3}
    write_json(run / "run.json", record | {"series": series})
    write(
        run / "metrics.jsonl", f"{_line({'step': 4, 'loss': {'2': [0.1, 0.2], names[3]: [1]}})}\n"
    )
    given = np.arange(3.0 * len(names)).reshape(3, -1).tolist()
    members = {"2": {"window": given, "carry": given}}
    setting = {"given": 3, "length": 3, "input": given, "truth": given, "members": members}
    errors = {"sizes": {"2": {"window": [[1.0, 2.0]], "carry": [[1.0, 2.0]]}}}
    write_json(run / "predictions.json", {"settings": [setting], "errors": errors})
    return lstm_section(run)


def digits(run: Path, names: tuple[str, ...]) -> Section:
    record = run_record("digits", {}, names)
    data = {"source": names[0], "train": 9, "test": 9}
    write_json(run / "run.json", record | {"data": data})
    confusion = np.eye(len(names), dtype=int).tolist()
    row = {"step": 1, "epoch": 1, "train": RATES, "test": RATES | {"confusion": confusion}}
    write(run / "metrics.jsonl", f"{_line(row)}\n")
    picture = np.zeros((8, 8), int).tolist()
    samples = [{"image": picture, "found": name, "label": names[0]} for name in names]
    write_json(run / "samples.json", samples)
    return digits_section(run)


SECTIONS = {"fcn": fcn, "word2vec": word2vec, "lstm": lstm, "digits": digits}


class _Page(HTMLParser):
    """The kinds of elements with their attributes' names, addresses, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.kinds: set[tuple[str, ...]] = set()
        self.addresses: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.kinds.add((tag, *sorted({name for name, _ in attrs})))
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href")]

    def handle_comment(self, data: str) -> None:
        self.kinds.add(("comment", data))

    def handle_data(self, data: str) -> None:
        self.text += data


def page(make: Callable[..., Section], run: Path, names: tuple[str, ...]) -> _Page:
    run.mkdir()
    section = make(run, names)
    record = read_json(run / "run.json") | {"argv": ["x", *names[:-1]], "started": names[0]}
    write_page(run / "report.html", names[0], [section, Section(names[1], "")], record)
    return _Page((run / "report.html").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("which", SECTIONS)
def test_names_make_no_markup(tmp_path: Path, which: str):
    plain = page(SECTIONS[which], tmp_path / "plain", PLAIN)
    hostile = page(SECTIONS[which], tmp_path / "hostile", HOSTILE)
    # A map shows a word as text or as a dot, as room is: both are known kinds.
    known = plain.kinds | {("circle", "cx", "cy", "r"), ("title",)}
    assert hostile.kinds <= known
    assert all(a.startswith(("#", "data:image/")) for a in hostile.addresses)
    assert HOSTILE[0] in hostile.text
    assert "\u202e" not in hostile.text
    assert "\x1b" not in hostile.text
    for name in HOSTILE[: 7 if which == "fcn" else 3]:  # shown as they are, and not lost
        assert name in hostile.text


def test_a_figures_texts_are_escaped():
    figure = Figure()
    axes = figure.subplots()
    axes.plot([1, 2], label='</text><script>"&')
    axes.set_title("--><b>", parse_math=False)
    axes.legend()
    found = _Page(svg_element(figure, 'a "label" <b>'))
    assert {kind[0] for kind in found.kinds}.isdisjoint({"script", "b"})
    assert '</text><script>"&' in found.text


def test_a_name_does_not_lead_out_of_the_run(tmp_path: Path):
    """A samples.json of someone else's run could ask for any picture on the machine."""
    secret = write(tmp_path / "secret.jpg", jpeg(8, 8))
    run = tmp_path / "run"
    write_json(run / "samples" / "samples.json", [{"id": "../../secret"}])
    html = fcn_section(run).html
    assert "leaves the run" in html
    assert "data:image" not in html
    assert Notes(run).read(Path.read_bytes, str(secret), b"") == b""


def test_a_bomb_among_the_pictures_is_a_note(tmp_path: Path):
    write_json(tmp_path / "samples" / "samples.json", [{"id": "a"}])
    Image.new("RGB", (8, 8)).save(tmp_path / "samples" / "a.jpg")
    write(tmp_path / "samples" / "a_truth.png", b"\x89PNG\r\n\x1a\n" + bytes(99))
    html = fcn_section(tmp_path).html
    assert "not a readable image" in html


def test_words_with_markup_are_told_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The terminal's own markup, `[/x]`, ended the command; an escape would move the cursor."""
    words = ("a", "[/x]", "[red]b", "\x1b[2J")
    save_npz(tmp_path / "v.npz", Vectors(words, np.eye(4, 3, dtype=np.float32) + np.float32(1)))
    query(tmp_path / "v.npz", ["a"])
    shown = capsys.readouterr().out
    assert "[/x]" in shown
    assert "[red]b" in shown
    assert "\x1b[2J" not in shown
