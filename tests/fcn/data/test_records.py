"""The prepared records give back what was in the files, are written once, and never half."""

import concurrent.futures
import io
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxdl.errors import InputError, TrainingError
from jaxdl.fcn.data import voc
from jaxdl.fcn.data.records import Prepared, open_prepared, prepare
from jaxdl.files.locks import LOCK
from tests.helpers.processes import full_after

SIZES = {"b": (30, 40), "a": (41, 25), "d": (16, 16), "c": (20, 33)}


def label_values(height: int, width: int) -> np.ndarray:
    values = (np.arange(height * width) % 23).reshape(height, width)
    return np.where(values > 20, 255, values).astype(np.uint8)


def write_label(year: Path, id: str, values: np.ndarray) -> None:
    image = Image.fromarray(values)
    image.putpalette(voc.palette().tobytes())
    image.save(year / f"SegmentationClass/{id}.png")


@pytest.fixture
def year(tmp_path: Path) -> Path:
    """A small VOC2012 with four pairs of different sizes, one image grey."""
    year = tmp_path / "VOC2012"
    for folder in ("ImageSets/Segmentation", "JPEGImages", "SegmentationClass"):
        (year / folder).mkdir(parents=True)
    (year / "ImageSets/Segmentation/train.txt").write_text("\n".join(SIZES))
    rng = np.random.default_rng(0)
    for id, size in SIZES.items():
        image = Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8))
        image.convert("L" if id == "c" else "RGB").save(year / f"JPEGImages/{id}.jpg")
        write_label(year, id, label_values(*size))
    return year


def run(year: Path, data_dir: Path, **options) -> Prepared:
    source = voc.open_voc(year)
    return prepare(source, source.ids("train"), data_dir, num_classes=21, **options)


def files(folder: Path) -> dict[str, int]:
    found = (p for p in folder.rglob("*") if p.is_file() and p.name != ".lock")
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in found}


