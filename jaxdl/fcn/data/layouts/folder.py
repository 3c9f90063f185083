"""A folder of one's own: images and masks in two folders, or side by side."""

import re
from collections.abc import Mapping
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

_IMAGE_FOLDERS = ("images", "image", "imgs", "img", "photos")
_MASK_FOLDERS = ("masks", "mask", "labels", "label", "annotations", "segmentations", "gt")
# Ends of a mask's name behind its image's.
_END = re.compile(r"[_-](masks?|labels?|gt|seg|segmentation)$", re.IGNORECASE)
_SIDES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def open_folder(path: Path, given: Given) -> Pairs | None:
    """The pairs of a folder; None if it holds no pictures.

    Raises:
        InputError: images and masks that do not belong together.
    """
    images = given.images or _below(path, _IMAGE_FOLDERS)
    masks = given.masks or _below(path, _MASK_FOLDERS)
    for flag, folder in (("--images", images), ("--masks", masks)):
        if folder is not None and not folder.is_dir():
            raise InputError(f"{flag} {folder}: no such folder")
    if images is None and masks is None:
        photos, labels = _side_by_side(path)
    else:
        photos = by_name(images or path, files_of(images or path, IMAGES, masks))
        labels = by_name(masks or path, files_of(masks or path, MASKS, images))
        if not set(photos) & set(labels):
            labels = {_END.sub("", name): file for name, file in labels.items()}
    if not photos and not labels:
        return None
    if not labels:
        raise InputError(
            f"{path}: {len(photos)} images and no mask; put masks of the same names into masks/ "
            "and the images into images/, or name the folders with --images and --masks"
        )
    files = pair_up(photos, labels, path)
    names, rule, _ = rule_and_classes(given, (path, path.parent))
    return Pairs(path, files, names, rule, _sides(files))


def _below(path: Path, names: tuple[str, ...]) -> Path | None:
    there = {
        p.name.lower(): p for p in sorted(path.iterdir()) if p.is_dir() and files_of(p, IMAGES)
    }
    return next((there[name] for name in names if name in there), None)


def _side_by_side(path: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Images and masks of one folder: ``x_mask.png`` beside ``x.png``, or ``x.png`` beside
    ``x.jpg``."""
    every = files_of(path, IMAGES)
    marked = [p for p in every if _END.search(p.stem) and p.suffix.lower() in MASKS]
    if marked:
        photos = by_name(path, [p for p in every if p not in marked])
        return photos, {_END.sub("", name): p for name, p in by_name(path, marked).items()}
    stems = [p.with_suffix("") for p in every]
    labels = [
        p
        for p, stem in zip(every, stems, strict=True)
        if stems.count(stem) > 1 and p.suffix.lower() == ".png"
    ]
    return by_name(path, [p for p in every if p not in labels]), by_name(path, labels)


def _sides(files: Mapping[str, tuple[Path, Path]]) -> dict[str, tuple[str, ...]]:
    """Lists from folders that are called train, val or test; none if a file is in no such one."""
    found: dict[str, list[str]] = {}
    for name in files:
        folder = name.split("/")[0].lower() if "/" in name else ""
        if folder not in _SIDES:
            return {}
        found.setdefault(_SIDES[folder], []).append(name)
    return {side: tuple(names) for side, names in found.items()}
