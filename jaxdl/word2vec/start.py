"""Where training starts: at random, or for some words from a run or a file of vectors."""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl.errors import InputError
from jaxdl.files.text import show
from jaxdl.training import checkpoint
from jaxdl.training.record import read_record
from jaxdl.word2vec.config import Config
from jaxdl.word2vec.dataset import Vocabulary, read_vocabulary
from jaxdl.word2vec.model import Tables, init_tables
from jaxdl.word2vec.vectors import load


class Start(NamedTuple):
    """Rows of the vocabulary, n of them, and what they start from, (n, D).

    `outputs` is None of a file of vectors, which has none.
    """

    rows: np.ndarray
    inputs: np.ndarray
    outputs: np.ndarray | None


def matched(
    vocabulary: Vocabulary,
    words: tuple[str, ...],
    inputs: np.ndarray,
    outputs: np.ndarray | None = None,
) -> Start:
    """The words of a vocabulary that are among `words`, whose rows the tables have, (V', D)."""
    place = {word: row for row, word in enumerate(words)}
    rows = [row for row, word in enumerate(vocabulary.words) if word in place]
    there = [place[vocabulary.words[row]] for row in rows]
    return Start(
        np.array(rows, np.int64), inputs[there], None if outputs is None else outputs[there]
    )


def outputs_fit(
    cfg: Config, vocabulary: Vocabulary, words: tuple[str, ...], counts: np.ndarray
) -> bool:
    """Whether the output rows of `words` are of use to the vocabulary.

    A hierarchical softmax's are places in its tree, not words: words and counts must be the same.
    """
    same = words == vocabulary.words and np.array_equal(counts, vocabulary.counts)
    return same or cfg.loss != "hierarchical-softmax"


def read_start(cfg: Config, vocabulary: Vocabulary) -> Start:
    """The vectors of --start-from, a run's folder or a file in any format of `vector_files`.

    A run's output rows come along if it was trained for the same loss.

    Raises:
        InputError: there are none, or they do not fit (the message names the options that do), or
            no word of the vocabulary has one.
    """
    given = cfg.start_from
    assert given is not None
    if given.is_dir():
        meta, _ = checkpoint.load_meta(given / "checkpoints")
        _check_run(cfg, given, meta["width"], meta["loss"])
        params, *_ = checkpoint.load_params(given / "checkpoints")
        words, counts = read_vocabulary(given / "vocabulary.txt")
        fit = meta["loss"] == cfg.loss and outputs_fit(cfg, vocabulary, words, counts)
        outputs = params["outputs"] if fit else None
        found = matched(vocabulary, words, params["inputs"], outputs)
    else:
        loaded = load(given)
        if (width := loaded.table.shape[1]) != cfg.dim:
            raise InputError(f"{given}: has vectors of {width} numbers; use --dim {width}")
        words, found = loaded.words, matched(vocabulary, loaded.words, loaded.table)
    if not len(found.rows):
        theirs, ours = (", ".join(map(show, some[:3])) for some in (words, vocabulary.words))
        raise InputError(
            f"{given}: has none of the text's words (it has {theirs}; the text {ours}); see "
            "--tokens and --encoding, or leave --start-from out"
        )
    return found


def _check_run(cfg: Config, run: Path, width: int, loss: str) -> None:
    """Refuse a run of another shape; one that is extended must also have made its words alike."""
    if width != cfg.dim or (cfg.extend and loss != cfg.loss):
        raise InputError(
            f"{run}: has vectors of width {width} for {loss}; use --dim {width} --loss {loss}"
        )
    if not (cfg.extend and (run / "run.json").is_file()):
        return
    was = read_record(run)["config"]
    for name in ("tokens", "phrases"):
        if (old := was.get(name, getattr(cfg, name))) != getattr(cfg, name):
            raise InputError(f"{run}: was trained with --{name} {old}; extend it with the same")


def start_tables(cfg: Config, words: int, found: Start | None) -> Tables:
    """Tables of so many words: a random start, but for the rows that were found."""
    tables = init_tables(jax.random.key(cfg.seed), words, cfg.dim)
    if found is None:
        return tables
    new = [np.array(table) for table in tables]
    new[0][found.rows] = found.inputs
    if found.outputs is not None:
        new[1][found.rows] = found.outputs
    return Tables(*map(jnp.asarray, new))
