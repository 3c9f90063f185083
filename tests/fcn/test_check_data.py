"""``jaxdl fcn check``: what it prints and draws, and that it refuses what training refuses."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxdl.cli.command import parse
from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError
from jaxdl.fcn.check_data import check_data
from jaxdl.fcn.command import CHECK, TRAIN
from jaxdl.fcn.config import PRESETS, Config, for_each_stage
from jaxdl.fcn.dataset import open_data, open_source
from jaxdl.fcn.own import fit
from jaxdl.fcn.settle import settle
from tests.helpers.voc_tree import jpeg, png, write


def photos(folder: Path, count: int = 10, size: tuple[int, int] = (40, 50)) -> Path:
    """Pictures with one white square in each mask, as a drawing program saves them."""
    for n in range(count):
        mask = np.zeros(size, np.uint8)
        mask[5 : 10 + n, 5:15] = 255
        write(folder / f"images/{n}.jpg", jpeg(*size, quality=90 - n))
        write(folder / f"masks/{n}.png", png(mask, "RGB"))
    return folder


def config(words: str, tmp_path: Path) -> Config:
    given = [*words.split(), "--data-dir", str(tmp_path / "data")]
    return parse(CHECK, [*given, "--out", str(tmp_path / "run")])


def test_a_folder_is_looked_at_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = photos(tmp_path / "my")
    cfg = config(f"--data {data} --mask-values 0 255", tmp_path)
    path = check_data(cfg, Bar())
    said = capsys.readouterr().out
    assert "a folder of images and masks, 2 classes: background, object" in said
    assert "images: 8 to train on, 2 to test on" in said
    page = path.read_text()
    assert page.count("data:image/jpeg;base64,") == 10
    assert "40 x 50 to 40 x 50 (height x width), 1 different" in page
    assert not (tmp_path / "run" / "run.json").exists()


def test_it_names_what_training_would_refuse(tmp_path: Path):
    data = photos(tmp_path / "my")
    Image.new("L", (50, 40), 7).save(data / "masks/3.png")
    Image.new("L", (9, 9)).save(data / "masks/4.png")
    with pytest.raises(InputError, match=r"\(and 1 more, on the page\)$"):
        check_data(config(f"--data {data} --mask-values 0 255", tmp_path), Bar())
    page = (tmp_path / "run" / "check.html").read_text()
    assert "masks/3.png: value 7 (2000 pixels) is no class" in page
    assert "masks/4.png is 9x9" in page


def test_it_counts_class_weights_as_training_does(tmp_path: Path):
    data = photos(tmp_path / "my")
    words = f"--data {data} --mask-values 0 255 --class-weights"
    assert check_data(config(f"{words} 1 2", tmp_path), Bar()).is_file()
    with pytest.raises(InputError, match="--class-weights 1 2 3: give 2 numbers, one for each of"):
        check_data(config(f"{words} 1 2 3", tmp_path), Bar())


def test_doubts_of_training_are_on_the_page(tmp_path: Path):
    data = photos(tmp_path / "my")
    for n in range(10):
        write(data / f"images/{n}.jpg", jpeg(40, 50))
    words = f"--data {data} --mask-values 0 255"
    page = check_data(config(words, tmp_path), Bar()).read_text()
    assert "are the same file (2 such pairs): the test says less than it seems" in page
    page = check_data(config(f"{words} --overfit 3", tmp_path), Bar()).read_text()
    assert "tested on what was trained on" in page
    assert "3 to train on, 3 to test on" in page


def test_own_data_means_the_preset_own_and_voc_does_not(tmp_path: Path):
    data = photos(tmp_path / "my")
    assert parse(TRAIN, ["--data", str(data)]).preset == "own"
    assert parse(TRAIN, [f"--data={data}", "--preset", "voc"]).preset == "voc"
    assert parse(TRAIN, ["--data", str(tmp_path / "VOC.tar")]).preset == "voc"
    assert parse(TRAIN, []).preset == "voc"


def test_own_data_decides_what_the_user_did_not(tmp_path: Path):
    data = photos(tmp_path / "my", 12)
    words = f"--data {data} --mask-values 0 255 --epochs 0 3 0 --stages 32 16 8"
    cfg = for_each_stage(config(words, tmp_path))
    opened = open_data(cfg, *open_source(cfg, Bar()), Bar())
    found = fit(cfg, opened, Bar())
    assert (found.batch_size, found.epochs, found.crop) == (8, (120, 3, 60), None)
    assert found.stages == (32, 16, 8)
    assert fit(found, opened, Bar()) == found
    own = PRESETS["own"]
    assert settle(own) == own
    imported = settle(dataclasses.replace(own, weights=Path("vgg16.npz")))
    voc = PRESETS["voc"]
    assert (imported.width_divisor, imported.learning_rate) == (1, voc.learning_rate)
    assert imported.clip_norm is voc.clip_norm is None  # ImageNet's pools have large gradients


@pytest.mark.parametrize(
    ("size", "stages", "rates"),
    [
        ((40, 50), (8,), (0.05,)),
        ((100, 64), (16, 8), (0.05, 0.02)),
        ((96, 300), (32, 16, 8), (0.05, 0.05, 0.02)),
        ((20, 20), (8,), (0.05,)),
    ],
)
def test_stages_that_are_too_coarse_for_the_images_are_left_out(
    tmp_path: Path, size: tuple[int, int], stages: tuple[int, ...], rates: tuple[float, ...]
):
    """A map of fewer than three cells tells little but the background."""
    data = photos(tmp_path / "my", 3, size)
    cfg = for_each_stage(config(f"--data {data} --mask-values 0 255", tmp_path))
    assert cfg.stages == ()
    opened = open_data(cfg, *open_source(cfg, Bar()), Bar())
    found = fit(cfg, opened, Bar())
    assert (found.stages, found.learning_rate) == (stages, rates)
    assert found.epochs == (120, 60, 60)[: len(stages)]
