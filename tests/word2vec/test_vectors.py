"""Word vectors: bytes of the files, damage, queries and evaluations beside brute force."""

import gzip
import io
import os
import pickle
import resource
import struct
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxdl.errors import InputError, TrainingError
from jaxdl.word2vec import evaluation
from jaxdl.word2vec.evaluation import Rules, Section, evaluate_analogies, evaluate_word_pairs
from jaxdl.word2vec.evaluation_files import read_word_pairs
from jaxdl.word2vec.keyed_vectors import KeyedVectors
from jaxdl.word2vec.vectors import Vectors, load, save_binary, save_npz, save_text

SAVERS = {".txt": save_text, ".bin": save_binary, ".npz": save_npz, ".txt.gz": save_text}
WORDS = ("</s>", "naïve", "bad\udcff", "日本")
TABLE = np.array([[0.1, -0.0, 1e-5], [1e20, 3, -1 / 3], [1e-40, 1e16, 7], [0.5, 2, 123456]], "f4")
ROWS = ["0.1 -0.0 1e-05", "1e+20 3.0 -0.33333334", "1e-40 1e+16 7.0", "0.5 2.0 123456.0"]
ENCODED = [word.encode("utf-8", "surrogateescape") for word in WORDS]
TEXT = b"4 3\n" + b"".join(
    w + b" " + r.encode() + b"\n" for w, r in zip(ENCODED, ROWS, strict=True)
)


def binary(newline: bytes = b"") -> bytes:
    """TABLE's file by struct alone: word2vec.c ends each vector with a newline, gensim does not."""
    rows = [struct.pack("<3f", *row) for row in TABLE.tolist()]
    return b"4 3\n" + b"".join(w + b" " + r + newline for w, r in zip(ENCODED, rows, strict=True))


def equal(left: Vectors, right: Vectors) -> bool:
    """The same words and the same bits."""
    return left.words == right.words and left.table.tobytes() == right.table.tobytes()


