"""Folder, tar and gzipped tar agree; a tar's md5 is checked, and once; bad archives are named."""

import hashlib
import os
import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from jaxdl.fcn.choices import VOC2012_MD5
from jaxdl.fcn.data import archives, voc
from tests.helpers.voc_tree import SIZES, make_tar, refused, write, write_voc


@pytest.fixture
def year(tmp_path: Path) -> Path:
    return write_voc(tmp_path / "in")


@pytest.mark.parametrize("up", [0, 1, 2])
def test_folder_is_found_from_its_parents(year: Path, up: int):
    source = voc.open_voc([year, *year.parents][up])
    assert source.ids("train") == ("2007_000001", "2007_000002")
    assert source.ids("trainval") == tuple(SIZES)
    assert source.classes == voc.VOC_CLASSES
    assert source.image("x_4") == (year / "JPEGImages/x_4.jpg").read_bytes()


def test_any_single_year_is_accepted_and_two_are_not(year: Path):
    other = year.rename(year.parent / "VOC2011")
    assert voc.open_voc(other.parent).ids("val") == ("2007_000003", "x_4")
    shutil.copytree(other, other.parent / "VOC2010")
    with refused(other.parent, "several data sets", "VOC2010", "VOC2011", "pass one"):
        voc.open_voc(other.parent)
    shutil.copytree(other, other.parent / "VOC2012")
    assert voc.open_voc(other.parent).image_name("x_4").count("VOC2012") == 1


@pytest.mark.parametrize("gz", [False, True])
def test_tar_gives_what_the_folder_gives(year: Path, tmp_path: Path, gz: bool):
    path = tmp_path / "VOCtrainval_11-May-2012.tar"
    md5 = make_tar(year.parent, path, gz)
    folder, tar = voc.open_voc(year), voc.open_voc(path, md5=md5, cache_dir=tmp_path / "cache")
    tar = pickle.loads(pickle.dumps(tar))
    for split in ("train", "val", "trainval"):
        assert folder.ids(split) == tar.ids(split)
    for id in SIZES:
        assert folder.image(id) == tar.image(id)
        assert folder.label(id) == tar.label(id)
        np.testing.assert_array_equal(folder.read_label(id, 21), tar.read_label(id, 21))
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "VOCtrainval_11-May-2012.tar",
        "cache",
        "in",
    ]
    assert len(list((tmp_path / "cache").iterdir())) == (2 if gz else 1)


def test_gzip_is_unpacked_once(year: Path, tmp_path: Path):
    make_tar(year.parent, tmp_path / "voc.tgz", gz=True)
    times = []
    for _ in range(2):
        voc.open_voc(tmp_path / "voc.tgz", md5=None, cache_dir=tmp_path / "cache")
        times.append([(p, p.stat().st_mtime_ns) for p in (tmp_path / "cache").iterdir()])
    assert len(times[0]) == 1
    assert times[0] == times[1]


