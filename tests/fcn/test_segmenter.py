"""The Segmenter: what it takes, that it is the command's training, and that it can be kept."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

from jaxdl import Segmenter
from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError
from jaxdl.fcn.arguments import config_of
from jaxdl.fcn.command import run
from jaxdl.fcn.config import PRESETS
from jaxdl.fcn.data.arrays import pair_up, to_image
from jaxdl.fcn.models.fcn import FCN
from jaxdl.fcn.saved import load

SIZES = ((40, 64), (64, 33), (30, 30), (33, 64), (20, 40))
OPTIONS: dict[str, Any] = {"epochs": 1, "batch_size": 2, "learning_rate": 0.05, "warmup": 1}


def pictures() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """A bright square on a dark ground each."""
    rng, images, masks = np.random.default_rng(0), [], []
    for h, w in SIZES:
        image, mask = rng.integers(0, 90, (h, w, 3)).astype(np.uint8), np.zeros((h, w), np.uint8)
        image[5:18, 6:19], mask[5:18, 6:19] = 200, 1
        images.append(image)
        masks.append(mask)
    return images, masks


@pytest.fixture(scope="module")
def trained() -> Segmenter:
    images, masks = pictures()
    new = Segmenter(["ground", "square"], stages=[32], width_divisor=64)
    return new.fit(images, masks, canvases=1, **OPTIONS)


@pytest.mark.slow
def test_it_ends_in_the_commands_bits(trained: Segmenter, tmp_path: Path):
    images, masks = pictures()
    for n, (image, mask) in enumerate(zip(images, masks, strict=True)):
        for kind, array in (("images", image), ("masks", mask)):
            (tmp_path / "my" / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(tmp_path / "my" / kind / f"{n:06d}.png")
    cfg = dataclasses.replace(
        PRESETS["own"],
        epochs=(OPTIONS["epochs"],),
        learning_rate=(OPTIONS["learning_rate"],),
        batch_size=OPTIONS["batch_size"],
        warmup=OPTIONS["warmup"],
        data=tmp_path / "my",
        class_names=("ground", "square"),
        stages=(32,),
        width_divisor=64,
        canvases=1,
        out=tmp_path / "run",
        data_dir=tmp_path / "data",
    )
    run(cfg, Bar())
    saved = load(tmp_path / "run")
    jax.tree.map(np.testing.assert_array_equal, trained.params, saved.params)
    (row,) = trained.history["fcn32s"]
    assert row["test"]["mean_iu"] >= 0


@pytest.mark.slow
def test_it_predicts_all_kinds_of_pictures_alike_and_is_kept(
    trained: Segmenter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    images, masks = pictures()
    Image.fromarray(images[0]).save(tmp_path / "x.png")
    path = tmp_path / "x.png"
    kinds = [path, str(path), Image.open(path), images[0], images[0].astype(np.float32)]
    many = trained.predict([*kinds, *images[1:]])
    for found in many[: len(kinds)]:
        np.testing.assert_array_equal(found.classes, many[0].classes)
    for found, image in zip(many[len(kinds) :], images[1:], strict=True):
        alone = trained.predict(image)
        assert alone.classes.shape == image.shape[:2]
        np.testing.assert_allclose(found.probabilities, alone.probabilities, atol=1e-5)
        np.testing.assert_allclose(alone.probabilities.sum(-1), 1, atol=1e-5)
        assert alone.overlay().shape == image.shape
        assert alone.names == ("ground", "square")
    scaled, alone = trained.predict(images[0] / 255, scale=255), trained.predict(images[0])
    np.testing.assert_array_equal(scaled.probabilities, alone.probabilities)
    trained.save(tmp_path / "kept")
    again = Segmenter.load(tmp_path / "kept")
    assert (again.model, again.mean, again.classes) == (
        trained.model,
        trained.mean,
        trained.classes,
    )
    jax.tree.map(np.testing.assert_array_equal, again.params, trained.params)
    assert again.evaluate(images, masks) == trained.evaluate(images, masks)
    predicted = [one.classes for one in trained.predict(images)]
    right = sum(int((p == m).sum()) for p, m in zip(predicted, masks, strict=True))
    all_pixels = sum(mask.size for mask in masks)
    assert trained.evaluate(images, masks)["pixel_accuracy"] == pytest.approx(right / all_pixels)
    with pytest.raises(InputError, match="holds something already"):
        trained.save(tmp_path / "kept")
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_it_is_trained_further_on_other_classes(trained: Segmenter):
    images, masks = pictures()
    before = jax.tree.map(np.asarray, trained.params)
    other = Segmenter()
    other.model, other.params, other.classes = trained.model, trained.params, trained.classes
    other.fit(images, [3 * m // 2 for m in masks], validation=(images, masks), **OPTIONS)
    jax.tree.map(np.testing.assert_array_equal, before, trained.params)
    assert other.model is not None
    assert (other.model.stride, other.model.width) == (32, 64)


def test_pictures_that_are_none_are_refused():
    images, masks = pictures()
    for wrong, why in (
        (images[0] / 255, "within 0 to 1: say scale=255"),
        (images[0].astype(np.float64) * 2, "numbers from"),
        (images[0].astype(np.int32), "of int32 is no picture; give uint8"),
        (images[0][..., :2], r"of shape \(40, 64, 2\) is no picture"),
    ):
        with pytest.raises(InputError, match=f"image 3: .*{why}"):
            to_image(wrong, "image 3")
    assert to_image(images[0][..., 0]).shape == (40, 64, 3)
    for wrong, why in (
        ([masks[0]], "5 images and 1 masks"),
        (
            [m[1:] for m in masks],
            r"mask 0: is of \(height, width\) \(39, 64\), its image \(40, 64\)",
        ),
        ([m * 7 for m in masks], r"mask 0: value 7 \(169 pixels\) is no class of 2"),
        ([m / 1 for m in masks], "mask 0: .* float64 is no mask"),
    ):
        with pytest.raises(InputError, match=why):
            pair_up(images, wrong, 2)
    void = pair_up(images, [np.where(m == 1, 255, 0) for m in masks], 2)
    assert void.pixels[0, 255] == 169
    truth = pair_up(images, [m == 1 for m in masks], 2)
    assert truth.pixels[0, 1] == 169


def test_options_are_the_commands():
    cfg = config_of(["a", "b"], {"stages": (8,)}, {"learning_rate": 1, "epochs": None, "dice": 1})
    assert (cfg.learning_rate, cfg.epochs, cfg.dice) == ((1.0,), (0,), 1.0)
    assert isinstance(cfg.dice, float)
    assert config_of(["a", "b"], FCN(16, 2, 8), {}).stages == (16,)
    for given, why in (
        ({"learnin_rate": 1}, "no option 'learnin_rate': is it learning_rate"),
        ({"momentum": 2}, "--momentum 2: must be"),
        ({"freeze": "trunk"}, "keeps random weights"),
    ):
        with pytest.raises(InputError, match=why):
            config_of(["a", "b"], {}, given)
    with pytest.raises(InputError, match="name the classes"):
        config_of([], {}, {})
    with pytest.raises(InputError, match="each once"):
        Segmenter(["a", "a"])
    with pytest.raises(InputError, match=r"fit it, or use Segmenter.load"):
        Segmenter(["a", "b"]).predict(np.zeros((4, 4, 3), np.uint8))


@pytest.mark.slow
def test_arrays_need_no_tensorflow_datasets():
    code = (
        "import sys; from jaxdl import Segmenter; import jaxdl.fcn.segmenter;"
        "print([m for m in ('tensorflow_datasets', 'grain', 'array_record') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
