"""``jaxdl fcn evaluate``: its numbers, its files, and what it refuses or doubts."""

import csv
import hashlib
import io
import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxdl.cli.command import parse
from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError
from jaxdl.fcn import evaluate_command
from jaxdl.fcn.command import EVALUATE
from jaxdl.fcn.data.decode import read_photo
from jaxdl.fcn.evaluate import map_classes, trained_on
from jaxdl.fcn.evaluate_page import confusion_picture
from jaxdl.fcn.options import check_given, data_config
from jaxdl.fcn.saved import read_meta
from jaxdl.fcn.task import make_predict
from jaxdl.training.checkpoint import load_params
from tests.helpers.untrained import untrained
from tests.helpers.voc_tree import png, write

CLASSES = ("ground", "tree", "car", "<b>")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained(tmp_path_factory.mktemp("run") / "fcn32s", CLASSES)


def draw(n: int) -> np.ndarray:
    """Mask n, values 0 to 2."""
    values = np.random.default_rng(n).integers(0, 3, (10, 9)).repeat(10, 0).repeat(10, 1)
    return values.astype(np.uint8)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three pairs; the classes are a part of the network's, in another order."""
    folder = tmp_path / "photos"
    for n in range(3):
        mask = draw(n)
        mask[:5] = 255
        photo = np.random.default_rng(n).integers(0, 256, (5, 5, 3)).repeat(20, 0).repeat(18, 1)
        out = io.BytesIO()
        Image.fromarray(photo.astype(np.uint8)).save(out, "PNG")
        write(folder / f"images/{n}.png", out.getvalue())
        write(folder / f"masks/{n}.png", png(mask))
    write(folder / "class_names.txt", "car\nground\n<b>\n")
    return folder


def table(path: Path) -> list[list[str]]:
    return [*csv.reader(path.read_text().splitlines())]


def run(words: str, tmp_path: Path) -> dict:
    typed = f"{words} --out {tmp_path / 'out'} --data-dir {tmp_path / 'd'}"
    options = parse(EVALUATE, typed.split())
    return evaluate_command.run(options, data_config(options) if options.data else None, Bar())


@pytest.mark.slow
def test_the_numbers_are_those_of_the_predictions(stage: Path, data: Path, tmp_path: Path):
    """Against a matrix that is counted here, pixel by pixel."""
    found = run(f"{stage} --data {data} --side all", tmp_path)
    params, meta, _ = load_params(stage / "checkpoints")
    model, mean, _, _ = read_meta(meta, stage)
    predict, of = make_predict(model, jnp.asarray(mean)), [2, 0, 3]
    matrix, right = np.zeros((4, 4), int), []
    for n in range(3):
        predicted = predict(params, read_photo(data / f"images/{n}.png"))
        pairs = [*zip(draw(n)[5:].ravel(), predicted[5:].ravel(), strict=True)]
        for true, guess in pairs:
            matrix[of[true], guess] += 1
        right.append(np.mean([of[true] == guess for true, guess in pairs]))
    assert np.count_nonzero(matrix.sum(0)) > 1
    head, *lines = table(tmp_path / "out/confusion.csv")
    assert head[1:] == [line[0] for line in lines] == list(CLASSES)
    np.testing.assert_array_equal(np.array([line[1:] for line in lines], int), matrix)
    picture = (tmp_path / "out/confusion.png").read_bytes()
    assert picture == confusion_picture(CLASSES, matrix)
    assert picture != confusion_picture(CLASSES, matrix.T)
    iu = np.diag(matrix) / np.maximum(1, matrix.sum(0) + matrix.sum(1) - np.diag(matrix))
    seen = matrix.sum(0) + matrix.sum(1) > 0
    assert found["mean_iu"] == pytest.approx(iu[seen].mean())
    assert found["pixel_accuracy"] == pytest.approx(np.trace(matrix) / matrix.sum())
    assert found["mean_image_accuracy"] == pytest.approx(np.mean(right))
    head, *rows = table(tmp_path / "out/images.csv")
    assert head == ["id", "pixel_accuracy", "mean_iu", "loss", "pixels"]
    ids, shares, _, losses, pixels = zip(*rows, strict=True)
    assert (ids, pixels) == (("0", "1", "2"), ("8550",) * 3)
    assert [*map(float, shares)] == pytest.approx(right)
    assert found["loss"] == pytest.approx(np.mean([*map(float, losses)]))  # of as many pixels each
    assert json.loads((tmp_path / "out/metrics.json").read_text()) == found
    page = (tmp_path / "out/evaluation.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 3
    assert page.count("data:image/png;base64,") == 9  # predicted, its errors, the label
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    again = run(f"{stage} --data {data} --side all --which latest", tmp_path)
    assert again["per_class_iu"] == found["per_class_iu"]


@pytest.mark.slow
def test_a_network_does_not_know_all_names(stage: Path, data: Path, tmp_path: Path):
    values = map_classes(("car", "ground"), CLASSES, "x")
    assert (values[0], values[1], values[255]) == (2, 0, 255)
    (data / "class_names.txt").write_text("ground\nbicycle\ncar\n")
    with pytest.raises(InputError, match=r"its class 'bicycle' is none of the checkpoint's \(gro"):
        run(f"{stage} --data {data} --side all", tmp_path)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_labels_that_say_nothing_are_refused_or_doubted(stage: Path, data: Path, tmp_path: Path):
    for n in range(3):
        write(data / f"masks/{n}.png", png(np.full((100, 90), 255 if n else 1, np.uint8)))
    found = run(f"{stage} --data {data} --side all", tmp_path)
    void, objects, *_ = found["warnings"]
    assert void.startswith("67% of the pixels of the labels are void")
    assert objects.startswith("no label has a pixel of a class but ground")
    page = (tmp_path / "out/evaluation.html").read_text()
    assert "no label has a pixel of a class but ground" in page
    write(data / "masks/0.png", png(np.full((100, 90), 255, np.uint8)))
    with pytest.raises(InputError, match="all pixels of all 3 labels are void"):
        run(f"{stage} --data {data} --side all", tmp_path)


def test_images_that_were_trained_on_are_counted(tmp_path: Path):
    """By what they hold, not by name; labels of the same names do not count."""
    files = {f"x/images/{n}.jpg": f"image {n}".encode() for n in "abc"}
    files |= {f"x/masks/{n}.png": f"mask {n}".encode() for n in "abc"}
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    write(tmp_path / "splits/train.txt", "images/a\nimages/b\n")
    write(tmp_path / "splits/sha256.txt", "".join(f"{s}  {n}\n" for n, s in sums.items()))
    hashes = {sums[name] for name in ("x/images/a.jpg", "x/images/c.jpg", "x/masks/b.png")}
    assert trained_on(tmp_path, hashes) == 1
    assert trained_on(tmp_path / "splits", hashes) == 0


@pytest.mark.slow
def test_options_of_data_need_data(stage: Path, tmp_path: Path):
    check_given(parse(EVALUATE, ["run", "--side", "train", "--data-dir", "d"]))
    for words in (
        ["--split", "official"],
        ["--seed", "3"],
        ["--void", "0"],
        ["--overfit", "1"],
    ):
        with pytest.raises(InputError, match=f"{words[0]}: goes with --data"):
            check_given(parse(EVALUATE, ["run", *words]))
    with pytest.raises(InputError, match=r"has no run\.json that tells its data; name it with"):
        run(str(stage), tmp_path)
