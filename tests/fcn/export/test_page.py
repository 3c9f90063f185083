"""predict.html without a browser: its parts, its policy, its numbers, and text that stays text."""

import base64
import hashlib
import io
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jaxdl.__main__ import main
from jaxdl.errors import InputError
from jaxdl.fcn.export import page
from jaxdl.fcn.models.fcn import FCN
from jaxdl.fcn.saved import Saved
from jaxdl.files.atomic import write_json
from tests.helpers.networks import random_network
from tests.helpers.untrained import exported

HOSTILE = ("</script><script>alert(1)</script>", "<!--<script>", "<img src=x onerror=alert(1)>")
LINKS = {"action", "background", "data", "formaction", "href", "poster", "src", "srcset", "style"}


class Parsed(HTMLParser):
    """The elements of a page: tag, attributes, text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.within = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), []))
        self.within = True

    def handle_endtag(self, tag: str) -> None:
        self.within = False

    def handle_data(self, data: str) -> None:
        if self.within:
            self.elements[-1][2].append(data)

    def text(self, name: str) -> str:
        (found,) = [text for _, attrs, text in self.elements if attrs.get("id") == name]
        return "".join(found)


@pytest.fixture(scope="module")
def stages() -> list[Saved]:
    return [random_network(stride, HOSTILE, 64, stride) for stride in (32, 16, 8)]


@pytest.fixture(scope="module")
def html(stages: list[Saved], tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "predict.html"
    found = page.write_page(path, stages, [(HOSTILE[0], b"a picture")])
    assert found == (path.stat().st_size, (32, 16, 8), ())
    return path.read_text()


def test_the_policy_has_the_hashes_of_the_pages_own_scripts_and_no_address(html: str):
    parsed = Parsed(html)
    hashes = {"script": [], "style": []}
    for tag, attrs, text in parsed.elements:
        assert not {name for name in attrs if name in LINKS or name.startswith("on")}, (tag, attrs)
        if tag in hashes and "type" not in attrs:  # others are data, which no browser runs
            digest = hashlib.sha256("".join(text).encode()).digest()
            hashes[tag].append(f"'sha256-{base64.b64encode(digest).decode()}'")
    (policy,) = [a["content"] for tag, a, _ in parsed.elements if "http-equiv" in a]
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules == {
        "default-src": "'none'",
        "script-src": " ".join(hashes["script"]),
        "style-src": " ".join(hashes["style"]),
        "worker-src": "blob:",
        "img-src": "blob: data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert len(hashes["script"]) == len(hashes["style"]) == 1
    assert "://" not in html
    for name in ("network.js", "predict.js", "predict_view.js"):
        text = (Path(page.__file__).parent / name).read_text()
        for word in ("innerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert word not in text


def test_names_stay_text(html: str):
    parsed = Parsed(html)
    data = json.loads(parsed.text("data"))
    assert data["classes"] == list(HOSTILE)
    assert data["photos"] == [{"name": HOSTILE[0], "jpeg": base64.b64encode(b"a picture").decode()}]
    tags = [tag for tag, *_ in parsed.elements]
    assert (tags.count("script"), tags.count("img")) == (6, 0)  # data, 3 of weights, 2 scripts
    assert "alert(1)</script>" not in html


def test_the_numbers_are_the_checkpoints_bits(html: str, stages: list[Saved]):
    parsed = Parsed(html)
    networks = json.loads(parsed.text("data"))["networks"]
    for number, (saved, network) in enumerate(zip(stages, networks, strict=True)):
        left = np.frombuffer(base64.b64decode(parsed.text(f"weights-{number}")), "<f4")
        names = [f"score_pool{level}" for level, _ in network["scores"]]
        layers: list[Any] = [saved.params["trunk"][n] for n in sorted(saved.params["trunk"])]
        layers += [saved.params[name] for name in names]
        described = [layer for block in network["blocks"] for layer in block]
        described += [layer for _, layer in network["scores"]]
        for arrays, layer in zip(layers, described, strict=True):
            kernel, bias = arrays["kernel"], arrays["bias"]
            side, inputs, outputs = (layer[key] for key in ("side", "inputs", "outputs"))
            assert kernel.shape == (side, side, inputs, outputs)
            for array in (kernel, bias):
                np.testing.assert_array_equal(left[: array.size], array.ravel())
                left = left[array.size :]
        assert left.size == 0
        assert set(saved.params) == {"trunk", *names}
        assert (network["stride"], network["align"]) == (saved.model.stride, "exact")


def test_a_page_that_would_be_too_large_has_the_last_network(
    stages: list[Saved], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    all_three = page.write_page(tmp_path / "x.html", stages)
    monkeypatch.setattr(page, "LARGEST", all_three.size - 1)
    found = page.write_page(tmp_path / "x.html", stages)
    assert (found.stages, found.left_out) == ((8,), (32, 16))
    data = json.loads(Parsed((tmp_path / "x.html").read_text()).text("data"))
    assert [network["name"] for network in data["networks"]] == ["FCN-8s"]


def test_a_number_that_is_not_finite_is_refused(tmp_path: Path):
    saved = random_network(32, HOSTILE, 64, 0)
    saved.params["trunk"]["conv3_2"]["kernel"][0, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match="run step 7: conv3_2 holds numbers that are not finite"):
        page.write_page(tmp_path / "x.html", [saved])
    assert not (tmp_path / "x.html").exists()


def test_photos_are_the_runs_own_jpegs_and_no_larger_than_the_page_computes(tmp_path: Path):
    def jpeg(width: int, height: int) -> bytes:
        file = io.BytesIO()
        Image.new("RGB", (width, height), "teal").save(file, "JPEG")
        return file.getvalue()

    names = ["small", "large", "text", "missing", "../../secret"]
    write_json(tmp_path / "samples" / "samples.json", [{"id": name} for name in names])
    (tmp_path / "samples" / "small.jpg").write_bytes(jpeg(40, 30))
    (tmp_path / "samples" / "large.jpg").write_bytes(jpeg(1280, 20))
    (tmp_path / "samples" / "text.jpg").write_bytes(b"not a picture")
    (small, large) = page.read_photos(tmp_path)
    assert small == ("small", jpeg(40, 30))
    assert Image.open(io.BytesIO(large[1])).size == (640, 10)
    assert page.read_photos(tmp_path / "nothing") == []


def test_the_command_writes_the_page_that_make_run_makes(tmp_path: Path, capsys):
    run, _ = exported(tmp_path / "run", FCN(8, 3, 64), (100.0, 100.0, 100.0), HOSTILE)
    page.export_page(run, tmp_path / "made.html", say=lambda _: None)
    words = ["fcn", "export", str(run), "--format", "page", "--out", str(tmp_path / "out")]
    for _ in range(2):  # it replaces its own
        assert main(words) == 0
    assert "FCN-8s on a page of " in capsys.readouterr().out
    written = tmp_path / "out" / "predict.html"
    assert written.read_bytes() == (tmp_path / "made.html").read_bytes()
    assert sorted(path.name for path in written.parent.iterdir()) == [
        ".jaxdl-results",
        "predict.html",
    ]
    written.write_text("of somebody else")
    for more, why in (
        ((), "predict.html: is no result of jaxdl fcn export"),
        (("--layout", "torchvision"), "goes with --format safetensors, not page"),
    ):
        with pytest.raises(SystemExit) as ended:
            main([*words, *more])
        assert ended.value.code == 2
        assert why in capsys.readouterr().err