def write(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refused(path: Path) -> str:
    """The message of an InputError, of one line that begins with the file."""
    with pytest.raises(InputError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert len(message.splitlines()) == 1
    return message


def random(seed: int, count: int, width: int = 6) -> Vectors:
    table = np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)
    return Vectors(tuple(f"w{row}" for row in range(count)), table)


# Files


def test_the_files_are_byte_for_byte_gensims_and_word2vec_cs(tmp_path: Path):
    made = Vectors(WORDS, TABLE)
    save_text(tmp_path / "v.txt", made)
    save_binary(tmp_path / "v.bin", made)
    save_binary(tmp_path / "c.bin", made, newlines=True)
    assert (tmp_path / "v.txt").read_bytes() == TEXT
    assert (tmp_path / "v.bin").read_bytes() == binary()
    assert (tmp_path / "c.bin").read_bytes() == binary(b"\n")


LAYOUTS = {
    "text": TEXT,
    "spaces": TEXT.replace(b"\n", b" \n"),  # word2vec.c and fastText
    "crlf": TEXT.replace(b"\n", b"\r\n"),
    "text, packed": gzip.compress(TEXT),
    "binary": binary(),
    "newlines": binary(b"\n"),
    "binary, packed": gzip.compress(binary()),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_content_tells_the_format(tmp_path: Path, layout: str):
    names = ("v.txt", "v.vec") if "binary" not in layout and layout != "newlines" else ()
    for name in ("v", "v.data", "v.bin", "v.BIN", "v.gz", *names):
        assert equal(load(write(tmp_path, name, LAYOUTS[layout])), Vectors(WORDS, TABLE))


def test_a_file_that_is_both_goes_by_its_name(tmp_path: Path):
    content = b"1 1\nw 0.5\n"
    assert load(write(tmp_path, "v", content)).table == 0.5
    assert load(write(tmp_path, "v.txt", content)).table == 0.5
    assert load(write(tmp_path, "v.bin", content)).table == struct.unpack("<f", b"0.5\n")[0]


def test_of_a_word_that_comes_twice_the_first_counts(tmp_path: Path):
    for name, content in (
        ("v.txt", b"3 1\na 1\nb 2\na 3\n"),
        ("v.bin", b"3 1\n" + b"".join(w + struct.pack("<f", n) for w, n in DOUBLE)),
    ):
        found = load(write(tmp_path, name, content))
        assert found.words == ("a", "b")
        assert found.table.tolist() == [[1], [2]]


DOUBLE = ((b"a ", 1), (b"b ", 2), (b"a ", 3))
# Any text, and any bytes as a file may hold them, but what the formats cannot hold.
TOKENS = st.one_of(st.text(min_size=1), st.binary(min_size=1).map(lambda b: b.decode("latin-1")))
TOKENS |= st.binary(min_size=1).map(lambda b: b.decode("utf-8", "surrogateescape"))
TOKENS = TOKENS.filter(lambda word: " " not in word and "\n" not in word)


@st.composite
def any_vectors(draw: st.DrawFn) -> tuple[tuple[str, ...], np.ndarray]:
    """Not `Vectors` yet: beartype checks a random item, which Hypothesis forbids in here."""
    words = draw(st.lists(TOKENS, min_size=1, max_size=6, unique=True))
    shape = (len(words), draw(st.integers(1, 5)))
    floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
    return tuple(words), draw(hnp.arrays(np.float32, shape, elements=floats))


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(drawn=any_vectors(), newlines=st.booleans())
def test_any_words_and_vectors_come_back(
    tmp_path: Path, drawn: tuple[tuple[str, ...], np.ndarray], newlines: bool
):
    made = Vectors(*drawn)
    for suffix, save in SAVERS.items():
        save(tmp_path / f"v{suffix}", made)
        assert equal(load(tmp_path / f"v{suffix}"), made)
    save_binary(tmp_path / "v.bin", made, newlines=newlines)
    assert equal(load(tmp_path / "v.bin"), made)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(raw=st.binary(min_size=4, max_size=4))
def test_text_keeps_the_bits_of_any_float32(tmp_path: Path, raw: bytes):
    table = np.frombuffer(raw, "<f4").reshape(1, 1)
    assume(np.isfinite(table).all())
    save_text(tmp_path / "v.txt", Vectors(("w",), table))
    assert load(tmp_path / "v.txt").table.tobytes() == raw


LOST = ["", "a\nb", "\udcc3\udca9", "\ud800", "x" * (1 << 20) + "y"]
UNSAVED = [(suffix, word) for suffix in SAVERS for word in LOST]
UNSAVED += [(suffix, "a b") for suffix in SAVERS if suffix != ".npz"]


@pytest.mark.parametrize(("suffix", "word"), UNSAVED)
def test_words_that_a_reader_would_take_apart_are_not_saved(tmp_path: Path, suffix: str, word: str):
    path = write(tmp_path, f"v{suffix}", b"old")
    with pytest.raises(InputError, match="the word") as caught:
        SAVERS[suffix](path, Vectors(("fine", word), np.ones((2, 1), np.float32)))
    assert repr(word[:40])[1:-1] in str(caught.value)
    assert len(str(caught.value)) < 300
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", SAVERS)
def test_a_save_that_fails_leaves_the_old_file(tmp_path: Path, suffix: str):
    path = write(tmp_path, f"v{suffix}", b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))
    try:
        with pytest.raises(TrainingError, match=r"File too large.*; free some space"):
            SAVERS[suffix](path, random(0, 50))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", SAVERS)
def test_the_same_vectors_make_the_same_file(tmp_path: Path, suffix: str):
    for name in ("a", "b"):
        SAVERS[suffix](tmp_path / f"{name}{suffix}", Vectors(WORDS, TABLE))
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


# Damage


def npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, allow_pickle=True, **arrays)
    return file.getvalue()


def other_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("glove.6B.50d.txt", "the 0.1 0.2\n")
    return file.getvalue()


