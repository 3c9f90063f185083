"""Tiny VOC and SBD trees, pictures and tars that the tests of the data readers write."""

import hashlib
import io
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

from jaxdl.errors import InputError
from jaxdl.fcn.data.voc import palette

SIZES = {"2007_000001": (30, 40), "2007_000002": (41, 25), "2007_000003": (16, 16), "x_4": (20, 33)}


def label_values(height: int, width: int) -> np.ndarray:
    values = (np.arange(height * width) % 23).reshape(height, width)
    return np.where(values > 20, 255, values).astype(np.uint8)


def png(values: np.ndarray, mode: str = "P") -> bytes:
    image = Image.fromarray(values)
    if mode == "P":
        image.putpalette(palette().tobytes())
    out = io.BytesIO()
    image.convert(mode).save(out, "PNG")
    return out.getvalue()


def jpeg(height: int, width: int, mode: str = "RGB", **options) -> bytes:
    noise = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(out, "JPEG", **options)
    return out.getvalue()


def mat(values: np.ndarray) -> bytes:
    out = io.BytesIO()
    scipy.io.savemat(out, {"GTcls": {"Boundaries": np.zeros(1), "Segmentation": values}})
    return out.getvalue()


def write(path: Path, data: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def write_voc(below: Path) -> Path:
    """A small VOCdevkit/VOC2012 with four pairs of different sizes."""
    year = below / "VOCdevkit" / "VOC2012"
    names = list(SIZES)
    lists = {"train": names[:2], "val": names[2:], "trainval": names}
    for name, ids in lists.items():
        write(year / f"ImageSets/Segmentation/{name}.txt", "\n".join(ids) + "\n")
    for name, size in SIZES.items():
        write(year / f"JPEGImages/{name}.jpg", jpeg(*size))
        write(year / f"SegmentationClass/{name}.png", png(label_values(*size)))
    return year


def write_sbd(below: Path) -> Path:
    """A small benchmark_RELEASE/dataset: one id of VOC's val, one of its own."""
    root = below / "benchmark_RELEASE" / "dataset"
    write(root / "train.txt", "2007_000003\nsbd_1\n")
    write(root / "val.txt", "x_4\n")
    for name in ("2007_000003", "sbd_1", "x_4"):
        write(root / f"img/{name}.jpg", jpeg(16, 16))
        write(root / f"cls/{name}.mat", mat(np.full((16, 16), 7, np.uint8)))
    return root


def make_tar(folder: Path, path: Path, gz: bool = False) -> str:
    with tarfile.open(path, "w:gz") if gz else tarfile.open(path, "w") as tar:
        tar.add(folder, folder.name)
    return hashlib.md5(path.read_bytes()).hexdigest()


def refused(*parts: str | Path):
    """Expect one line that holds all the parts in this order."""
    return pytest.raises(InputError, match="^[^\n]*" + ".*".join(re.escape(str(p)) for p in parts))
