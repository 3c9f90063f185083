"""Text files -> tokens: read in blocks that cut no token, tokenised by two threads, in order."""

import codecs
import functools
import hashlib
import itertools
import os
import re
import sys
import unicodedata
import zlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Int32, Int64

from jaxdl.errors import InputError
from jaxdl.files.limits import check_unpacked
from jaxdl.files.text import reason
from jaxdl.word2vec.choices import Encoding, Tokens
from jaxdl.word2vec.data import japanese
from jaxdl.word2vec.data.opened import DAMAGE, guesses, opened

LONGEST_TOKEN = 1000  # bytes in the file; a longer one (encoded pictures and such) is left out

_WORKERS = 2  # threads; what is left for the main thread allows no more
_APOSTROPHES = ("'", "\u2019")


class Piece(NamedTuple):
    """A part of a file that neither begins nor ends inside of a token."""

    path: Path
    offset: int  # of `data` in the unpacked text
    data: bytes
    read: int  # bytes of all files so far, as they are on disk
    begins: bool  # a file


class _Hashed:
    """A file that hashes and counts what is read of it; whoever opened it closes it."""

    closed = False

    def close(self) -> None:
        """Unpackers close what they read."""

    def readable(self) -> bool:
        return True

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.digest, self.count = file, hashlib.sha256(), 0

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.digest.update(data)
        self.count += len(data)
        return data


def read_pieces(
    files: Sequence[Path],
    tokens: Tokens,
    block_bytes: int,
    digests: list[str],
    encoding: Encoding = "utf-8",
) -> Iterator[Piece]:
    """The files in pieces of about `block_bytes`; their hashes are appended to `digests`."""
    before = 0
    for path in files:
        try:
            with path.open("rb") as file:
                head = file.read(6)
                size = os.fstat(file.fileno()).st_size
                file.seek(0)
                raw = _Hashed(file)
                text, packed = opened(raw, head, encoding)
                begins, data, unpacked, more = True, b"", 0, b"-"
                while more:
                    more = text.read(block_bytes)
                    unpacked += len(more)
                    if packed:
                        check_unpacked(path, size, unpacked)
                    data += more
                    cut = _cut(data, tokens) if more else len(data)
                    if cut:
                        offset = unpacked - len(data)
                        piece = data[:cut]
                        if offset == 0 and piece.startswith(codecs.BOM_UTF8):
                            piece = b"   " + piece[3:]
                        yield Piece(path, offset, piece, before + raw.count, begins)
                        begins, data = False, data[cut:]
                    elif len(data) > LONGEST_TOKEN + 200:
                        # Inside of a token that is left out: letters in its place, and its end.
                        end = len(data) - 64
                        while data[end] & 0xC0 == 0x80:
                            end += 1
                        data = b"a" * (LONGEST_TOKEN + 1) + data[end:]
        except EOFError as error:
            raise InputError(f"{path}: the packed file is cut short; fetch it again") from error
        except UnicodeError as error:
            raise InputError(f"{path}: is not {encoding} ({reason(error)})") from error
        except (*DAMAGE, zlib.error) as error:
            raise InputError(f"{path}: a damaged packed file ({error}); fetch it again") from error
        except OSError as error:
            why = error.strerror or reason(error)  # without a number it is an unpacker's
            raise InputError(f"{path}: cannot be read ({why}); check it") from error
        before += raw.count
        digests.append(raw.digest.hexdigest())


def _cut(data: bytes, tokens: Tokens) -> int:
    """A number of bytes after which no token is open; 0: `data` is one token (or begins one)."""
    if tokens == "ja":
        return japanese.cut(data)
    cut = 1 + max(data.rfind(b"\n"), data.rfind(b" "))
    cut = cut or 1 + data.translate(_TABLES[tokens]).rfind(b" ")  # the other ASCII separators
    if cut:
        return cut
    try:
        text, decoded = codecs.utf_8_decode(data, "strict", False)  # the end may be half a letter
    except UnicodeDecodeError:
        return len(data)  # what tokenises it says where
    found = deque(_pattern(tokens).finditer(text), 1)
    if not found:
        return decoded
    start, end = found[0].span()
    if start == 0 and text[end:] not in ("", *_APOSTROPHES):
        return len(text[:end].encode())
    return len(text[:start].encode())


def _table(letters: Callable[[str], str]) -> bytes:
    """For `bytes.translate`: line ends stay, ASCII separators become spaces."""
    low = "".join("\n" if c == "\n" else letters(c) for c in map(chr, range(128)))
    return low.encode() + bytes(range(128, 256))


_TABLES = {
    "words": _table(lambda c: c.lower() if c.isalpha() or c == "'" else " "),
    "split": _table(lambda c: " " if c.isspace() else c),
}


@functools.cache
def _pattern(tokens: Tokens) -> re.Pattern[str]:
    """A token in decoded text."""
    if tokens == "split":
        return re.compile(r"\S+")
    ranges = {"L": "", "M": ""}
    every = range(sys.maxunicode + 1)
    for kind, run in itertools.groupby(every, lambda c: unicodedata.category(chr(c))[0]):
        if kind in ranges:
            codes = list(run)
            ranges[kind] += f"\\U{codes[0]:08x}-\\U{codes[-1]:08x}"
    word = f"[{ranges['L']}][{ranges['L']}{ranges['M']}]*"
    return re.compile(f"{word}(?:['\u2019]{word})*")