LETTERS = np.frombuffer(b"a\nb", np.uint8)
ONES = np.ones((2, 2), np.float32)
DAMAGED = {
    "empty": ("v.txt", b"", "line 1: b''"),
    "prose": (
        "v.txt",
        b"the quick brown fox\n",
        "line 1.*not a header, nor a word and its numbers",
    ),
    "GloVe, wide row": ("v.txt", b"the 0.1 0.2\na 1 2 3\n", "line 2: .*b'a' and 3 numbers.*has 2"),
    "GloVe, blank line": ("v.txt", b"the 0.1 0.2\n\na 1 2\n", "line 2: the word b'' and 0 numbers"),
    "GloVe, few numbers": ("v.txt", b"the 1 2 3 4 5 6\n" + b"a\n" * 99, "take 1399 bytes or more"),
    "fastText": ("v.bin", b"\xba\x16\x4f\x2f\x0c\0\0\0", "fastText model; take the .vec"),
    "old fastText": ("v.bin", b"\n\0\0\0\5\0\0\0", "binary without a header, as old fastText"),
    "npy": ("v.npy", b"\x93NUMPY\x01\0v\0", "array without words; give both to KeyedVectors"),
    "HDF5": ("v.h5", b"\x89HDF\r\n\x1a\n", "HDF5, which is not read"),
    "another zip": ("v.zip", other_zip(), "a zip of 'glove.6B.50d.txt'; unpack it"),
    "one number": ("v.txt", b"3\n", "line 1"),
    "negative": ("v.txt", b"-3 2\n", "line 1: -3 words of 2"),
    "no words": ("v.txt", b"0 2\n", "line 1: 0 words"),
    "huge": ("v.txt", b"999999999999 300\nw 1 2\n", "line 1: 999999999999 words.*6 follow"),
    "huge width": ("v.bin", b"1 99999999999999999999\nw 1", "line 1"),
    "huge, packed": ("v.gz", gzip.compress(b"99999999999 300\nw 1 2\n"), "line 1.*6 follow"),
    "binary, short": ("v.bin", binary()[:50], "line 1: 4 words of 3 numbers take 56 bytes or more"),
    "pickle": ("v.kv", pickle.dumps({}), "line 1.*pickle.*save_word2vec_format"),
    "fewer rows": ("v.txt", b"3 1\naaaaaaaaa 1\nb 2\n", "line 4: .*word 3 of 3"),
    "more rows": ("v.txt", b"1 1\na 1\nb 2\n", "goes on after the 1 words.*'b 2'"),
    "more bytes": ("v.bin", binary() + b"x", "goes on after the 4 words"),
    "wide row": ("v.txt", b"1 2\na 1 2 3\n", "line 2: the word b'a' and 3 numbers, .* has 2"),
    "narrow row": ("v.txt", b"2 2\na 1 2\nb 11111\n", "line 3: the word b'b' and 1 numbers"),
    "space in word": ("v.txt", b"1 1\na b 1\n", "line 2: the word b'a' and 2 numbers"),
    "no word": ("v.txt", b"1 1\n 1.5\n", "line 2: the word b'' and"),
    "no number": ("v.txt", b"1 1\na 1.x\n", "line 2: b'1.x' is no float32"),
    "nan": ("v.txt", b"2 2\na 1 2\nb 1 nan\n", "line 3: NaN or infinity in the vector of 'b'"),
    "too large": ("v.txt", b"1 1\na 1e300\n", "line 2: "),
    "nan, binary": (
        "v.bin",
        b"1 1\nab \0\0\xc0\x7f",
        "byte 7: NaN or infinity in the vector of 'ab'",
    ),
    "no end": ("v.txt", b"3 1\naaaa 1\nbcd 2", "line 3: the file ends before line 3's end"),
    "no end, no number": (
        "v.txt",
        b"2 1\naaaa 1\nbcd",
        "line 3: the file ends before line 3's end",
    ),
    "mid-character": ("v.txt", b"2 1\na 1.25\n\xe6\x97", "line 3.*in the middle of a character"),
    "mid-character, binary": (
        "v.bin",
        b"2 1\nlonglong \0\0\0\0\xe6\x97",
        "byte 19: no end of a word, in the middle of a character, number 2 of 2",
    ),
    "mid-vector": ("v.bin", b"2 1\nlonglong \0\0\0\0ab \0\0", "byte 22: no end of a vector"),
    "empty word": ("v.bin", b"2 1\nlong \0\0\0\0 \0\0\0\0", "word 2 of 2 is empty"),
    "endless word": ("v.bin", b"1 1\n" + b"x" * (1 << 22), "no end of a word"),
    "endless line": ("v.txt", b"1 1\n" + b"x" * (1 << 22), "line 2: more than"),
    "no zip": ("v.npz", b"PK\3\4nothing", "cannot be read"),
    "objects": (
        "v.npz",
        npz(words=np.array([print, print]), vectors=ONES),
        "words is b.*O",
    ),
    "other arrays": ("v.npz", npz(a=ONES), "no array 'words'"),
    "float64": (
        "v.npz",
        npz(words=LETTERS, vectors=ONES.astype("f8")),
        "vectors is .*expected 2-D float32 or float16",
    ),
    "other count": ("v.npz", npz(words=LETTERS, vectors=ONES[:1]), "2 words, .*vectors .1, 2."),
    "NaN, npz": ("v.npz", npz(words=LETTERS, vectors=ONES * np.nan), "word 1: NaN"),
    "gzip cut": ("v.gz", gzip.compress(TEXT)[:-9], "cannot be read"),
}


