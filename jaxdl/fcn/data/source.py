"""What all data sets are: pictures and labels by id, lists of ids, class names.

A data set of another layout is one new file in `jaxdl.fcn.data.layouts` that finds its pairs and
returns a `Source`; see `jaxdl.fcn.data.detect`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int32

from jaxdl.errors import InputError
from jaxdl.fcn.data.archives import MOST
from jaxdl.fcn.data.masks import MaskRule
from jaxdl.files.limits import read_bytes


@runtime_checkable
class Source(Protocol):
    """Images and labels by id. Reading is thread-safe, and a source can be pickled."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; class 0 is the background."""
        ...

    def has_list(self, split: str) -> bool:
        """Whether there is a list of that name, such as train."""
        ...

    def list_name(self, split: str) -> str:
        """Where the list is or would be, for messages."""
        ...

    def ids(self, split: str) -> tuple[str, ...]:
        """The ids of a list, in its order; ``trainval`` has all that there are."""
        ...

    def image_name(self, id: str) -> str:
        """The image's file, for messages."""
        ...

    def label_name(self, id: str) -> str:
        """The label's file, for messages."""
        ...

    def image(self, id: str) -> bytes:
        """The image's file."""
        ...

    def label(self, id: str) -> bytes:
        """What the label is made from."""
        ...

    def read_label(self, id: str, num_classes: int) -> Int32[np.ndarray, "h w"]:
        """Class indices, -1 where void."""
        ...

    def missing(self, id: str) -> list[str]:
        """Names of those of the id's two files that are not there."""
        ...

    def fingerprint(self, ids: Sequence[str]) -> str:
        """Hash of the files' names, sizes and times: changes if they do."""
        ...


@dataclass(frozen=True, slots=True)
class Pairs:
    """A `Source` of files in folders: an image and a mask for each id."""

    root: Path
    files: Mapping[str, tuple[Path, Path]]  # id -> image, mask
    classes: tuple[str, ...]
    rule: MaskRule = field(default_factory=MaskRule)
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def has_list(self, split: str) -> bool:
        return split == "trainval" or split in self.lists

    def list_name(self, split: str) -> str:
        return f"{self.root}: list {split}"

    def ids(self, split: str) -> tuple[str, ...]:
        if split in self.lists:
            return self.lists[split]
        if split == "trainval":
            return tuple(self.files)
        there = ", ".join(self.lists) or "none"
        raise InputError(
            f"{self.root}: has no list {split} (lists: {there}); give --train-list and "
            "--test-list, or --split random"
        )

    def _pair(self, id: str) -> tuple[Path, Path]:
        if id not in self.files:
            raise InputError(f"{self.root}: has no pair named {id!r}; take it off the list")
        return self.files[id]

    def image_name(self, id: str) -> str:
        return str(self._pair(id)[0])

    def label_name(self, id: str) -> str:
        return str(self._pair(id)[1])

    def image(self, id: str) -> bytes:
        return read_file(self._pair(id)[0])

    def label(self, id: str) -> bytes:
        return read_file(self._pair(id)[1])

    def read_label(self, id: str, num_classes: int) -> Int32[np.ndarray, "h w"]:
        return self.rule.read(self.label(id), self.label_name(id), num_classes)

    def missing(self, id: str) -> list[str]:
        if id not in self.files:
            return [str(self.root / id)]
        return [str(path) for path in self.files[id] if not path.is_file()]

    def fingerprint(self, ids: Sequence[str]) -> str:
        digest = hashlib.sha256(repr((self.classes, self.rule)).encode())
        for path in (path for id in ids for path in self._pair(id)):
            try:
                found = path.stat()
            except OSError as error:
                raise InputError(f"{path}: {error.strerror}; restore the file") from error
            line = f"{path.relative_to(self.root)} {found.st_size}-{found.st_mtime_ns}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def read_file(path: Path) -> bytes:
    """A file of a picture. InputError if it cannot be read, or is too large to be one."""
    try:
        return read_bytes(path, MOST)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; restore the file") from error


def check_files(source: Source, ids: Sequence[str], *, listed_in: str = "the id list") -> None:
    """InputError unless every id has an image and a label; `listed_in` names the list for it."""
    missing = [name for id in ids for name in source.missing(id)]
    if missing:
        first = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise InputError(
            f"{first}: {len(missing)} of the files that {listed_in} asks for are missing; "
            "restore them or take their ids off the list"
        )
