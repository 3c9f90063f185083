"""Text files -> a vocabulary and a folder of memory-mapped token ids, made once and reused.

The text is read once, in blocks; two threads tokenise them (NumPy on bytes, Arrow's hash table).
Tokens go to disk under provisional ids, in order of the words' first appearance; once all counts
are known, a pass over these ids drops rare words and gives the final ids in place. When the table
of words outgrows its limit it is written out and a new one begun; the tables are summed at the
end, part by part. So counts are exact at any size (word2vec.c's ReduceVocab forgets words), and
memory is bounded but for the vocabulary that is kept.
"""

import codecs
import contextlib
import fcntl
import functools
import gzip
import hashlib
import itertools
import json
import re
import shutil
import sys
import unicodedata
import zlib
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, cast

import numpy as np
import pyarrow as pa
from jaxtyping import Int32, Int64

from jaxdl.errors import InputError

Tokens = Literal["words", "split"]
LONGEST_TOKEN = 1000  # bytes in the file; a longer one (encoded pictures and such) is left out
LONGEST_SENTENCE = 10_000  # tokens, as in gensim: a longer line is cut

_FORMAT = 1  # raise it when files or rules change: older folders are then left alone
_NOTE = "corpus.json"
_WORKERS = 2  # threads; what is left for the main thread allows no more
_PARTS = 16  # of the words that were written out; one is summed at a time
_WORD_COST = 150  # bytes of memory for a word in the table, besides its letters
_APOSTROPHES = ("'", "\u2019")


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """An encoded text. Arrays are little-endian and read-only; `ids` and `sentences` memory maps.

    `words`: most frequent first, equal counts by code points. `ids`: places in `words` of all
    tokens that are kept, in order. Sentence i is `ids[sentences[i]:sentences[i + 1]]`, never
    empty. `raw_tokens`: tokens before min_count and max_vocab.
    """

    folder: Path
    words: tuple[str, ...]
    counts: Int64[np.ndarray, "v"]
    ids: Int32[np.ndarray, "n"]
    sentences: Int64[np.ndarray, "sentences_and_1"]
    raw_tokens: int

    def __reduce__(self) -> tuple[Callable[[Path], "Corpus"], tuple[Path]]:
        return open_corpus, (self.folder,)  # another process maps the files itself


def encode(
    files: Sequence[Path],
    cache_dir: Path,
    *,
    tokens: Tokens = "words",
    min_count: int = 5,
    max_vocab: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    block_bytes: int = 1 << 21,
    table_bytes: int = 1 << 28,
) -> Corpus:
    """Encode UTF-8 text files, plain or gzip (told by content), into a folder in `cache_dir`.

    A line (ends with \\n) is a sentence. Tokens `words`: a letter, then letters and marks (Unicode
    categories L and M), with single apostrophes (' or \u2019, written ') inside; lower case;
    everything else separates. `split`: what `str.split` gives, as it is. Both leave out tokens of
    more than `LONGEST_TOKEN` bytes. Kept are words with at least `min_count` tokens, of these the
    `max_vocab` most frequent. Done once for the same content, rules and order of files; files of
    the same path, size and time are not read again. `progress` gets (bytes read, all bytes).
    `block_bytes` and `table_bytes` bound memory and change no result.

    Raises InputError for a file that is missing, unreadable, not UTF-8 or a damaged gzip, for no
    token, and for no word that reaches min_count; no folder is left then.
    """
    if tokens not in _TABLES or min_count < 1 or (max_vocab is not None and max_vocab < 1):
        raise InputError(
            f"tokens={tokens!r}, min_count={min_count}, max_vocab={max_vocab}: choose one of "
            f"{', '.join(_TABLES)}, and counts of at least 1"
        )
    if not files:
        raise InputError("no text file; name at least one")
    rules = [_FORMAT, tokens, min_count, max_vocab, unicodedata.unidata_version]
    stamps = [_stamp(path) for path in files]
    folder = _find(cache_dir, rules, stamps)
    if folder is None:
        with _one_at_a_time(cache_dir):
            # Another process may have finished it while we waited.
            folder = _find(cache_dir, rules, stamps)
            if folder is None:
                folder = _write(files, cache_dir, rules, stamps, block_bytes, table_bytes, progress)
    return open_corpus(folder)


