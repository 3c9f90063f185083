"""A run does not resume with pictures, labels, lists or class names of other content."""

import os
from pathlib import Path
from typing import Any

import pytest

from jaxdl.errors import InputError
from jaxdl.fcn.data import splits, voc
from jaxdl.fcn.data.unchanged import check_pictures, record_pictures
from tests.helpers.voc_tree import write_voc


def silent(done: int, all: int) -> None:
    pass


@pytest.fixture
def begun(tmp_path: Path) -> tuple[Path, Path, dict[str, Any]]:
    """The data, the run, and the run's record."""
    year, out = write_voc(tmp_path / "in"), tmp_path / "run"
    source, split = opened(year)
    record = {"pictures": record_pictures(out, source, split, silent)}
    return year, out, record | {"classes": list(source.classes)}


def opened(year: Path) -> tuple[voc.Source, splits.Split]:
    source = voc.open_voc(year)
    return source, splits.official_split(source)


def refusal(year: Path, out: Path, record: dict[str, Any]) -> str:
    with pytest.raises(InputError) as error:
        check_pictures(out, record, *opened(year))
    assert str(error.value).startswith(f"{out}: ")
    assert "when this run began; restore what it was, name another folder" in str(error.value)
    return str(error.value)


def labels(year: Path) -> list[Path]:
    return [year / f"SegmentationClass/{id}.png" for id in voc.open_voc(year).ids("train")]


def test_the_same_content_under_new_times_is_the_same(begun: tuple[Path, Path, dict[str, Any]]):
    year, out, record = begun
    check_pictures(out, record, *opened(year))
    for path in labels(year):
        os.utime(path, ns=(1, 1))
    check_pictures(out, record, *opened(year))
    check_pictures(out, {}, *opened(year))  # of before they were kept


def test_a_label_of_another_content_is_named(begun: tuple[Path, Path, dict[str, Any]]):
    year, out, record = begun
    first, second = labels(year)[:2]
    first.write_bytes(second.read_bytes())
    assert f"{first} holds another content" in refusal(year, out, record)


def test_another_list_and_other_classes_are_named(begun: tuple[Path, Path, dict[str, Any]]):
    year, out, record = begun
    path = year / "ImageSets/Segmentation/train.txt"
    first, *rest = path.read_text().split()
    path.write_text("\n".join(rest))
    number = len(rest)
    assert f"train holds {number} images, and held {number + 1} when" in refusal(year, out, record)
    path.write_text("\n".join([first, *rest]))
    check_pictures(out, record, *opened(year))
    (year / "class_names.txt").write_text("sky\nroad\n")
    assert "classes ['sky', 'road']" in refusal(year, out, record)


def test_without_its_list_of_hashes_a_run_vouches_for_nothing(
    begun: tuple[Path, Path, dict[str, Any]],
):
    year, out, record = begun
    (out / "splits" / "sha256.txt").unlink()
    check_pictures(out, record, *opened(year))  # not read while size and time say the same
    os.utime(labels(year)[0], ns=(1, 1))
    with pytest.raises(InputError, match=r"sha256\.txt: cannot be read"):
        check_pictures(out, record, *opened(year))
