"""The record of a run, its metrics (also as TensorBoard reads them), and the report page."""

import base64
import hashlib
import io
import json
import re
import struct
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from tensorboardX.proto import event_pb2

from jaxdl.errors import InputError, TrainingError
from jaxdl.fcn.report import STAGES, fcn_section, learning_curves
from jaxdl.files.atomic import read_json, write_bytes, write_json
from jaxdl.report.page import Section, write_page
from jaxdl.report.pictures import jpeg_uri, overlay
from jaxdl.training.run_folder import Recorder, config_diff, read_rows, run_record
from tests.helpers.processes import full_after

CLASSES = ["background", "<b>", "cat & dog"]
# The classes of a protocol buffer module are made at run time.
EVENT = vars(event_pb2)["Event"]
SESSION_START = vars(event_pb2)["SessionLog"].START
PALETTE = np.zeros((256, 3), np.uint8)
PALETTE[:3] = [(0, 0, 0), (200, 0, 0), (0, 0, 200)]


# --- JSON and records


def test_json_keeps_what_json_knows_and_nulls_what_it_does_not(tmp_path: Path) -> None:
    path = tmp_path / "a" / "x.json"
    value = {
        "nan": float("nan"),
        "list": (1, np.float32(0.5), jnp.int32(3)),
        "array": np.array([[1.0, np.inf]]),
        "path": Path("a/b"),
        "truth": True,
    }
    write_json(path, value)
    assert read_json(path) == {
        "nan": None,
        "list": [1, 0.5, 3],
        "array": [[1.0, None]],
        "path": "a/b",
        "truth": True,
    }


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    # A folder of that name is not replaced by a file.
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"folder: is a folder, which no output replaces"):
        write_bytes(tmp_path / "folder", b"text")
    assert read_json(path) == {"a": 1}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "x.json"]


@pytest.mark.parametrize("content", [None, "{"])
def test_read_json_names_the_bad_file(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "run.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=r"run\.json"):
        read_json(path)


def test_run_record_says_what_ran_and_is_json() -> None:
    record = run_record("fcn", {"lr": 0.1, "sizes": (1, 2)}, ["a", "b"])
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["config"] == {"lr": 0.1, "sizes": [1, 2]}
    assert record["classes"] == ["a", "b"]
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", record["versions"]["jax"])
    assert record["device"]["count"] >= 1
    assert record["started"].endswith("+00:00")


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ({"lr": 0.01}, {"lr": 0.02}, ["lr: 0.01 -> 0.02"]),
        ({"lr": 0.01, "sizes": (1, 2)}, {"sizes": [1, 2], "lr": 0.01}, []),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, ["a.c: 2 -> 3"]),
        ({"a": 1}, {}, ["a: 1 -> (absent)"]),
        ({}, {"a": None}, ["a: (absent) -> None"]),
        ({"a": None}, {"a": 1}, ["a: None -> 1"]),
        ({"a": 1}, {"a": True}, ["a: 1 -> True"]),
        ({"z": 1, "a": 1}, {"z": 2, "a": 2}, ["a: 1 -> 2", "z: 1 -> 2"]),
        ({"a": {}}, {"a": {"b": 1}}, ["a: {} -> (absent)", "a.b: (absent) -> 1"]),
        ({"a": Path("x")}, {"a": "x"}, []),
    ],
)
def test_config_diff(old: dict[str, Any], new: dict[str, Any], lines: list[str]) -> None:
    assert config_diff(old, new) == lines


# --- metrics


def _events(folder: Path) -> list[Any]:
    """Every event of a TensorBoard folder, in the order in which TensorBoard reads its files."""
    events = []
    for path in sorted((folder / "tensorboard").glob("events.out.tfevents.*")):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            events.append(EVENT.FromString(content[at + 12 : at + 12 + length]))
            at += 12 + length + 4
    return events


