"""Cityscapes: ``leftImg8bit`` and ``gtFine``, label ids to the 19 classes that are trained on.

Source: Cordts et al. 2016, and the table of labels of its scripts (trainId of each id).
"""

from pathlib import Path

from jaxdl.errors import InputError
from jaxdl.fcn.data.layouts.given import Given, files_of, pair_up
from jaxdl.fcn.data.masks import MaskRule
from jaxdl.fcn.data.source import Pairs

CLASSES = {  # label id -> class, in the order of the training ids
    7: "road",
    8: "sidewalk",
    11: "building",
    12: "wall",
    13: "fence",
    17: "pole",
    19: "traffic light",
    20: "traffic sign",
    21: "vegetation",
    22: "terrain",
    23: "sky",
    24: "person",
    25: "rider",
    26: "car",
    27: "truck",
    28: "bus",
    31: "train",
    32: "motorcycle",
    33: "bicycle",
}
_IMAGE, _LABEL = "_leftImg8bit", "_gtFine_labelIds"


def open_cityscapes(path: Path, given: Given) -> Pairs | None:
    """The pairs of all cities, with the lists train, val and test; None if it is not Cityscapes.

    Raises:
        InputError: an image without a label; labels of test images are not public.
    """
    images, labels = path / "leftImg8bit", path / "gtFine"
    if not images.is_dir() or not labels.is_dir():
        return None
    sides: dict[str, list[str]] = {}
    photos, masks = {}, {}
    for found, folder, end in ((photos, images, _IMAGE), (masks, labels, _LABEL)):
        for file in files_of(folder, (".png",)):
            if file.stem.endswith(end):
                name = file.relative_to(folder).with_suffix("").as_posix()
                if not name.startswith("test/"):  # their labels are not public
                    found[name.removesuffix(end)] = file
    if not photos:
        raise InputError(f"{images}: has no picture that ends in {_IMAGE}.png")
    files = pair_up(photos, masks, path)
    for name in files:
        sides.setdefault(name.split("/")[0], []).append(name)
    numbers = {id: number for number, id in enumerate(CLASSES)}
    rule = MaskRule(
        values=tuple(range(256)), classes=tuple(numbers.get(id, -1) for id in range(256)), void=None
    )
    lists = {side: tuple(names) for side, names in sides.items()}
    return Pairs(path, files, tuple(CLASSES.values()), rule, lists)