def _tokens(word: bytes, tokens: Tokens) -> Iterator[bytes]:
    """The tokens in what stands between two ASCII separators."""
    for match in _pattern(tokens).finditer(word.decode()):
        token = match.group()
        if len(token.encode()) <= LONGEST_TOKEN:
            if tokens == "words":
                token = token.lower().replace("\u2019", "'")
            yield token.encode()


class Block(NamedTuple):
    """A tokenised piece: token i is `words[index[i]]`; tokens before each line end."""

    words: list[bytes]  # each at least once in index
    index: Int32[np.ndarray, "n"]
    breaks: Int64[np.ndarray, "lines"]


def tokenise(piece: Piece, tokens: Tokens) -> Block:
    try:
        plain = piece.data.isascii() or not piece.data.decode()
    except UnicodeDecodeError as error:
        start = max(0, piece.data.rfind(b"\n", 0, error.start) + 1) if error.start else 0
        raise InputError(
            f"{piece.path}: byte {piece.offset + error.start} is not UTF-8; say --encoding NAME: "
            f"{guesses(piece.data[start:])}"
        ) from error
    if (zeros := piece.data.count(0)) >= 8 and zeros >= len(piece.data) // 4:
        at = piece.offset + piece.data.index(0)
        raise InputError(
            f"{piece.path}: byte {at} is 0, as are many others: it is UTF-16, or no text; say "
            "--encoding utf-16-le or utf-16-be, or give a text file"
        )
    if tokens == "ja":
        return _japanese(piece.data.decode())
    text = bytearray(b" " + piece.data.translate(_TABLES[tokens]) + b" ")
    codes = np.frombuffer(text, np.uint8)
    if tokens == "words":  # bytes above the apostrophe's are letters
        at = np.flatnonzero(codes == ord("'"))
        inside = (codes[at - 1] > ord("'")) & (codes[at + 1] > ord("'"))
        codes[at[~inside]] = ord(" ")
    is_token = (codes != ord(" ")) & (codes != ord("\n"))
    edges = np.flatnonzero(is_token[1:] != is_token[:-1]).astype(np.int32)
    sizes = edges[1::2] - edges[::2]
    ends = np.zeros(len(sizes) + 1, np.int32)
    np.cumsum(sizes, out=ends[1:])
    letters = text.translate(None, b" \n")
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(letters)]
    coded = pa.BinaryArray.from_buffers(pa.binary(), len(sizes), buffers).dictionary_encode()
    breaks = np.searchsorted(edges[::2], np.flatnonzero(codes == ord("\n")).astype(np.int32))
    block = Block(coded.dictionary.to_pylist(), coded.indices.to_numpy(), breaks)
    return block if plain and sizes.max(initial=0) <= LONGEST_TOKEN else _refine(block, tokens)


def _japanese(text: str) -> Block:
    """The words of Japanese text, each line's in order."""
    numbers: dict[bytes, int] = {}
    index, breaks = list[int](), list[int]()
    for line in text.split("\n"):
        for word in map(str.encode, japanese.words_of(line)):
            if len(word) <= LONGEST_TOKEN:
                index.append(numbers.setdefault(word, len(numbers)))
        breaks.append(len(index))
    return Block([*numbers], np.array(index, np.int32), np.array(breaks[:-1], np.int64))


def _refine(block: Block, tokens: Tokens) -> Block:
    """The block with each word that is not plain put through the rules: none, one or more tokens.

    Each different word once, not each time that it comes.
    """
    plain = [word.isascii() and len(word) <= LONGEST_TOKEN for word in block.words]
    words = list(itertools.compress(block.words, plain))
    first = np.cumsum(plain, dtype=np.int32) - 1  # word i becomes words[first[i]:][: lengths[i]]
    lengths = np.ones(len(plain), np.int32)
    for i in np.flatnonzero(~np.array(plain, bool)):
        found = list(_tokens(block.words[i], tokens))
        first[i], lengths[i] = len(words), len(found)
        words += found
    sizes = lengths[block.index]
    ends = np.concatenate([[0], np.cumsum(sizes)])
    index = np.repeat(first[block.index], sizes)
    at, nth = np.flatnonzero(sizes > 1), 1
    while len(at):  # a word's second token, third token, ...
        index[ends[at] + nth] += nth
        nth += 1
        at = at[sizes[at] > nth]
    return Block(words, index, ends[block.breaks])


def in_order(text: Iterable[Piece], tokens: Tokens) -> Generator[tuple[Piece, Block], None, None]:
    """Tokenise in threads, a few pieces ahead (Executor.map would read the whole text ahead)."""
    waiting: deque[tuple[Piece, Future[Block]]] = deque()
    with ThreadPoolExecutor(_WORKERS) as pool:
        for piece in text:
            waiting.append((piece, pool.submit(tokenise, piece, tokens)))
            if len(waiting) > _WORKERS + 1:
                piece, block = waiting.popleft()
                yield piece, block.result()
        for piece, block in waiting:
            yield piece, block.result()
