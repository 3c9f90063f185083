"""VGG-16 import: every format ends as the same function of RGB pixels as the format's own.

The files are full-sized (14.7 million random numbers) and written here by the libraries that write
them in the wild, except .pth: see the end.
"""

import importlib
import importlib.util
import json
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

import h5py
import jax.numpy as jnp
import numpy as np
import onnx
import pytest
from safetensors.numpy import save_file

from jaxdl.errors import InputError
from jaxdl.fcn.choices import WeightsFormat
from jaxdl.fcn.models.vgg import Trunk
from jaxdl.fcn.weights import vgg16
from jaxdl.fcn.weights.vgg16 import VGG_LAYERS, describe, load_vgg16, save_vgg16

Arrays = dict[str, np.ndarray]
# What each source tells its users to feed it, from an RGB image 0..255.
CAFFE_BGR = np.array([103.939, 116.779, 123.68])
CAFFE_RGB = np.array([123.68, 116.779, 103.939])
TORCH_MEAN, TORCH_STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
# Public prints: first filter's corner in the file's channel order, first five biases.
TORCH_PRINT = ([-0.5537, 0.1755, 0.3130], [0.4034, 0.3778, 0.4644, -0.3228, 0.3940])
RGB_PRINT = ([0.480015, 0.550379, 0.429471], [0.734298, 0.093404, 0.067757, 0.886297, 0.259945])
BGR_PRINT = (RGB_PRINT[0][::-1], RGB_PRINT[1])


def feed_bgr(rgb):
    return rgb[..., ::-1] - CAFFE_BGR


def feed_rgb(rgb):
    return rgb - CAFFE_RGB


def feed_torchvision(rgb):
    return (rgb / 255 - TORCH_MEAN) / TORCH_STD


def feed_amdegroot(rgb):
    return rgb - np.array([123.0, 117.0, 104.0])


def feed_pytorch_fcn(rgb):
    return rgb[..., ::-1] - np.array([104.00698793, 116.66876762, 122.67891434])


def write_npz(path: Path, arrays: Arrays) -> None:
    save: Any = np.savez  # its own keywords have other types than the arrays'
    save(path, **arrays)


def write_hdf5(path: Path, arrays: Arrays) -> None:
    with h5py.File(path, "w") as file:
        for key, array in arrays.items():
            file[key] = array


def write_safetensors(path: Path, arrays: Arrays) -> None:
    save_file({k: np.ascontiguousarray(a) for k, a in arrays.items()}, path)


def write_onnx(path: Path, arrays: Arrays) -> None:
    stored = [onnx.numpy_helper.from_array(a, k) for k, a in arrays.items()]
    graph = onnx.helper.make_graph([], "vgg16", [], [], initializer=stored)
    onnx.save(onnx.helper.make_model(graph), str(path))


TORCH_INDEX = dict(
    zip(
        [name for name, _, _ in VGG_LAYERS],
        [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28],
        strict=True,
    )
)


def torch_keys(name: str, prefix: str = "") -> tuple[str, str]:
    base = f"{prefix}features.{TORCH_INDEX[name]}"
    return f"{base}.weight", f"{base}.bias"


def plain_keys(name: str, kernel: str, bias: str) -> tuple[str, str]:
    return kernel.format(n=name), bias.format(n=name)


def block_keys(name: str, kernel: str, bias: str) -> tuple[str, str]:
    block = f"block{name[4]}_conv{name[6]}"
    return kernel.format(n=block), bias.format(n=block)


@dataclass(frozen=True)
class Case:
    """A format in the wild: its file, keys (kernel, bias), layout and preprocessing."""

    format: str
    file: str
    write: Callable[[Path, Arrays], None]
    keys: Callable[[str], tuple[str, str]]
    feed: Callable[[np.ndarray], np.ndarray]
    hwio: bool = False
    seen: tuple | None = None  # values planted in conv1_1
    forced: bool = False
    half: bool = False


def plain(kernel: str, bias: str):
    return partial(plain_keys, kernel=kernel, bias=bias)


def block(kernel: str, bias: str):
    return partial(block_keys, kernel=kernel, bias=bias)