def test_round_trip(year: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    done = []
    prepared = run(year, tmp_path / "out", progress=lambda n, of: done.append((n, of)))
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert prepared.ids == tuple(SIZES)
    np.testing.assert_array_equal(prepared.sizes, list(SIZES.values()))
    assert prepared.sizes.dtype == np.int32
    assert len(prepared) == 4
    for id, size in SIZES.items():
        example = prepared[prepared.index(id)]
        assert example.id == id
        source = (year / f"JPEGImages/{id}.jpg").read_bytes()
        np.testing.assert_array_equal(example.image, voc.read_image(source, id))
        # The file holds palette colours: the record must hold the indices, 255 among them.
        np.testing.assert_array_equal(example.label, label_values(*size))
        assert (example.label == 255).any()
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "Generating" not in captured.err
    assert "tensorflow" not in sys.modules


def test_records_hold_the_original_jpeg_and_a_grey_png(year: Path, tmp_path: Path):
    prepared = run(year, tmp_path / "out")
    record = prepared._records[0]
    assert record["image"] == (year / "JPEGImages/b.jpg").read_bytes()
    stored = Image.open(io.BytesIO(record["label"]))
    assert (stored.format, stored.mode) == ("PNG", "L")


def test_preparing_twice_writes_once(year: Path, tmp_path: Path):
    run(year, tmp_path / "out")
    before = files(tmp_path / "out")
    assert any("array_record" in name for name in before)
    assert list((tmp_path / "out").rglob("downloads")) == []
    calls = []
    again = run(year, tmp_path / "out", progress=lambda n, of: calls.append(n))
    assert files(tmp_path / "out") == before
    assert calls == []
    assert again.ids == tuple(SIZES)


def test_changed_input_is_prepared_anew(year: Path, tmp_path: Path):
    first = run(year, tmp_path / "out")
    write_label(year, "a", np.zeros(SIZES["a"], np.uint8))
    second = run(year, tmp_path / "out")
    assert first.folder != second.folder
    assert second[second.index("a")].label.max() == 0
    assert first[first.index("a")].label.max() == 255
    source = voc.open_voc(year)
    assert prepare(source, ["c"], tmp_path / "out", num_classes=21).ids == ("c",)
    assert prepare(source, ["c"], tmp_path / "out", num_classes=22).folder != second.folder


def test_failing_then_good(year: Path, tmp_path: Path):
    good = (year / "JPEGImages/d.jpg").read_bytes()
    stat = (year / "JPEGImages/d.jpg").stat()
    (year / "JPEGImages/d.jpg").write_bytes(b"x" * len(good))
    os.utime(year / "JPEGImages/d.jpg", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(InputError, match=r"^.*JPEGImages/d\.jpg: not a readable image.*restore"):
        run(year, tmp_path / "out")
    assert files(tmp_path / "out") == {}
    (year / "JPEGImages/d.jpg").write_bytes(good)
    os.utime(year / "JPEGImages/d.jpg", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert run(year, tmp_path / "out")[2].id == "d"


KILLED = """
import os, signal, sys
from pathlib import Path
from jaxdl.fcn.data import records as prepared, voc
source = voc.open_voc(Path(sys.argv[1]))
kill = lambda n, of: os.kill(os.getpid(), signal.SIGKILL) if n == 3 else None
prepared.prepare(source, source.ids("train"), Path(sys.argv[2]), num_classes=21, progress=kill)
"""


def test_killed_then_good(year: Path, tmp_path: Path):
    out = tmp_path / "out"
    command = [sys.executable, "-c", KILLED, str(year), str(out)]
    assert subprocess.run(command, check=False).returncode == -9
    assert list(out.rglob("incomplete.*"))
    assert list(out.rglob("dataset_info.json")) == []
    prepared = run(year, out)
    assert len(prepared) == 4
    assert list(out.rglob("incomplete.*")) == []


def test_image_and_label_of_different_size(year: Path, tmp_path: Path):
    write_label(year, "a", np.zeros((25, 41), np.uint8))
    message = r"JPEGImages/a\.jpg is 41x25 .*SegmentationClass/a\.png is 25x41; give both the same"
    with pytest.raises(InputError, match=message):
        run(year, tmp_path / "out")


def test_label_value_outside_the_classes(year: Path, tmp_path: Path):
    with pytest.raises(InputError, match=r"SegmentationClass/b\.png: label value 20 .*\[0, 20\)"):
        prepare(voc.open_voc(year), ["b"], tmp_path / "out", num_classes=20)


def test_missing_file_and_bad_ids(year: Path, tmp_path: Path):
    source = voc.open_voc(year)
    with pytest.raises(InputError, match=r"JPEGImages/e\.jpg.* 2 of the files .*missing"):
        prepare(source, ["a", "e"], tmp_path / "out", num_classes=21)
    with pytest.raises(InputError, match="2 ids, 1 different; give each once"):
        prepare(source, ["a", "a"], tmp_path / "out", num_classes=21)
    with pytest.raises(InputError, match=r"0 ids.*at least one"):
        prepare(source, [], tmp_path / "out", num_classes=21)
    assert not (tmp_path / "out").exists()


def test_data_dir_that_is_a_file(year: Path, tmp_path: Path):
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match=r"out: cannot be written .*; choose another folder"):
        run(year, tmp_path / "out")


def test_damaged_preparation(year: Path, tmp_path: Path):
    folder = run(year, tmp_path / "out").folder
    (shard,) = folder.glob("*array_record*")
    shard.write_bytes(b"x" * 70000)
    with pytest.raises(InputError, match=r"not a readable preparation .*prepare again"):
        open_prepared(folder)


def test_unknown_id_and_position(year: Path, tmp_path: Path):
    prepared = run(year, tmp_path / "out")
    with pytest.raises(InputError, match="no id 'e'; prepare a list that has it"):
        prepared.index("e")
    with pytest.raises(IndexError, match="example 4 of 4"):
        prepared[4]
    assert [example.id for example in prepared] == list(SIZES)  # type: ignore[not-iterable]


def test_pickle_and_threads(year: Path, tmp_path: Path):
    prepared = pickle.loads(pickle.dumps(run(year, tmp_path / "out")))
    assert prepared.ids == tuple(SIZES)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        examples = list(pool.map(prepared.__getitem__, [0, 1, 2, 3] * 50))
    for n, example in enumerate(examples):
        np.testing.assert_array_equal(example.label, label_values(*prepared.sizes[n % 4]))
        assert example.image.shape[:2] == tuple(prepared.sizes[n % 4])


def test_a_full_disk_is_one_line_and_leaves_nothing(year: Path, tmp_path: Path):
    out = tmp_path / "out"
    with (
        full_after(512),
        pytest.raises(TrainingError, match=r"cannot be written \(.*\); free some"),
    ):
        run(year, out)
    assert not [path for path in out.rglob("*") if path.is_file() and path.name != LOCK]
