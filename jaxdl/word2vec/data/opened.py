"""Text files opened as UTF-8: unpacked by their content, decoded by the encoding that is named."""

import bz2
import codecs
import gzip
import lzma
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import pyarrow as pa

from jaxdl.files.text import clip, visible
from jaxdl.word2vec.choices import Encoding

# What damaged packed files raise, besides EOFError where the end is missing.
DAMAGE = (gzip.BadGzipFile, lzma.LZMAError)
_SAMPLE = 200  # bytes of a text that are shown in another encoding
_CANDIDATES: tuple[Encoding, ...] = (
    *("utf-16", "shift_jis", "euc_jp", "gb18030", "latin-1"),  # the strict ones first
)
_JAPANESE = range(0x3040, 0x3100)  # hiragana and katakana
_HAN = range(0x4E00, 0xA000)


@runtime_checkable
class Readable(Protocol):
    """What is read in blocks; nothing at the end."""

    def read(self, size: int = -1, /) -> bytes: ...


class _Decoded:
    """A text in another encoding, as UTF-8."""

    def __init__(self, file: Readable, encoding: Encoding) -> None:
        self._file, self._decoder = file, codecs.getincrementaldecoder(encoding)("strict")

    def read(self, size: int = -1, /) -> bytes:
        while True:  # a block may end within its first letter
            data = self._file.read(size)
            text = self._decoder.decode(data, final=not data)
            if text or not data:
                return text.encode()


def opened(file: Readable, head: bytes, encoding: Encoding) -> tuple[Readable, bool]:
    """The text of a file as UTF-8, and whether it was packed.

    Args:
        file: at its beginning.
        head: its first bytes, 6 at least if it has them.
        encoding: of the text.
    """
    text: Any = file
    packed = True
    if head.startswith(b"\x1f\x8b"):
        text = gzip.GzipFile(fileobj=cast(Any, file))
    elif head.startswith(b"BZh"):
        text = bz2.BZ2File(cast(Any, file))
    elif head.startswith(b"\xfd7zXZ\x00"):
        text = lzma.LZMAFile(cast(Any, file))  # noqa: SIM115 (the file is closed by its owner)
    elif head.startswith(b"\x28\xb5\x2f\xfd"):
        text = pa.CompressedInputStream(pa.PythonFile(cast(Any, file), "r"), "zstd")
    else:
        packed = False
    return (text if encoding == "utf-8" else _Decoded(text, encoding)), packed


def guesses(data: bytes) -> str:
    """How the beginning of a text reads in other encodings, for a message."""
    found = []
    for encoding in _CANDIDATES:
        try:
            text = codecs.getincrementaldecoder(encoding)("strict").decode(data[:_SAMPLE])
        except UnicodeError:
            continue
        line = next((line for line in text.splitlines() if line.strip()), "")
        if encoding != "utf-16" or data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            found.append(f"{encoding} reads {visible(clip(line.strip(), 30))!r}")
    return "; ".join(found)


def sample(path: Path, encoding: Encoding, size: int = 1 << 16) -> str:
    """The beginning of a text; empty if it cannot be read, which reading all of it tells."""
    try:
        with path.open("rb") as file:
            head = file.read(6)
            file.seek(0)
            return opened(file, head, encoding)[0].read(size).decode(errors="ignore")
    except (OSError, EOFError, ValueError, *DAMAGE):
        return ""


def is_unsplit(text: str) -> bool:
    """Whether a text is Japanese or Chinese whose words have no blanks between them."""
    letters = sum(ord(c) in _JAPANESE or ord(c) in _HAN for c in text)
    words = sum(1 for word in text.split() if any(ord(c) > 0x303F for c in word))
    return letters > 100 and letters > len(text) / 4 and letters > 8 * words