ONNX_CONV = "functional_1/{n}_1/convolution/ReadVariableOp:0"
KERAS_FULL = "model_weights/{n}/{n}/kernel:0"
CASES = {
    "torchvision": Case(
        "torchvision", "a.safetensors", write_safetensors, torch_keys, feed_torchvision,
        seen=TORCH_PRINT,
    ),
    "torchvision_half_prefixed": Case(
        "torchvision", "a.safetensors", write_safetensors,
        partial(torch_keys, prefix="module."), feed_torchvision, seen=TORCH_PRINT, half=True,
    ),
    "torchvision_forced": Case(
        "torchvision", "a.safetensors", write_safetensors, torch_keys, feed_torchvision,
        forced=True,
    ),
    "amdegroot": Case(
        "caffe-rgb", "a.safetensors", write_safetensors, torch_keys, feed_amdegroot,
        seen=RGB_PRINT,
    ),
    "amdegroot_forced": Case(
        "caffe-rgb", "a.safetensors", write_safetensors, torch_keys, feed_amdegroot, forced=True
    ),
    "jcjohnson": Case(
        "caffe-bgr", "a.safetensors", write_safetensors, torch_keys, feed_bgr, seen=BGR_PRINT
    ),
    "keras": Case(
        "keras", "a.h5", write_hdf5, block("{n}/{n}_W_1:0", "{n}/{n}_b_1:0"), feed_bgr, hwio=True
    ),
    "keras_today": Case(
        "keras", "a.h5", write_hdf5, block("{n}/{n}/kernel:0", "{n}/{n}/bias:0"), feed_bgr,
        hwio=True,
    ),
    "keras_model": Case(
        "keras", "a.hdf5", write_hdf5, block(KERAS_FULL, "model_weights/{n}/{n}/bias:0"),
        feed_bgr, hwio=True, seen=BGR_PRINT,
    ),
    "frossard": Case(
        "frossard", "a.npz", write_npz, plain("{n}_W", "{n}_b"), feed_rgb, hwio=True,
        seen=RGB_PRINT,
    ),
    "chainer": Case("chainer", "a.npz", write_npz, plain("{n}/W", "{n}/b"), feed_bgr),
    "mitmul": Case("chainer", "VGG.model", write_hdf5, plain("{n}/W", "{n}/b"), feed_bgr),
    "chainercv": Case(
        "chainercv", "a.npz", write_npz, plain("{n}/conv/W", "{n}/conv/b"), feed_rgb
    ),
    "pytorch_fcn": Case(
        "pytorch-fcn", "a.npz", write_npz, plain("{n}.weight", "{n}.bias"), feed_pytorch_fcn,
        seen=BGR_PRINT,
    ),
    "onnx": Case(
        "keras-onnx", "a.onnx", write_onnx, block(ONNX_CONV, "functional_1/{n}_1/Squeeze:0"),
        feed_bgr,
    ),
    "onnx_biasadd": Case(
        "keras-onnx", "a.onnx", write_onnx,
        block("vgg16/{n}/Conv2D/ReadVariableOp:0", "vgg16/{n}/BiasAdd/ReadVariableOp:0"), feed_bgr,
    ),
}  # fmt: skip
IGNORED = {"keras_model": "optimizer_weights/m/block1_conv1/kernel:0"}


@pytest.fixture(scope="module")
def weights() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Random (kernel OIHW, bias) of all layers, as a format stores them."""
    rng = np.random.default_rng(0)
    return {
        name: (
            rng.standard_normal((outputs, inputs, 3, 3), np.float32),
            rng.standard_normal(outputs, np.float32),
        )
        for name, inputs, outputs in VGG_LAYERS
    }


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder whose files (58 MB each) go when the test ends."""
    yield tmp_path
    for path in tmp_path.rglob("*"):
        if path.is_file():
            path.unlink()


def planted(weights, seen):
    """The weights, with public values in conv1_1."""
    kernel, bias = (a.copy() for a in weights["conv1_1"])
    if seen is not None:
        kernel[0, :, 0, 0], bias[:5] = seen
    return {**weights, "conv1_1": (kernel, bias)}


def as_stored(case: Case, weights) -> Arrays:
    arrays: Arrays = {}
    for name, (kernel, bias) in weights.items():
        kernel = np.einsum("oihw->hwio", kernel) if case.hwio else kernel
        dtype = np.float16 if case.half else np.float32
        for key, array in zip(case.keys(name), (kernel, bias), strict=True):
            arrays[key] = array.astype(dtype)
    return arrays


def respond(image, kernel_oihw, bias):
    """conv1_1 of an (h, w, 3) image in float64, where the kernel lies inside it: (h', w', out)."""
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3), axis=(0, 1))
    return np.einsum("hwcij,ocij->hwo", windows, kernel_oihw.astype(np.float64)) + bias


