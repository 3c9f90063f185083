"""PASCAL VOC 2012 segmentation and SBD: folders or tar files -> images, labels, id lists.

A label holds class indices as int32 and IGNORE where the file says VOID. Nothing is downloaded or
unpacked. Every bad input is an `InputError`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Int32, UInt8

from jaxdl.errors import InputError
from jaxdl.fcn.choices import VOC2012_MD5
from jaxdl.fcn.data.archives import Folder, Tar, open_files
from jaxdl.fcn.data.decode import IGNORE, VOID, read_image, read_label
from jaxdl.fcn.data.matlab import read_mat
from jaxdl.files.text import show

__all__ = ["IGNORE", "VOID", "read_image", "read_label"]  # what readers of a source need, too

# fmt: off
VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tv/monitor",
)
# fmt: on
# benchmark.tgz as served, and the file that the FCN authors' Chainer port calls benchmark.tar
SBD_MD5 = ("82b4d87ceb2ed10f6038a1cba92111cb", "2b2af8a6cff7365684e002c08be823a6")
LONGEST_LIST = 1 << 24  # bytes of an id list: a million ids
_SUFFIXES = (".jpg", ".JPG", ".jpeg", ".JPEG", ".png", ".PNG")
_LONGEST_ID, _LONGEST_NAME = 200, 100  # bytes, characters
_VOC_SOURCE = "get the official VOC2012 'trainval' tar from the PASCAL VOC site and pass its path"
_SBD_SOURCE = "get 'benchmark.tgz' from the SBD (Semantic Boundaries Dataset) page of UC Berkeley"


def palette() -> UInt8[np.ndarray, "256 3"]:
    """The VOC colour map: bit k of the index, three at a time, fills R, G, B from the top bit."""
    index = np.arange(256)[:, None] >> (3 * np.arange(8))  # (256, 8): the k-th group of three bits
    bits = (index[:, :, None] >> np.arange(3)) & 1  # (256, 8, 3)
    return (bits << (7 - np.arange(8))[:, None]).sum(1).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Part:
    """One data set: where its lists, images and labels are below its root, and its class names."""

    files: Folder | Tar
    lists: str
    images: str
    labels: str
    suffix: str  # of a label: .png (VOC) or .mat (SBD)
    classes: tuple[str, ...] = VOC_CLASSES

    def pair(self, id: str) -> tuple[str, str]:
        names = (f"{self.images}/{id}{suffix}" for suffix in _SUFFIXES)
        image = next((name for name in names if self.files.has(name)), f"{self.images}/{id}.jpg")
        return image, f"{self.labels}/{id}{self.suffix}"

    def has(self, id: str) -> bool:
        return all(self.files.has(rel) for rel in self.pair(id))


@dataclass(frozen=True, slots=True)
class Source:
    """Images and labels by id. Of several parts, the first that has both files of an id gives it.

    Lists and class names are the first part's. Reading is thread-safe, and a source can be pickled.
    """

    parts: tuple[Part, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        return self.parts[0].classes

    def _part(self, id: str) -> Part:
        return next((part for part in self.parts if part.has(id)), self.parts[0])

    def _list(self, split: str) -> str:
        return str(PurePosixPath(self.parts[0].lists, f"{split}.txt"))

    def list_name(self, split: str) -> str:
        return self.parts[0].files.name(self._list(split))

    def has_list(self, split: str) -> bool:
        return self.parts[0].files.has(self._list(split))

    def ids(self, split: str) -> tuple[str, ...]:
        """The ids of a list file (train, val, trainval, ...), in its order."""
        files, rel = self.parts[0].files, self._list(split)
        if not files.has(rel):
            names = files.names(self.parts[0].lists)
            there = ", ".join(n[:-4] for n in names if n.endswith(".txt")) or "none"
            raise InputError(f"{files.name(rel)}: no such list; choose one of: {there}")
        return parse_ids(files.read(rel), files.name(rel))

    def image_name(self, id: str) -> str:
        part = self._part(id)
        return part.files.name(part.pair(id)[0])

    def label_name(self, id: str) -> str:
        part = self._part(id)
        return part.files.name(part.pair(id)[1])

    def image(self, id: str) -> bytes:
        part = self._part(id)
        return part.files.read(part.pair(id)[0])

    def label(self, id: str) -> bytes:
        part = self._part(id)
        return part.files.read(part.pair(id)[1])

    def read_label(self, id: str, num_classes: int) -> Int32[np.ndarray, "h w"]:
        """Class indices, IGNORE where void."""
        read = read_mat if self._part(id).suffix == ".mat" else read_label
        return read(self.label(id), self.label_name(id), num_classes)

    def missing(self, id: str) -> list[str]:
        """Names of those of the id's two files that are not there."""
        part = self._part(id)
        return [part.files.name(rel) for rel in part.pair(id) if not part.files.has(rel)]

    def fingerprint(self, ids: Sequence[str]) -> str:
        """Hash of the files' names, sizes and times (of a tar: its md5): changes if they do."""
        digest = hashlib.sha256()
        for part, id in ((self._part(id), id) for id in ids):
            for rel in part.pair(id):
                digest.update(f"{rel} {part.files.stamp(rel)}\n".encode())
        return digest.hexdigest()