def open_corpus(folder: Path) -> Corpus:
    """Open a finished folder (`Corpus.folder`); raises InputError if it is none or damaged."""
    note = _note(folder)
    if note is None:
        raise InputError(f"{folder}: no whole encoded corpus; delete the folder and encode again")
    words = tuple((folder / "words.txt").read_bytes().decode().split("\n"))
    ids, sentences = (
        np.memmap(folder / name, dtype, "r") for name, dtype in (("ids", "<i4"), ("starts", "<i8"))
    )
    counts = np.fromfile(folder / "counts", "<i8")
    counts.setflags(write=False)
    return Corpus(folder, words, counts, ids, sentences, note["raw_tokens"])


def _note(folder: Path) -> dict[str, Any] | None:
    """What the folder says of itself; None if it is not whole."""
    try:
        note = json.loads((folder / _NOTE).read_bytes())
        sizes = {name: (folder / name).stat().st_size for name in note["sizes"]}
        return note if note["rules"][0] == _FORMAT and sizes == note["sizes"] else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _stamp(path: Path) -> list[Any]:
    try:
        stat = path.stat()
        with path.open("rb"):  # an unreadable file is found before anything is written
            pass
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name a text file in UTF-8") from error
    if not path.is_file():
        raise InputError(f"{path}: not a regular file; write the text to a file first")
    return [str(path.resolve()), stat.st_size, stat.st_mtime_ns]


def _find(cache_dir: Path, rules: list[Any], stamps: list[list[Any]]) -> Path | None:
    """The finished folder of these files, known by path, size and time, or else by content."""
    known = []
    for folder in sorted(path.parent for path in cache_dir.glob(f"[!.]*/{_NOTE}")):
        note = _note(folder)
        if note is None or note["rules"] != rules:
            continue
        if note["stamps"] == stamps:
            return folder
        if [stamp[1] for stamp in note["stamps"]] == [stamp[1] for stamp in stamps]:
            known.append((folder, note))
    if not known:  # most often; then the text is not read for its hash alone
        return None
    digests = []
    for path, *_ in stamps:
        with Path(path).open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    for folder, note in known:
        if note["digests"] == digests:
            with contextlib.suppress(OSError):  # a folder that cannot be written is as good
                _write_note(folder, note | {"stamps": stamps})
            return folder
    return None


def _write_note(folder: Path, note: dict[str, Any]) -> None:
    part = folder / f"{_NOTE}.part"
    part.write_text(json.dumps(note, indent=1) + "\n")
    part.replace(folder / _NOTE)


@contextlib.contextmanager
def _one_at_a_time(cache_dir: Path) -> Generator[None, None, None]:
    """Hold the folder's lock; the system frees it when the process dies."""
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        lock = (cache_dir / ".lock").open("w")
    except OSError as error:
        raise InputError(f"{cache_dir}: {error.strerror}; choose a folder to write into") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class _Piece(NamedTuple):
    """A part of a file that neither begins nor ends inside of a token."""

    path: Path
    offset: int  # of `data` in the unpacked text
    data: bytes
    read: int  # bytes of all files so far, as they are on disk
    begins: bool  # a file


