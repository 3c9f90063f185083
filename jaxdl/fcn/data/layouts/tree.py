"""VOC's folders with data of one's own: labelme's VOC export, CVAT's segmentation masks."""

from pathlib import Path

from jaxdl.errors import InputError
from jaxdl.fcn.data.layouts.given import (
    IMAGES,
    MASKS,
    Given,
    by_name,
    files_of,
    pair_up,
    rule_and_classes,
)
from jaxdl.fcn.data.source import Pairs
from jaxdl.fcn.data.voc import LONGEST_LIST, parse_ids
from jaxdl.files.limits import read_bytes

_LISTS = "ImageSets/Segmentation"
_BELOW = ("", "VOC*", "VOCdevkit/VOC*", "*")


def open_tree(path: Path, given: Given) -> Pairs | None:
    """The pairs of a folder with SegmentationClass; None if it has none.

    Lists are those of ImageSets/Segmentation, if there are any.

    Raises:
        InputError: images and labels that do not belong together, or an empty list.
    """
    roots = [p for below in _BELOW for p in ([path] if not below else sorted(path.glob(below)))]
    root = next((p for p in roots if _labels(p) is not None), None)
    if root is None:
        return None
    labels = _labels(root)
    photos = next((p for n in ("JPEGImages", "images") if (p := root / n).is_dir()), given.images)
    if photos is None or labels is None:
        raise InputError(
            f"{root}: has masks and no JPEGImages; export the images too, or name their folder "
            "with --images"
        )
    images = by_name(photos, files_of(photos, IMAGES))
    masks = by_name(labels, files_of(labels, MASKS))
    lists = {}
    for file in sorted((root / _LISTS).glob("*.txt")):
        lists[file.stem] = parse_ids(read_bytes(file, LONGEST_LIST), str(file))
    # Lists name what is used: other images need no label.
    used = {id for ids in lists.values() for id in ids} or set(images) | set(masks)
    images, masks = ({n: p for n, p in files.items() if n in used} for files in (images, masks))
    names, rule, _ = rule_and_classes(given, (root, path))
    return Pairs(root, pair_up(images, masks, root), names, rule, lists)


def _labels(root: Path) -> Path | None:
    """labelme writes colours into SegmentationClassPNG beside arrays in SegmentationClass."""
    names = ("SegmentationClassPNG", "SegmentationClass")
    found = (root / name for name in names if (root / name).is_dir())
    return next((folder for folder in found if files_of(folder, MASKS)), None)
