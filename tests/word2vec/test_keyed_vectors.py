"""KeyedVectors as gensim's users call it: gensim 4.4.0's own answers, files, and refusals.

gensim's answers were kept by `benchmarks/word2vec/questions.py`, run by a Python that has gensim.
"""

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jaxdl
from benchmarks.word2vec.questions import kept_answers
from benchmarks.word2vec.same_as_gensim import NEAR, differences
from jaxdl.errors import InputError, exit_status
from jaxdl.word2vec.keyed_vectors import KeyedVectors
from jaxdl.word2vec.vector_rows import Format
from jaxdl.word2vec.vectors import UnknownWord, Vectors, load, save_binary
from tests.helpers.processes import ROOT

ORACLE = ROOT / "tests" / "fixtures" / "oracle" / "word2vec" / "keyed-vectors.json"


@pytest.fixture
def kv() -> KeyedVectors:
    """12 words of 4 numbers."""
    table = np.random.default_rng(0).standard_normal((12, 4)).astype(np.float32)
    made = jaxdl.KeyedVectors(4)
    made.add_vectors([f"w{row}" for row in range(12)], table)
    return made


def same(one: KeyedVectors, other: KeyedVectors) -> bool:
    """The same words and the same bits."""
    equal = one.vectors.dtype == other.vectors.dtype and one.index_to_key == other.index_to_key
    return equal and one.vectors.tobytes() == other.vectors.tobytes()


def test_the_answers_are_gensims():
    kept = json.loads(ORACLE.read_text())
    found = list(differences(kept_answers(KeyedVectors, kept), kept["answers"]))
    assert len(found) > 250
    assert [at for at, apart in found if not apart <= NEAR] == []
    one, other = {"a": [1.0, "b", 2]}, {"a": [1.0 + 1e-5, "c", 2]}
    assert [at for at, apart in differences(one, other) if not apart <= NEAR] == ["/a/0", "/a/1"]


