"""A word2vec model for more training, as one .npz: tables, words, counts, options. No pickles."""

import dataclasses
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxdl.cli.options import check_ranges
from jaxdl.errors import InputError
from jaxdl.files.atomic import plain, write_bytes
from jaxdl.files.text import reason
from jaxdl.word2vec.config import Config
from jaxdl.word2vec.data.sentences import BLANK
from jaxdl.word2vec.dataset import Vocabulary

# Options that the model holds; the rest say where and how a command runs.
OPTIONS = (
    *("tokens", "min_count", "max_vocab", "loss", "architecture", "dim", "window", "shrink"),
    *("negatives", "power", "subsample", "epochs", "learning_rate", "end_learning_rate", "block"),
    *("held_out", "logs_per_epoch", "prefetch_process", "seed"),
)


class Kept(NamedTuple):
    """What a file holds."""

    cfg: Config
    vocabulary: Vocabulary
    tables: tuple[np.ndarray, np.ndarray]  # inputs and outputs, float32 (V, D)
    losses: list[float]
    trainings: int


def save(
    path: Path,
    cfg: Config,
    vocabulary: Vocabulary,
    tables: tuple[np.ndarray, np.ndarray],
    losses: Sequence[float],
    trainings: int,
) -> None:
    """Write the file, whole or not at all.

    Raises:
        InputError: it cannot be written.
    """
    options = {name: plain(getattr(cfg, name)) for name in OPTIONS}
    texts = {
        "words": "\n".join(word.replace(" ", BLANK) for word in vocabulary.words),
        "state": json.dumps([options, list(losses), trainings]),
    }
    arrays = {name: np.frombuffer(text.encode(), np.uint8) for name, text in texts.items()}
    arrays |= {"inputs": tables[0], "outputs": tables[1], "counts": vocabulary.counts}
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    write_bytes(path, file.getvalue())


def load(path: Path) -> Kept:
    """Read what `save` wrote.

    Raises:
        InputError: another file, or a damaged one.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            words, state, inputs, outputs, counts = (
                arrays[name] for name in ("words", "state", "inputs", "outputs", "counts")
            )
        names = tuple(bytes(words).decode().replace(BLANK, " ").split("\n"))
        options, losses, trainings = json.loads(bytes(state))
        cfg = dataclasses.replace(Config(), **{name: options[name] for name in OPTIONS})
        check_ranges(cfg)
        shape = (len(names), cfg.dim)
        if not (inputs.shape == outputs.shape == shape and counts.shape == shape[:1]):
            raise ValueError(f"{len(names)} words, tables {inputs.shape}, {outputs.shape}")
    except (OSError, ValueError, LookupError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: is not a model that Word2Vec.save wrote ({reason(error)})"
        ) from error
    vocabulary = Vocabulary(names, counts.astype(np.int64), np.arange(len(names)))
    return Kept(cfg, vocabulary, (inputs, outputs), losses, trainings)
