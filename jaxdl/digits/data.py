"""Small grey pictures of ten classes: MNIST's IDX files, a prepared TFDS set, or the 8x8 digits.

The 8x8 digits come with scikit-learn, so they need no download (UCI "Optical Recognition of
Handwritten Digits", 1,797 pictures).
"""

import gzip
import importlib.util
import math
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped, UInt8

from jaxdl.errors import InputError
from jaxdl.files.text import reason

FASHION = (
    *("T-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "boot"),
)
DIGITS = tuple("0123456789")
MOST = 1 << 28  # bytes of an IDX file's content: five times MNIST's
_SIDES = {"train": "train", "test": "t10k"}


class Pictures(NamedTuple):
    """Pictures and their classes."""

    images: UInt8[np.ndarray, "n h w"]
    labels: UInt8[np.ndarray, " n"]


class DigitData(NamedTuple):
    """A training part, a test part, the classes' names, and where they come from."""

    train: Pictures
    test: Pictures
    classes: tuple[str, ...]
    source: str
    files: tuple[Path, ...] = ()  # that were read, but for the embedded ones


def read_idx(path: Path) -> Shaped[np.ndarray, "..."]:
    """A file of unsigned bytes in the IDX format of MNIST; .gz is unpacked, into bounded memory.

    Raises:
        InputError: not such a file, cut short, longer than it says, or above 256 MiB.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(MOST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    if len(content) > MOST:
        raise InputError(f"{path}: holds more than {MOST >> 20} MiB; MNIST's files are smaller")
    if content[:3] != b"\0\0\x08" or len(content) < 4 or not 1 <= content[3] <= 4:
        raise InputError(f"{path}: is not an IDX file of bytes (it begins with {content[:4]!r})")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise InputError(f"{path}: is not an IDX file: it ends within its head; fetch it again")
    shape = tuple(np.frombuffer(content[4:start], ">u4").tolist())
    found = np.frombuffer(content, np.uint8, offset=start)
    if len(found) != math.prod(shape) or 0 in shape:
        raise InputError(f"{path}: holds {len(found)} bytes, its head says {shape}; fetch it again")
    return found.reshape(shape)


def open_digits(folder: Path | None) -> DigitData:
    """The data of a folder, or the embedded 8x8 digits.

    Args:
        folder: with the four IDX files (``train-images-idx3-ubyte``, perhaps .gz, ...), or a
            prepared TFDS set (mnist, fashion_mnist) of array records; None: embedded.

    Raises:
        InputError: what is missing or damaged.
    """
    if folder is None:
        return _embedded()
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one with MNIST's IDX files")
    classes = FASHION if "fashion" in str(folder.resolve()).lower() else DIGITS
    if (folder / "dataset_info.json").is_file():
        files = tuple(sorted(path for path in folder.iterdir() if path.is_file()))
        sides = {side: _prepared(folder, side) for side in _SIDES}
    else:
        pairs = {side: _idx_paths(folder, name) for side, name in _SIDES.items()}
        files = tuple(path for pair in pairs.values() for path in pair)
        sides = {side: _idx_pair(*pair) for side, pair in pairs.items()}
    train, test = sides["train"], sides["test"]
    if train.images.shape[1:] != test.images.shape[1:]:
        shapes = [f"{h} x {w}" for h, w in (s.images.shape[1:] for s in (train, test))]
        raise InputError(
            f"{folder}: pictures of {shapes[0]} to train on and {shapes[1]} to test on"
        )
    return DigitData(train, test, classes, str(folder), files)


def _idx_paths(folder: Path, name: str) -> list[Path]:
    """The files of the pictures and of the labels."""
    paths = []
    for kind in ("images-idx3", "labels-idx1"):
        # Some copies have a dot in place of the second hyphen.
        names = [f"{name}-{kind}{dash}ubyte{end}" for dash in "-." for end in ("", ".gz")]
        found = [folder / n for n in names if (folder / n).is_file()]
        if not found:
            raise InputError(f"{folder}: has no {names[0]} (nor .gz); give a folder of IDX files")
        paths.append(found[0])
    return paths


def _idx_pair(pictures: Path, classes: Path) -> Pictures:
    images, labels = map(read_idx, (pictures, classes))
    if images.ndim != 3 or labels.ndim != 1 or not len(images):
        raise InputError(f"{pictures}: pictures of shape {images.shape}; expected (n, h, w)")
    return _checked(Pictures(images, labels), str(classes))


def _prepared(folder: Path, side: str) -> Pictures:
    import tensorflow_datasets as tfds  # seconds to import, and only such a folder needs it

    try:
        source: Any = tfds.builder_from_directory(str(folder)).as_data_source(split=side)
        rows = [source[n] for n in range(len(source))]
        images = np.stack([row["image"][..., 0] for row in rows])
        labels = np.array([row["label"] for row in rows], np.int64)
    # TFDS, protobuf, array_record and Pillow raise many types on missing or damaged files.
    except Exception as error:
        raise InputError(
            f"{folder}: cannot be read as a prepared TFDS set of grey pictures ({reason(error)}); "
            "prepare it with file_format='array_record'"
        ) from error
    if labels.min() < 0:
        raise InputError(f"{folder}: its {side} part has the label {labels.min()}")
    return _checked(Pictures(images, labels.astype(np.uint8)), str(folder))


def _checked(pictures: Pictures, name: str) -> Pictures:
    if len(pictures.images) != len(pictures.labels):
        counts = f"{len(pictures.labels)} labels for {len(pictures.images)} pictures"
        raise InputError(f"{name}: {counts}; the files do not belong together")
    if pictures.labels.max() >= len(DIGITS):
        raise InputError(f"{name}: has the label {pictures.labels.max()}; expected 0 to 9")
    if min(pictures.images.shape[1:]) < 4:
        raise InputError(f"{name}: pictures of {pictures.images.shape[1:]}; at least 4 x 4")
    return pictures


def _embedded() -> DigitData:
    # The package's file, without the package: its import takes a second.
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("scikit-learn is not installed: install it, or name pictures with --data")
    path = Path(spec.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
    table = np.loadtxt(path, delimiter=",", dtype=np.uint8)  # 64 pixels of 0 to 16, and the digit
    images = (table[:, :-1].reshape(-1, 8, 8) * (255 / 16)).round().astype(np.uint8)
    labels = table[:, -1]
    order = np.random.default_rng(0).permutation(len(images))  # the writers follow one another
    test, train = order[: len(order) // 5], order[len(order) // 5 :]
    first, second = (Pictures(images[rows], labels[rows]) for rows in (train, test))
    return DigitData(first, second, DIGITS, "the 8x8 digits of scikit-learn")
