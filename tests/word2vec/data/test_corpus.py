"""Encoding equals a plain Python version, whatever the blocks, tables and files; and its errors."""

import gzip
import json
import os
import pickle
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdl.errors import InputError
from jaxdl.word2vec.data.corpus import LONGEST_SENTENCE, Corpus, encode, open_corpus
from jaxdl.word2vec.data.tokens import LONGEST_TOKEN
from jaxdl.word2vec.data.vocabulary import Vocabulary


def split_line(line: str, tokens: str) -> list[str]:
    """The rules once more, letter by letter."""
    if tokens == "split":
        return [token for token in line.split() if len(token.encode()) <= LONGEST_TOKEN]
    found, token = [], ""
    for i, c in enumerate(line + " "):
        kind = unicodedata.category(c)[0]
        inside = bool(token) and token[-1] not in "'\u2019"
        after = unicodedata.category(line[i + 1])[0] if i + 1 < len(line) else ""
        apostrophe = c in "'\u2019" and inside and after == "L"
        if kind == "L" or (kind == "M" and inside) or apostrophe:
            token += c
        elif token:
            found.append(token)
            token = ""
    found = [token for token in found if len(token.encode()) <= LONGEST_TOKEN]
    return [token.lower().replace("\u2019", "'") for token in found]


def reference(
    texts: Iterable[str], tokens: str, min_count: int, max_vocab: int | None
) -> tuple[list[str], list[int], list[list[str]], int]:
    """Words, counts, sentences of words, number of tokens."""
    lines = [split_line(line, tokens) for text in texts for line in text.split("\n")]
    lines = [
        line[i : i + LONGEST_SENTENCE]
        for line in lines
        for i in range(0, len(line), LONGEST_SENTENCE)
    ]
    counts = Counter(token for line in lines for token in line)
    words = sorted((w for w in counts if counts[w] >= min_count), key=lambda w: (-counts[w], w))
    words = words[:max_vocab]
    kept = set(words)
    sentences = [found for line in lines if (found := [w for w in line if w in kept])]
    return words, [counts[w] for w in words], sentences, sum(counts.values())


def sentences_of(found: Corpus) -> list[list[str]]:
    return [[found.words[i] for i in found.ids[a:b]] for a, b in pairwise(found.sentences)]


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def encode_text(folder: Path, text: str, **options) -> Corpus:
    return encode([write(folder / "text", text)], folder / "cache", **options)


def assert_same(a: Corpus, b: Corpus) -> None:
    assert a.words == b.words
    assert a.raw_tokens == b.raw_tokens
    for name in ("counts", "ids", "sentences"):
        x, y = getattr(a, name), getattr(b, name)
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


LETTERS = (
    "aAbBsS'\u2019 \n\t\r.1_-\u0130\u03a3\u03c3\u0301\u00e9\u00c9\u6f22"
    "\u3000\u2028\x1c\x00\ufeff\u01c5\u0345\U0001f600\U00020000"
)
TEXT = st.text(st.sampled_from(LETTERS) | st.characters(exclude_categories=["Cs"]), max_size=120)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    texts=st.lists(TEXT, min_size=1, max_size=3),
    tokens=st.sampled_from(["words", "split"]),
    min_count=st.integers(1, 3),
    max_vocab=st.none() | st.integers(1, 5),
    block_bytes=st.sampled_from([1, 2, 3, 5, 16, 1 << 21]),
    table_bytes=st.sampled_from([1, 1000, 1 << 29]),
)
def test_equals_plain_python(
    tmp_path_factory, texts, tokens, min_count, max_vocab, block_bytes, table_bytes
):
    folder = tmp_path_factory.mktemp("text")
    files = [write(folder / str(i), text) for i, text in enumerate(texts)]
    texts = [text.removeprefix("\ufeff") for text in texts]
    words, counts, sentences, total = reference(texts, tokens, min_count, max_vocab)

    def run() -> Corpus:
        return encode(
            files,
            folder / "cache",
            tokens=tokens,
            min_count=min_count,
            max_vocab=max_vocab,
            block_bytes=block_bytes,
            table_bytes=table_bytes,
        )

    if not words:
        with pytest.raises(InputError, match=r"^[^\n]*(not one token|lower min_count)[^\n]*$"):
            run()
        return
    found = run()
    assert (list(found.words), list(found.counts)) == (words, counts)
    assert sentences_of(found) == sentences
    assert found.raw_tokens == total