@pytest.mark.slow
@pytest.mark.parametrize("which", CASES)
def test_imported_trunk_is_the_formats_own_function(which, weights, folder):
    """A wrong flip, layout, mean or fold of the standard deviation changes conv1_1's response."""
    case, path = CASES[which], folder / CASES[which].file
    weights = planted(weights, case.seen)
    if case.half:
        weights = {n: tuple(a.astype(np.float16) for a in at) for n, at in weights.items()}
    extra = IGNORED.get(which, "fc6/something")
    arrays = as_stored(case, weights) | {extra: np.zeros((2, 3), np.float32)}
    case.write(path, arrays)
    got = load_vgg16(path, format=case.format if case.forced else None)

    image = np.random.default_rng(1).integers(0, 256, (7, 6, 3)).astype(np.float64)
    want = respond(case.feed(image), *weights["conv1_1"])
    ours = np.einsum("hwio->oihw", got.trunk["conv1_1"]["kernel"])
    have = respond(image - np.array(got.mean), ours, got.trunk["conv1_1"]["bias"])
    np.testing.assert_allclose(have, want, rtol=0, atol=2e-6 * np.abs(want).max())

    assert list(got.trunk) == [name for name, _, _ in VGG_LAYERS]
    for name, (kernel, bias) in weights.items():
        layer = got.trunk[name]
        assert layer["kernel"].dtype == layer["bias"].dtype == np.float32
        assert layer["kernel"].flags.c_contiguous
        np.testing.assert_array_equal(layer["bias"], bias)
        if name != "conv1_1":
            np.testing.assert_array_equal(layer["kernel"], np.einsum("oihw->hwio", kernel))
    assert got.record["format"] == case.format
    assert got.record["ignored"] == [extra]
    assert got.record["layers"]["conv4_1"] == {"kernel": [3, 3, 256, 512], "bias": [512]}
    assert json.loads(json.dumps(got.record)) == got.record
    for text in (path.name, case.format, got.record["sha256"], "conv5_3 3x3x512x512", "13 layers"):
        assert text in describe(got.record)


def test_layers_are_the_trunks_own():
    """The names and shapes are those of the model that takes them."""
    import jax

    shapes = jax.eval_shape(Trunk().init, jax.random.key(0), np.zeros((1, 32, 32, 3), np.float32))
    params = shapes["params"]
    assert sorted(params) == [name for name, _, _ in VGG_LAYERS]
    for name, inputs, outputs in VGG_LAYERS:
        assert params[name]["kernel"].shape == (3, 3, inputs, outputs)
        assert params[name]["bias"].shape == (outputs,)


def test_export_reads_back_the_same_bits_and_stays_whole(weights, folder):
    path, mean = folder / "new" / "out.safetensors", (0.1 + 0.2, 116.779, 103.939)
    trunk = {n: {"kernel": np.einsum("oihw->hwio", w), "bias": b} for n, (w, b) in weights.items()}
    save_vgg16(path, trunk, mean)
    got = load_vgg16(path)
    assert got.mean == mean
    assert got.record["format"] == "jaxdl"
    for name, layer in trunk.items():
        for kind, array in layer.items():
            assert got.trunk[name][kind].tobytes() == np.ascontiguousarray(array).tobytes()
    assert load_vgg16(path, mean=[1.0, 2.0, 3.0]).mean == (1.0, 2.0, 3.0)

    before = path.read_bytes()
    with pytest.raises(InputError, match="no bias of conv5_3"):
        save_vgg16(path, {**trunk, "conv5_3": {"kernel": trunk["conv5_3"]["kernel"]}}, mean)
    with pytest.raises(InputError, match="three numbers"):
        save_vgg16(path, trunk, mean[:2])
    with pytest.raises(InputError, match=r"name it \.safetensors"):
        save_vgg16(path.with_suffix(".npz"), trunk, mean)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_colour_order_that_contradicts_the_keys_is_refused_unless_forced(weights, folder):
    """Chainer's keys mean BGR; ImageNet's own conv1_1 in RGB order under them is a wrong file."""
    case, path = CASES["chainer"], folder / "a.npz"
    write_npz(path, as_stored(case, planted(weights, RGB_PRINT)))
    with pytest.raises(
        InputError, match=r"a caffe-bgr trunk.*is caffe-rgb's.*--weights-format chainer"
    ):
        load_vgg16(path)
    assert load_vgg16(path, format="chainer").record["format"] == "chainer"


