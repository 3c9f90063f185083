"""VGG-16 ImageNet convolutions: read the formats in circulation into one trunk.

Whatever the file, the imported trunk wants RGB 0..255 minus `Imported.mean`: for formats made for
BGR the input axis of conv1_1 is flipped, and torchvision's division by a standard deviation goes
into conv1_1. Source of the weights: Simonyan, Zisserman 2014, configuration D; torchvision trained
its own. fc6 and fc7 are not read: the networks here have none.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from jaxdl.errors import InputError
from jaxdl.fcn.models.vgg import BLOCKS
from jaxdl.fcn.weights.files import SUFFIXES, open_arrays
from jaxdl.files.atomic import write_bytes
from jaxdl.files.text import show

Trunk = dict[str, dict[str, np.ndarray]]
Mean = tuple[float, float, float]
_NAMES = [f"conv{b}_{c}" for b, (_, count) in enumerate(BLOCKS, 1) for c in range(1, count + 1)]
_WIDTHS = [width for width, count in BLOCKS for _ in range(count)]
# (name, input channels, output channels) of conv1_1 .. conv5_3.
VGG_LAYERS = tuple(zip(_NAMES, [3, *_WIDTHS[:-1]], _WIDTHS, strict=True))


_CAFFE_MEAN: Mean = (123.68, 116.779, 103.939)
_TORCH_INDICES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
_TORCH_NAMES = dict(zip(_TORCH_INDICES, _NAMES, strict=True))


@dataclass(frozen=True, slots=True)
class _Format:
    """How a format names a convolution, lays out its kernel and prepares its input."""

    pattern: str
    layout: str = "OIHW"
    bgr: bool = False
    mean: Mean | None = _CAFFE_MEAN
    std: Mean | None = None  # set where the format feeds (RGB / 255 - mean / 255) / std

    @property
    def origin(self) -> str:
        return "torchvision" if self.std else "caffe-bgr" if self.bgr else "caffe-rgb"

    def source(self) -> str:
        """The format's own preprocessing, in words."""
        mean = "mean" if self.mean is None else self.mean[::-1] if self.bgr else self.mean
        over = f", over 255 x {self.std} (folded into conv1_1)" if self.std else ""
        return f"{'BGR' if self.bgr else 'RGB'} 0..255 minus {mean}{over}"


_TORCH = r"(?:.*\.)?features\.(?P<index>\d+)\.(?:(?P<kernel>weight)|(?P<bias>bias))"
_CONV = r"conv(?P<b>\d)_(?P<c>\d)"
_DOTS = rf"(?:.*\.)?{_CONV}\.(?:(?P<kernel>weight)|(?P<bias>bias))"
_W_B = r"(?:(?P<kernel>W)|(?P<bias>b))"
_BLOCK = r"(?!optimizer)(?:.*/)?block(?P<b>\d)_conv(?P<c>\d)"
_KERAS = rf"{_BLOCK}/(?:block\d_conv\d_)?(?:(?P<kernel>W_1|kernel)|(?P<bias>b_1|bias))(?::0)?"
# tf2onnx's names: Keras's layer, then the operation that read the variable.
_TF2ONNX = rf"{_BLOCK}(?:_\d+)?/(?:(?P<kernel>conv.*|Conv2D.*)|(?P<bias>Squeeze.*|Bias.*))"
_FORMATS = {
    "jaxdl": _Format(
        rf"(?:trunk/)?{_CONV}/(?:(?P<kernel>kernel)|(?P<bias>bias))", "HWIO", mean=None
    ),
    "torchvision": _Format(_TORCH, mean=(123.675, 116.28, 103.53), std=(0.229, 0.224, 0.225)),
    "caffe-rgb": _Format(_TORCH, mean=(123.0, 117.0, 104.0)),
    "caffe-bgr": _Format(_TORCH, bgr=True),
    "keras": _Format(_KERAS, "HWIO", bgr=True),
    "frossard": _Format(rf"{_CONV}_{_W_B}", "HWIO"),
    "chainer": _Format(rf"(?:.*/)?{_CONV}/{_W_B}", bgr=True),
    "chainercv": _Format(rf"(?:.*/)?{_CONV}/conv/{_W_B}"),
    "pytorch-fcn": _Format(_DOTS, bgr=True, mean=(122.67891434, 116.66876762, 104.00698793)),
    "keras-onnx": _Format(_TF2ONNX, bgr=True),
}

