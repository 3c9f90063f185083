"""The word2vec experiment's text: vocabulary, parts, and the blocks of each step, run ahead."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError
from jaxdl.files.text import reason
from jaxdl.report import reading
from jaxdl.training.steps import newest_sums
from jaxdl.word2vec.config import Config
from jaxdl.word2vec.data.corpus import Corpus, encode
from jaxdl.word2vec.data.docstrings import write_docstrings
from jaxdl.word2vec.data.opened import is_unsplit, sample
from jaxdl.word2vec.data.phrases import Rules

LONG_RUN = 2e7  # bytes of text in all epochs, from which on a second process is worth its start


@dataclasses.dataclass(frozen=True, slots=True)
class Vocabulary:
    """Words by falling count, and the row of each of the corpus' words."""

    words: tuple[str, ...]
    counts: np.ndarray  # int64
    rows: np.ndarray  # int32: row of each word of the corpus


def is_long(cfg: Config) -> bool:
    """Whether the run is worth another process, which takes some seconds to start."""
    files = cfg.extend or cfg.data
    return not files or sum(path.stat().st_size for path in files) * cfg.epochs > LONG_RUN


def input_files(cfg: Config) -> list[Path]:
    """What decides the result besides the configuration; the embedded text not being a file."""
    start, given = list[Path](), cfg.start_from
    if given is not None and given.is_dir():
        start = [given / "vocabulary.txt", *newest_sums(given / "checkpoints")]
    elif given is not None:
        start = [given]
    return [*(cfg.extend or cfg.data), *start]


def open_corpus(cfg: Config, bar: Bar) -> Corpus:
    """The text encoded, made once and found again."""
    files = cfg.extend or cfg.data
    if not files:
        with bar.task("embedded text") as progress:
            files = (write_docstrings(cfg.data_dir / "docstrings.txt", progress),)
    with bar.task("encoding") as progress:
        return encode(
            files,
            cfg.data_dir / "corpora",
            tokens=cfg.tokens,
            encoding=cfg.encoding,
            phrases=Rules(cfg.phrases, cfg.phrases_min_count, cfg.phrases_threshold),
            min_count=cfg.min_count,
            max_vocab=cfg.max_vocab,
            progress=progress,
        )


def text_doubts(cfg: Config) -> list[str]:
    """Why the words of a text are not its words; mostly nothing."""
    for path in (cfg.extend or cfg.data) if cfg.tokens != "ja" else ():
        if is_unsplit(sample(path, cfg.encoding)):
            return [
                f"{path}: Japanese or Chinese without blanks between the words: whole sentences "
                "count as words; use --tokens ja for Japanese; for Chinese put a blank between "
                "words first, as jieba does, and use --tokens split"
            ]
    return []


def check_same_text(out: Path, record: dict[str, Any], corpus: Corpus) -> None:
    """Refuse to resume with another text: its words would get the rows of others.

    For files the record's "inputs" show it beforehand; the embedded text changes with the packages.
    """
    was = reading.part(record, "corpus").get("sha256")
    if was is not None and was != list(corpus.digests):
        raise InputError(
            f"{out}: the text is not what it was when this run began; restore it (the embedded "
            "text changes with the installed packages), name another folder with --out, or use "
            "--overwrite"
        )


def vocabulary_of(corpus: Corpus) -> Vocabulary:
    """The corpus' own."""
    rows = np.arange(len(corpus.words), dtype=np.int32)
    return Vocabulary(corpus.words, np.asarray(corpus.counts), rows)


def joined(corpus: Corpus, words: tuple[str, ...], counts: np.ndarray) -> Vocabulary:
    """The words of an earlier run and those of a new text, with their counts added."""
    place = {word: row for row, word in enumerate(words)}
    new = [word for word in corpus.words if word not in place]
    place |= {word: len(words) + n for n, word in enumerate(new)}
    at = np.array([place[word] for word in corpus.words])
    total = np.concatenate([counts, np.zeros(len(new), np.int64)])
    total[at] += corpus.counts
    order = np.argsort(-total, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    every = (*words, *new)
    return Vocabulary(tuple(every[i] for i in order), total[order], rank[at].astype(np.int32))


def read_vocabulary(path: Path) -> tuple[tuple[str, ...], np.ndarray]:
    """Words and counts of a run's vocabulary.txt."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
        words, counts = zip(*(line.rsplit("\t", 1) for line in lines), strict=True)
        found = np.array([int(count) for count in counts], np.int64)
        if found.min() < 1 or len(set(words)) != len(words):
            raise ValueError("a word twice, or a count below 1")
        return words, found
    except (OSError, OverflowError, ValueError) as error:
        raise InputError(f"{path}: no vocabulary of a finished run ({reason(error)})") from error
