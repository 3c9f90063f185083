"""Text in any wrapping and encoding is the same text; what is not is told with the way on."""

import bz2
import gzip
import io
import lzma
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from jaxdl.errors import InputError
from jaxdl.word2vec.choices import Encoding
from jaxdl.word2vec.data.corpus import encode
from jaxdl.word2vec.data.opened import is_unsplit
from jaxdl.word2vec.data.text_files import text_files

TEXT = "".join(f"the {'cat' if n % 3 else 'dog'} of 東京 sat\n" for n in range(4000))
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。\n" * 5


def zstd(data: bytes) -> bytes:
    packed = pa.BufferOutputStream()
    with pa.CompressedOutputStream(packed, "zstd") as file:
        file.write(data)
    return packed.getvalue().to_pybytes()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstd,
}
ENCODINGS: tuple[Encoding, ...] = ("utf-16", "utf-16-le", "shift_jis", "euc_jp", "gb18030")


def ids_of(path: Path, cache: Path, encoding: Encoding = "utf-8") -> tuple[np.ndarray, tuple]:
    # Small blocks: letters and tokens are cut between them.
    found = encode([path], cache, encoding=encoding, min_count=1, block_bytes=1 << 10)
    return np.array(found.ids), found.words


@pytest.mark.parametrize("kind", PACKERS)
def test_a_packed_text_is_the_text(kind: str, tmp_path: Path):
    (tmp_path / "plain").write_text(TEXT)
    (tmp_path / "packed").write_bytes(PACKERS[kind](TEXT.encode()))  # the content tells
    want, words = ids_of(tmp_path / "plain", tmp_path / "a")
    found, same = ids_of(tmp_path / "packed", tmp_path / "b")
    np.testing.assert_array_equal(found, want)
    assert same == words
    cut = (tmp_path / "packed").read_bytes()
    (tmp_path / "packed").write_bytes(cut[: len(cut) // 2])
    with pytest.raises(InputError, match=r"packed: (the packed file is cut short|cannot be read)"):
        ids_of(tmp_path / "packed", tmp_path / "c")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_text_in_another_encoding_is_the_text(encoding: Encoding, tmp_path: Path):
    (tmp_path / "plain").write_text(TEXT)
    (tmp_path / "other").write_bytes(gzip.compress(TEXT.encode(encoding)))
    want, words = ids_of(tmp_path / "plain", tmp_path / "a")
    found, same = ids_of(tmp_path / "other", tmp_path / "b", encoding)
    np.testing.assert_array_equal(found, want)
    assert same == words


def test_another_encoding_is_refused_with_what_it_reads_as(tmp_path: Path):
    for encoding, sign in (
        ("shift_jis", "吾輩は猫"),
        ("euc_jp", "吾輩は猫"),
        ("utf-16", "吾輩は猫"),
    ):
        (tmp_path / "text").write_bytes(JAPANESE.encode(encoding))
        with pytest.raises(
            InputError, match=f"not UTF-8; say --encoding .*{encoding} reads '{sign}"
        ):
            ids_of(tmp_path / "text", tmp_path / "a")
    (tmp_path / "text").write_bytes("some words\n".encode("utf-16-le"))
    with pytest.raises(
        InputError, match=r"byte 1 is 0, as are many others: .* utf-16-le or utf-16-be"
    ):
        ids_of(tmp_path / "text", tmp_path / "a")
    (tmp_path / "text").write_text("caf\u00e9\n", encoding="latin-1")
    with pytest.raises(InputError, match="text: is not shift_jis"):
        ids_of(tmp_path / "text", tmp_path / "a", "shift_jis")


def test_folders_patterns_and_pipes_are_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("d/b.txt", "d/sub/a.GZ", "d/.DS_Store", "d/photo.jpg", "d/__MACOSX/c.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    keep = tmp_path / "kept"
    both = (tmp_path / "d/b.txt", tmp_path / "d/sub/a.GZ")
    assert text_files([tmp_path / "d"], keep) == both
    assert text_files([tmp_path / "d" / "*.txt"], keep) == both[:1]
    assert text_files(both, keep) == both
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_text("from a pipe\n"))
    writer.start()
    (piped,) = text_files([tmp_path / "pipe"], keep)
    writer.join()
    assert piped.read_text() == "from a pipe\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from a pipe\n")))
    assert text_files([Path("-")], keep) == (piped,)  # the same content is the same file
    assert [path.name for path in keep.iterdir()] == [piped.name]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: holds no text file"):
        text_files([tmp_path / "empty"], keep)
    with pytest.raises(InputError, match="nothing: there is no such file"):
        text_files([tmp_path / "nothing"], keep)


def test_text_without_blanks_is_told_and_other_text_is_not():
    assert is_unsplit(JAPANESE)
    assert is_unsplit("中文句子没有空格所以整句成为一个词。\n" * 10)
    assert not is_unsplit("吾輩 は 猫 で ある 。 名前 は まだ 無い 。\n" * 20)
    assert not is_unsplit(TEXT)
    assert not is_unsplit("한국어 문장 은 빈칸 이 있다\n" * 50)