def test_the_pages_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    page = (ROOT / "jaxdl" / "word2vec" / "README.md").read_text()
    section = page.split("## If you come from gensim\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(block, {})
    first, _, odd, last = capsys.readouterr().out.splitlines()
    assert "queen" in first
    assert odd == "man"
    assert last == "['king', 'queen'] float16"
    table = re.findall(r"^\| (.*?) \|", section, re.MULTILINE)[2:]
    for name in re.findall(r"`(\w+)`", " ".join(table).split("`set_vecattr`")[0]):
        assert hasattr(KeyedVectors(2), name) or name in ("kv", "in", "len", "KeyError"), name


def test_it_imports_no_jax():
    code = (
        "import sys; from jaxdl import KeyedVectors; kv = KeyedVectors(2); kv['a'] = [1, 2];"
        "kv['b'] = [2, 1]; kv.most_similar('a'); sys.exit('jax' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_lookup_and_iteration(kv: KeyedVectors):
    assert list(kv) == kv.index_to_key == list(kv.key_to_index)
    assert all(word in kv for word in kv)
    assert not any(other in kv for other in ("none", None, len(kv), -1))
    assert kv[[]].shape == (0, 4)
    assert kv[0].tolist() == kv["w0"].tolist() == kv.vectors[0].tolist()
    with pytest.raises(ValueError, match="read-only"):
        kv["w0"][0] = 1
    with pytest.raises(ValueError, match="read-only"):
        kv.vectors[0] = 1
    assert np.linalg.norm(kv.get_vector("w3", norm=True)) == pytest.approx(1)
    assert repr(kv) == "KeyedVectors<vector_size=4, 12 keys>"


def test_an_unknown_word_is_a_key_error_that_names_close_ones(kv: KeyedVectors):
    for ask in (kv.__getitem__, kv.get_vector, kv.most_similar, kv.distances):
        with pytest.raises(KeyError) as caught:
            ask("W3")
        error = caught.value
        assert isinstance(error, UnknownWord)
        assert exit_status(error) == 2
        assert str(error).startswith("'W3' is not among the 12 words; did you mean 'w3'")
    with pytest.raises(UnknownWord, match="'a' is no word and no row of 0"):
        KeyedVectors(4)["a"]


REFUSED: dict[str, tuple[Callable[[KeyedVectors], Any], str]] = {
    "nothing asked": (lambda kv: kv.most_similar(), "no word"),
    "a list of numbers": (lambda kv: kv.most_similar([0.5, 1.0]), "a vector as a NumPy array"),
    "a weight that is none": (lambda kv: kv.most_similar([("w1", "w2")]), "weight 'w2' of 'w1'"),
    "a short vector": (lambda kv: kv.similar_by_vector(np.ones(3)), "4 finite numbers"),
    "an infinite vector": (lambda kv: kv.most_similar([np.full(4, np.inf)]), "finite"),
    "an index": (lambda kv: kv.most_similar("w1", indexer=1), "indexer: not supported"),
    "negative restriction": (lambda kv: kv.most_similar("w1", restrict_vocab=-2), "0 or more"),
    "only negative words": (lambda kv: kv.most_similar_cosmul(negative="w1"), "no word"),
    "nothing known": (lambda kv: kv.get_mean_vector(["x", "y"]), "'x' is not among"),
    "an unknown side": (lambda kv: kv.n_similarity(["x"], ["w1"]), "'x' is not among"),
    "an empty side": (lambda kv: kv.n_similarity([], ["w1"]), "no word"),
    "few weights": (lambda kv: kv.get_mean_vector(["w1", "w2"], [1]), "2 keys, weights .1,"),
    "one word twice": (lambda kv: kv.add_vectors(["a", "a"], np.ones((2, 4))), "1 of them diff"),
    "a number as a word": (lambda kv: kv.add_vectors([1], np.ones((1, 4))), "as texts"),
    "narrow vectors": (lambda kv: kv.add_vectors(["a"], np.ones((1, 3))), r"give .n, 4."),
    "NaN": (lambda kv: kv.add_vectors(["a"], np.full((1, 4), np.nan)), "NaN or infinity"),
    "counts": (lambda kv: kv.add_vectors(["a"], np.ones((1, 4)), extras={}), "extras"),
    "rows without words": (lambda kv: KeyedVectors(4, count=3), "use add_vectors"),
    "no numbers": (lambda kv: KeyedVectors(0), "vector_size 0"),
    "float64": (lambda kv: KeyedVectors(4, dtype=np.float64), "float32 or float16"),
    "unknown counts": (lambda kv: kv.save_word2vec_format("x", fvocab="y"), "'count': only"),
    "no header in binary": (
        lambda kv: kv.save_word2vec_format("x", binary=True, write_header=False),
        "need their header",
    ),
    "nothing to save": (lambda kv: KeyedVectors(4).save("x"), "no vectors yet"),
    "a codec": (lambda kv: KeyedVectors.load_word2vec_format("x", encoding="x"), "give utf-8"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(
    kv: KeyedVectors, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    before = kv.vectors.tobytes()
    ask, expected = REFUSED[name]
    with pytest.raises(InputError, match=expected) as caught:
        ask(kv)
    assert len(str(caught.value).splitlines()) == 1
    assert kv.vectors.tobytes() == before
    assert not list(tmp_path.iterdir())


def test_words_are_added_and_replaced(kv: KeyedVectors):
    kv.add_vectors(["w1", "new"], np.ones((2, 4)))
    assert (kv.index_to_key[-1], len(kv)) == ("new", 13)
    assert not (kv["w1"] == 1).all()
    kv["w1"] = [2, 0, 0, 0]
    assert kv.most_similar("w1", topn=1) == kv.similar_by_vector(np.array([2.0, 0, 0, 0]), 2)[1:]
    kv[["w2", "more"]] = np.eye(2, 4)
    assert kv.similarity("w1", "w2") == 1
    assert kv.rank("w1", "w2") == 1


# Files


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("mmap", [None, "r"])
def test_saved_vectors_come_back_the_same_and_answer_the_same(
    kv: KeyedVectors, tmp_path: Path, dtype: type, mmap: Any
):
    kept = KeyedVectors(4, dtype=dtype)
    kept.add_vectors([*kv.index_to_key[:-1], "two words"], kv.vectors)
    kept.save(tmp_path / "any.name")
    found = KeyedVectors.load(str(tmp_path / "any.name"), mmap=mmap)
    assert same(found, kept)
    assert isinstance(found.vectors, np.memmap) == (mmap == "r")
    assert found.most_similar("w1") == kept.most_similar("w1")
    near = [word for word, _ in kv.most_similar("w2", topn=3)]
    assert [word for word, _ in found.most_similar("w2", topn=3)] == near
    if mmap:
        assert "normalised" not in vars(found.table)  # no second table in memory


def test_only_what_save_wrote_is_mapped(kv: KeyedVectors, tmp_path: Path):
    kv.save(tmp_path / "v")
    (tmp_path / "v.gz").write_bytes(gzip.compress((tmp_path / "v").read_bytes()))
    kv.save_word2vec_format(tmp_path / "v.txt")
    with pytest.raises(InputError, match="another name"):
        kv.save(tmp_path / "v.gz")
    for name in ("v.gz", "v.txt"):
        assert same(KeyedVectors.load(tmp_path / name), kv)
        with pytest.raises(InputError, match=f"{name}: .*mapped"):
            KeyedVectors.load(tmp_path / name, mmap="r")


@pytest.mark.parametrize("binary", [False, True])
def test_word2vecs_format_and_its_options(kv: KeyedVectors, tmp_path: Path, binary: bool):
    path = str(tmp_path / "v")
    kv.save_word2vec_format(path, binary=binary, prefix="x_")
    found = KeyedVectors.load_word2vec_format(path, binary=binary)
    assert found.index_to_key == [f"x_{word}" for word in kv]
    assert found.vectors.tobytes() == kv.vectors.tobytes()
    few = KeyedVectors.load_word2vec_format(path, binary=binary, limit=5, datatype=np.float16)
    assert few.vectors.dtype == np.float16
    assert few.index_to_key == found.index_to_key[:5]
    np.testing.assert_allclose(few.vectors, kv.vectors[:5], rtol=1e-3)
    with pytest.raises(InputError, match=f"read it with binary={binary}"):
        KeyedVectors.load_word2vec_format(path, binary=not binary)


def test_a_file_without_a_header(kv: KeyedVectors, tmp_path: Path):
    path = tmp_path / "glove.txt"
    kv.save_word2vec_format(path, write_header=False)
    assert path.read_bytes().startswith(b"w0 ")
    for content in (path.read_bytes(), path.read_bytes().rstrip()):  # the last line lacks its end
        path.write_bytes(content)
        assert same(KeyedVectors.load_word2vec_format(path, no_header=True), kv)
        assert same(KeyedVectors.load(path), kv)
    few = KeyedVectors.load_word2vec_format(path, no_header=True, limit=3)
    assert few.index_to_key == kv.index_to_key[:3]
    with pytest.raises(InputError, match=r"line 1: .* is not a header"):
        KeyedVectors.load_word2vec_format(path)
    path.write_text("first 1 2\n. . 3 4\nat mail 5 6")  # as GloVe's words from the web
    assert KeyedVectors.load(path).index_to_key == ["first", ". .", "at mail"]
    path.write_text("first 1 2\nnext 1 5 6\n")
    with pytest.raises(InputError, match=r"line 2: .* and 3 numbers, where line 1 has 2"):
        KeyedVectors.load(path)


def test_counts_of_a_run_and_of_a_vocabulary_file(kv: KeyedVectors, tmp_path: Path):
    run, counts = tmp_path / "run", {word: 100 - row for row, word in enumerate(kv)}
    kv.save_word2vec_format(run / "vectors.bin", binary=True)
    (run / "vocabulary.txt").write_text("".join(f"{w}\t{n}\n" for w, n in counts.items()))
    found = KeyedVectors.load(run)
    found.save_word2vec_format(tmp_path / "v", fvocab=tmp_path / "counts")
    again = KeyedVectors.load_word2vec_format(tmp_path / "v", fvocab=tmp_path / "counts", limit=9)
    for one in (found, again):
        assert [one.get_vecattr(word, "count") for word in one] == list(counts.values())[: len(one)]
    again["new"] = np.ones(4)
    assert again.get_vecattr("new", "count") == 0
    with pytest.raises(InputError, match="'sample': only counts"):
        found.get_vecattr("w1", "sample")
    with pytest.raises(InputError, match="'count': only counts"):
        kv.get_vecattr("w1", "count")
    (tmp_path / "counts").write_text("w0 5\nw1 many\n")
    with pytest.raises(InputError, match=r'counts: no line "word count" for each word'):
        KeyedVectors.load_word2vec_format(tmp_path / "v", fvocab=tmp_path / "counts")


def test_words_in_another_encoding(tmp_path: Path):
    path = tmp_path / "v.txt"
    path.write_bytes("2 2\ncaf\u00e9 1 2\nth\u00e9 3 4\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"line 2: .*caf.*is not utf-8.*surrogateescape"):
        KeyedVectors.load_word2vec_format(path)
    read = KeyedVectors.load_word2vec_format
    assert list(read(path, encoding="latin-1")) == ["caf\u00e9", "th\u00e9"]
    assert list(read(path, unicode_errors="ignore")) == ["caf", "th"]
    assert list(read(path, unicode_errors="surrogateescape")) == ["caf\udce9", "th\udce9"]


def test_a_number_too_large_for_float16_is_refused(tmp_path: Path):
    path = tmp_path / "v.txt"
    path.write_text("1 2\na 70000 1\n")
    with pytest.raises(InputError, match="line 2: NaN or infinity in the vector of 'a'"):
        KeyedVectors.load_word2vec_format(path, datatype=np.float16)


@pytest.mark.parametrize("newlines", [False, True])
@pytest.mark.parametrize("row", [0, 5, 11])
@pytest.mark.parametrize(
    "word", ["ice cream", "new york city", "\u6771\u4eac \u90fd", "a  b", " x"]
)
def test_a_binary_word_with_a_blank_is_refused(tmp_path: Path, word: str, row: int, newlines: bool):
    """It would be read as another word, with a part of its name as numbers."""
    path = tmp_path / "v.bin"
    table = np.random.default_rng(1).standard_normal((12, 20)).astype(np.float32) / 7
    words = tuple(f"w{row}" for row in range(12))
    save_binary(path, Vectors(words, table), newlines=newlines)
    path.write_bytes(path.read_bytes().replace(f"w{row} ".encode(), f"{word} ".encode()))
    with pytest.raises(InputError, match=r"has a blank|is empty") as caught:
        load(path)
    if row < 11:
        for form in (Format(limit=row + 1), Format(dtype=np.float16, errors="ignore")):
            with pytest.raises(InputError, match=r"has a blank|is empty"):
                load(path, form)
    assert word.strip().split(" ")[0] in str(caught.value) or word.startswith(" ")


def test_a_blank_is_seen_if_the_next_word_passes_for_one(tmp_path: Path):
    """The bytes that it takes from the vector are letters here."""
    table = np.random.default_rng(0).standard_normal((3, 40)).astype(np.float32)
    table[1, -1] = np.frombuffer(b"\0xy?", "<f4")[0]
    path = tmp_path / "v.bin"
    save_binary(path, Vectors(("first", "u_s", "last"), table))
    path.write_bytes(path.read_bytes().replace(b"u_s ", b"u s "))
    with pytest.raises(InputError, match=r"the word 'u s' has a blank"):
        load(path)


def test_binary_vectors_that_begin_like_text_are_read(tmp_path: Path):
    """Bytes of numbers may be letters and blanks; words may be cut within a character."""
    table = np.random.default_rng(2).standard_normal((3, 8)).astype(np.float32)
    raw = bytearray(table.tobytes())
    raw[:2], raw[32:34], raw[64] = b"x ", b"y ", ord(" ")
    table = np.frombuffer(bytes(raw), "<f4").reshape(3, 8)
    made = Vectors(("old", "\u00adcaf\udcc3", "\x1fb"), table)
    save_binary(tmp_path / "v.bin", made)
    assert load(tmp_path / "v.bin").words == made.words