@pytest.mark.parametrize(("name", "content", "expected"), DAMAGED.values(), ids=DAMAGED)
def test_damage_is_told_in_one_line(tmp_path: Path, name: str, content: bytes, expected: str):
    path = write(tmp_path, name, content)
    tracemalloc.start()
    message = refused(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pytest.approx(0, abs=30 << 20) == peak
    with pytest.raises(InputError, match=expected):
        load(path)
    assert len(message) < 400


def test_missing_files_and_folders_are_told(tmp_path: Path):
    assert "No such file" in refused(tmp_path / "missing.bin")
    assert "directory" in refused(tmp_path)


WHOLE = {
    "v.txt": TEXT,
    "v.bin": binary(),
    "v.gz": gzip.compress(TEXT),
    "v.npz": npz(words=LETTERS, vectors=ONES),
}


@pytest.mark.parametrize(("name", "content"), WHOLE.items(), ids=WHOLE)
def test_no_part_of_a_file_passes_for_the_whole(tmp_path: Path, name: str, content: bytes):
    load(write(tmp_path, name, content))
    # A last line needs no end, so one cut within its last number passes.
    least = content.rindex(b" ") + 2 if name == "v.txt" else len(content)
    for length in range(least):
        refused(write(tmp_path, name, content[:length]))


@pytest.mark.slow
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=400
)
@given(data=st.data(), which=st.sampled_from([*WHOLE, "c.bin", "plain"]))
def test_random_damage_is_an_input_error_or_loads(tmp_path: Path, data: st.DataObject, which: str):
    content = bytearray({**WHOLE, "c.bin": binary(b"\n"), "plain": TEXT}[which])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        kind = data.draw(st.sampled_from(["byte", "digit", "cut", "insert", "repeat"]))
        match kind:
            case "byte":
                content[at] = data.draw(st.integers(0, 255))
            case "digit":
                content[at] = data.draw(st.sampled_from(b"0123456789-+ \n.e"))
            case "cut":
                del content[at : at + data.draw(st.integers(1, 8))]
            case "insert":
                content[at:at] = data.draw(st.binary(max_size=8))
            case "repeat":
                content[at:at] = content[at:]
        assume(content)
    path = write(tmp_path, which, bytes(content))
    tracemalloc.start()
    message = str(path)
    try:
        assert np.isfinite(load(path).table).all()
    except InputError as error:
        message = str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 30 << 20
    assert message.startswith(str(path))
    assert len(message.splitlines()) == 1