def test_rules_by_example(tmp_path: Path):
    text = "Don\u2019t 'quote' rock''n x1y \u00c9t\u00e9-E\u0301 \u0391\u03a3. \u6f22\u5b57 "
    text += "\u2764\ufe0f snake_case"
    expected = "don't quote rock n x y \u00e9t\u00e9 e\u0301 \u03b1\u03c2 \u6f22\u5b57 snake case"
    found = encode_text(tmp_path, text, min_count=1)
    assert sentences_of(found) == [expected.split()]
    found = encode_text(tmp_path, text, min_count=1, tokens="split")
    assert sentences_of(found) == [text.split()]


def test_order_ties_and_limits(tmp_path: Path):
    text = "b a b c \u00e9 d a \u00e9\nc\n\n" + "z " * 4 + "\nq\n"
    found = encode_text(tmp_path, text, min_count=2)
    assert found.words == ("z", "a", "b", "c", "\u00e9")
    assert list(found.counts) == [4, 2, 2, 2, 2]
    assert sentences_of(found) == [list("babc\u00e9a\u00e9"), ["c"], list("zzzz")]
    assert found.raw_tokens == 14
    found = encode_text(tmp_path, text, min_count=2, max_vocab=3)
    assert found.words == ("z", "a", "b")
    assert sentences_of(found) == [list("baba"), list("zzzz")]
    assert (found.ids.dtype, found.sentences.dtype, found.counts.dtype) == ("<i4", "<i8", "<i8")
    with pytest.raises(ValueError, match="read-only"):
        found.ids[0] = 1


@pytest.mark.parametrize("block_bytes", [1000, 4096, 1 << 21])
def test_long_lines_are_cut(tmp_path: Path, block_bytes: int):
    lines = [LONGEST_SENTENCE - 1, LONGEST_SENTENCE, 2 * LONGEST_SENTENCE, 25_001, 3]
    text = "\n".join("a " * n for n in lines)
    found = encode_text(tmp_path, text, block_bytes=block_bytes)
    expected = [9_999, 10_000, 10_000, 10_000, 10_000, 10_000, 5_001, 3]
    assert list(np.diff(found.sentences)) == expected


@pytest.mark.slow
@pytest.mark.parametrize("letter", ["a", "\u00e9", "\u6f22", "a\u2019", "\U00020000"])
@pytest.mark.parametrize("tokens", ["words", "split"])
@pytest.mark.parametrize("block_bytes", [64, 1021, 1 << 21])
def test_long_tokens_are_left_out(tmp_path: Path, letter: str, tokens: str, block_bytes: int):
    fits = (LONGEST_TOKEN - 1) // len(letter.encode())
    kept, gone = letter * fits + "a", letter * (fits + 1) + "a"
    stop = "\u3002" if tokens == "words" else "\u3000"  # not an ASCII separator
    text = f"one{stop}{kept} two {gone} three{stop}{gone * 9}\n{gone}\nfour {gone}{stop}five"
    found = encode_text(tmp_path, text, tokens=tokens, min_count=1, block_bytes=block_bytes)
    kept = kept.replace("\u2019", "'") if tokens == "words" else kept
    assert sentences_of(found) == [["one", kept, "two", "three"], ["four", "five"]]
    assert sentences_of(found) == reference([text], tokens, 1, None)[2]


