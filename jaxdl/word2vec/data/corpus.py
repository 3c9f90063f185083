"""Text files -> a vocabulary and a folder of memory-mapped token ids, made once and reused.

The text is read once, in blocks; two threads tokenise them (NumPy on bytes, Arrow's hash table).
Tokens go to disk under provisional ids, in order of the words' first appearance; once all counts
are known, a pass over these ids drops rare words and gives the final ids in place. When the table
of words outgrows its limit it is written out and a new one begun; the tables are summed at the
end, part by part. So counts are exact at any size (word2vec.c's ReduceVocab forgets words), and
memory is bounded but for the vocabulary that is kept.
"""

import contextlib
import dataclasses
import hashlib
import json
import shutil
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from jaxtyping import Int32, Int64

from jaxdl.errors import InputError, TrainingError, writing
from jaxdl.files.atomic import write_bytes
from jaxdl.files.locks import one_at_a_time
from jaxdl.files.text import reason
from jaxdl.word2vec.choices import Encoding, Tokens
from jaxdl.word2vec.data import japanese
from jaxdl.word2vec.data.phrases import Phrase, Rules, frequent, join_all, write_phrases
from jaxdl.word2vec.data.tokens import in_order, read_pieces
from jaxdl.word2vec.data.vocabulary import Vocabulary

LONGEST_SENTENCE = 10_000  # tokens, as in gensim: a longer line is cut

_FORMAT = 1  # raise it when files or rules change: older folders are then left alone
_NOTE = "corpus.json"
NONE = Rules()  # no phrases


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """An encoded text. Arrays are little-endian and read-only; `ids` and `sentences` memory maps.

    `words`: most frequent first, equal counts by code points. `ids`: places in `words` of all
    tokens that are kept, in order. Sentence i is `ids[sentences[i]:sentences[i + 1]]`, never
    empty. `raw_tokens`: tokens before phrases, min_count and max_vocab. `digests`: sha256 of each
    file. `phrases`: how many each pass has joined; `folder` has them in phrases.tsv.
    """

    folder: Path
    words: tuple[str, ...]
    counts: Int64[np.ndarray, "v"]
    ids: Int32[np.ndarray, "n"]
    sentences: Int64[np.ndarray, "sentences_and_1"]
    raw_tokens: int
    digests: tuple[str, ...]
    phrases: tuple[int, ...] = ()

    def __reduce__(self) -> tuple[Callable[[Path], "Corpus"], tuple[Path]]:
        return open_corpus, (self.folder,)  # another process maps the files itself


def encode(
    files: Sequence[Path],
    cache_dir: Path,
    *,
    tokens: Tokens = "words",
    min_count: int = 5,
    max_vocab: int | None = None,
    encoding: Encoding = "utf-8",
    phrases: Rules = NONE,
    progress: Callable[[int, int], None] | None = None,
    block_bytes: int = 1 << 21,
    table_bytes: int = 1 << 28,
) -> Corpus:
    """Encode text files, plain or packed (by their content), into a folder in `cache_dir`.

    The text is of UTF-8 unless another `encoding` is named; packed is gzip, bzip2, xz or zstd.

    A line (ends with \\n) is a sentence. Tokens `words`: a letter, then letters and marks (Unicode
    categories L and M), with single apostrophes (' or \u2019, written ') inside; lower case;
    everything else separates. `split`: what `str.split` gives, as it is. `ja`: Japanese words, see
    `jaxdl.word2vec.data.japanese`. All leave out tokens of
    more than `LONGEST_TOKEN` bytes. Then `phrases` are joined, see `jaxdl.word2vec.data.phrases`.
    Kept are words with at least `min_count` tokens, of these the
    `max_vocab` most frequent. Done once for the same content, rules and order of files; files of
    the same path, size and time are not read again. `progress` gets (bytes read, all bytes).
    `block_bytes` and `table_bytes` bound memory and change no result.

    Raises InputError for a file that is missing, unreadable, of another encoding or damaged, for no
    token, and for no word that reaches min_count; no folder is left then.
    """
    if tokens not in get_args(Tokens) or min_count < 1 or (max_vocab is not None and max_vocab < 1):
        raise InputError(
            f"tokens={tokens!r}, min_count={min_count}, max_vocab={max_vocab}: choose one of "
            f"{', '.join(get_args(Tokens))}, and counts of at least 1"
        )
    if not files:
        raise InputError("no text file; name at least one")
    rules = [_FORMAT, tokens, min_count, max_vocab, unicodedata.unidata_version]
    rules += [] if encoding == "utf-8" else [encoding]
    rules += [japanese.versions()] if tokens == "ja" else []
    rules += [dataclasses.asdict(phrases)] if phrases.passes else []
    stamps = [_stamp(path) for path in files]
    folder = _find(cache_dir, rules, stamps)
    if folder is None:
        with one_at_a_time(cache_dir):
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
    try:
        words = tuple((folder / "words.txt").read_bytes().decode().split("\n"))
        ids, sentences = (
            np.memmap(folder / name, dtype, "r")
            for name, dtype in (("ids", "<i4"), ("starts", "<i8"))
        )
        counts = np.fromfile(folder / "counts", "<i8")
        if len(counts) != len(words) or sentences[-1] != len(ids):
            raise ValueError(f"{len(words)} words, {len(counts)} counts, {len(ids)} tokens")
    except (OSError, ValueError) as error:
        text = f"a damaged encoded corpus ({reason(error)}); delete the folder and encode again"
        raise InputError(f"{folder}: {text}") from error
    counts.setflags(write=False)
    text = note["raw_tokens"], tuple(note["digests"]), tuple(note.get("phrases", ()))
    return Corpus(folder, words, counts, ids, sentences, *text)