def test_vectors_are_checked_and_cannot_be_changed():
    for words, table, expected in (
        ((), np.zeros((0, 3), np.float32), "0 words"),
        (("a",), np.zeros((1, 0), np.float32), "give .V, D."),
        (("a",), np.zeros((2, 3), np.float32), "1 words"),
        (("a", "b", "a"), np.zeros((3, 3), np.float32), "'a' comes twice"),
        (("a", "b"), np.array([[1], [np.inf]], np.float32), "infinity in the vector of 'b'"),
    ):
        with pytest.raises(InputError, match=expected):
            Vectors(words, table)
    made = random(0, 3)
    for table in (made.table, made.normalised):
        with pytest.raises(ValueError, match="read-only"):
            table[0] = 1


# Queries


def cosines(made: Vectors, query: np.ndarray) -> np.ndarray:
    table = made.table.astype(np.float64)
    return table @ query / np.linalg.norm(table, axis=1) / np.linalg.norm(query)


def best(made: Vectors, scores: np.ndarray, leave: set[int], topn: int) -> list[tuple[str, float]]:
    rows = sorted((row for row in range(len(scores)) if row not in leave), key=lambda r: -scores[r])
    return [(made.words[row], scores[row]) for row in rows[:topn]]


def same(found: list[tuple[str, float]], expected: list[tuple[str, float]]) -> None:
    assert [word for word, _ in found] == [word for word, _ in expected]
    np.testing.assert_allclose(
        [s for _, s in found], [s for _, s in expected], rtol=1e-5, atol=1e-6
    )


def units(made: Vectors) -> np.ndarray:
    table = made.table.astype(np.float64)
    return table / np.linalg.norm(table, axis=1, keepdims=True)


@pytest.mark.parametrize("topn", [1, 5, 28, 29, 1000])
def test_most_similar_is_the_cosine_with_the_sum_of_unit_vectors(topn: int):
    made = random(1, 32)
    asked = KeyedVectors.of(made)
    query = units(made)[[3, 4]].sum(0) - units(made)[5]
    expected = best(made, cosines(made, query), {3, 4, 5}, topn)
    same(asked.most_similar(["w3", "w4"], ["w5"], topn), expected)
    same(asked.most_similar("w3", topn=topn), best(made, cosines(made, made.table[3]), {3}, topn))
    assert asked.most_similar("w1", topn=0) == []


def test_3cosmul():
    made = random(2, 40)
    a, b, c = (cosines(made, made.table[row]) for row in (1, 2, 3))
    scores = (1 + b) / 2 * (1 + c) / 2 / ((1 + a) / 2 + 1e-6)
    found = KeyedVectors.of(made).most_similar_cosmul(["w2", "w3"], ["w1"], topn=7)
    same(found, best(made, scores, {1, 2, 3}, 7))


def test_of_equal_scores_the_lower_row_is_first():
    table = np.array([[1, 0], [0, 1], [0, 2], [0, 1], [0, 1]], np.float32)
    made = KeyedVectors.of(Vectors(("a", "e", "d", "c", "b"), table))
    assert [w for w, _ in made.most_similar("a", topn=3)] == ["e", "d", "c"]


def test_the_odd_one_is_furthest_from_the_mean():
    made = random(3, 30)
    asked = KeyedVectors.of(made)
    for start in range(20):
        words = made.words[start : start + 3 + start % 5]
        rows = [made.index[word] for word in words]
        far = cosines(made, units(made)[rows].sum(0))[rows].argmin()
        assert asked.doesnt_match(words) == words[far]
    opposite = Vectors(("x", "b", "a"), np.array([[9, 0], [0, -1], [0, 1]], np.float32))
    assert KeyedVectors.of(opposite).doesnt_match(["x", "b", "a"]) == "a"
    with pytest.raises(InputError, match="three"):
        asked.doesnt_match(["w1", "w2"])


