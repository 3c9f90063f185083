"""Exported parameters: the same bits again, and the same numbers in torchvision's layout."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from jaxdl import Segmenter
from jaxdl.__main__ import main
from jaxdl.errors import InputError
from jaxdl.fcn.export import safetensors
from jaxdl.fcn.models.fcn import FCN
from jaxdl.fcn.saved import files, load, network_of
from jaxdl.fcn.weights.vgg16 import load_vgg16
from jaxdl.training.transfer import by_name
from tests.helpers.untrained import drawn, exported, untrained

CLASSES = ("ground", "a|`b` <b>", "人")


def alike(ours, other) -> None:
    ours, other = by_name(ours), by_name(other)
    assert set(ours) == set(other)
    for name, array in ours.items():
        np.testing.assert_array_equal(array, other[name], name, strict=True)


@pytest.mark.parametrize(("stride", "width"), [(32, 1), (16, 8), (8, 64)])
def test_shapes_are_the_networks(stride: Any, width: int):
    model = FCN(stride, 5, width, for_cpu=False)
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    tree = jax.eval_shape(model.init, jax.random.key(0), image)["params"]
    found = {name: leaf.shape for name, leaf in by_name(tree).items()}
    assert found == safetensors.shapes(stride, 5, width)


@pytest.mark.slow
def test_an_exported_run_is_read_with_the_same_bits(tmp_path: Path):
    stage, out = untrained(tmp_path / "run/fcn32s", CLASSES), tmp_path / "out"
    assert main(["fcn", "export", str(stage), "--out", str(out)]) == 0
    own, again = load(stage), load(out)
    assert again[0] == own[0] == network_of(out)
    assert (again.mean, again.classes, again.step) == (own.mean, own.classes, None)
    np.testing.assert_array_equal(again.colours, own.colours)
    alike({**own.params}, again.params)
    alike(Segmenter.load(out).params, Segmenter.load(out / "model.safetensors").params)
    assert files(out) == [out / "model.safetensors"]
    with safe_open(out / "model.safetensors", framework="numpy") as file:
        meta = file.metadata()
    assert meta["channel_order"] == "RGB"
    assert json.loads(meta["classes"]) == list(CLASSES)
    network = json.loads(meta["model"])
    assert (network["stride"], network["width"], network["align"]) == (32, 64, "exact")
    page = (out / "README.md").read_text()
    assert "| 1 | `a¦'b' <b>` |" in page  # inert, and one cell


@pytest.mark.slow
def test_a_full_trunk_is_read_as_weights_and_computes_the_same_in_torchvisions_layout(
    tmp_path: Path,
):
    folder, params = exported(tmp_path / "own", FCN(32, 2), safetensors.TORCH_MEAN, "ab")
    found = load_vgg16(folder / "model.safetensors")
    alike(found.trunk, params["trunk"])
    assert found.mean == safetensors.TORCH_MEAN
    out = tmp_path / "torch"
    words = ["fcn", "export", str(folder), "--layout", "torchvision", "--out", str(out)]
    assert main(words) == 0
    path = out / "model.safetensors"
    arrays = load_file(path)
    assert list(load_vgg16(path, format="torchvision").record["ignored"]) == []
    again = load_vgg16(path, format="torchvision").trunk
    first, own = again.pop("conv1_1")["kernel"], params["trunk"].pop("conv1_1")
    np.testing.assert_allclose(first, own["kernel"], rtol=2e-7)
    alike(again, params["trunk"])

    def convolve(image, kernel, bias):
        """Of (h, w, i) by (o, i, 3, 3), zeros around it, float64."""
        padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (0, 1))
        return np.maximum(np.einsum("hwikl,oikl->hwo", windows, kernel.astype(float)) + bias, 0)

    image = np.random.default_rng(1).integers(0, 256, (9, 7, 3)).astype(float)
    theirs = (image / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    theirs = convolve(theirs, arrays["features.0.weight"], arrays["features.0.bias"])
    ours = own["kernel"].transpose(3, 2, 0, 1)
    ours = convolve(image - safetensors.TORCH_MEAN, ours, own["bias"])
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-6 * np.abs(ours).max())
    with pytest.raises(InputError, match="a trunk in torchvision's layout, without scores"):
        load(out)


def test_torchvisions_layout_of_another_mean_is_refused():
    trunk = drawn(FCN(32, 2, 64))["trunk"]
    with pytest.raises(InputError, match=r"subtracts 123\.68, 116\.779, 103\.939 and torchvision"):
        safetensors.to_torch(trunk, (123.68, 116.779, 103.939))


def test_what_is_no_export_is_one_line(tmp_path: Path):
    folder, _ = exported(tmp_path / "run", FCN(8, 3, 64), (1.0, 2.0, 3.0), CLASSES)
    path = folder / "model.safetensors"
    content, arrays = path.read_bytes(), load_file(path)
    with safe_open(path, framework="numpy") as file:
        meta = file.metadata()
    model = json.loads(meta["model"])
    for changed, why in (
        ({"model": json.dumps(model | {"stride": 5})}, "stride 5"),
        ({"model": json.dumps(model | {"stride": 32, "width": 32})}, r"F32 \(3, 3, 3, 1\), exp"),
        ({"model": json.dumps(model | {"num_classes": 4})}, "4 classes, 3 names"),
        ({"mean": "[1"}, "JSONDecodeError"),
        ({"classes": "[]"}, "3 classes, 0 names"),
    ):
        save_file(arrays, path, {**meta, **changed})
        with pytest.raises(InputError, match=why):
            load(folder)
    save_file({name: a.astype(np.float16) for name, a in arrays.items()}, path, meta)
    with pytest.raises(InputError, match=r"is F16 \(3, 3, 3, 1\), expected F32"):
        load(folder)
    del arrays["score_pool3/bias"]
    save_file(arrays, path, meta)
    with pytest.raises(InputError, match="'score_pool3/bias' is missing"):
        load(folder)
    path.write_bytes(content[:-4])
    with pytest.raises(InputError, match="is no FCN that jaxdl exported"):
        load(folder)
