"""predict.html in Chromium, opened from a file, with no network: `make test-pages`."""

import base64
import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxdl.fcn.data.decode import read_image
from jaxdl.fcn.export import page as export
from jaxdl.fcn.saved import Saved
from jaxdl.fcn.task import apply
from tests.helpers.networks import random_network
from tests.helpers.opened import is_dark, opened_page, widths

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CLASSES = ("background", "<img src=x onerror=document.title='run'>", "a & b", "‮back", "cat")
HOSTILE = "<img src=x onerror=document.title='run'>.png"
SIZES = (
    *((1, 1), (1, 200), (97, 1), (17, 31), (31, 32)),
    *((33, 64), (64, 33), (90, 95), (127, 66), (128, 200)),
)
CANVAS = (128, 224)


@pytest.fixture(scope="module")
def stages() -> list[Saved]:
    return [
        random_network(stride, CLASSES, 16, stride, align)
        for stride, align in ((32, "exact"), (16, "center"), (8, "exact"))
    ]


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    """Noise over a few flat parts, so that the classes differ."""
    rng, found = np.random.default_rng(0), []
    for h, w in SIZES:
        coarse = rng.integers(0, 256, (h // 24 + 1, w // 24 + 1, 3))
        flat = coarse.repeat(24, 0).repeat(24, 1)[:h, :w]
        found.append(np.clip(flat + rng.integers(-40, 41, (h, w, 3)), 0, 255).astype(np.uint8))
    return found


@pytest.fixture(scope="module")
def logits(stages: list[Saved], images: list[np.ndarray]) -> list[list[np.ndarray]]:
    """Of each network and image, by JAX: all images in one padded batch, one program a network."""
    batch = np.zeros((len(images), *CANVAS, 3), np.uint8)
    for n, image in enumerate(images):
        batch[n, : image.shape[0], : image.shape[1]] = image
    sizes, found = np.array(SIZES, np.int32), []
    for saved in stages:
        mean = jnp.asarray(saved.mean, jnp.float32)
        run = jax.jit(partial(apply, saved.model, mean=mean))
        all_logits = np.asarray(run(saved.params, jnp.asarray(batch), jnp.asarray(sizes)))
        found.append([all_logits[n, :h, :w] for n, (h, w) in enumerate(SIZES)])
    return found


@pytest.fixture(scope="module")
def file(stages: list[Saved], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "predict.html"
    jpeg = io.BytesIO()
    Image.new("RGB", (60, 40), "teal").save(jpeg, "JPEG")
    export.write_page(path, stages, [("test image", jpeg.getvalue())])
    return path


@pytest.fixture
def opened(browser: Any, file: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page's tab, its test image computed."""
    with opened_page(browser, file, **getattr(request, "param", {})) as tab:
        done(tab, "test image")
        yield tab
        assert tab.title() == "jaxdl: segment photos"


def done(tab: Any, name: str) -> None:
    """Wait until a photo is shown and all networks have answered."""
    tab.locator("#name").filter(has_text=name).wait_for()
    tab.locator("#status").filter(has_text="Computed in this page").wait_for()


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def shown(tab: Any, number: int) -> np.ndarray:
    """The pixels of a figure: 0 is the photo."""
    script = """number => {
      const canvas = document.querySelectorAll('#figures canvas')[number];
      const {width, height} = canvas;
      const copy = new OffscreenCanvas(width, height);
      const context = copy.getContext('2d', {willReadFrequently: true});
      context.drawImage(canvas, 0, 0);
      const {data} = context.getImageData(0, 0, width, height);
      return [height, width, ...data];
    }"""
    height, width, *values = tab.evaluate(script, number)
    return np.array(values, np.uint8).reshape(height, width, 4)[..., :3]


def opacity(tab: Any, percent: int) -> None:
    tab.locator("#opacity").fill(str(percent))


def tied(logits: np.ndarray) -> np.ndarray:
    """Where two classes are within rounding of each other."""
    best = np.sort(logits, -1)[..., -2:]
    return best[..., 1] - best[..., 0] <= 1e-5 * np.abs(logits).max()


def test_logits_are_those_of_jax(
    opened: Any, stages: list[Saved], images: list[np.ndarray], logits: list[list[np.ndarray]]
):
    """The worker's script with the page's numbers; 1e-5 of the largest logit."""
    source = (Path(export.__file__).parent / "network.js").read_text()
    script = f"""(given) => {{
      {source}
      const [number, pixels, height, width] = given;
      const read = (id) => document.getElementById(id).textContent;
      const text = atob(read(`weights-${{number}}`));
      const bytes = Uint8Array.from(text, (one) => one.charCodeAt(0));
      const described = JSON.parse(read("data")).networks[number];
      const network = build(described, new Float32Array(bytes.buffer)), logits = [];
      const look = (row, values) => logits.push(...values);
      const found = segment(network, pixels, height, width, () => {{}}, look);
      return [logits, [...found.classes], [...found.probabilities]];
    }}"""
    for number in range(len(stages)):
        for image, wanted in zip(images, logits[number], strict=True):
            h, w = image.shape[:2]
            opaque = np.dstack([image, np.full((h, w), 255, np.uint8)]).ravel().tolist()
            values, classes, sure = opened.evaluate(script, [number, opaque, h, w])
            found = np.array(values).reshape(wanted.shape)
            assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max(), (number, h, w)
            same = np.array(classes).reshape(h, w) == wanted.argmax(-1)
            assert (same | tied(wanted)).all()
            chances = np.exp(wanted - wanted.max(-1, keepdims=True))
            largest = (1 / chances.sum(-1)).ravel()
            np.testing.assert_allclose(sure, largest, rtol=1e-4)


def test_chosen_photos_get_the_classes_of_jax(
    opened: Any, stages: list[Saved], images: list[np.ndarray], logits: list[list[np.ndarray]]
):
    tab, found = opened, set()
    opacity(tab, 100)
    for n, image in enumerate(images):
        name = f"{n} {HOSTILE}"
        tab.set_input_files(
            "#files", [{"name": name, "mimeType": "image/png", "buffer": png(image)}]
        )
        done(tab, name)
        assert f"{image.shape[1]}x{image.shape[0]} pixels" in tab.inner_text("#name")
        np.testing.assert_array_equal(shown(tab, 0), image)
        for number, saved in enumerate(stages):
            classes = logits[number][n].argmax(-1)
            painted = np.where((classes == 0)[..., None], image, saved.colours[classes])
            right = (shown(tab, number + 1) == painted).all(-1)
            assert (right | tied(logits[number][n])).all(), (number, image.shape)
            found |= set(classes.ravel())
    assert len(found) >= 3  # the networks tell something apart
    assert tab.locator("#strip button").count() == 1 + len(images)
    assert tab.locator("img").count() == 0


def test_the_slider_mixes_photo_and_colours_and_the_picture_is_saved(
    opened: Any, stages: list[Saved], images: list[np.ndarray], logits: list[list[np.ndarray]]
):
    tab, image, classes = opened, images[-1], logits[2][-1].argmax(-1)
    tab.set_input_files(
        "#files", [{"name": "x.png", "mimeType": "image/png", "buffer": png(image)}]
    )
    done(tab, "x.png")
    opacity(tab, 25)
    assert tab.inner_text("#percent") == "25 %"
    mixed = 0.25 * stages[2].colours[classes] + 0.75 * image
    painted = np.where((classes == 0)[..., None], image, mixed)
    right = (np.abs(shown(tab, 3) - painted) <= 0.5).all(-1)
    assert (right | tied(logits[2][-1])).all()
    with tab.expect_download() as download:
        tab.get_by_label("Save FCN-8s as PNG").click()
    assert download.value.suggested_filename == "x_fcn8s.png"
    saved = np.asarray(Image.open(download.value.path()).convert("RGB"))
    np.testing.assert_array_equal(saved, shown(tab, 3))
    opacity(tab, 0)
    np.testing.assert_array_equal(shown(tab, 3), image)


def test_a_dropped_photo_is_turned_as_its_camera_recorded(opened: Any):
    photo = Image.new("RGB", (48, 24), "navy")
    photo.paste("white", (0, 0, 24, 12))
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6  # a quarter turn
    photo.save(file, "JPEG", exif=exif, quality=95)
    script = """([name, text]) => {
      const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([bytes], name, {type: 'image/jpeg'}));
      document.body.dispatchEvent(new DragEvent('drop', {dataTransfer, bubbles: true}));
    }"""
    opened.evaluate(script, ["turned.jpg", base64.b64encode(file.getvalue()).decode()])
    done(opened, "turned.jpg")
    upright = read_image(file.getvalue(), "turned.jpg").astype(int)
    found = shown(opened, 0).astype(int)
    assert found.shape == upright.shape == (48, 24, 3)
    assert np.abs(found - upright).mean() < 2  # two decoders of JPEG


def test_what_is_no_picture_is_told_and_the_rest_is_shown(opened: Any):
    tab = opened
    tab.set_input_files(
        "#files",
        [
            {"name": HOSTILE, "mimeType": "image/png", "buffer": b"no picture"},
            {
                "name": "y.png",
                "mimeType": "image/png",
                "buffer": png(np.zeros((9, 9, 3), np.uint8)),
            },
        ],
    )
    done(tab, "y.png")
    wanted = f"{HOSTILE}: cannot be read as an image here; save it as JPEG or PNG"
    assert tab.inner_text("#errors") == wanted


def test_a_large_photo_is_scaled_down_and_says_so(opened: Any):
    tab, image = opened, np.full((20, 700, 3), 90, np.uint8)
    tab.set_input_files(
        "#files", [{"name": "wide.png", "mimeType": "image/png", "buffer": png(image)}]
    )
    done(tab, "wide.png")
    assert "640x18 pixels, scaled down from 700x20" in tab.inner_text("#name")
    tab.locator("#side").select_option("1280")
    tab.locator("#name").filter(has_text="700x20 pixels").wait_for()
    done(tab, "wide.png")
    assert shown(tab, 3).shape == (20, 700, 3)


def test_the_keyboard_reaches_all_and_moves_the_pointer(opened: Any):
    tab, reached = opened, []
    for _ in range(40):
        tab.keyboard.press("Tab")
        reached.append(
            tab.evaluate("(document.activeElement.id || document.activeElement.ariaLabel || '')")
        )
        if reached[-1].startswith("Save FCN-8s"):
            break
    for wanted in ("choose", "side", "test image", "opacity", "Save FCN-32s as PNG"):
        assert wanted in reached
    tab.locator("#figures canvas").nth(3).focus()
    tab.keyboard.press("ArrowLeft")
    tab.keyboard.press("Shift+ArrowDown")
    texts = tab.locator("#figures figcaption span").all_inner_texts()
    assert texts[0] == "row 30, column 29"
    assert all(text.endswith("%") and text.startswith(CLASSES) for text in texts[1:])
    tab.locator("#figures canvas").nth(1).hover(position={"x": 2, "y": 2})
    assert tab.locator("#figures figcaption span").first.inner_text() == "row 0, column 0"


@pytest.mark.parametrize(
    "opened",
    [{"viewport": {"width": 375, "height": 740}}, {"color_scheme": "dark"}],
    ids=["phone", "dark"],
    indirect=True,
)
def test_a_phone_and_dark_mode(opened: Any, request: pytest.FixtureRequest):
    """Nothing is wider than a phone, two figures lie side by side; dark has light text."""
    width, window = widths(opened)
    assert width <= window
    places = (
        "[...document.querySelectorAll('figure')].map((one) => one.getBoundingClientRect().top)"
    )
    tops = opened.evaluate(places)
    assert tops[0] == tops[1]
    assert is_dark(opened) == ("dark" in request.node.callspec.id)