def test_vectors_of_any_size_are_normalised():
    scales = np.array([1e-44, 1e-30, 1, 1e30, 3e38], np.float32)[:, None]
    made = Vectors(tuple("abcde"), scales * np.array([[1, -1]], np.float32))
    np.testing.assert_allclose(made.normalised, np.tile([[0.5**0.5, -(0.5**0.5)]], (5, 1)), 1e-6)
    found = KeyedVectors.of(made).most_similar("a")
    assert [cosine for _, cosine in found] == pytest.approx([1] * 4)
    none = KeyedVectors.of(Vectors(("a", "b"), np.array([[0, 0], [3, 4]], np.float32)))
    assert none.most_similar("a") == [("b", 0.0)]
    assert none.most_similar("b") == [("a", 0.0)]


def test_an_unknown_word_is_answered_with_close_ones():
    made = random(4, 6)
    words = ("king", "kings", "ring", "London", "queen", "\udcff")
    named = KeyedVectors.of(Vectors(words, made.table))
    for ask, close in (("knig", "king"), ("KING", "'king'"), ("london", "did you mean 'London'")):
        with pytest.raises(KeyError, match=close) as caught:
            named.most_similar([ask])
        assert isinstance(caught.value, InputError)
        assert str(caught.value).startswith(f"{ask!r} is not among the 6 words")
        assert str(caught.value).count("'") <= 8
    for ask in ("xyzzy", "", "\udcfe\n", "k" * 10**7):
        with pytest.raises(InputError, match="none is spelt like it") as caught:
            named.doesnt_match(["king", "queen", ask])
        assert len(str(caught.value).splitlines()) == 1
        str(caught.value).encode()  # can be printed
    with pytest.raises(InputError, match="no word"):
        named.most_similar([])


@pytest.mark.slow
def test_close_words_of_a_large_vocabulary_are_found_in_a_moment():
    words = tuple(f"word{row:06d}" for row in range(300_000))
    made = Vectors(words, np.ones((300_000, 1), np.float32))
    start = time.perf_counter()
    with pytest.raises(InputError, match=r"word0\d0001"):
        made.rows("wordd00001")
    assert time.perf_counter() - start < 20


# Evaluations

PAIRS = """# a comment\tof\t1
w0\tw1\t9.5
W2\tw3\t1.5
w4\tw5
w4\tw5\tmany
w6\tw7\t3\t4
w1\tw0\t9.5
w8\tnowhere\t5

w10\tw11\t1.5\r
#w8\tw9\t5
w12\tw13\t 7.25
w14\tw99\t2
"""
LISTED = [(0, 1, 9.5), (2, 3, 1.5), (1, 0, 9.5), (10, 11, 1.5), (12, 13, 7.25)]


@pytest.mark.parametrize("dummy", [False, True])
@pytest.mark.parametrize("case", [False, True])
@pytest.mark.parametrize("restrict", [None, 12])
@pytest.mark.parametrize("delimiter", ["\t", " "])
def test_word_pairs(tmp_path: Path, dummy: bool, case: bool, restrict: int | None, delimiter: str):
    made = random(5, 60)
    path = write(tmp_path, "pairs", PAIRS.replace("\t ", "\t").replace("\t", delimiter))
    found = evaluate_word_pairs(made, path, delimiter, Rules(restrict, case, dummy))
    table = units(made)
    pairs = [(table[a] @ table[b], judged, a, b) for a, b, judged in LISTED]
    known = [(x, y) for x, y, a, b in pairs if max(a, b) < (restrict or 60) and (case or a != 2)]
    unknown = [5.0, 2.0] + [p[1] for p in pairs if (p[0], p[1]) not in known]
    used = known + [(0.0, judged) for judged in unknown] * dummy
    model, gold = zip(*used, strict=True)
    # A pair and its swap share a rank, and so do the zeros of unknown words.
    np.testing.assert_allclose(found.pearson, scipy.stats.pearsonr(gold, model)[0], atol=1e-6)
    np.testing.assert_allclose(found.spearman, scipy.stats.spearmanr(gold, model)[0], atol=1e-9)
    assert found.pairs == len(used)
    assert found.oov == pytest.approx(100 * len(unknown) / (len(known) + len(unknown)))