def test_bfloat16_is_read_as_float32(weights, folder):
    arrays = as_stored(CASES["torchvision_forced"], weights)
    path = folder / "a.safetensors"
    write_safetensors(path, {key: np.asarray(a, jnp.bfloat16) for key, a in arrays.items()})
    got = load_vgg16(path, format="torchvision").trunk["conv2_1"]["kernel"]
    want = np.asarray(weights["conv2_1"][0].transpose(2, 3, 1, 0), jnp.bfloat16)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, want.astype(np.float32))


def test_the_option_offers_every_format():
    assert set(get_args(WeightsFormat)) == set(vgg16._FORMATS)


def test_unknown_trunk_under_pytorch_keys_asks_for_the_format(weights, folder):
    path = folder / "a.safetensors"
    write_safetensors(path, as_stored(CASES["torchvision"], weights))
    with pytest.raises(InputError, match="--weights-format torchvision or caffe-rgb or caffe-bgr"):
        load_vgg16(path)
    with pytest.raises(InputError, match=r"mean is \[1.0, nan, 3.0\]"):
        load_vgg16(path, format="caffe-rgb", mean=[1.0, float("nan"), 3.0])


def start(weights, **changed) -> Arrays:
    """The first two layers under Chainer's keys: enough to be refused, and small."""
    arrays: Arrays = {}
    for name in ("conv1_1", "conv1_2"):
        arrays[f"{name}/W"], arrays[f"{name}/b"] = weights[name]
    return arrays | {k.replace("__", "/"): v for k, v in changed.items()}


def nan_at(array, value=np.nan):
    array = array.astype(np.float64)
    array.flat[3] = value
    return array


BAD = {
    "partial": (lambda w: start(w), "no kernel of conv2_1"),
    "kernel_shape": (
        lambda w: start(w, conv1_2__W=w["conv1_2"][0][:32]),
        r"kernel of conv1_2 is float32 \(32, 64, 3, 3\), expected float \(64, 64, 3, 3\)",
    ),
    "layout": (
        lambda w: start(w, conv1_1__W=w["conv1_1"][0].transpose(2, 3, 1, 0)),
        r"\(3, 3, 3, 64\), expected float \(64, 3, 3, 3\).*OIHW",
    ),
    "bias_shape": (lambda w: start(w, conv1_1__b=np.zeros(63, np.float32)), r"bias of conv1_1"),
    "integers": (lambda w: start(w, conv1_1__b=np.zeros(64, np.int8)), r"is int8 \(64,\)"),
    "nan": (lambda w: start(w, conv1_2__W=nan_at(w["conv1_2"][0])), "infinity in conv1_2's kernel"),
    "inf": (lambda w: start(w, conv1_2__b=nan_at(w["conv1_2"][1], np.inf)), "conv1_2's bias"),
    "overflow": (lambda w: start(w, conv1_1__b=nan_at(w["conv1_1"][1], 1e300)), "conv1_1's bias"),
    "vgg19": (lambda w: start(w, conv3_4__W=w["conv1_1"][0]), "no conv3_4"),
    "twice": (lambda w: start(w, x__conv1_1__b=w["conv1_1"][1]), "one network"),
    "unknown": (
        lambda w: {"dense/kernel": np.zeros(3)},
        "'dense/kernel'; known formats: jaxdl, tor",
    ),
    "empty": (lambda w: {}, "no VGG-16 keys among none"),
    "objects": (
        lambda w: start(w, conv1_1__b=np.array([object()] * 64)),
        r"cannot be read as \.npz \(ValueError: Object arrays",
    ),
}


@pytest.mark.parametrize("which", BAD)
def test_bad_content_is_refused_by_name(which, weights, folder):
    """One line that begins with the file and holds the layer, key or shape at fault."""
    path, (make, text) = folder / "bad.npz", BAD[which]
    write_npz(path, make(weights))
    with pytest.raises(InputError, match=text) as caught:
        load_vgg16(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_batch_norm_and_forced_formats_that_do_not_fit_are_refused(weights, folder):
    path, (kernel, bias) = folder / "a.safetensors", weights["conv1_1"]
    arrays = {"features.0.weight": kernel, "features.0.bias": bias, "features.1.weight": bias}
    write_safetensors(path, arrays)
    with pytest.raises(InputError, match=r"no features\.1"):
        load_vgg16(path)
    with pytest.raises(InputError, match="no chainer keys among 'features"):
        load_vgg16(path, format="chainer")
    with pytest.raises(InputError, match=r"unknown format 'caffe'; give one of jaxdl, torchvision"):
        load_vgg16(path, format="caffe")


def test_export_without_its_mean_asks_for_one(weights, folder):
    path = folder / "a.safetensors"
    arrays = {}
    for name, (kernel, bias) in weights.items():
        arrays |= {f"{name}/kernel": np.einsum("oihw->hwio", kernel), f"{name}/bias": bias}
    write_safetensors(path, arrays)
    with pytest.raises(InputError, match="mean is None; give mean="):
        load_vgg16(path)
    assert load_vgg16(path, mean=(1.0, 2.0, 3.0)).mean == (1.0, 2.0, 3.0)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".h5", ".onnx"])
