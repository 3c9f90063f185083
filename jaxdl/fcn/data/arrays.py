"""Images and labels of a Python program: arrays, Pillow's pictures and paths, made alike."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32, UInt8
from PIL import Image, ImageOps

from jaxdl.errors import InputError
from jaxdl.fcn.data.decode import IGNORE, VOID, read_photo
from jaxdl.fcn.data.masks import MaskRule
from jaxdl.fcn.data.records import Example, count_pixels
from jaxdl.fcn.data.source import read_file


@dataclass(frozen=True, slots=True, eq=False)
class Arrays:
    """Decoded pairs in memory, as `jaxdl.fcn.data.records.Prepared` gives them from a disk."""

    ids: tuple[str, ...]
    images: tuple[UInt8[np.ndarray, "_ _ 3"], ...]
    labels: tuple[UInt8[np.ndarray, "_ _"], ...]  # class numbers, 255 where void
    sizes: Int32[np.ndarray, "n 2"]  # height, width
    pixels: Int32[np.ndarray, "n 256"]  # of each class in the label; the last: void
    hashes: tuple[str, ...]  # sha256 of each image's bytes

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, i: int) -> Example:
        return Example(self.ids[i], self.images[i], self.labels[i])

    def index(self, id: str) -> int:
        """Position of an id."""
        return self.ids.index(id)


def pair_up(
    images: Sequence[Any], masks: Sequence[Any], num_classes: int, rule: MaskRule | None = None
) -> Arrays:
    """The pairs, decoded and checked.

    Args:
        images: what `to_image` takes.
        masks: arrays (h, w) of class numbers, 255 where void, or of truth values; or paths and
            Pillow's pictures, which `rule` reads.
        num_classes: number of classes.
        rule: how a mask's file becomes class numbers; None: a palette or grey PNG holds them.

    Raises:
        InputError: not as many of both, none at all, sizes that differ, a value that is no class.
    """
    if len(images) != len(masks) or not len(images):
        raise InputError(f"{len(images)} images and {len(masks)} masks: give a mask for each image")
    pictures = tuple(to_image(image, f"image {n}") for n, image in enumerate(images))
    labels = tuple(
        _to_label(mask, f"mask {n}", num_classes, rule or MaskRule())
        for n, mask in enumerate(masks)
    )
    for n, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        if picture.shape[:2] != label.shape:
            sizes = f"{label.shape}, its image {picture.shape[:2]}"
            raise InputError(f"mask {n}: is of (height, width) {sizes}; both must agree")
    return Arrays(
        tuple(f"{n:06d}" for n in range(len(pictures))),
        pictures,
        labels,
        np.array([label.shape for label in labels], np.int32),
        np.stack([count_pixels(label) for label in labels]),
        tuple(hashlib.sha256(picture.tobytes()).hexdigest() for picture in pictures),
    )


def join(one: Arrays, other: Arrays) -> Arrays:
    """The pairs of both, the second's after the first's."""
    return Arrays(
        tuple(f"{n:06d}" for n in range(len(one) + len(other))),
        one.images + other.images,
        one.labels + other.labels,
        np.concatenate([one.sizes, other.sizes]),
        np.concatenate([one.pixels, other.pixels]),
        one.hashes + other.hashes,
    )


def to_image(
    image: Any, name: str = "the image", scale: float | int | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """A picture as RGB bytes.

    Args:
        image: a path, Pillow's picture, or an array (h, w, 3), or grey (h, w): uint8, or floating
            point from 0 to 255.
        name: of the picture, in messages.
        scale: what the numbers of a floating point array are multiplied by: 255 if they are from 0
            to 1, 1 if they are from 0 to 255.

    Raises:
        InputError: not a picture, or floating point numbers within 0 to 1 without `scale`.
    """
    if isinstance(image, (str, Path)):
        return read_photo(Path(image))
    if isinstance(image, Image.Image):
        image = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    array = np.asarray(image)
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, 2)
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise InputError(f"{name}: an array of shape {array.shape} is no picture; give (h, w, 3)")
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError(f"{name}: an array of {array.dtype} is no picture; give uint8, RGB")
    if scale is None and array.max() <= 1:
        raise InputError(
            f"{name}: its floating point numbers are within 0 to 1: say scale=255, or scale=1 if "
            "it is a nearly black picture of 0 to 255"
        )
    array = array * (1 if scale is None else scale)
    if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 255):
        raise InputError(f"{name}: has numbers from {array.min():g} to {array.max():g}, not 0..255")
    return np.rint(array).astype(np.uint8)


def _to_label(mask: Any, name: str, num_classes: int, rule: MaskRule) -> UInt8[np.ndarray, "h w"]:
    if isinstance(mask, (str, Path)):
        mask = rule.read(read_file(Path(mask)), str(mask), num_classes)
    array = np.asarray(mask)
    if array.ndim != 2 or 0 in array.shape or array.dtype.kind not in "iub":
        kind = f"shape {array.shape}, {array.dtype}"
        raise InputError(f"{name}: an array of {kind} is no mask; give class numbers, (h, w)")
    array = np.where(array == IGNORE, VOID, array.astype(np.int64))
    wrong = array[(array != VOID) & ((array < 0) | (array >= num_classes))]
    if wrong.size:
        raise InputError(
            f"{name}: value {wrong[0]} ({np.count_nonzero(array == wrong[0])} pixels) is no class "
            f"of {num_classes}; void is 255"
        )
    return array.astype(np.uint8)