class _Hashed:
    """A file that hashes and counts what is read of it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.digest, self.count = file, hashlib.sha256(), 0

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.digest.update(data)
        self.count += len(data)
        return data


def _read(
    files: Sequence[Path], tokens: Tokens, block_bytes: int, digests: list[str]
) -> Iterator[_Piece]:
    """The files in pieces of about `block_bytes`; their hashes are appended to `digests`."""
    before = 0
    for path in files:
        try:
            with path.open("rb") as file:
                packed = file.read(2) == b"\x1f\x8b"
                file.seek(0)
                raw = _Hashed(file)
                text = gzip.GzipFile(fileobj=cast(BinaryIO, raw)) if packed else raw
                begins, data, unpacked, more = True, b"", 0, b"-"
                while more:
                    more = text.read(block_bytes)
                    unpacked += len(more)
                    data += more
                    cut = _cut(data, tokens) if more else len(data)
                    if cut:
                        offset = unpacked - len(data)
                        piece = data[:cut]
                        if offset == 0 and piece.startswith(codecs.BOM_UTF8):
                            piece = b"   " + piece[3:]
                        yield _Piece(path, offset, piece, before + raw.count, begins)
                        begins, data = False, data[cut:]
                    elif len(data) > LONGEST_TOKEN + 200:
                        # Inside of a token that is left out: letters in its place, and its end.
                        end = len(data) - 64
                        while data[end] & 0xC0 == 0x80:
                            end += 1
                        data = b"a" * (LONGEST_TOKEN + 1) + data[end:]
        except EOFError as error:
            raise InputError(f"{path}: the gzip is cut short; fetch it again") from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"{path}: a damaged gzip ({error}); fetch it again") from error
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); check it") from error
        before += raw.count
        digests.append(raw.digest.hexdigest())


def _cut(data: bytes, tokens: Tokens) -> int:
    """A number of bytes after which no token is open; 0: `data` is one token (or begins one)."""
    cut = 1 + max(data.rfind(b"\n"), data.rfind(b" "))
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


class _Block(NamedTuple):
    """A tokenised piece: token i is `words[index[i]]`; tokens before each line end."""

    words: list[bytes]  # each at least once in index
    index: Int32[np.ndarray, "n"]
    breaks: Int64[np.ndarray, "lines"]


def _tokenise(piece: _Piece, tokens: Tokens) -> _Block:
    try:
        plain = piece.data.isascii() or not piece.data.decode()
    except UnicodeDecodeError as error:
        utf16 = piece.offset == error.start == 0 and piece.data[:2] in (b"\xff\xfe", b"\xfe\xff")
        raise InputError(
            f"{piece.path}: byte {piece.offset + error.start} is not UTF-8; convert it first: "
            f"iconv -f {'UTF-16' if utf16 else 'LATIN1'} -t UTF-8"
        ) from error
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
    block = _Block(coded.dictionary.to_pylist(), coded.indices.to_numpy(), breaks)
    return block if plain and sizes.max(initial=0) <= LONGEST_TOKEN else _refine(block, tokens)


def _refine(block: _Block, tokens: Tokens) -> _Block:
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
    return _Block(words, index, ends[block.breaks])


def _in_order(
    text: Iterable[_Piece], tokens: Tokens
) -> Generator[tuple[_Piece, _Block], None, None]:
    """Tokenise in threads, a few pieces ahead (Executor.map would read the whole text ahead)."""
    waiting: deque[tuple[_Piece, Future[_Block]]] = deque()
    with ThreadPoolExecutor(_WORKERS) as pool:
        for piece in text:
            waiting.append((piece, pool.submit(_tokenise, piece, tokens)))
            if len(waiting) > _WORKERS + 1:
                piece, block = waiting.popleft()
                yield piece, block.result()
        for piece, block in waiting:
            yield piece, block.result()


class _Vocabulary:
    """Provisional ids of words and their counts, in memory and, above `limit` bytes, on disk."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit
        self._number = itertools.count()
        self._written: list[int] = []  # number of words in each table on disk
        self._clear()

    def _clear(self) -> None:
        self._ids: defaultdict[bytes, int] = defaultdict(self._number.__next__)
        self._counts = np.zeros(1 << 12, np.int64)
        self._cost = 0

    def add(self, block: _Block) -> Int32[np.ndarray, "n"]:
        """Count a block's tokens; their provisional ids."""
        before, words = len(self._ids), block.words
        ids = np.fromiter(map(self._ids.__getitem__, words), np.int32, len(words))
        new = len(self._ids) - before
        self._cost += sum(map(len, itertools.islice(reversed(self._ids), new))) + _WORD_COST * new
        while len(self._ids) > len(self._counts):
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
        counts = np.bincount(block.index, minlength=len(words))
        np.add.at(self._counts, ids - sum(self._written), counts)
        provisional = ids[block.index]
        if self._cost > self._limit:
            self._write_out()
        return provisional

    def _in_memory(self) -> pa.Table:
        ids = np.arange(len(self._ids), dtype=np.int32) + np.int32(sum(self._written))
        words = pa.array(self._ids, pa.large_binary(), size=len(self._ids))
        counts = self._counts[: len(self._ids)]
        return pa.table({"word": words, "id": ids, "count": counts})

    def _write_out(self) -> None:
        table = self._in_memory()
        parts = np.fromiter((zlib.crc32(w) % _PARTS for w in self._ids), np.uint8, len(self._ids))
        for part in range(_PARTS):
            path = self._folder / f"table-{len(self._written)}-{part}"
            with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as out:
                out.write_table(table.filter(pa.array(parts == part)))
        self._written.append(len(self._ids))
        self._clear()

    def _tables(self) -> Iterator[pa.Table]:
        """All words with all their ids; a word is in one table only. Takes the files away."""
        if not self._written:
            yield self._in_memory()
            return
        self._write_out()
        for part in range(_PARTS):
            paths = [self._folder / f"table-{n}-{part}" for n in range(len(self._written))]
            tables = []
            for path in paths:
                with pa.OSFile(str(path), "rb") as file, pa.ipc.open_file(file) as table:
                    tables.append(table.read_all())
                path.unlink()
            yield pa.concat_tables(tables)

    def finish(
        self, min_count: int, max_vocab: int | None
    ) -> tuple[pa.Table, Int32[np.ndarray, "provisional"]]:
        """Words that are kept with their counts, and provisional id -> place in words, or -1."""
        final = np.empty(sum(self._written) + len(self._ids), np.int32)
        words, counts, kept, largest = [], [], 0, 0
        for table in self._tables():
            coded = table["word"].combine_chunks().dictionary_encode()
            sums = np.zeros(len(coded.dictionary), np.int64)
            slots = coded.indices.to_numpy()
            np.add.at(sums, slots, table["count"].to_numpy())
            keep = sums >= min_count
            largest = max(largest, sums.max(initial=0))
            final[table["id"].to_numpy()] = np.where(keep, kept + np.cumsum(keep) - 1, -1)[slots]
            words.append(coded.dictionary.filter(pa.array(keep)))
            counts.append(sums[keep])
            kept += len(counts[-1])
        if not kept:
            raise InputError(
                f"no word comes {min_count} times or more: the most frequent comes {largest} "
                "times; lower min_count or give more text"
            )
        columns = {"count": np.concatenate(counts), "word": pa.concat_arrays(words)}
        merged = pa.table(columns | {"at": np.arange(kept, dtype=np.int32)})
        del words, counts, columns  # all of them are large where the vocabulary is
        merged = merged.sort_by([("count", "descending"), ("word", "ascending")])[:max_vocab]
        places = np.full(kept + 1, -1, np.int32)  # the last one is for -1
        places[merged["at"].to_numpy()] = np.arange(len(merged))
        for first in range(0, len(final), 1 << 20):  # in place
            final[first : first + (1 << 20)] = places[final[first : first + (1 << 20)]]
        return merged, final


