"""VOC and SBD reading: labels and images come out as published, bad input is named."""

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxdl.fcn.data import voc
from jaxdl.fcn.data.source import check_files
from tests.helpers.voc_tree import (
    SIZES,
    jpeg,
    label_values,
    make_tar,
    mat,
    png,
    refused,
    write,
    write_sbd,
    write_voc,
)


@pytest.fixture
def year(tmp_path: Path) -> Path:
    return write_voc(tmp_path / "in")


@pytest.fixture
def sbd_root(tmp_path: Path) -> Path:
    return write_sbd(tmp_path / "sbd")


def test_palette_is_the_published_colour_map():
    # index: colour, as in the VOC development kit's documentation
    known = {0: (0, 0, 0), 1: (128, 0, 0), 8: (64, 0, 0), 15: (192, 128, 128), 20: (0, 64, 128)}
    colours = voc.palette()
    assert {i: tuple(int(v) for v in colours[i]) for i in known} == known
    assert tuple(colours[255]) == (224, 224, 192)
    assert len({tuple(c) for c in colours}) == 256
    assert len(voc.VOC_CLASSES) == 21


def test_missing_list_names_those_that_exist(year: Path):
    with refused("ImageSets/Segmentation/test.txt", "choose one of: train, trainval, val"):
        voc.open_voc(year).ids("test")


def test_empty_list(year: Path):
    path = write(year / "ImageSets/Segmentation/train.txt", "\n# nothing\n")
    with refused(path, "the list is empty", "one id a line"):
        voc.open_voc(year).ids("train")


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_images_become_rgb_and_are_turned_upright(mode: str):
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: rotate by 90 degrees
    image = voc.read_image(jpeg(30, 40, mode, exif=exif), "x.jpg")
    assert (image.shape, image.dtype) == ((40, 30, 3), np.uint8)


@pytest.mark.parametrize("cut", [0, 10, 400])
def test_unreadable_jpeg(cut: int):
    with refused("JPEGImages/a.jpg: not a readable image", "restore the file"):
        voc.read_image(jpeg(30, 40)[:cut], "JPEGImages/a.jpg")


@pytest.mark.parametrize("cut", [0, 20, 60, 820])
def test_unreadable_png(cut: int):
    with refused("SegmentationClass/a.png: not a readable image", "restore the file"):
        voc.read_label(png(label_values(30, 40))[:cut], "SegmentationClass/a.png", 21)


def test_decompression_bomb():
    huge = png(np.zeros((1, 1), np.uint8))
    header = b"IHDR" + (60000).to_bytes(4, "big") * 2 + huge[24:29]
    crc = zlib.crc32(header).to_bytes(4, "big")
    with refused("bomb.png: not a readable image", "restore the file"):
        voc.read_label(huge[:12] + header + crc + huge[33:], "bomb.png", 21)


@pytest.mark.parametrize("mode", ["P", "L"])
def test_label_is_the_palette_index_and_void_is_ignored(mode: str):
    values = label_values(30, 40)
    label = voc.read_label(png(values, mode), "a.png", 21)
    assert label.dtype == np.int32
    np.testing.assert_array_equal(label, np.where(values == 255, -1, values.astype(np.int32)))
    assert (label == -1).any()


def chunk(kind: bytes, data: bytes) -> bytes:
    crc = zlib.crc32(kind + data).to_bytes(4, "big")
    return len(data).to_bytes(4, "big") + kind + data + crc


def test_labels_of_few_bits():
    # A palette label of one bit keeps its indices. Pillow stretches a grey one of four bits
    # (1 -> 17, which could pass for a class), so that is refused.
    values = np.eye(8, dtype=np.uint8)
    image = Image.fromarray(values)
    image.putpalette(voc.palette()[:2].tobytes())
    out = io.BytesIO()
    image.save(out, "PNG", bits=1)
    assert out.getvalue()[24] == 1
    np.testing.assert_array_equal(voc.read_label(out.getvalue(), "a.png", 2), values)
    header = chunk(b"IHDR", bytes([0, 0, 0, 2, 0, 0, 0, 1, 4, 0, 0, 0, 0]))
    row = chunk(b"IDAT", zlib.compress(bytes([0, 0x01])))  # indices 0 and 1
    grey = b"\x89PNG\r\n\x1a\n" + header + row + chunk(b"IEND", b"")
    with refused("a.png", "4-bit grey PNG", "save it as a palette PNG"):
        voc.read_label(grey, "a.png", 21)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "1"])
def test_rgb_label(mode: str):
    with refused("a.png", f"mode {mode},", "save it as a palette PNG"):
        voc.read_label(png(label_values(30, 40), mode), "a.png", 21)


