"""Exported graphs in ONNX Runtime beside JAX, on images of odd sizes."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest

from jaxdl.fcn.choices import Output
from jaxdl.fcn.export import onnx
from jaxdl.fcn.models.fcn import FCN
from jaxdl.fcn.task import apply
from tests.helpers.untrained import drawn

MEAN = (123.68, 116.779, 103.939)
CANVAS = (96, 224)
SIZES = (
    *((1, 1), (1, 2), (2, 1), (1, 200), (90, 1), (2, 2), (3, 5), (17, 31), (31, 17), (32, 32)),
    *((33, 33), (31, 65), (64, 64), (65, 96), (95, 97), (47, 130), (96, 224), (16, 217), (63, 8)),
)


def session(model: FCN, params: Any, output: Output) -> Any:
    names = [f"class {n}" for n in range(model.num_classes)]
    return onnxruntime.InferenceSession(onnx.to_bytes(model, params, MEAN, names, output))


def images_of(sizes: Any) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (h, w, 3)).astype(np.uint8) for h, w in sizes]


def compare(model: FCN, sizes: Any, canvas: tuple[int, int]) -> None:
    """Logits within 1e-5 of the largest; classes equal but where two are as near as that."""
    params, images = drawn(model), images_of(sizes)
    padded = np.zeros((len(images), *canvas, 3), np.uint8)
    for row, image in enumerate(images):
        padded[row, : image.shape[0], : image.shape[1]] = image
    call = jax.jit(lambda *given: apply(model, *given, mean=jnp.array(MEAN, jnp.float32)))
    found = np.asarray(call(params, padded, np.array(sizes, np.int32)))
    logits, classes = session(model, params, "logits"), session(model, params, "classes")
    for image, own in zip(images, found, strict=True):
        own = own[: image.shape[0], : image.shape[1]]
        (other,) = logits.run(None, {"images": image[None]})
        assert other.shape == (1, *own.shape)
        scale = np.abs(own).max()
        assert scale > 0
        np.testing.assert_allclose(other[0], own, rtol=0, atol=1e-5 * scale)
        (best,) = classes.run(None, {"images": image[None]})
        ordered = np.sort(own, -1)
        clear = ordered[..., -1] - ordered[..., -2] > 2e-5 * scale
        assert best.dtype == np.uint8
        np.testing.assert_array_equal(best[0][clear], own.argmax(-1)[clear])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stride", "align", "width"), [(32, "exact", 64), (16, "center", 32), (8, "exact", 32)]
)
def test_it_computes_what_jax_does(stride: Any, align: Any, width: int):
    compare(FCN(stride, 4, width, align), SIZES, CANVAS)


@pytest.mark.slow
def test_it_computes_what_jax_does_on_a_photos_size():
    compare(FCN(8, 21, 64, "center"), [(500, 375)], (500, 375))


def test_a_batch_is_its_images_and_probabilities_are_those_of_the_logits():
    model = FCN(8, 4, 64)
    params, images = drawn(model), np.stack(images_of([(19, 40)] * 3))
    logits, chances = session(model, params, "logits"), session(model, params, "probabilities")
    (many,) = logits.run(None, {"images": images})
    for image, own in zip(images, many, strict=True):
        (alone,) = logits.run(None, {"images": image[None]})
        np.testing.assert_allclose(alone[0], own, rtol=0, atol=1e-5 * np.abs(many).max())
    (found,) = chances.run(None, {"images": images})
    wanted = np.exp(many - many.max(-1, keepdims=True))
    np.testing.assert_allclose(found, wanted / wanted.sum(-1, keepdims=True), atol=1e-6)
    described = chances.get_modelmeta().custom_metadata_map
    assert json.loads(described["classes"]) == [f"class {n}" for n in range(4)]
    assert json.loads(described["mean"]) == list(MEAN)
    (given,), (output,) = chances.get_inputs(), chances.get_outputs()
    assert (given.name, given.shape) == ("images", ["batch", "height", "width", 3])
    assert (output.name, output.shape) == ("probabilities", ["batch", "height", "width", 4])
