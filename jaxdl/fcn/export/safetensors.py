"""An FCN as one file of safetensors: in our own keys, or its trunk in torchvision's.

Keys of our own are those of the parameters (``trunk/conv1_1/kernel``, ``score_pool5/bias``), and
the metadata hold what else a prediction needs. torchvision's networks divide by a standard
deviation, which ours do not, so for its layout the division is taken back out of conv1_1: what
subtracts ImageNet's mean and divides by its deviation then computes the same.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from jaxdl.errors import InputError
from jaxdl.fcn.models.vgg import BLOCKS
from jaxdl.files.text import reason, show
from jaxdl.training.transfer import by_name

FILE = "model.safetensors"
TORCH_MEAN = (123.675, 116.28, 103.53)  # RGB 0..255: ImageNet's, as torchvision subtracts it
TORCH_STD = (0.229, 0.224, 0.225)  # of RGB 0..1
_META = ("model", "mean", "classes", "palette")
_LEVELS = {32: (5,), 16: (5, 4), 8: (5, 4, 3)}  # stride -> pools that have scores
_NEAR = 1e-3  # of a mean: far below what a byte's rounding changes


def convolutions() -> list[str]:
    """conv1_1 .. conv5_3, in order."""
    return [f"conv{b}_{n}" for b, (_, count) in enumerate(BLOCKS, 1) for n in range(1, count + 1)]


def to_bytes(params: Any, meta: dict[str, Any]) -> bytes:
    """The file in our own keys.

    Args:
        params: of `jaxdl.fcn.models.fcn.FCN`.
        meta: of `jaxdl.fcn.saved.meta_of`; kept in the metadata, each entry as JSON.
    """
    arrays = {name: np.ascontiguousarray(leaf) for name, leaf in by_name(params).items()}
    described = {"layout": "jaxdl", "channel_order": "RGB"}
    return save(arrays, described | {name: json.dumps(meta[name]) for name in _META})


def to_torch(trunk: Any, mean: Sequence[float]) -> dict[str, np.ndarray]:
    """A trunk in the keys and layout of ``torchvision.models.vgg16().features``.

    The input is ``(RGB / 255 - ImageNet's mean) / its standard deviation``.

    Args:
        trunk: {"conv1_1": {"kernel": (3, 3, in, out), "bias": (out,)}, ...}.
        mean: that the trunk expects to be subtracted, RGB 0..255.

    Raises:
        InputError: the mean is another than torchvision's. A bias could make up for it inside an
            image, but not at its border, where the padding is zero.
    """
    if not np.allclose(mean, TORCH_MEAN, rtol=0, atol=_NEAR):
        shown = ", ".join(f"{value:g}" for value in mean)
        raise InputError(
            f"--layout torchvision: this network subtracts {shown} and torchvision's loaders "
            f"{', '.join(map(str, TORCH_MEAN))}, so they would compute something else; use "
            "--layout jaxdl, or train from torchvision's weights"
        )
    found, index = {}, 0
    for _, count in BLOCKS:
        for _ in range(count):
            layer = trunk[convolutions()[len(found) // 2]]
            kernel = np.asarray(layer["kernel"])
            if not found:
                kernel = kernel * (255 * np.array(TORCH_STD))[None, None, :, None]
            kernel = kernel.transpose(3, 2, 0, 1).astype(np.float32)
            found[f"features.{index}.weight"] = np.ascontiguousarray(kernel)
            found[f"features.{index}.bias"] = np.asarray(layer["bias"], np.float32)
            index += 2  # a ReLU has a number too
        index += 1  # and a pooling
    return found


def torch_bytes(trunk: Any, mean: Sequence[float]) -> bytes:
    """The file in torchvision's keys; raises as `to_torch`."""
    described = {"layout": "torchvision", "channel_order": "RGB"}
    means = {
        "mean": json.dumps([round(value / 255, 6) for value in TORCH_MEAN]),
        "std": json.dumps(TORCH_STD),
    }
    return save(to_torch(trunk, mean), described | means)


def find(path: Path) -> Path | None:
    """The file that a path means: the file itself, or that in an exported folder; None if none."""
    if path.suffix == ".safetensors" and path.is_file():
        return path
    return path / FILE if (path / FILE).is_file() else None


def read_meta(path: Path) -> dict[str, Any]:
    """What `to_bytes` was given beside the parameters.

    Raises:
        InputError: no file of an FCN in our own keys.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            found = file.metadata() or {}
        if found.get("layout") == "torchvision":
            text = "holds a trunk in torchvision's layout, without scores"
            raise InputError(f"{path}: {text}; export with --layout jaxdl, or give it to --weights")
        meta = {name: json.loads(found[name]) for name in _META}
        stride, width = meta["model"]["stride"], meta["model"]["width"]
        if stride not in _LEVELS or type(width) is not int or width < 1:
            raise ValueError(f"stride {stride}, width {width}")
        return meta
    except InputError:
        raise
    except Exception as error:  # safetensors raises its own, JSON and a missing key theirs
        text = f"is no FCN that jaxdl exported ({type(error).__name__}: {reason(error)})"
        raise InputError(f"{path}: {text}; name another file") from error


def shapes(stride: int, classes: int, width: int) -> dict[str, tuple[int, ...]]:
    """The shape of each parameter by its name."""
    found: dict[str, tuple[int, ...]] = {}
    channels, outs = 3, [max(1, features // width) for features, _ in BLOCKS]
    for name in convolutions():
        out = outs[int(name[4]) - 1]
        found[f"trunk/{name}/kernel"] = (3, 3, channels, out)
        found[f"trunk/{name}/bias"] = (out,)
        channels = out
    for level in _LEVELS[stride]:
        found[f"score_pool{level}/kernel"] = (1, 1, outs[level - 1], classes)
        found[f"score_pool{level}/bias"] = (classes,)
    return found


def read_params(path: Path, wanted: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """The parameters of a file of `to_bytes`, as NumPy arrays in their tree.

    Args:
        path: the file.
        wanted: of `shapes`.

    Raises:
        InputError: an array is missing, or of another shape or dtype.
    """
    found: dict[str, Any] = {}
    with safe_open(path, framework="numpy") as file:
        there = set(file.keys())
        for name, shape in wanted.items():
            own = file.get_slice(name) if name in there else None
            seen = "missing" if own is None else f"{own.get_dtype()} {tuple(own.get_shape())}"
            if seen != f"F32 {shape}":
                text = f"{show(name)} is {seen}, expected F32 {shape}"
                raise InputError(f"{path}: {text}; export it again")
            *parts, last = name.split("/")
            tree = found
            for part in parts:
                tree = tree.setdefault(part, {})
            tree[last] = file.get_tensor(name)
    return found