@pytest.mark.parametrize("content", ["noise", "truncated", "empty"])
def test_damaged_files_are_refused(suffix, content, weights, folder):
    path = folder / f"bad{suffix}"
    writers = {
        ".safetensors": write_safetensors, ".npz": write_npz, ".h5": write_hdf5, ".onnx": write_onnx
    }  # fmt: skip
    writers[suffix](path, start(weights))
    size = path.stat().st_size
    if content == "noise":
        path.write_bytes(np.random.default_rng(0).bytes(1000))
    else:
        os.truncate(path, size * 2 // 3 if content == "truncated" else 0)
    with pytest.raises(InputError, match=r"cannot be read as|no VGG-16 keys") as caught:
        load_vgg16(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_paths_that_hold_no_weights_are_refused(folder):
    with pytest.raises(InputError, match="no such file"):
        load_vgg16(folder / "missing.npz")
    with pytest.raises(InputError, match="no such file"):
        load_vgg16(folder)
    path = folder / "vgg16.caffemodel"
    path.write_bytes(b"x")
    with pytest.raises(InputError, match=r"unknown extension; give one of \.safetensors, \.npz"):
        load_vgg16(path)


@pytest.mark.parametrize(
    ("name", "module", "remedy"),
    [
        ("a.pth", "torch", "convert the file to .safetensors, or install PyTorch's CPU build"),
        ("a.h5", "h5py", r"pip install 'jaxdl-functional\[weights\]'"),
        ("a.onnx", "onnx", r"pip install 'jaxdl-functional\[weights\]'"),
    ],
)
def test_missing_reader_is_named_with_its_remedy(name, module, remedy, folder, monkeypatch):
    """And nothing is unpickled: the file is a pickle that would leave a trace."""
    path, trace = folder / name, folder / "trace"
    path.write_bytes(pickle.dumps(Touch(str(trace))))
    monkeypatch.setitem(sys.modules, module, None)  # what an import of a missing module meets
    with pytest.raises(InputError, match=f"needs {module}; {remedy}"):
        load_vgg16(path)
    assert not trace.exists()


class Touch:
    """Unpickling one creates a file: what code in a weights file could do."""

    def __init__(self, path: str):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


if importlib.util.find_spec("torch"):  # not a dependency

    def test_pth_reads_weights_alone(weights, folder):
        torch = importlib.import_module("torch")
        path, trace = folder / "a.pth", folder / "trace"
        arrays = as_stored(CASES["torchvision"], planted(weights, TORCH_PRINT))
        state = {k: torch.from_numpy(a) for k, a in arrays.items()}
        torch.save({"state_dict": state, "epoch": 3}, path)
        got = load_vgg16(path)
        assert got.record["format"] == "torchvision"
        want = np.einsum("oihw->hwio", weights["conv5_3"][0])
        np.testing.assert_array_equal(got.trunk["conv5_3"]["kernel"], want)
        torch.save({"features.0.weight": Touch(str(trace))}, path)
        with pytest.raises(InputError, match=r"cannot be read as \.pth"):
            load_vgg16(path)
        assert not trace.exists()


if real := os.environ.get("JAXDL_VGG16"):

    def test_real_file_holds_the_public_values_in_rgb_order():
        got = load_vgg16(Path(real))
        first = got.trunk["conv1_1"]
        corner, bias = RGB_PRINT
        if got.record["format"] == "torchvision":
            corner, bias = np.array(TORCH_PRINT[0]) / (255 * TORCH_STD), TORCH_PRINT[1]
        np.testing.assert_allclose(first["kernel"][0, 0, :, 0], corner, rtol=2e-3)
        np.testing.assert_allclose(first["bias"][:5], bias, rtol=2e-3)
        assert len(got.trunk) == 13