# Three trunks share PyTorch's keys, and the size of conv1_1 does not separate them (mean |w| is
# 0.17 in the Caffe original, fed +-128, and torchvision's own, fed +-2, is of the same size). So
# their values decide: the first filter's corner weight for R, G, B, then five biases.
_PRINTS = {
    "torchvision": (-0.5537, 0.1755, 0.3130, 0.4034, 0.3778, 0.4644, -0.3228, 0.3940),
    "caffe-rgb": (0.4800, 0.5504, 0.4295, 0.7343, 0.0934, 0.0678, 0.8863, 0.2599),
    "caffe-bgr": (0.4295, 0.5504, 0.4800, 0.7343, 0.0934, 0.0678, 0.8863, 0.2599),
}
_NEAR = 0.02  # less than half of the 0.05 between the Caffe trunk's R and B


@dataclass(frozen=True, slots=True)
class Imported:
    """A trunk and what it wants.

    Attributes:
        trunk: {"conv1_1": {"kernel": (3, 3, in, out), "bias": (out,)}, ...}, float32.
        mean: to subtract from RGB 0..255, in RGB order.
        record: what was read, for the run's record (JSON-able): file, sha256, format, source,
            mean, layers (name -> shapes), ignored (keys).
    """

    trunk: Trunk
    mean: Mean
    record: dict[str, Any]


def _keys(path: Path, names: list[str], format: str) -> dict[tuple[str, str], str]:
    """(layer, "kernel" or "bias") -> key in the file, where the keys are the format's."""
    keys: dict[tuple[str, str], str] = {}
    for key in names:
        if match := re.fullmatch(_FORMATS[format].pattern, key):
            part = match.groupdict()
            layer = f"conv{part.get('b')}_{part.get('c')}"
            if index := part.get("index"):
                layer = _TORCH_NAMES.get(int(index), f"features.{index}")
            at = (layer, "kernel" if part["kernel"] else "bias")
            if at in keys:
                text = f"{show(keys[at])} and {show(key)} are both {' '.join(at)}"
                raise InputError(f"{path}: {text}; keep one network in the file")
            keys[at] = key
    return keys


def _check(path: Path, raw: Mapping[tuple[str, str], np.ndarray], layout: str) -> Trunk:
    """Complete, of VGG-16's shapes, finite: as float32 in HWIO, contiguous. Or InputError."""
    if other := sorted({layer for layer, _ in raw} - set(_NAMES)):
        raise InputError(f"{path}: VGG-16 has no {other[0]}; give a VGG-16, not VGG-19 or bn")
    trunk: Trunk = {}
    for layer, inputs, outputs in VGG_LAYERS:
        kernel = (outputs, inputs, 3, 3) if layout == "OIHW" else (3, 3, inputs, outputs)
        trunk[layer] = {}
        for kind, shape in (("kernel", kernel), ("bias", (outputs,))):
            array = raw.get((layer, kind))
            if array is None:
                raise InputError(f"{path}: no {kind} of {layer}; give a whole VGG-16, 26 arrays")
            number = array.dtype.kind == "f" or array.dtype.name == "bfloat16"
            if array.shape != shape or not number:
                found = f"{array.dtype.name} {array.shape}"
                text = f"{kind} of {layer} is {found}, expected float {shape}"
                raise InputError(f"{path}: {text}; give a full-width VGG-16, {layout}")
            with np.errstate(over="ignore"):  # too large for float32 is caught as infinite
                array = array.astype(np.float32)
            if not np.isfinite(array).all():
                raise InputError(f"{path}: NaN or infinity in {layer}'s {kind}; fetch it again")
            if kind == "kernel" and layout == "OIHW":
                array = array.transpose(2, 3, 1, 0)
            trunk[layer][kind] = np.ascontiguousarray(array)
    return trunk


def _settle(path: Path, format: str, first: Mapping[str, np.ndarray]) -> str:
    """The format, once conv1_1's values have been asked which trunk they are of."""
    seen = np.concatenate([first["kernel"][0, 0, :, 0], first["bias"][:5]])
    near = [o for o, p in _PRINTS.items() if np.abs(seen - np.array(p)).max() < _NEAR]
    if format in _PRINTS:
        if not near:
            text = "conv1_1 is of no known trunk and the keys do not tell what its input was"
            raise InputError(f"{path}: {text}; give --weights-format {' or '.join(_PRINTS)}")
        return near[0]
    if near and near[0] != _FORMATS[format].origin:
        text = f"{format} keys mean a {_FORMATS[format].origin} trunk, but conv1_1 is {near[0]}'s"
        raise InputError(f"{path}: {text}; correct it, or force --weights-format {format}")
    return format