def test_jpeg_label():
    with refused("a.png", "JPEG", "save it as a palette PNG"):
        voc.read_label(jpeg(30, 40, "L"), "a.png", 21)


def test_label_value_outside_the_classes():
    with refused("a.png", "label value 20 ", "outside [0, 20)", "set the number of classes"):
        voc.read_label(png(label_values(30, 40)), "a.png", 20)
    with refused("256 classes", "choose 1 to 255"):
        voc.read_label(png(label_values(30, 40)), "a.png", 256)


def test_ids_without_files(year: Path):
    (year / "SegmentationClass/2007_000002.png").unlink()
    ids = ("2007_000001", "2007_000002", "y", "z")
    names = "SegmentationClass/2007_000002.png", "JPEGImages/y.jpg", "SegmentationClass/y.png, ..."
    with refused(*names, "5 of the files", "train.txt", "off the list"):
        check_files(voc.open_voc(year), ids, listed_in="train.txt")
    check_files(voc.open_voc(year), ids[:1])


def test_class_names(year: Path):
    write(year / "class_names.txt", "background\nred ring\n\n")
    assert voc.open_voc(year).classes == ("background", "red ring")


def test_fingerprint_follows_the_files(year: Path, tmp_path: Path):
    source = voc.open_voc(year)
    before = source.fingerprint(source.ids("train"))
    assert voc.open_voc(year.parent).fingerprint(source.ids("train")) == before
    assert source.fingerprint(source.ids("val")) != before
    write(year / "SegmentationClass/2007_000001.png", png(np.zeros((30, 40), np.uint8)))
    assert source.fingerprint(source.ids("train")) != before
    make_tar(year, tmp_path / "voc.tar")
    tar = voc.open_voc(tmp_path / "voc.tar", md5=None)
    assert tar.fingerprint(("x_4",)) == tar.fingerprint(("x_4",))


@pytest.mark.parametrize("up", [0, 1, 2])
def test_sbd_folder(sbd_root: Path, up: int):
    values = label_values(12, 9)
    write(sbd_root / "cls/sbd_1.mat", mat(values))
    sbd = voc.open_sbd([sbd_root, *sbd_root.parents][up])
    assert sbd.ids("train") == ("2007_000003", "sbd_1")
    assert sbd.ids("val") == ("x_4",)
    label = sbd.read_label("sbd_1", 21)
    np.testing.assert_array_equal(label, np.where(values == 255, -1, values.astype(np.int32)))
    with refused("sbd_1.mat", "outside [0, 5)"):
        sbd.read_label("sbd_1", 5)


def test_sbd_archive(sbd_root: Path, tmp_path: Path):
    path = tmp_path / "benchmark.tgz"
    md5 = make_tar(sbd_root.parent, path, gz=True)
    with refused(path, md5, voc.SBD_MD5[0], "download it again"):
        voc.open_sbd(path)
    folder, archive = voc.open_sbd(sbd_root), voc.open_sbd(path, md5=md5)
    assert archive.ids("train") == folder.ids("train")
    assert archive.image("sbd_1") == folder.image("sbd_1")
    np.testing.assert_array_equal(archive.read_label("sbd_1", 21), folder.read_label("sbd_1", 21))
    with refused("test.txt", "choose one of: train, val"):
        archive.ids("test")


def test_bad_mat(sbd_root: Path):
    sbd = voc.open_sbd(sbd_root)
    path = write(sbd_root / "cls/sbd_1.mat", b"nonsense")
    with refused(path, "no GTcls.Segmentation", "restore"):
        sbd.read_label("sbd_1", 21)
    write(path, mat(np.zeros((3, 3), np.float64)))
    with refused(path, "the label is no matrix of uint8", "restore"):
        sbd.read_label("sbd_1", 21)


def test_vocs_label_wins_over_sbds(year: Path, sbd_root: Path):
    both = voc.merge(voc.open_voc(year), voc.open_sbd(sbd_root))
    values = label_values(*SIZES["2007_000003"]).astype(np.int32)
    np.testing.assert_array_equal(
        both.read_label("2007_000003", 21), np.where(values == 255, -1, values)
    )
    np.testing.assert_array_equal(both.read_label("sbd_1", 21), np.full((16, 16), 7))
    # VOC has only the picture (no label) of most SBD images: then both come from SBD
    write(year / "JPEGImages/sbd_1.jpg", jpeg(9, 9))
    assert both.image("sbd_1") == (sbd_root / "img/sbd_1.jpg").read_bytes()
    check_files(both, [*SIZES, "sbd_1"])
    with refused("JPEGImages/none.jpg", "2 of the files"):
        check_files(both, ["none"])
