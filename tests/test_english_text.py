"""The text that word2vec is measured on: what is read of each kind of file."""

import gzip
from pathlib import Path

import pytest

from benchmarks.word2vec.english_text import PACKAGES, Config, run
from jaxdl.errors import InputError


@pytest.mark.parametrize(
    ("package", "data", "lines"),
    [
        (
            "linux-doc-6.1",
            b"<head><title>no</title></head><nav>no</nav><p>An <em>own</em> word &amp; more.</p>"
            b"<pre>int no;</pre><ul><li>one</li><li>two</li></ul>last",
            ["An own word & more.", "one", "two", "last"],
        ),
        (
            "dict-gcide",
            gzip.compress(
                b"Head\n   A paragraph\n   goes on.\n\n   Another.\nNext\n   Its text.\n"
            ),
            ["Head A paragraph goes on.", "Another.", "Next Its text."],
        ),
        ("wordnet-base", b"  1 licence\n00 03 n 01 x 0 | a gloss; of it\n", ["a gloss; of it"]),
        ("fortunes", b"One\nsaying.\n%\nTwo % three.\n%\n", ["One saying.", "Two % three."]),
    ],
    ids=["html", "dictionary", "glosses", "fortunes"],
)
def test_the_text_of_each_kind_of_file(package: str, data: bytes, lines: list[str]):
    _, read = PACKAGES[package]
    found = [" ".join(line.split()) for line in read(data)]
    assert [line for line in found if line] == lines


def test_without_debians_tools_it_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="apt-get: is not here"):
        run(Config(out=tmp_path / "text"))
    assert not [*tmp_path.iterdir()]
