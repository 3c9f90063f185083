"""Masks become classes by index, by chosen values or by colours; what cannot be one is named."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxdl.errors import InputError
from jaxdl.fcn.data.masks import MaskRule, read_colours

BLACK_AND_WHITE = MaskRule(values=(0, 255), void=None)
SQUARE = np.array([[0, 255, 255], [0, 0, 255]], np.uint8)


def saved(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGB", "1"])
def test_black_and_white_as_drawing_programs_save_it(mode: str):
    data = saved(Image.fromarray(SQUARE).convert(mode))
    np.testing.assert_array_equal(BLACK_AND_WHITE.read(data, "m", 2), SQUARE // 255)


def test_values_have_the_order_that_is_given_and_void_is_none():
    rule = MaskRule(values=(7, 3), void=9)
    found = rule.read(saved(Image.fromarray(np.array([[3, 7, 9]], np.uint8))), "m", 2)
    np.testing.assert_array_equal(found, [[1, 0, -1]])
    with pytest.raises(InputError, match=r"^m: value 4 \(1 pixels\) is no class.*--mask-values"):
        rule.read(saved(Image.fromarray(np.array([[3, 4]], np.uint8))), "m", 2)


def test_another_void_leaves_indices_as_they_are():
    rule = MaskRule(void=0)
    found = rule.read(saved(Image.fromarray(np.array([[0, 1, 2]], np.uint8))), "m", 3)
    np.testing.assert_array_equal(found, [[-1, 1, 2]])
    with pytest.raises(InputError, match="label value 7"):
        rule.read(saved(Image.fromarray(np.array([[0, 7]], np.uint8))), "m", 3)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (saved(Image.fromarray(SQUARE), "JPEG"), "is a JPEG, which changes the values of pixels"),
        (saved(Image.fromarray(SQUARE), "WEBP", lossless=True), "is a WebP, which changes"),
        (saved(Image.fromarray(SQUARE).convert("RGBA")), "has transparency"),
        (saved(Image.fromarray(SQUARE.astype(np.uint16))), "more than 8 bits"),
        (b"", "not a readable image"),
    ],
)
def test_what_no_mask_should_be_is_refused(data: bytes, said: str):
    with pytest.raises(InputError, match=f"^m: .*{said}"):
        BLACK_AND_WHITE.read(data, "m", 2)


def test_colours_by_cvats_map(tmp_path: Path):
    path = tmp_path / "labelmap.txt"
    path.write_text(
        "\ufeff# label:color_rgb:parts:actions\nleaf:0,128,0::\nbackground:0,0,0::\nvoid:9,9,9::\n"
    )
    names, rule = read_colours(path)
    assert names == ("background", "leaf")
    rgb = np.array([[[0, 128, 0], [0, 0, 0], [9, 9, 9]]], np.uint8)
    found = rule.read(saved(Image.fromarray(rgb)), "m", 2)
    np.testing.assert_array_equal(found, [[1, 0, -1]])
    rgb[0, 0] = 1, 128, 0
    with pytest.raises(InputError, match=r"^m: colour 1 128 0 \(1 pixels\) is no class.*--colours"):
        rule.read(saved(Image.fromarray(rgb)), "m", 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no class"),
        ("0 0 0\n", "write 'name:r,g,b::'"),
        ("0 0 300 sky\n", "0 to 255"),
        ("0 0 0 a\n1 1 1 a\n", ":2: the class 'a' is there twice"),
        ("0 0 0 a\n0 0 0 b\n", ":2: two classes have the colour 0 0 0"),
    ],
)
def test_a_file_of_colours_that_is_none_names_the_line(tmp_path: Path, text: str, said: str):
    path = tmp_path / "colours.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as error:
        read_colours(path)
    assert str(error.value).startswith(str(path))
