"""Labels that cannot be learnt from are told before training, by the counts that are prepared."""

from pathlib import Path

import numpy as np
import pytest

from jaxdl.errors import InputError
from jaxdl.fcn.data import voc
from jaxdl.fcn.data.labels import check_labels
from jaxdl.fcn.data.records import prepare
from jaxdl.fcn.metrics import doubts
from tests.helpers.voc_tree import jpeg, png, write

CLASSES = ("background", "disc", "ring")


def counts(*labels: dict[int, int]) -> np.ndarray:
    """Pixels of each value in each label."""
    found = np.zeros((len(labels), 256), np.int32)
    for row, label in zip(found, labels, strict=True):
        row[list(label)] = list(label.values())
    return found


def check(train: np.ndarray, test: np.ndarray, classes: tuple[str, ...] = CLASSES) -> list[str]:
    return check_labels(classes, train, test, "mask{}.png".format)


GOOD = counts({0: 50, 1: 20, 2: 20, 255: 10})


def test_good_labels_give_no_word():
    assert check(GOOD, GOOD) == []
    assert check(np.concatenate([GOOD, counts({255: 9})]), GOOD) == []  # one image all void


def test_masks_in_black_and_white_are_refused():
    masks = counts({0: 90}, {0: 50, 255: 40})
    message = r"^mask1\.png: holds 0 and 255 alone, as all 2 training .*--mask-values 0 255 if"
    with pytest.raises(InputError, match=message):
        check(masks, masks)
    with pytest.raises(InputError, match="holds 0 and 255 alone"):
        check(masks, GOOD, ("background", "disc"))


def test_labels_all_void_are_refused():
    void = counts({255: 90}, {255: 90})
    with pytest.raises(InputError, match=r"^mask0\.png: all pixels of all 2 training labels"):
        check(void, GOOD)
    with pytest.raises(InputError, match=r"^all pixels of all 2 test labels are void"):
        check(GOOD, void)


def test_what_makes_results_doubtful_is_told_by_name():
    assert check(counts({0: 50, 2: 20}), GOOD) == [
        "no training label has a pixel of disc: not to be learnt (the test labels have disc)"
    ]
    assert check(counts({0: 50, 1: 2, 2: 1, 255: 15}), GOOD) == [
        "22% of the pixels of the training labels are void (255), and left out"
    ]
    (line,) = check(GOOD, counts({0: 9}))
    assert line.startswith("no test label has a pixel of a class but background")
    (line,) = check(counts({0: 9}), counts({0: 9}), ("thing",))
    assert line.startswith("there is one class alone, thing: loss 0 and mean IU 100% mean nothing")


def test_a_network_that_finds_no_object_is_doubted():
    figures = {"per_class_iu": [0.996, 0.0, None], "pixel_accuracy": 0.996}
    (line,) = doubts(figures, CLASSES)
    assert line.startswith("none of the classes but background is found in the test images (IU")
    assert "disc" in line
    assert "ring" not in line  # neither there nor predicted
    assert doubts(figures | {"per_class_iu": [0.9, 0.0, 0.3]}, CLASSES) == []
    assert doubts(figures | {"per_class_iu": [1.0]}, CLASSES[:1]) == []


def test_the_counts_are_those_of_the_files_and_are_kept(tmp_path: Path):
    year = tmp_path / "VOC2012"
    labels = {"a": np.full((8, 9), 255, np.uint8), "b": np.zeros((5, 4), np.uint8)}
    labels["b"][1:3] = 2
    labels["b"][4] = 255
    write(year / "ImageSets/Segmentation/train.txt", "b\na\n")
    for name, label in labels.items():
        write(year / f"JPEGImages/{name}.jpg", jpeg(*label.shape))
        write(year / f"SegmentationClass/{name}.png", png(label))
    source = voc.open_voc(year)
    for _ in "prepared", "opened":
        found = prepare(source, source.ids("train"), tmp_path / "data", num_classes=3)
        np.testing.assert_array_equal(found.pixels, counts({0: 8, 2: 8, 255: 4}, {255: 72}))