def _starts(breaks: Int64[np.ndarray, "lines"], size: int, tail: int) -> Int64[np.ndarray, "s"]:
    """Where sentences begin in a block of `size` tokens; `tail` tokens of one came before.

    The last is that of the sentence that is still open, also if it is before or after the block.
    """
    bounds = np.concatenate([[-tail], breaks, [size]])
    pieces = np.maximum(-(np.diff(bounds) // -LONGEST_SENTENCE), 1)  # of each line
    within = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    return np.repeat(bounds[:-1], pieces) + LONGEST_SENTENCE * within


def _write(
    files: Sequence[Path],
    cache_dir: Path,
    rules: list[Any],
    stamps: list[list[Any]],
    block_bytes: int,
    table_bytes: int,
    progress: Callable[[int, int], None] | None,
) -> Path:
    """Write the folder; the lock is held, so that what is in `.part` is of a killed process."""
    part = cache_dir / ".part"
    shutil.rmtree(part, ignore_errors=True)
    _, tokens, min_count, max_vocab, _ = rules
    total = sum(stamp[1] for stamp in stamps)
    digests: list[str] = []
    try:
        part.mkdir()
        vocabulary = _Vocabulary(part, table_bytes)
        raw = tail = 0
        with contextlib.ExitStack() as stack:
            out = stack.enter_context((part / "ids").open("wb"))
            pieces = _in_order(_read(files, tokens, block_bytes, digests), tokens)
            blocks = stack.enter_context(contextlib.closing(pieces))  # files and threads too
            for piece, block in blocks:
                ids = vocabulary.add(block)
                starts = _starts(block.breaks, len(ids), 0 if piece.begins else tail)
                tail = len(ids) - int(starts[-1])
                starts = starts[(starts >= 0) & (starts < len(ids))]
                ids[starts] = ~ids[starts]  # a negative id begins a sentence
                out.write(ids.astype("<i4", copy=False).data)
                raw += len(ids)
                if progress is not None:
                    progress(piece.read, total)
        if not raw:
            raise InputError(
                f"{', '.join(map(str, files[:3]))}: not one token in {total} bytes; give more "
                "text, or tokens=split if its words have no letters"
            )
        if [_stamp(path) for path in files] != stamps:
            raise InputError(f"{files[0]}: the text was changed while it was read; run again")
        kept, final = vocabulary.finish(min_count, max_vocab)
        with (part / "words.txt").open("wb") as out:
            for first in range(0, len(kept), 1 << 16):
                words = kept["word"][first : first + (1 << 16)].to_pylist()
                out.write(b"\n" * (first > 0) + b"\n".join(words))
        kept["count"].to_numpy().astype("<i8").tofile(part / "counts")
        _finish_ids(part / "ids", part / "starts", final)
        sizes = {path.name: path.stat().st_size for path in part.iterdir()}
        note = {"rules": rules, "stamps": stamps, "digests": digests, "raw_tokens": raw}
        _write_note(part, note | {"sizes": sizes})
        key = hashlib.sha256(json.dumps([rules, digests]).encode()).hexdigest()[:16]
        shutil.rmtree(cache_dir / key, ignore_errors=True)  # it is damaged, or was found above
        return part.rename(cache_dir / key)
    except OSError as error:
        raise InputError(
            f"{cache_dir}: cannot be written ({error.strerror}); free some space or choose "
            "another folder"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _finish_ids(ids: Path, starts: Path, final: Int32[np.ndarray, "provisional"]) -> None:
    """Turn provisional ids into final ones in place, without dropped tokens; write `starts`."""
    read = kept = sentence = last = 0
    with ids.open("r+b") as file, starts.open("wb") as out:
        while data := file.read(1 << 20):
            read += len(data)
            raw = np.frombuffer(data, "<i4")
            new = final[raw ^ (raw >> 31)]  # ~raw where raw is negative
            keep = new >= 0
            sentences = sentence + np.cumsum(raw < 0)  # the number of each token's sentence
            sentence = sentences[-1]
            new, sentences = new[keep], sentences[keep]
            begins = np.flatnonzero(np.diff(sentences, prepend=last))
            out.write((kept + begins).astype("<i8").data)
            last = sentences[-1] if len(new) else last
            file.seek(4 * kept)
            file.write(new.astype("<i4", copy=False).data)
            kept += len(new)
            file.seek(read)
        file.truncate(4 * kept)
        out.write(np.array([kept], "<i8").data)