def _shown(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The points TensorBoard shows: a session start hides what it had at or after its step."""
    points: dict[str, list[tuple[int, float]]] = {}
    for event in _events(folder):
        if event.session_log.status == SESSION_START:
            for tag in points:
                points[tag] = [point for point in points[tag] if point[0] < event.step]
        for value in event.summary.value:
            points.setdefault(value.tag, []).append((event.step, value.simple_value))
    return points


def test_rows_and_tensorboard_agree(tmp_path: Path) -> None:
    values = {"train": {"loss": np.float32(0.25)}, "test": {"iu": [0.5, float("nan")]}, "ok": True}
    with Recorder(tmp_path, 0) as recorder:
        recorder.row(10, values)
        # On disk at once, whatever happens next.
        text = (tmp_path / "metrics.jsonl").read_text()
        recorder.row(20, {"train": {"loss": 0.125}})
    assert json.loads(text) == {
        "step": 10,
        "train": {"loss": 0.25},
        "test": {"iu": [0.5, None]},
        "ok": True,
    }
    assert [row["step"] for row in read_rows(tmp_path / "metrics.jsonl")] == [10, 20]
    assert _shown(tmp_path) == {
        "train/loss": [(10, 0.25), (20, 0.125)],
        "test/iu/00": [(10, 0.5)],
    }


@pytest.mark.parametrize("tail", ["", '{"step": 40, "lo', '{"step": 40}'])
def test_resume_has_each_step_once(tmp_path: Path, tail: str) -> None:
    with Recorder(tmp_path, 0) as recorder:
        for step in (10, 20, 30):
            recorder.row(step, {"loss": float(step)})
    path = tmp_path / "metrics.jsonl"
    kept = path.read_text().splitlines(keepends=True)[:2]
    with path.open("a") as file:
        file.write(tail)  # a line that a killed process did not finish
    assert len(read_rows(path)) == 3
    with Recorder(tmp_path, 20) as recorder:
        assert path.read_text() == "".join(kept)
        with pytest.raises(ValueError, match="step 20"):
            recorder.row(20, {})
        recorder.row(30, {"loss": 31.0})
    assert read_rows(path)[1:] == [{"step": 20, "loss": 20.0}, {"step": 30, "loss": 31.0}]
    assert _shown(tmp_path)["loss"] == [(10, 10.0), (20, 20.0), (30, 31.0)]


def test_starting_afresh_drops_all_rows(tmp_path: Path) -> None:
    for _ in range(2):
        with Recorder(tmp_path, 0) as recorder:
            recorder.row(1, {"loss": 1.0})
    assert len(read_rows(tmp_path / "metrics.jsonl")) == 1
    assert _shown(tmp_path)["loss"] == [(1, 1.0)]


def test_a_broken_line_inside_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\nrubbish\n{"step": 2}\n')
    with pytest.raises(InputError, match="line 2"):
        read_rows(path)
    with pytest.raises(InputError, match="line 2"):
        Recorder(tmp_path, 1)
    assert path.read_text().count("\n") == 3


def test_pictures_reach_tensorboard_unchanged(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    with Recorder(tmp_path, 0) as recorder:
        recorder.image(3, "test/a", picture)
    (event,) = [event for event in _events(tmp_path) if event.summary.value]
    path = tmp_path / "x.png"
    path.write_bytes(event.summary.value[0].image.encoded_image_string)
    assert (event.step, event.summary.value[0].tag) == (3, "test/a")
    np.testing.assert_array_equal(np.array(Image.open(path)), picture)


FULL = r"cannot be written \(File too large\); free some space and run the same command"


def test_a_full_disk_stops_the_metrics_and_loses_no_row(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, 0)
    for step in range(1, 9):
        recorder.row(step, {"loss": 0.5})
    size = (tmp_path / "metrics.jsonl").stat().st_size
    with full_after(size + 5), pytest.raises(TrainingError, match=rf"metrics\.jsonl: {FULL}"):
        recorder.row(9, {"loss": 0.5})
    with full_after(0), pytest.raises(TrainingError, match=FULL), recorder:
        recorder.row(10, {"loss": 0.5})
    assert [row["step"] for row in read_rows(tmp_path / "metrics.jsonl")] == list(range(1, 9))
    with Recorder(tmp_path, 8) as recorder:
        recorder.row(9, {"loss": 0.5})
    assert [row["step"] for row in read_rows(tmp_path / "metrics.jsonl")] == list(range(1, 10))


def test_a_full_disk_is_no_endless_wait_for_tensorboard(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    recorder = Recorder(tmp_path, 0)

    def show() -> None:
        for step in range(30):  # more than tensorboardX's queue takes
            recorder.image(step, "test/a", picture)
        recorder.close()

    with full_after(1000), pytest.raises(TrainingError, match=f"tensorboard: {FULL}"):
        show()
    with full_after(1000), pytest.raises(TrainingError, match=FULL), recorder:
        show()


def test_a_full_disk_leaves_the_old_summary_and_page(tmp_path: Path) -> None:
    path, page = tmp_path / "summary.json", tmp_path / "report.html"
    write_json(path, {"a": 1})
    write_page(page, "jaxdl", [], {})
    before = page.read_bytes()
    with full_after(100):
        with pytest.raises(TrainingError, match=rf"summary\.json: {FULL}"):
            write_json(path, {"a": "x" * 1000})
        with pytest.raises(TrainingError, match=rf"report\.html: {FULL}"):
            write_page(page, "jaxdl", [Section("More", "")], {})
    assert read_json(path) == {"a": 1}
    assert page.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "summary.json"]


# --- figures


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_overlay_values(dtype: type) -> None:
    image = np.full((1, 4, 3), 100, np.uint8)
    void = 255 if dtype is np.uint8 else -1
    label = np.array([[0, 1, 2, void]], dtype)
    out = overlay(image, label, PALETTE, alpha=0.75)
    expected = [[(100, 100, 100), (175, 25, 25), (25, 25, 175), (255, 255, 255)]]
    np.testing.assert_array_equal(out, np.array(expected, np.uint8))
    assert image.min() == image.max() == 100


def test_thumbnails_are_bounded_and_not_enlarged() -> None:
    for shape, size in (((1000, 500), (160, 320)), ((30, 640), (320, 15)), ((8, 6), (6, 8))):
        uri = jpeg_uri(np.zeros((*shape, 3), np.uint8))
        assert uri.startswith("data:image/jpeg;base64,")
        assert Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).size == size


def _rows(stage: int, epochs: int = 3) -> list[dict[str, Any]]:
    """Plausible rows; the numbers differ by stage, epoch and side."""
    rows = []
    for epoch in range(1, epochs + 1):
        sides: dict[str, dict[str, Any]] = {}
        for offset, side in ((0.0, "train"), (0.01, "test")):
            good = 0.5 + 0.1 * stage + 0.02 * epoch - offset
            names = ("pixel_accuracy", "mean_image_accuracy", "mean_accuracy", "mean_iu", "fw_iu")
            sides[side] = {name: good + 0.001 * n for n, name in enumerate(names)}
            sides[side] |= {"loss": 1 / (epoch + stage + 1), "background_share": 0.7}
        sides["test"]["per_class_iu"] = [0.9, 0.25 + 0.1 * stage, None]
        speed = {"learning_rate": 0.01, "images_per_s": 100.0 + epoch, "seconds": 2.5}
        rows.append({"step": 10 * epoch, "epoch": epoch} | sides | speed)
    return rows


def test_curves_are_the_same_each_time_and_start_at_svg() -> None:
    stages = {"fcn32s": _rows(0), "fcn16s": _rows(1, 1), "fcn8s": []}
    svg = learning_curves(stages)
    assert svg == learning_curves(stages)
    assert svg.startswith("<svg")
    assert svg.endswith("</svg>")
    assert "FCN-32s" in svg
    assert "FCN-16s" in svg
    assert "FCN-8s" not in svg
    # Both modes of the page: no colour is fixed.
    assert "var(--train" in svg
    assert re.search(r"(?:stroke|fill): #", svg) is None


def test_curves_without_a_usable_loss() -> None:
    rows = _rows(0)
    for row in rows:
        row["train"]["loss"] = row["test"]["loss"] = None
    rows[0]["train"]["loss"] = 0.0
    assert "FCN-32s" in learning_curves({"fcn32s": rows})


# --- the page


class _Page(HTMLParser):
    """Tables as lists of rows of text, rows of pictures as their captions, all addresses, all
    picture texts, the scripts, and unclosed elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.pictures: list[list[str]] = []
        self.scripts: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.addresses: list[str] = []
        self.alts: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.cell = False
        self.rows: list[list[str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img", "br", "input"):
            self.open.append(tag)
        named = dict(attrs)
        if tag == "table":
            self.rows = self.tables.setdefault(named["class"] or "", [])
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.cell = True
            self.rows[-1].append("")
        if tag == "div" and "row" in (named.get("class") or "").split():
            self.pictures.append([])
        if tag == "figcaption" and self.pictures:
            self.pictures[-1].append("")
        if tag == "img":
            self.alts.append(named["alt"] or "")
        if tag == "svg" and self.open[-2:-1] == ["figure"]:
            self.alts.append(named["aria-label"] or "")
        if tag == "script":
            assert not attrs
            self.scripts.append("")
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href")]
        assert "link" not in tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.cell = self.cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"]:
            self.scripts[-1] += data
            return
        self.text += data
        if "figcaption" in self.open and self.pictures:
            self.pictures[-1][-1] = " ".join(f"{self.pictures[-1][-1]} {data}".split())
        if self.cell:
            self.rows[-1][-1] = (self.rows[-1][-1] + " " + data).strip()


def _fake_run(run: Path, stages: tuple[str, ...] = tuple(STAGES)) -> dict[str, Any]:
    """A run folder with random pictures; returns its summary."""
    rng = np.random.default_rng(0)
    record = run_record("fcn", {"learning_rate": 0.01, "data": {"root": "<i>"}}, CLASSES)
    write_json(run / "run.json", record | {"splits": {"train": 20, "test": 2}, "weights": None})
    samples: list[dict[str, Any]] = [
        {"id": "one", "height": 24, "width": 40},
        {"id": "<two>", "height": 500, "width": 9},
    ]
    write_json(run / "samples" / "samples.json", samples)

    def paint(path: Path, sample: dict[str, Any]) -> None:
        label = rng.integers(0, 3, (sample["height"], sample["width"]), np.uint8)
        label[0, 0] = 255 if "truth" in path.name else 0
        picture = Image.fromarray(label).convert("P")
        picture.putpalette(PALETTE.tobytes())
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)

    for sample in samples:
        shape = (sample["height"], sample["width"], 3)
        photo = Image.fromarray(rng.integers(0, 256, shape, np.uint8))
        photo.save(run / "samples" / f"{sample['id']}.jpg")
        paint(run / "samples" / f"{sample['id']}_truth.png", sample)
    summary = {}
    for number, stage in enumerate(stages):
        rows = _rows(number)
        with Recorder(run / stage, 0) as recorder:
            for row in rows:
                recorder.row(row["step"], row)
        names = ("mean_iu", "pixel_accuracy", "mean_image_accuracy")
        summary[stage] = {name: rows[-1]["test"][name] for name in names} | {"seconds": 7.5}
        carried = {"source": None, "loaded": ["trunk/<a>"], "initialized": ["score"], "unused": []}
        write_json(run / stage / "transfer.json", carried)
        scores = {"one": 0.7 + 0.01 * number, "<two>": 0.8 + 0.01 * number}
        write_json(run / stage / "samples" / "accuracy.json", scores)
        for sample in samples:
            paint(run / stage / "samples" / f"{sample['id']}.png", sample)
    write_json(run / "summary.json", summary)
    return summary


def _build(run: Path) -> tuple[_Page, str]:
    path = run / "report.html"
    write_page(path, "A <title>", [fcn_section(run)], read_json(run / "run.json"))
    html = path.read_text()
    return _Page(html), html


@pytest.mark.slow
@pytest.mark.parametrize("stages", [("fcn32s",), ("fcn32s", "fcn16s"), tuple(STAGES)])
def test_page(tmp_path: Path, stages: tuple[str, ...]) -> None:
    summary = _fake_run(tmp_path, stages)
    page, html = _build(tmp_path)
    names = [STAGES[stage] for stage in stages]
    assert page.open == []
    assert "To note" not in page.text

    # Nothing outside the file; every picture is described.
    assert all(re.match(r"#|data:image/(jpeg|png);base64,", address) for address in page.addresses)
    assert "://" not in re.sub(r"data:[^\"]*|xmlns(:\w+)?=\"[^\"]*\"", "", html)
    assert len(page.alts) == 2 * (len(stages) + 2) + 2  # two in the summary
    assert all(page.alts)

    # It runs its own script, and no other.
    (script,) = page.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in html

    # A picture for each stage, with its accuracy below it.
    for row, (name, first) in enumerate((("one", 70), ("<two>", 80))):
        scores = [f"{stage} {first + number}.0 %" for number, stage in enumerate(names)]
        assert page.pictures[row] == [f"photo {name}", *scores, "truth"]

    # The results are those of the summary and of the last row.
    head, *lines = page.tables["numbers results"]
    assert [line[0] for line in lines] == names
    for number, (stage, line) in enumerate(zip(stages, lines, strict=True)):
        cells = dict(zip(head, line, strict=True))
        last = _rows(number)[-1]["test"]
        assert cells["mean IU %"] == f"{100 * summary[stage]['mean_iu']:.2f}"
        assert cells["pixel accuracy %"] == f"{100 * summary[stage]['pixel_accuracy']:.2f}"
        image_accuracy = summary[stage]["mean_image_accuracy"]
        assert cells["mean image accuracy %"] == f"{100 * image_accuracy:.2f}"
        assert cells["mean class accuracy %"] == f"{100 * last['mean_accuracy']:.2f}"
        assert cells["frequency-weighted IU %"] == f"{100 * last['fw_iu']:.2f}"
        assert cells["predicted background %"] == "70.00"
        assert [cells[key] for key in ("epochs", "seconds", "images/s")] == ["3", "7.5", "102.0"]

    bars = page.tables["numbers bars"]
    assert bars[0] == ["class", *names]
    assert bars[2] == ["<b>", *(f"{25 + 10 * number}.0" for number in range(len(stages)))]
    assert set(bars[3][1:]) == {"\N{EN DASH}"}


def test_page_escapes_names_from_outside(tmp_path: Path) -> None:
    _fake_run(tmp_path)
    page, html = _build(tmp_path)
    for raw in ("<b>", "<i>", "<two>", "trunk/<a>", "A <title>"):
        assert raw not in html
        assert raw in page.text


@pytest.mark.slow
@pytest.mark.parametrize(
    "lost",
    [
        *("summary.json", "run.json", "samples/samples.json", "samples/one.jpg"),
        *("samples/one_truth.png", "fcn16s/samples/one.png", "fcn16s/samples/accuracy.json"),
        *("fcn16s/transfer.json", "fcn16s/metrics.jsonl"),
    ],
)
@pytest.mark.parametrize("how", ["missing", "broken"])
def test_page_tells_what_is_lost(tmp_path: Path, lost: str, how: str) -> None:
    _fake_run(tmp_path)
    path = tmp_path / lost
    path.unlink() if how == "missing" else path.write_text("no such thing\nat all\n")
    title, html, *_ = fcn_section(tmp_path)
    page = _Page(html)
    notes = page.text[page.text.index("To note") :]
    assert lost in notes.split("Results on")[0]
    assert title == "Fully convolutional networks"
    assert type(html) is str
    assert "FCN-8s" in page.text
    assert str(tmp_path) not in html


def test_page_tells_of_wrong_pictures_and_empty_predictions(tmp_path: Path) -> None:
    _fake_run(tmp_path, ("fcn32s",))
    Image.new("RGB", (40, 24)).save(tmp_path / "fcn32s" / "samples" / "one.png")
    Image.new("P", (3, 3)).save(tmp_path / "fcn32s" / "samples" / "<two>.png")
    row = _rows(0)[-1]
    row["test"]["background_share"] = 1.0
    with Recorder(tmp_path / "fcn32s", 20) as recorder:
        recorder.row(30, row)
    text = _Page(fcn_section(tmp_path).html).text
    assert "fcn32s/samples/one.png: is RGB" in text
    assert "FCN-32s of <two>: its size is not that of the photo" in text
    assert "FCN-32s predicts hardly anything but background" in text


@pytest.mark.slow
def test_page_survives_a_cut_off_picture(tmp_path: Path) -> None:
    _fake_run(tmp_path, ("fcn32s",))
    for lost in ("samples/one.jpg", "samples/<two>_truth.png", "fcn32s/samples/<two>.png"):
        content = (tmp_path / lost).read_bytes()
        (tmp_path / lost).write_bytes(content[: len(content) // 2])
        assert lost in _Page(fcn_section(tmp_path).html).text


def test_page_of_a_run_that_has_just_begun(tmp_path: Path) -> None:
    with Recorder(tmp_path / "fcn32s", 0):
        pass
    html = fcn_section(tmp_path).html
    assert "FCN-32s has no finished epoch yet" in html
    assert "<svg" not in html
    assert "run.json is missing" in html


def test_sections_share_one_page(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_page(
        path, "All", [Section("One", "<p>1 &lt; 2</p>"), Section("Two & three", "<p>3</p>")], {}
    )
    page = _Page(path.read_text())
    assert page.addresses == ["#section-1", "#section-2", "#made"]
    assert "1 < 2" in page.text
    assert "Two & three" in page.text
