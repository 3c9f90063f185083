"""Pairs of a source, checked once and kept as TFDS array records: cheap to open, random access.

No TensorFlow is needed: the records are array_record files, and Pillow decodes the pictures.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int32, UInt8
from PIL import Image

from jaxdl.errors import FULL, InputError, writing
from jaxdl.fcn.data.decode import IGNORE, VOID, decode, is_turned, read_image
from jaxdl.fcn.data.source import Source, check_files
from jaxdl.files.locks import one_at_a_time
from jaxdl.files.text import reason

_FORMAT = 3  # raise it when records change: older preparations are then left alone, not misread


@dataclass(frozen=True, slots=True)
class Example:
    """One decoded pair; the label holds class indices, and 255 where void. Both are read-only."""

    id: str
    image: UInt8[np.ndarray, "h w 3"]
    label: UInt8[np.ndarray, "h w"]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Prepared pairs in the order of the ids they were prepared from. Threads may read at once."""

    folder: Path
    ids: tuple[str, ...]
    sizes: Int32[np.ndarray, "n 2"]  # height, width
    pixels: Int32[np.ndarray, "n 256"]  # of each class in the label; the last: void
    hashes: tuple[str, ...]  # sha256 of each image's file
    _positions: dict[str, int] = field(repr=False)
    _records: Any = field(repr=False)  # TFDS data source that does not decode pictures

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, i: int) -> Example:
        if not 0 <= i < len(self.ids):
            raise IndexError(f"example {i} of {len(self.ids)}")
        record = self._records[i]
        # Not TFDS's own decoding, which depends on whether OpenCV is installed.
        image = read_image(record["image"], f"{self.folder}: image of {self.ids[i]}")
        name = f"{self.folder}: label of {self.ids[i]}"
        label = np.asarray(decode(record["label"], name, ("PNG",)))
        if not image.shape[:2] == label.shape == tuple(self.sizes[i]):
            raise InputError(f"{name} has not its size; delete the folder and prepare again")
        return Example(self.ids[i], image, label)

    def index(self, id: str) -> int:
        """Position of an id."""
        if id not in self._positions:
            raise InputError(f"{self.folder}: no id {id!r}; prepare a list that has it")
        return self._positions[id]

    def __reduce__(self) -> tuple[Callable[[Path], "Prepared"], tuple[Path]]:
        return open_prepared, (self.folder,)  # a worker process opens the files itself