def _note(folder: Path) -> dict[str, Any] | None:
    """What the folder says of itself; None if it is not whole."""
    try:
        note = json.loads((folder / _NOTE).read_bytes())
        sizes = {name: (folder / name).stat().st_size for name in note["sizes"]}
        whole = note.keys() >= {"stamps", "digests", "raw_tokens"}
        return note if whole and note["rules"][0] == _FORMAT and sizes == note["sizes"] else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _stamp(path: Path) -> list[Any]:
    try:
        stat = path.stat()
        if not (path.is_file() or path.is_dir()):  # to open a pipe would wait
            raise InputError(f"{path}: not a regular file; write the text to a file first")
        with path.open("rb"):  # an unreadable file is found before anything is written
            pass
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name a text file in UTF-8") from error
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
            # A folder that cannot be written is as good.
            with contextlib.suppress(InputError, TrainingError):
                _write_note(folder, note | {"stamps": stamps})
            return folder
    return None


def _write_note(folder: Path, note: dict[str, Any]) -> None:
    write_bytes(folder / _NOTE, f"{json.dumps(note, indent=1)}\n".encode())


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
    _, tokens, min_count, max_vocab, _, *others = rules
    encoding: Encoding = next((r for r in others if r in get_args(Encoding)), "utf-8")
    phrases = next((Rules(**r) for r in others if isinstance(r, dict)), NONE)
    total = sum(stamp[1] for stamp in stamps)
    digests: list[str] = []
    try:
        part.mkdir()
        vocabulary = Vocabulary(part, table_bytes)
        raw = tail = 0
        with contextlib.ExitStack() as stack:
            out = stack.enter_context((part / "ids").open("wb"))
            pieces = in_order(read_pieces(files, tokens, block_bytes, digests, encoding), tokens)
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
        found = list[list[Phrase]]()
        if phrases.passes:
            every, final = vocabulary.finish(1, None)
            words, found = join_all(part / "ids", final, every, phrases)
            write_phrases(part / "phrases.tsv", found)
            kept, final = frequent(words, min_count, max_vocab)
        else:
            kept, final = vocabulary.finish(min_count, max_vocab)
        with (part / "words.txt").open("wb") as out:
            for first in range(0, len(kept), 1 << 16):
                words = kept["word"][first : first + (1 << 16)].to_pylist()
                out.write(b"\n" * (first > 0) + b"\n".join(words))
        kept["count"].to_numpy().astype("<i8").tofile(part / "counts")
        _finish_ids(part / "ids", part / "starts", final)
        sizes = {path.name: path.stat().st_size for path in part.iterdir()}
        note = {"rules": rules, "stamps": stamps, "digests": digests, "raw_tokens": raw}
        note |= {"phrases": [len(each) for each in found]} if found else {}
        _write_note(part, note | {"sizes": sizes})
        key = hashlib.sha256(json.dumps([rules, digests]).encode()).hexdigest()[:16]
        shutil.rmtree(cache_dir / key, ignore_errors=True)  # it is damaged, or was found above
        return part.rename(cache_dir / key)
    except OSError:
        with writing(cache_dir):
            raise
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
