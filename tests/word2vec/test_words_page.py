"""words.html without a browser: its size, its policy, its numbers, and words that stay text."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from jaxdl.__main__ import main
from jaxdl.errors import InputError
from jaxdl.word2vec import words_page
from jaxdl.word2vec.vectors import Vectors, save_binary
from tests.fcn.export.test_page import LINKS, Parsed

HOSTILE = ("</script><script>alert(1)</script>", "<!--<script>", "\udc80", "\u202e")


def made(words: tuple[str, ...], width: int, seed: int = 0) -> Vectors:
    table = np.random.default_rng(seed).normal(size=(len(words), width))
    return Vectors(words, table.astype(np.float32))


def test_words_stay_text_and_the_page_opens_no_address():
    vectors = made((*HOSTILE, "a", "b", "c"), 5)
    html = words_page.page_bytes(vectors).decode()
    parsed = Parsed(html)
    data = json.loads(parsed.text("data"))
    assert data["words"] == [*vectors.words]
    assert [len(data["map"][axis]) for axis in "xy"] == [7, 7]
    assert "alert(1)</script>" not in html
    assert "://" not in html
    assert not {name for _, attrs, _ in parsed.elements for name in attrs if name in LINKS}
    assert [a.get("type") for tag, a, _ in parsed.elements if tag == "script"] == [
        "application/json",
        "application/octet-stream",
        None,
    ]
    (policy,) = [a["content"] for _, a, _ in parsed.elements if "http-equiv" in a]
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    for name in ("words.js", "words_map.js"):
        text = (Path(words_page.__file__).parent / name).read_text()
        for word in ("innerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert word not in text


def test_directions_are_kept_to_the_rounding():
    vectors = made(tuple(map(str, range(99))), 60)
    table = vectors.table.copy()
    table[7] = 0
    table[8] *= 1e-20
    found = words_page.quantised(table)
    assert found.dtype == np.int8
    assert not found[7].any()
    assert (np.abs(found).max(1) == 127).sum() == 98
    rows = found.astype(float)
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(table.astype(float), axis=1)
    cosines = (rows * table).sum(1)[lengths > 0] / lengths[lengths > 0]
    assert cosines.min() > 0.9999


@pytest.mark.parametrize(("count", "width", "shown"), [(12_000, 100, 10_000), (12_000, 300, 4500)])
def test_ten_thousand_words_fit_two_megabytes(count: int, width: int, shown: int):
    vectors = made(tuple(f"{'word' * 2}{n}" for n in range(count)), width)
    page = words_page.page_bytes(vectors, 0)
    data = json.loads(Parsed(page.decode()).text("data"))
    assert (len(data["words"]), data["all"]) == (shown, count)
    assert len(page) <= 2_000_000


def test_the_command_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    vectors = made(tuple("abcdefgh"), 4)
    save_binary(tmp_path / "v.bin", vectors)
    words = ["word2vec", "export", str(tmp_path / "v.bin"), "--format", "page"]
    words += ["--out", str(tmp_path / "out")]
    for _ in range(2):  # it replaces its own
        assert main(words) == 0
    assert "8 words on a page of 0.0 MB" in capsys.readouterr().out
    page = tmp_path / "out" / "words.html"
    rows = np.frombuffer(base64.b64decode(Parsed(page.read_text()).text("vectors")), np.int8)
    np.testing.assert_array_equal(rows.reshape(8, 4), words_page.quantised(vectors.table))
    page.write_text("of somebody else")
    with pytest.raises(SystemExit):
        main(words)
    assert "words.html: is no result of jaxdl word2vec export" in capsys.readouterr().err
    with pytest.raises(InputError, match="there is no such file"):
        words_page.export_page(tmp_path / "none", tmp_path / "x.html")
