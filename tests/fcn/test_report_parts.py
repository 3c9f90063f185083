"""What a run's report says beside its tables: the worst images, the summary, layers of pictures."""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jaxdl.fcn.data.arrays import pair_up
from jaxdl.fcn.data.decode import VOID
from jaxdl.fcn.data.splits import Split
from jaxdl.fcn.dataset import Data
from jaxdl.fcn.images import draw_worst
from jaxdl.fcn.report import fcn_section
from jaxdl.fcn.report_summary import next_steps
from jaxdl.files.atomic import read_json
from jaxdl.report.pictures import LARGE, errors_uri, layer_uri
from jaxdl.training.run_folder import read_rows
from tests.report.test_report import _fake_run, _Page

COLOURS = np.array([(0, 0, 0), (200, 0, 0), (0, 0, 200)], np.uint8)


def rgba(uri: str) -> np.ndarray:
    content = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    return np.array(Image.open(io.BytesIO(content)).convert("RGBA"))


def test_a_layer_is_clear_where_the_photo_shows_and_white_where_void():
    label = np.array([[0, 1], [2, VOID]], np.uint8)
    found = rgba(layer_uri(label, COLOURS))
    assert found[0, 0, 3] == 0
    wanted = [[200, 0, 0, 255], [0, 0, 200, 255], [255, 255, 255, 255]]
    assert found[[0, 1, 1], [1, 0, 1]].tolist() == wanted
    wrong = rgba(errors_uri(np.array([[True, False]])))
    assert wrong[0, :, 3].tolist() == [255, 0]
    assert rgba(layer_uri(np.ones((9, 2 * LARGE), np.uint8), COLOURS)).shape[1] == LARGE


def data_of(labels: list[np.ndarray]) -> Data:
    """Test images with these labels, named by their numbers."""
    images = [np.stack([each] * 3, -1) for each in labels]
    pairs = pair_up(images, labels, 3)
    classes, split = ("none", "one", "two"), Split((), pairs.ids)
    return Data(
        classes=classes,
        split=split,
        examples=pairs,
        canvases=((32, 32),),
        warnings=[],
        class_weights={},
    )


def test_the_worst_images_are_those_of_the_lowest_mean_iu(tmp_path: Path):
    rng = np.random.default_rng(0)
    labels = [rng.integers(0, 3, (6, 5)).astype(np.uint8) for _ in range(13)]
    for label in labels:
        label[0, 0] = VOID
    found = [np.where(rng.random((6, 5)) < n / 15, 0, label) for n, label in enumerate(labels)]
    found = [np.where(each == VOID, 1, each).astype(np.uint8) for each in found]
    waiting: Any = iter(found)
    told: list[tuple[int, int]] = []
    data = data_of(labels)
    draw_worst(
        tmp_path, data, lambda _: next(waiting), lambda done, every: told.append((done, every))
    )
    assert told[-1] == (13, 13)
    matrix = np.zeros((3, 3), int)
    scores = []
    for label, each in zip(labels, found, strict=True):
        own = np.zeros((3, 3), int)
        np.add.at(own, (label[label != VOID], each[label != VOID]), 1)
        matrix += own
        union = own.sum(0) + own.sum(1) - own.diagonal()
        scores.append((own.diagonal()[union > 0] / union[union > 0]).mean())
    kept = read_json(tmp_path / "confusion.json")
    assert kept == {"images": 13, "of": 13, "matrix": matrix.tolist()}
    order = np.argsort(scores, kind="stable")[:10]
    listed = read_json(tmp_path / "worst" / "worst.json")
    assert [one["id"] for one in listed] == [data.examples.ids[n] for n in order]
    assert [one["mean_iu"] for one in listed] == pytest.approx([scores[n] for n in order])
    for kind, wanted in (("", found), ("_truth", labels)):
        kept = np.array(Image.open(tmp_path / "worst" / f"{listed[0]['id']}{kind}.png"))
        np.testing.assert_array_equal(kept, wanted[order[0]])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"images": 2, "of": 9, "matrix": [[8, 1, 0], [0, 0, 0], [3, 0, 1]]}', None),
        ('{"images": 2, "of": 2, "matrix": [[1, 0], [0, 1]]}', "is not of the run's 3 classes"),
        ('{"images": 2}', "fcn32s/confusion.json"),
        ("[", "fcn32s/confusion.json"),
    ],
)
def test_the_confusion_matrix_or_why_there_is_none(tmp_path: Path, content: str, said: str | None):
    _fake_run(tmp_path, ("fcn32s",))
    (tmp_path / "fcn32s" / "confusion.json").write_text(content)
    section = fcn_section(tmp_path)
    page = _Page(section.html)
    if said is None:
        assert section.warnings == []
        assert page.tables["confusion"][1:] == [
            ["background", "88.9", "11.1", ""],
            ["<b>", "", "", ""],
            ["cat & dog", "75.0", "", "25.0"],
        ]
    else:
        assert any(said in text for text in section.warnings)
        assert "confusion" not in page.tables