def merge(voc: Source, sbd: Source) -> Source:
    """VOC and SBD as one source; VOC's label (the finer one) wins where both have the id."""
    return Source(voc.parts + sbd.parts)


def open_voc(
    path: Path, *, md5: str | tuple[str, ...] | None = VOC2012_MD5, cache_dir: Path | None = None
) -> Source:
    """VOC from a VOCdevkit folder (its parent, or a year's folder, too) or a tar, never unpacked.

    `md5` is for a tar alone; None skips the check, which reads the whole file. A passed check is
    remembered in `cache_dir` (default: beside the tar) until the tar changes. A gzipped tar is
    first written uncompressed into `cache_dir`, once.
    """
    below = ("VOC*", "VOCdevkit/VOC*", "TrainVal/VOCdevkit/VOC*")
    files = open_files(path, md5, cache_dir, "ImageSets/Segmentation", below, _VOC_SOURCE)
    part = Part(files, "ImageSets/Segmentation", "JPEGImages", "SegmentationClass", ".png")
    if files.has("class_names.txt"):
        name = files.name("class_names.txt")
        part = replace(part, classes=parse_classes(files.read("class_names.txt"), name))
    return Source((part,))


def open_sbd(
    path: Path, *, md5: str | tuple[str, ...] | None = SBD_MD5, cache_dir: Path | None = None
) -> Source:
    """SBD from benchmark_RELEASE/dataset (or a parent) or benchmark.tgz; else as `open_voc`."""
    below = ("dataset", "benchmark_RELEASE/dataset")
    files = open_files(path, md5, cache_dir, "cls", below, _SBD_SOURCE)
    return Source((Part(files, "", "img", "cls", ".mat"),))


def parse_classes(data: bytes, name: str) -> tuple[str, ...]:
    """The names in a class_names.txt's bytes, one a line.

    Blank lines and # lines are skipped, and labelme's ``__ignore__``, which stands for void.

    Raises:
        InputError: not UTF-8, a name twice or too long, no name or too many.
    """
    try:
        lines = data[:LONGEST_LIST].decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not UTF-8 ({error}); write one class name a line") from error
    found = [text for line in lines if (text := line.strip()) and not text.startswith("#")]
    found = [text for text in found if text != "__ignore__"]
    if not 1 <= len(found) <= VOID:
        raise InputError(f"{name}: {len(found)} class names; write 1 to {VOID}, one a line")
    if long := [line for line in found if len(line) > _LONGEST_NAME]:
        text = f"the class name {show(long[0])} has more than {_LONGEST_NAME} characters"
        raise InputError(f"{name}: {text}; shorten it")
    if twice := [text for n, text in enumerate(found) if text in found[:n]]:
        raise InputError(f"{name}: the class name {show(twice[0])} is there twice; name each once")
    return tuple(found)


def parse_ids(data: bytes, name: str) -> tuple[str, ...]:
    """The ids in a list file's bytes, one a line; blank lines and # lines are skipped.

    An id becomes a part of file names: one that leads elsewhere or is not fit for it is refused.
    """
    if len(data) > LONGEST_LIST:
        raise InputError(f"{name}: more than {LONGEST_LIST >> 20} MiB; is this a list of ids?")
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not a text file ({error}); write one id a line") from error
    seen: dict[str, int] = {}
    for number, id in enumerate(map(str.strip, lines), 1):
        if not id or id.startswith("#"):
            continue
        where = f"{name}:{number}: {show(id)}"
        if id.startswith("/") or ".." in PurePosixPath(id).parts:
            raise InputError(f"{where} leaves the data set; write ids, not paths")
        if len(id.encode()) > _LONGEST_ID or not id.isprintable():
            raise InputError(
                f"{where} cannot be part of a file's name (more than {_LONGEST_ID} bytes, or odd "
                "characters); write ids"
            )
        if id in seen:
            raise InputError(f"{where} is on line {seen[id]} too; remove one")
        seen[id] = number
    if not seen:
        raise InputError(f"{name}: the list is empty; write one id a line into it")
    return tuple(seen)
