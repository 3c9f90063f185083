"""Splits have the published sizes and do not overlap; bad lists are named by line."""

from pathlib import Path

import pytest

from jaxdl.errors import InputError
from jaxdl.fcn.data import splits, voc
from tests.helpers.voc_tree import refused, write, write_sbd, write_voc


@pytest.fixture
def year(tmp_path: Path) -> Path:
    return write_voc(tmp_path / "in")


@pytest.fixture
def sbd_root(tmp_path: Path) -> Path:
    return write_sbd(tmp_path / "sbd")


def test_read_ids(tmp_path: Path):
    path = write(tmp_path / "list.txt", "# comment\n\nb\r\n a \nc/d\n")
    assert splits.read_ids(path) == ("b", "a", "c/d")


@pytest.mark.parametrize(
    ("text", "message"),
    [("a\nb\n\na\n", ":4: 'a' is on line 1"), ("a\n/b", ":2: '/b'"), ("../c", ":1: '../c'")],
)
def test_bad_lines_of_a_list(tmp_path: Path, text: str, message: str):
    path = write(tmp_path / "list.txt", text)
    with refused(f"{path}{message}"):
        splits.read_ids(path)


def test_missing_list_file(tmp_path: Path):
    with refused(tmp_path / "l.txt", "one id a line"):
        splits.read_ids(tmp_path / "l.txt")


def test_4_to_1_split():
    ids = [f"2007_{n:06d}" for n in range(2913)]
    split = splits.split_4_to_1(ids, 0)
    assert (len(split.train), len(split.test)) == (2330, 583)
    assert sorted(split.train + split.test) == ids
    assert splits.split_4_to_1(ids[::-1], 0) == split
    assert set(splits.split_4_to_1(ids, 1).test) != set(split.test)
    assert list(split.test) != sorted(split.test)


def test_official_split(year: Path):
    split = splits.official_split(voc.open_voc(year))
    assert split == splits.Split(("2007_000001", "2007_000002"), ("2007_000003", "x_4"))


def test_seg11valid_split(year: Path, sbd_root: Path, tmp_path: Path):
    devkit, sbd = voc.open_voc(year), voc.open_sbd(sbd_root)
    with refused("seg11valid.txt", "736 ids", "FCN paper's code", "pass the path"):
        splits.seg11valid_split(devkit, sbd)
    given = write(tmp_path / "mine.txt", "2007_000003\n")
    expected = splits.Split(train=("sbd_1",), test=("2007_000003",))
    assert splits.seg11valid_split(devkit, sbd, given) == expected
    write(year / "ImageSets/Segmentation/seg11valid.txt", "x_4\n")
    assert splits.seg11valid_split(devkit, sbd).test == ("x_4",)
    assert splits.seg11valid_split(devkit, sbd).train == sbd.ids("train")


def test_overlap_of_splits():
    ids = tuple(f"id{n}" for n in range(6))
    with refused("4 ids are in train and in test (id1, id2, id3)", "remove them from train"):
        splits.check_split(splits.Split(ids[:5], ids[1:]))
    with refused("the test side", "empty"):
        splits.check_split(splits.Split(ids, ()))
    with refused("the train side", "repeats 'id1'"):
        splits.check_split(splits.Split((*ids[:2], "id1"), ids[3:]))


def test_a_random_split_holds_its_share_and_does_not_depend_on_the_order():
    ids = [f"x{n}" for n in range(50)]
    found = splits.random_split(ids, 3, 0.2)
    assert (len(found.train), len(found.test)) == (40, 10)
    assert set(found.train) | set(found.test) == set(ids)
    assert splits.random_split(ids[::-1], 3, 0.2) == found
    assert splits.random_split(ids, 4, 0.2) != found
    assert len(splits.random_split(ids[:2], 0, 0.01).test) == 1
    with pytest.raises(InputError, match=r"there is one image, .*--overfit 1"):
        splits.random_split(ids[:1], 0, 0.2)


def test_frames_of_a_film_stay_together():
    ids = [f"{film}/frame_{n:03}" for film in "abcde" for n in range(7)]
    found = splits.random_split(ids, 0, 0.3, by_prefix=True)
    films = [{id[0] for id in side} for side in (found.train, found.test)]
    assert not films[0] & films[1]
    assert len(found.test) == 14
    with pytest.raises(InputError, match="one prefix alone"):
        splits.random_split(ids[:7], 0, 0.3, by_prefix=True)


def test_overfitting_tests_on_what_it_trains_on():
    found = splits.overfit(splits.Split(("a", "b", "c"), ()), 2)
    assert found == splits.check_split(splits.Split(("a", "b"), ("a", "b")))


def test_equal_content_across_the_sides_is_found():
    split = splits.Split(("a", "b", "c"), ("d", "e"))
    hashes = {"a": "1", "b": "2", "c": "3", "d": "2", "e": "1"}
    assert splits.equal_content(split, hashes) == [("b", "d"), ("a", "e")]