def zipf(seed: int, size: int, words: int = 3000) -> str:
    rng = np.random.default_rng(seed)
    names = ["".join(chr(97 + d) for d in divmod(i, 26)) for i in range(26)]
    names += [f"{names[i % 26]}{chr(97 + i // 26 % 26)}{chr(97 + i // 676)}" for i in range(words)]
    names[7:10] = ["na\u00efve", "\u03a3\u03b1\u03a3", "\u2014"]
    picked = np.minimum(rng.zipf(1.3, size) - 1, len(names) - 1)
    ends = rng.choice([" ", " ", ", ", ".\n", "\t"], size)
    return "".join(names[i] + end for i, end in zip(picked, ends, strict=True))


@pytest.mark.slow
def test_files_gzip_blocks_and_tables_change_nothing(tmp_path: Path):
    texts = [zipf(0, 20_000), zipf(1, 5_000), ""]
    files = [write(tmp_path / f"{i}.txt", text) for i, text in enumerate(texts)]
    expected = encode(files, tmp_path / "a")
    words, counts, sentences, total = reference(texts, "words", 5, None)
    assert (list(expected.words), list(expected.counts)) == (words, counts)
    assert sentences_of(expected) == sentences
    assert expected.raw_tokens == total
    packed = []
    for path in files:
        packed.append(path.with_suffix(".packed"))  # known by its content, not by its name
        half = len(path.read_bytes()) // 2
        parts = [path.read_bytes()[:half], path.read_bytes()[half:]]
        packed[-1].write_bytes(b"".join(map(gzip.compress, parts)))
    assert_same(encode(packed, tmp_path / "b"), expected)
    assert_same(encode(files, tmp_path / "c", block_bytes=999, table_bytes=9999), expected)
    other = encode([files[1], files[0]], tmp_path / "a")
    assert other.folder != expected.folder
    assert other.words == expected.words
    joined = encode([write(tmp_path / "joined", texts[0] + "\n" + texts[1])], tmp_path / "a")
    assert_same(joined, expected)


def test_made_once(tmp_path: Path):
    files = [write(tmp_path / "text", zipf(0, 3000)), write(tmp_path / "more", "a b " * 9)]
    seen: list[tuple[int, int]] = []
    cache = tmp_path / "cache"
    first = encode(files, cache, progress=lambda done, size: seen.append((done, size)))
    size = sum(path.stat().st_size for path in files)
    assert seen == [*sorted(seen), (size, size)][: len(seen)]
    assert seen[-1] == (size, size)

    def read_again(done: int, size: int) -> None:
        raise AssertionError("read again")

    def times() -> dict[str, int]:
        return {p.name: p.stat().st_mtime_ns for p in first.folder.iterdir()}

    before = times()
    assert_same(encode(files, cache, progress=read_again), first)
    assert times() == before
    # The same content elsewhere, or with another time, is known too; then its time is.
    os.utime(files[0], ns=(1, 1))
    files[1] = files[1].rename(tmp_path / "moved")
    assert_same(encode(files, cache, progress=read_again), first)
    assert {name for name in before if times()[name] != before[name]} == {"corpus.json"}
    before = times()
    assert_same(encode(files, cache, progress=read_again), first)
    assert times() == before
    # Other rules, or other content of the same size: another folder.
    assert encode(files, cache, min_count=2).folder != first.folder
    text = files[0].read_bytes()
    files[0].write_bytes(text.replace(b"aa", b"bb"))
    changed = encode(files, cache)
    assert changed.folder != first.folder
    assert changed.words != first.words
    assert times() == before
    # A pickle holds the folder's name; what is damaged is refused, and made again by encode.
    assert len(pickle.dumps(first)) < 500
    assert_same(pickle.loads(pickle.dumps(first)), first)
    files[0].write_bytes(text)
    os.truncate(first.folder / "ids", 8)
    with pytest.raises(InputError, match=rf"^{first.folder}: no whole encoded corpus; delete"):
        open_corpus(first.folder)
    again = encode(files, cache)
    assert again.folder == first.folder
    assert len(again.ids) == again.sentences[-1]


