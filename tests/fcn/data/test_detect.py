"""Data of many layouts is found by itself; what is missing or ambiguous is named."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxdl.errors import InputError
from jaxdl.fcn.data import voc
from jaxdl.fcn.data.detect import open_data_set
from jaxdl.fcn.data.is_voc import is_voc
from jaxdl.fcn.data.layouts.given import Given
from jaxdl.fcn.data.records import read_pair
from jaxdl.fcn.data.source import Source
from tests.helpers.voc_tree import jpeg, png, write, write_voc

MASK = np.array([[0, 1], [1, 0], [0, 0]], np.uint8)
PLAIN, WHITE = Given(), Given(mask_values=(0, 255))


def opened(path: Path, given: Given = PLAIN) -> tuple[Source, str]:
    return open_data_set(path, given, md5=None, cache_dir=path.parent)


def picture(path: Path, **options: int) -> None:
    write(path, jpeg(3, 2))


def white(path: Path) -> None:
    write(path, png(MASK * 255, "L"))


def labels(source: Source) -> dict[str, list]:
    ids = source.ids("trainval")
    return {id: read_pair(source, id, len(source.classes)).label.tolist() for id in ids}


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("images/a.jpg", "masks/a.png"),
        ("Images/a.JPG", "Masks/a.PNG"),
        ("img/a.jpeg", "labels/a.png"),
        ("a.jpg", "a.png"),
        ("a.jpg", "a_mask.png"),
        ("a.png", "a-label.png"),
        ("photos/a.webp", "gt/a_gt.png"),
        ("images/deep/a.jpg", "masks/deep/a.png"),
        ("JPEGImages/a.jpg", "SegmentationClass/a.png"),
        ("x/JPEGImages/a.jpg", "x/SegmentationClassPNG/a.png"),
    ],
)
def test_images_and_masks_are_found_by_their_names(tmp_path: Path, image: str, mask: str):
    for name in ("a", "b"):
        picture(tmp_path / image.replace("/a.", f"/{name}.").replace("a.", f"{name}.", 1))
        new = mask.replace("/a", f"/{name}") if "/" in mask else mask.replace("a", name, 1)
        white(tmp_path / new)
    for junk in (".DS_Store", "images/._a.jpg", "masks/Thumbs.db", "__MACOSX/a.jpg"):
        write(tmp_path / junk, b"junk")
    source, _ = opened(tmp_path, WHITE)
    found = labels(source)
    assert len(found) == 2
    assert all(label == MASK.tolist() for label in found.values())
    assert source.classes == ("background", "object")


def test_folders_that_are_named_by_hand(tmp_path: Path):
    picture(tmp_path / "one/a.jpg")
    white(tmp_path / "two/a.png")
    given = WHITE._replace(images=tmp_path / "one", masks=tmp_path / "two")
    assert labels(opened(tmp_path, given)[0]) == {"a": MASK.tolist()}
    with pytest.raises(InputError, match=r"--masks .*none: no such folder"):
        opened(tmp_path, given._replace(masks=tmp_path / "none"))


def test_folders_train_and_val_are_the_split(tmp_path: Path):
    for side in ("train", "val"):
        picture(tmp_path / f"images/{side}/a.jpg")
        white(tmp_path / f"masks/{side}/a.png")
    source, _ = opened(tmp_path, WHITE)
    assert (source.ids("train"), source.ids("val")) == (("train/a",), ("val/a",))


def test_voc_is_voc_and_names_of_its_own_are_not(tmp_path: Path):
    year = write_voc(tmp_path / "in")
    assert is_voc(tmp_path / "in")
    assert opened(year)[1] == "PASCAL VOC"
    assert opened(year)[0].classes == voc.VOC_CLASSES
    (year / "class_names.txt").write_text("\ufeff# mine\nsky\n__ignore__\nroad\n")
    assert not is_voc(year)
    assert voc.parse_classes((year / "class_names.txt").read_bytes(), "c") == ("sky", "road")


def test_an_export_with_lists_and_other_ids_asks_for_its_classes(tmp_path: Path):
    picture(tmp_path / "JPEGImages/film_1.jpg")
    write(tmp_path / "SegmentationClass/film_1.png", png(MASK))
    write(tmp_path / "ImageSets/Segmentation/default.txt", "film_1\n")
    with pytest.raises(InputError, match=r"nothing names the classes.*values 0, 1; write class_n"):
        opened(tmp_path)
    source, _ = opened(tmp_path, Given(class_names=("ground", "leaf")))
    assert labels(source) == {"film_1": MASK.tolist()}
    assert source.ids("default") == ("film_1",)


def test_cvats_colours(tmp_path: Path):
    picture(tmp_path / "JPEGImages/a.jpg")
    rgb = np.where(MASK[..., None] == 1, [9, 200, 9], 0).astype(np.uint8)
    write(tmp_path / "SegmentationClass/a.png", b"")
    Image.fromarray(rgb).save(tmp_path / "SegmentationClass/a.png")
    with pytest.raises(InputError, match=r"a\.png: has colours, and nothing names them.*--colours"):
        opened(tmp_path)
    (tmp_path / "labelmap.txt").write_text("background:0,0,0::\nleaf:9,200,9::\n")
    source, _ = opened(tmp_path)
    assert source.classes == ("background", "leaf")
    assert labels(source) == {"a": MASK.tolist()}


def test_cityscapes_ids_become_training_ids(tmp_path: Path):
    ids = np.array([[7, 8], [0, 33], [26, 4]], np.uint8)
    for side in ("train", "val"):
        name = f"{side}/ulm/ulm_1"
        write(tmp_path / f"leftImg8bit/{name}_leftImg8bit.png", png(MASK, "RGB"))
        write(tmp_path / f"gtFine/{name}_gtFine_labelIds.png", png(ids, "L"))
    source, layout = opened(tmp_path)
    assert (layout, len(source.classes)) == ("Cityscapes", 19)
    assert labels(source)["train/ulm/ulm_1"] == [[0, 1], [255, 18], [13, 255]]
    assert source.ids("val") == ("val/ulm/ulm_1",)


def test_coco_is_drawn_in_order_and_crowds_are_void(tmp_path: Path):
    pytest.importorskip("pycocotools")
    write(tmp_path / "images/a.jpg", jpeg(6, 8))
    box = [[0, 0, 4, 0, 4, 6, 0, 6]]  # the left half
    crowd = {"size": [6, 8], "counts": [42, 6]}  # the last column, down the columns
    found = {
        "categories": [{"id": 5, "name": "leaf"}, {"id": 2, "name": "stem"}],
        "images": [{"id": 1, "file_name": "a.jpg", "height": 6, "width": 8}],
        "annotations": [
            {"image_id": 1, "category_id": 5, "segmentation": box},
            {"image_id": 1, "category_id": 2, "segmentation": [[0, 0, 2, 0, 2, 6, 0, 6]]},
            {"image_id": 1, "category_id": 2, "segmentation": crowd, "iscrowd": 1},
        ],
    }
    write(tmp_path / "annotations/instances_train.json", json.dumps(found))
    source, _ = opened(tmp_path)
    assert source.classes == ("background", "stem", "leaf")
    row = labels(source)["a"][3]
    assert row == [1, 1, 2, 2, 0, 0, 0, 255]
    assert source.ids("train") == ("a",)
    found["images"][0]["file_name"] = "../a.jpg"
    write(tmp_path / "annotations/instances_train.json", json.dumps(found))
    with pytest.raises(InputError, match="leaves the data set"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "holds no images; give a folder"),
        ({"a.txt": b"x"}, "holds no images"),
        ({"images/a.jpg": b""}, "1 images and no mask; put masks of the same names"),
        ({"images/a.jpg": b"", "masks/b.png": b""}, "no mask has the name of an image: .*a.jpg"),
        (
            {"images/a.jpg": b"", "images/b.jpg": b"", "masks/b.png": b""},
            "a.jpg: has no mask of its name",
        ),
        ({"images/a.jpg": b"", "images/a.png": b"", "masks/a.png": b""}, "has the same name"),
        ({"a.HEIC": b""}, "a.HEIC: HEIC and AVIF pictures are not read; save them as JPEG"),
        ({"SegmentationClass/a.png": b""}, "has masks and no JPEGImages"),
    ],
)
def test_what_cannot_be_paired_is_named(tmp_path: Path, files: dict[str, bytes], said: str):
    for name, data in files.items():
        write(tmp_path / "in" / name, data)
    (tmp_path / "in").mkdir(exist_ok=True)
    with pytest.raises(InputError, match=said):
        opened(tmp_path / "in", WHITE)


def test_black_and_white_masks_are_told_by_what_they_hold(tmp_path: Path):
    picture(tmp_path / "images/a.jpg")
    white(tmp_path / "masks/a.png")
    with pytest.raises(InputError, match=r"0 and 255 alone.*say so with --mask-values 0 255$"):
        opened(tmp_path)
    with pytest.raises(InputError, match="3 values for 2 classes"):
        opened(tmp_path, Given(mask_values=(0, 255, 7), class_names=("a", "b")))


def test_a_label_drawn_on_the_unturned_picture_is_told_from_a_wrong_size(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    write(tmp_path / "images/a.jpg", jpeg(3, 2, exif=exif))
    white(tmp_path / "masks/a.png")
    source, _ = opened(tmp_path, WHITE)
    with pytest.raises(InputError, match=r"EXIF tag turns the picture.*exiftool -Orientation="):
        read_pair(source, "a", 2)
    write(tmp_path / "masks/a.png", png(MASK.T.copy() * 255, "L"))
    assert read_pair(source, "a", 2).label.tolist() == MASK.T.tolist()
    write(tmp_path / "masks/a.png", png(np.zeros((5, 5), np.uint8), "L"))
    write(tmp_path / "images/a.jpg", jpeg(3, 2))
    with pytest.raises(InputError, match="give both the same size"):
        read_pair(source, "a", 2)