def run_of(scores: list[float], train: float, **config: Any) -> tuple[dict, dict]:
    rows = [{"train": {"mean_iu": train}, "test": {"mean_iu": score}} for score in scores]
    default = {"epochs": [3], "schedule": "cosine", "flip": False, "scale": [1.0, 1.0]}
    return {"config": default | config}, {"fcn32s": rows}


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (run_of([0.1, 0.2, 0.3], 0.3), "--out 'a run-longer' --epochs 4"),
        (run_of([0.1, 0.2, 0.3], 0.3, schedule="constant"), "--out 'a run' --epochs 4"),
        (run_of([0.1, 0.4, 0.3], 0.6), "--out 'a run-varied' --flip --scale 0.7 1.4"),
        (run_of([0.1, 0.4, 0.3], 0.6, flip=True), None),
        (run_of([0.1, 0.4, 0.3], 0.3, data="x", width_divisor=1), "--weights vgg16.safetensors"),
        (run_of([0.1, 0.4, 0.3], 0.3, data="x", width_divisor=8), None),
    ],
)
def test_what_to_try_next_follows_from_the_run(record: tuple[dict, dict], said: str | None):
    steps = [command for _, command in next_steps(Path("a run"), *record)]
    assert steps[-2] == "jaxdl fcn predict 'a run' photo.jpg"
    assert len(steps) == (2 if said is None else 3)
    assert said is None or said in steps[0]


def test_what_to_try_next_is_a_command_that_parses():
    from jaxdl.cli.command import parse
    from jaxdl.fcn.command import COMMANDS

    record, stages = run_of([0.1, 0.4, 0.3], 0.6)
    for _, command in next_steps(Path("run"), record, stages):
        words = command.split()
        if "--config" in words:
            at = words.index("--config")
            del words[at : at + 2]
        parse(COMMANDS[words[2]], words[3:])


def test_a_curves_points_are_those_of_the_metrics(tmp_path: Path):
    _fake_run(tmp_path, ("fcn32s",))
    (curves,) = re.findall(r'data-curves="([^"]*)"', fcn_section(tmp_path).html)
    panels = json.loads(curves.replace("&#34;", '"'))
    assert [panel["name"] for panel in panels] == ["epoch", "epoch"]
    lines = {line["name"]: line for line in panels[0]["lines"]}
    assert lines["FCN-32s, test: mean IU, %"]["x"] == [1, 2, 3]
    rows = read_rows(tmp_path / "fcn32s" / "metrics.jsonl")
    wanted = [100 * row["test"]["mean_iu"] for row in rows]
    assert lines["FCN-32s, test: mean IU, %"]["y"] == pytest.approx(wanted, rel=1e-4)
    assert panels[1]["y"][2] == 1  # the loss is drawn by its logarithm