def test_nothing_is_left_of_an_interrupted_run(tmp_path: Path):
    text, cache = write(tmp_path / "text", zipf(0, 3000)), tmp_path / "cache"

    def stop(done: int, size: int) -> None:
        if done > size // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode([text], cache, progress=stop, block_bytes=1000)
    assert list(cache.iterdir()) == []
    # Killed: nobody cleans up. The note is the last file, but even it is not enough.
    (cache / ".part").mkdir()
    for name in ("ids", "corpus.json", "table-7-7"):
        (cache / ".part" / name).write_text("{}")
    found = encode([text], cache)
    assert [p.name for p in cache.iterdir()] == [found.folder.name]
    names = ["corpus.json", "counts", "ids", "starts", "words.txt"]
    assert sorted(p.name for p in found.folder.iterdir()) == names


@pytest.mark.slow
def test_kill_minus_nine(tmp_path: Path):
    text = write(tmp_path / "text", zipf(0, 3000))
    code = (
        "import os, sys, pathlib; from jaxdl.word2vec.data.corpus import encode\n"
        "kill = lambda done, size: done < size or os.kill(os.getpid(), 9)\n"
        "encode([pathlib.Path(sys.argv[1])], pathlib.Path(sys.argv[2]), progress=kill)"
    )
    command = [sys.executable, "-c", code, str(text), str(tmp_path / "cache")]
    assert subprocess.run(command, check=False).returncode == -9
    assert (tmp_path / "cache" / ".part" / "ids").exists()
    assert_same(encode([text], tmp_path / "cache"), encode([text], tmp_path / "other"))
    assert not (tmp_path / "cache" / ".part").exists()


def test_a_text_that_changes_while_it_is_read(tmp_path: Path):
    text = write(tmp_path / "text", zipf(0, 3000))
    with pytest.raises(InputError, match="was changed while it was read; run again"):
        encode([text], tmp_path / "cache", progress=lambda *_: os.utime(text, ns=(1, 1)))
    assert list((tmp_path / "cache").iterdir()) == []


def gzipped(text: bytes, end: int, change: int | None = None) -> bytes:
    data = bytearray(gzip.compress(text)[:end])
    if change is not None:
        data[change] ^= 255
    return bytes(data)


BAD = [
    (b"", {}, "not one token in 0 bytes"),
    (b"1 2 3\n\n", {}, "not one token in 7 bytes; give more text, or tokens=split"),
    (b"\x1f\x8b", {}, "the packed file is cut short; fetch it again"),
    (b"a a b", {}, "no word comes 5 times or more: the most frequent comes 2 times; lower"),
    (b"a b", {"max_vocab": 0}, "max_vocab=0: choose"),
    (b"a b", {"min_count": 0}, "min_count=0, max_vocab=None: choose"),
    (b"ab " * 9 + b"caf\xe9 ab", {}, "text: byte 30 is not UTF-8; say --encoding .*latin-1 reads"),
    (b"ab " * 9 + b"caf\xe9", {}, "text: byte 30 is not UTF-8"),
    (b"\xef\xbb\xbfab caf\xe9", {}, "text: byte 9 is not UTF-8"),
    (b"a" * 5000 + b"\xe9", {}, "text: byte 5000 is not UTF-8"),
    (b"a \xc3", {}, "text: byte 2 is not UTF-8"),
    ("a b".encode("utf-16"), {}, "text: byte 0 is not UTF-8; say --encoding .*utf-16 reads 'a"),
    (gzip.compress(b"ab " * 9 + b"caf\xe9"), {}, "text: byte 30 is not UTF-8"),
    (gzipped(b"ab " * 99, -9), {}, "text: the packed file is cut short; fetch it again"),
    (gzipped(b"ab " * 99, 99, -6), {}, r"text: a damaged packed file \(.*\); fetch it again"),
    (gzipped(b"ab " * 99, 99, 12), {}, "text: a damaged packed file"),
    (gzip.compress(b"ab " * 99) + b"end", {}, "text: a damaged packed file"),
]