def _mean(path: Path, mean: Any) -> Mean:
    try:
        values = np.asarray(() if mean is None else mean, np.float64)
    except (TypeError, ValueError):  # what a file may hold instead
        values = np.empty(0)
    if values.shape != (3,) or not (np.abs(values) < 1e6).all():
        text = f"mean is {str(mean)[:80]}; give mean= as three numbers, RGB 0..255"
        raise InputError(f"{path}: {text}")
    red, green, blue = values.tolist()
    return red, green, blue


def load_vgg16(
    path: Path, *, format: str | None = None, mean: Sequence[float] | None = None
) -> Imported:
    """Read the 13 convolutions of VGG-16 from a weights file, as `Imported`.

    Args:
        path: .safetensors, .npz, .h5/.hdf5/.model (needs h5py), .onnx (needs onnx) or .pth/.pt
            (needs torch, which unpickles weights alone).
        format: None recognises it from the keys, and checks the colour order of conv1_1 where its
            values are ImageNet's. Otherwise jaxdl, torchvision (timm too), caffe-rgb or caffe-bgr
            (PyTorch's keys), keras, frossard, chainer, chainercv, pytorch-fcn or keras-onnx, taken
            at its word.
        mean: what to subtract instead of the format's own, RGB 0..255.

    Raises:
        InputError: file missing, damaged, of unknown format, partial, misshapen or not finite.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the path of a VGG-16 weights file")
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: unknown extension; give one of {', '.join(SUFFIXES)}")
    if format is not None and format not in _FORMATS:
        raise InputError(f"{path}: unknown format {format!r}; give one of {', '.join(_FORMATS)}")
    with open_arrays(path) as (names, get, metadata):
        # The format that most keys match, and the first of those that share them.
        found = [(f, _keys(path, names, f)) for f in ([format] if format else _FORMATS)]
        name, keys = max(found, key=lambda item: len(item[1]))
        if not keys:
            text = f"no {format or 'VGG-16'} keys among {', '.join(map(show, names[:4])) or 'none'}"
            raise InputError(f"{path}: {text}; known formats: {', '.join(_FORMATS)}")
        raw = {at: np.asarray(get(key)) for at, key in keys.items()}
        stored = json.loads(metadata.get("mean", "null")) if name == "jaxdl" else None
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    trunk = _check(path, raw, _FORMATS[name].layout)
    first = trunk["conv1_1"]
    name = _settle(path, name, first) if format is None and name != "jaxdl" else name
    chosen = _FORMATS[name]
    kernel = first["kernel"][:, :, ::-1] if chosen.bgr else first["kernel"]
    scale = 255 * np.array(chosen.std)[:, None] if chosen.std else np.float32(1)
    first["kernel"] = np.ascontiguousarray(kernel / scale, np.float32)
    subtract = _mean(path, mean if mean is not None else stored or chosen.mean)
    record = {
        "file": path.name,
        "sha256": digest,
        "format": name,
        "source": chosen.source(),
        "mean": list(subtract),
        "layers": {n: {k: list(a.shape) for k, a in at.items()} for n, at in trunk.items()},
        "ignored": sorted(set(names) - set(keys.values())),
    }
    return Imported(trunk, subtract, record)


def save_vgg16(path: Path, trunk: Trunk, mean: Sequence[float]) -> None:
    """Write a trunk (as `Imported.trunk`) and its mean (RGB 0..255) to .safetensors.

    Keys are ``conv1_1/kernel`` and so on; `load_vgg16` reads the same bits back. The file appears
    whole or not at all. Raises InputError for another extension or a trunk that is not VGG-16's.
    """
    if path.suffix.lower() != ".safetensors":
        raise InputError(f"{path}: cannot export to {path.suffix!r}; name it .safetensors")
    raw = {(n, k): np.asarray(a) for n, layer in trunk.items() for k, a in layer.items()}
    trunk = _check(path, raw, "HWIO")
    flat = {f"{n}/{k}": a for n, layer in trunk.items() for k, a in layer.items()}
    write_bytes(path, save(flat, {"mean": json.dumps(_mean(path, mean))}))


def describe(record: Mapping[str, Any]) -> str:
    """A record of `load_vgg16` as a few lines to print."""
    layers, ignored = record["layers"], record["ignored"]
    shapes = (f"{n} {'x'.join(map(str, at['kernel']))}" for n, at in layers.items())
    return (
        f"VGG-16 convolutions from {record['file']}, format {record['format']}\n"
        f"  sha256   {record['sha256']}\n"
        f"  made for {record['source']}\n"
        f"  wants    RGB 0..255 minus {tuple(record['mean'])}\n"
        f"  {len(layers)} layers: {', '.join(shapes)}\n"
        f"  ignored  {len(ignored)} arrays {', '.join(ignored[:4])}"
    )