def test_cut_gzip_leaves_nothing(year: Path, tmp_path: Path):
    path = tmp_path / "voc.tgz"
    make_tar(year.parent, path, gz=True)
    path.write_bytes(path.read_bytes()[:-200])
    with refused(path, "cannot be unpacked", "download it again"):
        voc.open_voc(path, md5=None, cache_dir=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_cut_tar(year: Path, tmp_path: Path):
    path = tmp_path / "voc.tar"
    make_tar(year.parent, path)
    path.write_bytes(path.read_bytes()[:6000])
    with refused(path, "not a readable tar", "download it again"):
        voc.open_voc(path, md5=None)


def test_missing_folder(tmp_path: Path):
    with refused(tmp_path / "none", "no such folder or archive", "trainval", "PASCAL VOC"):
        voc.open_voc(tmp_path / "none")
    with refused(tmp_path, "no data set here", "trainval", "PASCAL VOC"):
        voc.open_voc(tmp_path)
    with refused(tmp_path, "no data set here", "benchmark.tgz"):
        voc.open_sbd(tmp_path)


def test_missing_tar(tmp_path: Path):
    path = tmp_path / "VOCtrainval_11-May-2012.tar"
    with refused(path, "no such folder or archive", "trainval"):
        voc.open_voc(path)


def test_wrong_md5_names_both_sums(year: Path, tmp_path: Path):
    path = tmp_path / "VOCtrainval_11-May-2012.tar"
    md5 = make_tar(year.parent, path)
    with refused(path, md5, VOC2012_MD5, "download it again", "md5 that you trust"):
        voc.open_voc(path)


def test_file_missing_when_read(year: Path, tmp_path: Path):
    with refused(year / "JPEGImages/y.jpg", "No such file", "restore"):
        voc.open_voc(year).image("y")
    make_tar(year, tmp_path / "voc.tar")
    with refused(tmp_path / "voc.tar", "VOC2012/JPEGImages/y.jpg", "download it again"):
        voc.open_voc(tmp_path / "voc.tar", md5=None).image("y")


@dataclass
class Md5Calls:
    count: int = 0


@pytest.fixture
def sums(monkeypatch: pytest.MonkeyPatch) -> Md5Calls:
    """Counts how often a file's md5 is computed."""
    calls, digest = Md5Calls(), hashlib.file_digest

    def counted(*args):
        calls.count += 1
        return digest(*args)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    return calls


@pytest.mark.parametrize("cache", [None, "cache/below"])
@pytest.mark.parametrize("gz", [False, True])
def test_md5_is_computed_once(
    year: Path, tmp_path: Path, sums: Md5Calls, cache: str | None, gz: bool
):
    (tmp_path / "tars").mkdir()
    path = tmp_path / "tars" / "voc.tar"
    md5 = make_tar(year, path, gz)
    cache_dir = tmp_path / cache if cache else None
    first = voc.open_voc(path, md5=md5, cache_dir=cache_dir)
    again = voc.open_voc(path, md5=("0" * 32, md5), cache_dir=cache_dir)
    (tmp_path / "link.tar").symlink_to(path)
    linked = voc.open_voc(tmp_path / "link.tar", md5=md5, cache_dir=cache_dir or path.parent)
    assert sums.count == 1
    prints = [source.fingerprint(["x_4"]) for source in (first, again, linked)]
    assert len(set(prints)) == 1
    assert (cache_dir or path.parent).joinpath(archives.CHECKED).is_file()
    assert list(tmp_path.rglob("*.part")) == []


def test_tar_changed_after_its_check_is_checked_again(year: Path, tmp_path: Path, sums: Md5Calls):
    path = tmp_path / "voc.tar"
    md5 = make_tar(year, path)
    voc.open_voc(path, md5=md5)
    good, time = path.read_bytes(), path.stat().st_mtime_ns
    path.write_bytes(good[:600] + bytes([good[600] ^ 1]) + good[601:])  # as long as before
    os.utime(path, ns=(time, time + 1))
    with refused(path, "its md5 is", md5, "download it again"):
        voc.open_voc(path, md5=md5)
    path.write_bytes(good + bytes(512))  # longer, and as old as before
    os.utime(path, ns=(time, time))
    with refused(path, "its md5 is", md5, "download it again"):
        voc.open_voc(path, md5=md5)
    assert sums.count == 3
    path.write_bytes(good)
    os.utime(path, ns=(time, time))
    voc.open_voc(path, md5=md5)  # it is as it was when it passed
    assert sums.count == 3


def test_a_passed_check_holds_for_its_md5_and_its_file_alone(
    year: Path, tmp_path: Path, sums: Md5Calls
):
    one, two = tmp_path / "one.tar", tmp_path / "two.tar"
    md5 = make_tar(year, one)
    shutil.copy2(one, two)
    voc.open_voc(one, md5=md5)
    with refused(one, md5, "0" * 32):
        voc.open_voc(one, md5="0" * 32)
    voc.open_voc(two, md5=md5)
    assert sums.count == 3
    for path in (one, two):  # the refusal forgot nothing, and both are remembered
        voc.open_voc(path, md5=md5)
    assert sums.count == 3


def test_tar_that_changes_while_it_is_checked_is_not_remembered(
    year: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "voc.tar"
    md5 = make_tar(year, path)
    digest = hashlib.file_digest

    def meanwhile(*args):
        found = digest(*args)
        os.utime(path, ns=(0, 0))
        return found

    monkeypatch.setattr(hashlib, "file_digest", meanwhile)
    voc.open_voc(path, md5=md5)
    assert not (tmp_path / archives.CHECKED).exists()


@pytest.mark.parametrize("memory", ["", "[1]", "{", "\x00", '{"a": 1'])
def test_damaged_memory_is_written_anew(year: Path, tmp_path: Path, sums: Md5Calls, memory: str):
    md5 = make_tar(year, tmp_path / "voc.tar")
    write(tmp_path / archives.CHECKED, memory)
    for _ in range(2):
        voc.open_voc(tmp_path / "voc.tar", md5=md5)
    assert sums.count == 1


def test_folder_that_cannot_be_written_means_checking_again(
    year: Path, tmp_path: Path, sums: Md5Calls
):
    md5 = make_tar(year, tmp_path / "voc.tar")
    nowhere = write(tmp_path / "file", "") / "cache"
    for _ in range(2):
        assert voc.open_voc(tmp_path / "voc.tar", md5=md5, cache_dir=nowhere).ids("val")
    (tmp_path / archives.CHECKED).mkdir()
    voc.open_voc(tmp_path / "voc.tar", md5=md5)
    assert sums.count == 3
    assert list(tmp_path.rglob("*.part")) == []