COLUMNS = "word1\tword2\tPOS\tSimLex999\tconc(w1)\tconc(w2)\tconcQ\tAssoc(USF)\tSD(SimLex)\n"
PUBLISHED = {
    "tabs, a comment": "# Word 1\tWord 2\tHuman (mean)\n{0}\t{1}\t{2}\n",
    "tabs, a header": "Word 1\tWord 2\tHuman (mean)\n{0}\t{1}\t{2}\n",
    "commas, a header": "Word 1,Word 2,Human (mean)\n{0},{1},{2}\n",
    "quotes": '"Word 1","Word 2","Human, mean"\n"{0}","{1}","{2}"\n',
    "WordSim's subjects": "Word 1,Word 2,Human (mean),1,2,3\n{0},{1},{2},9,8,7.5\n",
    "SimLex's columns": COLUMNS + "{0}\t{1}\tA\t{2}\t2.72\t2.81\t2\t7.25\t0.41\n",
    "SimVerb": "{0}\t{1}\tV\t{2}\tSYNONYMS\n",
    "MEN": "{0} {1} {2}\n",
    "RG-65": "{0};{1};{2}\n",
    "rare words": "{0}\t{1}\t{2}\t5\t8\t9\t7\t6\n",
    "numbered": "1,{0},{1},{2}\n",
    "Windows, a mark, blank lines": "\ufeffa,b,c\r\n{0}, {1}, {2}\r\n\r\n",
}


@pytest.mark.parametrize("layout", PUBLISHED)
@pytest.mark.parametrize("header", [True, False])
def test_judged_pairs_in_every_published_layout(tmp_path: Path, layout: str, header: bool):
    first, last = PUBLISHED[layout].split("{0}")
    first, before = first.rsplit("\n", 1) if "\n" in first else ("", first)
    line = f"{before}{{0}}{last}"
    rows = [("w0", "w1", 9.5), ("w2", "w3", 1.25), ("w4", "nowhere", 7.0), ("Year", "7", 3.0)]
    text = f"{first}\n" * header + "".join(line.format(*row) for row in rows)
    assert read_word_pairs(write(tmp_path, "pairs", text)) == rows


def test_a_constant_side_has_no_correlation(tmp_path: Path):
    path = write(tmp_path, "pairs", "w0\tw1\t3\nw2\tw3\t3\n")
    assert np.isnan(evaluate_word_pairs(random(0, 4), path).pearson)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "0 usable pairs"),
        (b"w0\tw1\t3\n", "1 usable pairs"),
        (b"w0 w1 x\nw1 w2 y\n", r"0 usable pairs.*by tab, comma, semicolon or blanks"),
        (b"w0\tw1\tnan\nw1\tw2\t1\n", "finite"),
        (b"w0\tw1\t1\nw1\t\xff\t1\n", "line 2: is not UTF-8"),
    ],
)
def test_pairs_that_cannot_be_used_are_told(tmp_path: Path, content: bytes, expected: str):
    with pytest.raises(InputError, match=expected):
        evaluate_word_pairs(random(0, 4), write(tmp_path, "pairs", content))
    with pytest.raises(InputError, match="No such file"):
        evaluate_word_pairs(random(0, 4), tmp_path / "none")


