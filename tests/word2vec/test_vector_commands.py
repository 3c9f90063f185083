"""`evaluate`, `export` and `query` on any vectors, as their user runs them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jaxdl.__main__ import main
from jaxdl.word2vec.keyed_vectors import KeyedVectors

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    """A file without a header, as GloVe's."""
    made = KeyedVectors(3)
    table = np.random.default_rng(1).standard_normal((6, 3))
    made.add_vectors(["king", "queen", "man", "woman", "w\u00f6rd", "a\tb"], table)
    made.save_word2vec_format(tmp_path / "glove.txt", write_header=False)
    return tmp_path / "glove.txt"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: str | Path) -> tuple[int, str, str]:
        status = 0
        try:
            status = main(["word2vec", *map(str, words)])
        except SystemExit as error:
            status = int(error.code or 0)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return call


def test_every_file_is_scored_and_none_known_is_a_dash(vectors: Path, tmp_path: Path, run: Run):
    pairs, other = tmp_path / "a" / "pairs.csv", tmp_path / "b" / "pairs.csv"
    for path in (pairs, other):
        path.parent.mkdir()
    pairs.write_text("Word 1,Word 2,Human (mean)\nking,queen,9\nman,woman,8\nking,woman,1\n")
    other.write_text("cat\tdog\t3\nred\tblue\t1\n")
    questions = tmp_path / "q.txt"
    questions.write_text(": far\nAthens Greece Oslo Norway\n")
    status, out, _ = run(
        "evaluate", vectors, "--word-pairs", pairs, other, "--analogies", questions
    )
    (pearson, _), (spearman, _), _ = KeyedVectors.load(vectors).evaluate_word_pairs(pairs)
    assert status == 0
    lines = out.splitlines()
    assert f"{pairs}: {spearman:.3f} (3 of 3), Pearson {pearson:.3f}" in lines
    assert f"{other}: - (0 of 2), Pearson -" in lines
    assert "q.txt: - (0 of 1)" in lines
    assert sum(line.startswith("WARNING: ") for line in lines) == 2
    assert "0.000" not in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "name a file of judged pairs"),
        (("--word-pairs", "no"), "no: cannot be read"),
        (("--word-pairs", "glove.txt"), "glove.txt: 0 usable pairs"),
        (("--analogies", "glove.txt"), "glove.txt, line 1: no section yet"),
    ],
)
def test_what_cannot_be_evaluated_is_told(
    vectors: Path, run: Run, words: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(vectors.parent)
    status, out, err = run("evaluate", vectors, *words)
    assert (status, out) == (2, "")
    assert message in err
    missing = run("evaluate", vectors.parent, "--word-pairs", "glove.txt")
    assert missing[0] == 2


@pytest.mark.parametrize("form", ["text", "binary", "npz"])
def test_exported_vectors_are_the_same(
    vectors: Path, run: Run, form: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(vectors.parent)
    name = {"text": "vectors.txt", "binary": "vectors.bin", "npz": "vectors.npz"}[form]
    for _ in range(2):  # its own earlier result is replaced
        status, out, _ = run("export", vectors, "--format", form)
        assert (status, out) == (0, f"6 words of 3 numbers: {name}\n")
    found, given = KeyedVectors.load(name), KeyedVectors.load(vectors)
    assert found.index_to_key == given.index_to_key
    assert found.vectors.tobytes() == given.vectors.tobytes()
    status, _, err = run("query", name, "w\u00f6rd", "--topn", "2")
    assert (status, err) == (0, "")


def test_the_projector_gets_a_number_and_a_word_a_line(vectors: Path, run: Run, tmp_path: Path):
    assert run("export", vectors, "--format", "projector", "--out", tmp_path / "p")[0] == 0
    words = (tmp_path / "p" / "metadata.tsv").read_text().splitlines()
    assert words == ["king", "queen", "man", "woman", "w\u00f6rd", "a b"]
    table = np.loadtxt(tmp_path / "p" / "vectors.tsv", dtype=np.float32, delimiter="\t")
    assert table.tobytes() == KeyedVectors.load(vectors).vectors.tobytes()


def test_an_export_replaces_nothing_of_others(vectors: Path, run: Run, tmp_path: Path):
    (tmp_path / "kept.txt").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    for out, message in (
        (vectors, "is an input"),
        (tmp_path / "kept.txt", "is no result of jaxdl word2vec export"),
        (tmp_path, "is a folder"),
        (tmp_path / "run" / "v.txt", "among the files of the run"),
    ):
        status, _, err = run("export", vectors, "--out", out)
        assert status == 2
        assert message in err
    assert (tmp_path / "kept.txt").read_text() == "mine"
    assert run("export", tmp_path / "run")[2].startswith(
        f"error: {tmp_path / 'run' / 'vectors.bin'}"
    )
