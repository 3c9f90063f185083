"""``jaxdl fcn predict``: which pictures it takes, what it calls its results, and what it writes."""

import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxdl.cli.command import parse
from jaxdl.errors import InputError, Skipped
from jaxdl.fcn.command import PREDICT
from jaxdl.fcn.data.decode import LARGEST, photo_size, read_photo
from jaxdl.fcn.inputs import name_classes, name_results
from jaxdl.fcn.predict import check_places, predict
from jaxdl.files.results import Results
from tests.helpers.untrained import untrained

CLASSES = ("sky", "over/lay", "Overlay", "overlay")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained(tmp_path_factory.mktemp("run") / "fcn32s", CLASSES)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for n, name in enumerate(("a.png", "deep/b.PNG", "deep/c.jpg")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image = np.random.default_rng(n).integers(0, 256, (20, 30, 3), np.uint8)
        Image.fromarray(image).save(folder / name)
    (folder / "deep/notes.txt").write_text("b.PNG\n")
    return folder


def test_patterns_and_lists_name_pictures(photos: Path):
    assert name_results([photos / "**/*"]) == name_results([photos])
    assert name_results([photos / "deep/*.jp*g"]) == {"c": photos / "deep/c.jpg"}
    assert name_results([photos / "*/c.jpg"]) == {"deep/c": photos / "deep/c.jpg"}
    with pytest.raises(InputError, match=r"photos/\*\.gif: matches no picture"):
        name_results([photos / "*.gif"])
    listed = photos / "list.TXT"
    listed.write_text("\ufeff# mine\r\n\r\ndeep/c.jpg\r\n  a.png\r\n../other/d.png\r\n", "utf-8")
    found = name_results([listed])
    assert [*found] == ["deep/c", "a", "d"]
    assert found["deep/c"].read_bytes() == (photos / "deep/c.jpg").read_bytes()
    for text, said in (("# no\n", "names no picture"), ("a\0b\n", r":1: .* is no path")):
        listed.write_text(text)
        with pytest.raises(InputError, match=said):
            name_results([listed])
    literal = photos / "[x].png"
    literal.touch()
    assert name_results([literal]) == {"[x]": literal}


def test_class_names_become_parts_of_file_names():
    names = name_classes(["a b", "a/b", "Classes", "", "../..", "人", "x" * 300], ["classes"])
    assert names == ["a_b", "a_b_1", "Classes_2", "class", "class_4", "人", "x" * 60]


@pytest.mark.slow
def test_probabilities_of_a_class_are_a_picture(stage: Path, photos: Path, tmp_path: Path):
    whole, tiled = tmp_path / "whole", tmp_path / "tiled"
    predict(stage, [photos / "a.png", photos / "deep"], probabilities="png", out=whole)
    predict(stage, [photos / "a.png"], probabilities="npz", tile=64, out=tiled)
    grey = []
    for name in ("sky", "over_lay", "Overlay_2", "overlay_3"):
        with Image.open(whole / f"a_{name}.png") as picture:
            assert (picture.mode, picture.size) == ("L", (30, 20))
            grey.append(np.asarray(picture))
    with np.load(tiled / "a_probabilities.npz") as found:
        chances = found["probabilities"].astype(np.float32)
    np.testing.assert_allclose(np.stack(grey, -1) / 255, chances, atol=0.6 / 255 + 1e-3)
    for kind in ("classes", "overlay"):
        assert (whole / f"a_{kind}.png").read_bytes() == (tiled / f"a_{kind}.png").read_bytes()
    assert (whole / "b_sky.png").exists()


@pytest.mark.slow
def test_a_list_goes_on_after_what_is_no_picture(
    stage: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """In tiles too, and it says what they are."""
    (photos / "list.txt").write_text("a.png\nmissing.png\n")
    with pytest.raises(Skipped, match="1 of 2 images were skipped"):
        predict(stage, [photos / "list.txt"], tile=64, out=tmp_path / "out")
    shown = capsys.readouterr().out
    assert "tiles of 64, overlap 32: blended" in shown
    assert "missing.png: cannot be read as an image (No such file" in shown
    assert (tmp_path / "out/a_overlay.png").exists()


def test_two_results_of_one_name_are_refused(tmp_path: Path):
    named, kinds = {"a": tmp_path, "a_b": tmp_path}, ["b_c.png", "c.png"]
    with pytest.raises(InputError, match=r"a_b_c\.png: two results would be this file"):
        check_places(tmp_path, named, kinds, Results("a test"))
    check_places(tmp_path, named, kinds[:1], Results("a test"))


@pytest.mark.slow
def test_large_pictures_ask_for_tiles(stage: Path, tmp_path: Path):
    """A header alone: nothing is decoded."""
    path = tmp_path / "large.png"
    Image.new("1", (9500, 9500)).save(path)
    assert photo_size(path) == (9500, 9500) < (LARGEST, LARGEST)
    assert photo_size(tmp_path) == photo_size(stage / "x") == (0, 0)
    with pytest.raises(InputError, match=r"large\.png: not a readable image .* use --tile 1024"):
        predict(stage, [path], out=tmp_path / "out")
    with pytest.raises(InputError, match=r"9500x9500 pixels are too many|decompression bomb"):
        read_photo(path)
    data = path.read_bytes()
    header = b"IHDR" + (70_000).to_bytes(4, "big") * 2 + data[24:29]
    path.write_bytes(data[:12] + header + zlib.crc32(header).to_bytes(4, "big") + data[33:])
    with pytest.raises(InputError, match=r"70000x70000\): at most 1073741824 pixels .* into parts"):
        predict(stage, [path], tile=64, out=tmp_path / "out")
    with pytest.raises(InputError, match="--overlap 32: is of tiles; give --tile too"):
        predict(stage, [path], overlap=32, out=tmp_path / "out")


def test_the_old_flag_without_a_value_is_one_line():
    for words in (["--probabilities"], ["--probabilities", "x.png"]):
        with pytest.raises(InputError, match=r"--probabilities.* one of none, npz, png"):
            parse(PREDICT, ["run", "a.png", *words])


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "PPM"])
def test_bytes_that_look_like_a_jpegs_scans_are_none(kind: str, tmp_path: Path):
    """Uncompressed noise holds FF DA by chance: such photos of 12 megapixels were refused."""
    image = np.zeros((3000, 4000, 3), np.uint8)
    image[:, ::20, :2] = 0xFF, 0xDA
    Image.fromarray(image).save(tmp_path / "x", kind)
    np.testing.assert_array_equal(read_photo(tmp_path / "x"), image)