def gensims_way(made: Vectors, text: str, rules: Rules) -> list[Section]:
    """One question at a time, as keyedvectors.py's evaluate_word_analogies goes, in float64."""
    fold = str.upper if rules.case_insensitive else str
    rows = range(len(made.words))[: rules.restrict_vocab]
    known = {fold(made.words[row]): row for row in reversed(rows)}
    table, counts = units(made), []
    for line in text.splitlines():
        if line.startswith(": "):
            counts.append([line[2:], 0, 0])
            continue
        words = fold(line).split()
        if len(words) != 4:
            continue
        if not set(words) <= set(known):
            counts[-1][2] += rules.dummy4unknown
            continue
        a, b, c, d = words
        query = table[known[b]] + table[known[c]] - table[known[a]]
        order = sorted(rows, key=lambda row: -(table[row] @ query))
        others = [row for row in order if row not in [known[w] for w in (a, b, c)]][:5]
        answer = None
        for row in others:
            answer = fold(made.words[row])
            if answer not in (a, b, c):
                break
        counts[-1][1] += answer == d
        counts[-1][2] += 1
    return [Section(*count) for count in counts]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(2, 14),
    variants=st.booleans(),
    rules=st.builds(Rules, st.sampled_from([None, 5, 12]), st.booleans(), st.booleans()),
    scores=st.sampled_from([1, 40, evaluation._SCORES]),
)
def test_analogies_are_answered_gensims_way(
    tmp_path: Path, seed: int, count: int, variants: bool, rules: Rules, scores: int
):
    rng = np.random.default_rng(seed)
    names = [f"w{row}" for row in range(count)]
    if variants:  # two letters in either case: many words are another's variant
        names = list(dict.fromkeys(rng.choice(["ab", "AB", "Ab", "aB", "x", "X", "y", "z"], count)))
    names = [str(name) for name in names]
    table = rng.standard_normal((len(names), 8)).astype(np.float32)
    table[rng.random(len(names)) < 0.5] += 3 * table[0]  # variants crowd the best five
    made = Vectors(tuple(names), table)
    lines = [" ".join(rng.choice([*names, "none"], 4)) for _ in range(40)]
    text = "\n".join([": first one", *lines[:20], "", "three words only", ": empty", ": b", *lines])
    path = write(tmp_path, "questions", text + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "_SCORES", scores)  # any number of questions at once
        found = evaluate_analogies(made, path, rules)
    expected = gensims_way(made, text, rules)
    assert list(found.sections) == expected
    assert found.total[1:] == (sum(s.correct for s in expected), sum(s.asked for s in expected))
    assert found.total.accuracy == found.total.correct / max(found.total.asked, 1)


def test_unknown_questions_are_counted(tmp_path: Path):
    path = write(tmp_path, "questions.gz", gzip.compress(b": s\nw0 w1 w2 w3\nw0 w1 w2 nil\n"))
    found = evaluate_analogies(random(6, 5), path)
    assert (found.oov, found.total.asked) == (50, 1)
    assert evaluate_analogies(random(6, 5), path, Rules(dummy4unknown=True)).total.asked == 2
    nothing = evaluate_analogies(random(6, 5), path, Rules(restrict_vocab=2))
    assert (nothing.oov, nothing.total.asked, nothing.total.accuracy) == (100, 0, 0)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "line 1: no section"),
        ("\n: late\n", "line 1: no section"),
        ("a b c d\n", "line 1: no section"),
        (": s\na b c\n", "no questions"),
    ],
)
def test_questions_that_cannot_be_used_are_told(tmp_path: Path, content: str, expected: str):
    with pytest.raises(InputError, match=expected):
        evaluate_analogies(random(0, 4), write(tmp_path, "questions", content))


def test_many_questions_are_asked_at_once_in_bounded_memory(tmp_path: Path):
    made = random(7, 40_000, 16)
    rows = np.random.default_rng(0).integers(0, 40_000, (2000, 4))
    lines = [" ".join(f"w{row}" for row in question) for question in rows]
    path = write(tmp_path, "questions", "\n".join([": all", *lines]))
    tracemalloc.start()
    start = time.perf_counter()
    found = evaluate_analogies(made, path)
    taken = time.perf_counter() - start
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.total.asked == 2000
    assert peak < 160 << 20
    assert taken < 60  # one at a time takes as long as reading the table 2000 times over