@pytest.mark.parametrize(("data", "options", "message"), BAD, ids=range(len(BAD)))
@pytest.mark.parametrize("block_bytes", [5, 1 << 21])
def test_errors_are_one_line(tmp_path: Path, data: bytes, options, message: str, block_bytes: int):
    (tmp_path / "text").write_bytes(data)
    with pytest.raises(InputError, match=rf"^[^\n]*{message}[^\n]*$"):
        encode([tmp_path / "text"], tmp_path / "cache", block_bytes=block_bytes, **options)
    assert not [p for p in (tmp_path / "cache").glob("*") if p.name != ".lock"]


def test_errors_of_files_and_folders(tmp_path: Path):
    text = write(tmp_path / "text", "a " * 9)
    with pytest.raises(InputError, match="no text file; name at least one"):
        encode([], tmp_path / "cache")
    with pytest.raises(InputError, match=r"missing: No such file or directory; name a text file"):
        encode([text, tmp_path / "missing"], tmp_path / "cache")
    with pytest.raises(InputError, match=f"{tmp_path}: Is a directory; name a text file"):
        encode([tmp_path], tmp_path / "cache")
    with pytest.raises(InputError, match="/dev/null: not a regular file"):
        encode([Path("/dev/null")], tmp_path / "cache")
    with pytest.raises(
        InputError, match=r"text: cannot be written \(File exists\); choose another folder"
    ):
        encode([text], text)
    with pytest.raises(InputError, match=r"no whole encoded corpus; delete the folder"):
        open_corpus(tmp_path)
    found = encode([text], tmp_path / "cache")
    note = json.loads((found.folder / "corpus.json").read_text())
    note["rules"][0] = -1  # of a later version
    (found.folder / "corpus.json").write_text(json.dumps(note))
    with pytest.raises(InputError, match=r"no whole encoded corpus"):
        open_corpus(found.folder)


@pytest.mark.slow
def test_memory_is_bounded(tmp_path: Path):
    """200 MB in one line, 1.4 million different words in a table for 0.1, a token of 20 MB."""
    codes = np.arange(26**3)  # aaa .. zzz
    rows = np.full((len(codes), 8), ord(" "), np.uint8)
    rows[:, 1:4] = np.stack([codes // 26**n % 26 + 97 for n in range(3)], 1)
    with (tmp_path / "text").open("wb") as file:
        for group in range(40):
            rows[:, 4:6] = 97 + np.array(divmod(group, 26))
            rows[:, 0] = ord(" ")
            file.write(rows.tobytes() * 22)
            rows[:, 0] = ord("a")
            file.write(rows.tobytes() * 10)
        file.write(b"a" * 20_000_000)
    code = (
        "import sys, pathlib; from jaxdl.word2vec.data.corpus import encode\n"
        "status = pathlib.Path('/proc/self/status')\n"
        "peak = lambda: int(status.read_text().split('VmHWM:')[1].split()[0]) // 1024\n"
        "start, (text, cache) = peak(), map(pathlib.Path, sys.argv[1:])\n"
        "found = encode([text], cache, min_count=11, max_vocab=9, table_bytes=1 << 24)\n"
        "print(peak() - start, len(found.words), found.raw_tokens, *found.counts)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "text"), str(tmp_path / "cache")]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    grown, vocabulary, tokens, *counts = map(int, shown.split())
    assert (vocabulary, tokens, counts) == (9, 40 * 32 * 26**3, [22] * 9)
    assert grown < 300, f"{grown} MB"


def test_the_table_of_words_is_written_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The cases above with a small table do test what they say."""
    written: list[int] = []
    real = Vocabulary._write_out
    monkeypatch.setattr(Vocabulary, "_write_out", lambda self: (written.append(1), real(self))[1])
    encode_text(tmp_path, zipf(0, 3000), block_bytes=999, table_bytes=9999)
    assert len(written) > 3
