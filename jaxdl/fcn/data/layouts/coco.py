"""COCO's annotations: polygons and run lengths in one JSON file, drawn as class indices.

Source: Lin et al. 2014, and pycocotools, which draws them (extra ``coco``).
"""

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32

from jaxdl.errors import InputError
from jaxdl.fcn.data.decode import IGNORE
from jaxdl.fcn.data.layouts.given import Given
from jaxdl.fcn.data.source import read_file
from jaxdl.files.atomic import read_json
from jaxdl.files.text import show

_SIDES = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Coco:
    """A `jaxdl.fcn.data.source.Source`: what is drawn later covers what was drawn before.

    Class 0 is the background, the others are the categories by their ids; crowds are void.
    """

    root: Path
    images: Mapping[str, tuple[Path, int, int]]  # id -> file, height, width
    drawn: Mapping[str, Sequence[Any]]  # id -> (class, segmentation, crowd)
    classes: tuple[str, ...]
    lists: Mapping[str, tuple[str, ...]]
    files: Mapping[str, Path]  # id -> the annotations' file

    def has_list(self, split: str) -> bool:
        return split == "trainval" or split in self.lists

    def list_name(self, split: str) -> str:
        return f"{self.root}: list {split}"

    def ids(self, split: str) -> tuple[str, ...]:
        if split == "trainval":
            return tuple(self.images)
        if split not in self.lists:
            raise InputError(f"{self.root}: has no annotations called {split}; use --split random")
        return self.lists[split]

    def image_name(self, id: str) -> str:
        return str(self._image(id)[0])

    def label_name(self, id: str) -> str:
        return f"{self.files[id]}: annotations of {id}"

    def _image(self, id: str) -> tuple[Path, int, int]:
        if id not in self.images:
            raise InputError(f"{self.root}: has no image {id!r}; take it off the list")
        return self.images[id]

    def image(self, id: str) -> bytes:
        return read_file(self._image(id)[0])

    def label(self, id: str) -> bytes:
        return json.dumps(self.drawn[id]).encode()

    def missing(self, id: str) -> list[str]:
        file = self._image(id)[0]
        return [] if file.is_file() else [str(file)]

    def fingerprint(self, ids: Sequence[str]) -> str:
        digest = hashlib.sha256(repr(self.classes).encode())
        for id in ids:
            found = self._image(id)[0].stat()
            digest.update(f"{id} {found.st_size}-{found.st_mtime_ns}\n".encode())
            digest.update(self.label(id))
        return digest.hexdigest()

    def read_label(self, id: str, num_classes: int) -> Int32[np.ndarray, "h w"]:
        try:
            from pycocotools import mask
        except ImportError:
            raise InputError(
                f"{self.label_name(id)}: pycocotools draws COCO's annotations, and is not "
                "installed: pip install 'jaxdl-functional[coco]'"
            ) from None
        _, height, width = self._image(id)
        label = np.zeros((height, width), np.int32)
        for number, segmentation, crowd in self.drawn[id]:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # 2.0.11 copies as NumPy 1 did
                    if isinstance(segmentation, list):
                        runs = mask.merge(mask.frPyObjects(segmentation, height, width))
                    elif isinstance(segmentation["counts"], list):
                        runs = mask.frPyObjects(segmentation, height, width)
                    else:
                        runs = segmentation
                    inside = mask.decode(runs).astype(bool)
                label[inside] = IGNORE if crowd else number
            except Exception as error:  # it is written in C, and raises many types
                raise InputError(
                    f"{self.label_name(id)}: cannot be drawn ({error}); export them again"
                ) from error
        return label


def open_coco(path: Path, given: Given) -> Coco | None:
    """The images of one annotations' file, or of those in ``annotations/``; None if there is none.

    Raises:
        InputError: a file that is not COCO's.
    """
    if path.is_file() and path.suffix.lower() == ".json":
        root, jsons = path.parent, [path]
    elif path.is_dir():
        root = path
        jsons = [*sorted(path.glob("annotations/*.json")), *sorted(path.glob("*coco*.json"))]
    else:
        return None
    if not jsons:
        return None
    images: dict[str, tuple[Path, int, int]] = {}
    drawn: dict[str, list[Any]] = {}
    lists: dict[str, tuple[str, ...]] = {}
    sources: dict[str, Path] = {}
    names: dict[int, str] = {}
    for file in jsons:
        found = read_json(file)
        try:
            names |= {int(c["id"]): str(c["name"]) for c in found["categories"]}
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{file}: has no COCO categories ({error!r})") from error
    numbers = {id: number for number, id in enumerate(sorted(names), 1)}
    for file in jsons:
        found = read_json(file)
        try:
            ids = {}
            for image in found["images"]:
                name = str(image["file_name"])
                place = _place(root, given, name)
                id = Path(name).with_suffix("").as_posix()
                ids[image["id"]] = id
                images[id] = (place, int(image["height"]), int(image["width"]))
                drawn[id], sources[id] = [], file
            for one in found["annotations"]:
                if one.get("segmentation"):
                    number = numbers[int(one["category_id"])]
                    entry = (number, one["segmentation"], bool(one.get("iscrowd")))
                    drawn[ids[one["image_id"]]].append(entry)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{file}: is not a file of COCO annotations ({error!r})") from error
        side = next((side for side in _SIDES if side in file.stem.lower()), None)
        if side is not None:
            lists[side] = tuple(ids.values())
    classes = given.class_names or ("background", *(names[id] for id in sorted(names)))
    return Coco(root, images, drawn, classes, lists, sources)


def _place(root: Path, given: Given, name: str) -> Path:
    """Where an image lies. InputError if its name leads out of the data set."""
    if name.startswith("/") or ".." in Path(name).parts:
        raise InputError(f"{root}: the file name {show(name)} leaves the data set")
    folders = [given.images] if given.images else [root / "images", root, *sorted(root.iterdir())]
    tries = [folder / name for folder in folders]
    return next((place for place in tries if place.is_file()), tries[0])