def prepare(
    source: Source,
    ids: Sequence[str],
    data_dir: Path,
    *,
    num_classes: int,
    progress: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Check and write every pair below `data_dir`, or open them where that was done before.

    Done once for the same files, ids and number of classes. `progress` gets (done, all).
    Raises InputError at the first bad file, and then leaves nothing behind.
    """
    if not ids or len(set(ids)) != len(ids):
        raise InputError(f"{len(ids)} ids, {len(set(ids))} different; give each once, at least one")
    check_files(source, ids)
    from jaxdl.fcn.data.tfds_builder import VocSegmentation

    wanted = json.dumps([_FORMAT, num_classes, source.fingerprint(ids), list(ids)])
    root = data_dir / hashlib.sha256(wanted.encode()).hexdigest()[:16]
    folder = root / VocSegmentation.name / str(VocSegmentation.VERSION)
    if not _finished(folder):
        with one_at_a_time(data_dir):
            if not _finished(folder):  # another process may have finished it while we waited
                _write(root, _records(source, ids, num_classes, progress))
    found = open_prepared(folder)
    if found.ids != tuple(ids):  # ids become names of files
        raise InputError(f"{folder}: holds other ids; delete the folder and prepare again")
    return found


def open_prepared(folder: Path) -> Prepared:
    """Open a finished preparation (`Prepared.folder`): reads records, decodes no picture."""
    import tensorflow_datasets as tfds  # takes long: only where records are read or written

    from jaxdl.fcn.data.tfds_builder import SPLIT

    folder = folder.absolute()  # a worker process may have another working directory
    skip = tfds.decode.SkipDecoding()
    try:
        builder = tfds.builder_from_directory(folder)
        records: Any = builder.as_data_source(split=SPLIT, decoders={"image": skip, "label": skip})
        heads = [
            (r["id"].decode(), (r["height"], r["width"]), r["pixels"], r["sha256"].decode())
            for r in records
        ]
    # TFDS and array_record raise many types on missing or damaged files.
    except Exception as error:
        text = f"not a readable preparation ({reason(error)}); delete the folder and prepare again"
        raise InputError(f"{folder}: {text}") from error
    ids, sizes, pixels, hashes = zip(*heads, strict=True)
    places = {id: i for i, id in enumerate(ids)}
    counted = np.stack(pixels).astype(np.int32)
    return Prepared(folder, ids, np.array(sizes, np.int32), counted, hashes, places, records)


def _finished(folder: Path) -> bool:
    # TFDS writes into a sister folder `incomplete.*` and renames it at the very end.
    return (folder / "dataset_info.json").is_file()


def _write(root: Path, records: Iterator[tuple[int, dict[str, Any]]]) -> None:
    import tensorflow_datasets as tfds

    from jaxdl.fcn.data.tfds_builder import VocSegmentation

    shutil.rmtree(root, ignore_errors=True)  # what a killed preparation left
    # Our caller shows the progress. (The switch is TFDS's own, for the whole process.)
    tfds.disable_progress_bar()
    try:
        builder = VocSegmentation(data_dir=str(root), records=records)
        builder.download_and_prepare(file_format="array_record")
        shutil.rmtree(root / "downloads", ignore_errors=True)  # TFDS makes it; it is empty
    except BaseException as error:
        shutil.rmtree(root, ignore_errors=True)
        # ArrayRecord, written in C++, says what the system said in words alone.
        full = [n for n in FULL if os.strerror(n) in str(error)]
        with writing(root):
            if isinstance(error, RuntimeError) and full:
                raise OSError(full[0], os.strerror(full[0])) from error
            raise


class Pair(NamedTuple):
    """An image's file and its label, checked against each other."""

    image: bytes
    label: UInt8[np.ndarray, "h w"]  # class indices, 255 where void


def read_pair(source: Source, id: str, num_classes: int) -> Pair:
    """A pair, decoded to check it.

    Raises:
        InputError: a file that cannot be read, a value that is no class, or sizes that differ.
    """
    data = source.image(id)
    height, width, _ = read_image(data, source.image_name(id)).shape
    label = source.read_label(id, num_classes)
    if label.shape != (height, width):
        raise InputError(
            f"{source.image_name(id)} is {height}x{width} (height x width) but its label "
            f"{source.label_name(id)} is {label.shape[0]}x{label.shape[1]}; "
            + (
                "the camera's EXIF tag turns the picture, and the label was drawn on it unturned: "
                "save the picture again without the tag (exiftool -Orientation= FILE)"
                if is_turned(data, source.image_name(id))
                else "give both the same size: labels are not scaled"
            )
        )
    return Pair(data, np.where(label == IGNORE, VOID, label).astype(np.uint8))


def count_pixels(label: UInt8[np.ndarray, "h w"]) -> Int32[np.ndarray, " 256"]:
    """Pixels of each value."""
    return np.bincount(label.ravel(), minlength=VOID + 1).astype(np.int32)


def _records(
    source: Source,
    ids: Sequence[str],
    num_classes: int,
    progress: Callable[[int, int], None] | None,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every pair as TFDS wants it."""
    for n, id in enumerate(ids):
        image, label = read_pair(source, id, num_classes)
        yield (
            n,
            {
                "id": id,
                "image": image,
                # Mode L, never P: TFDS decodes a palette PNG to colours if OpenCV is installed.
                "label": Image.fromarray(label),
                "height": label.shape[0],
                "width": label.shape[1],
                "pixels": count_pixels(label),
                "sha256": hashlib.sha256(image).hexdigest(),
            },
        )
        if progress is not None:
            progress(n + 1, len(ids))
