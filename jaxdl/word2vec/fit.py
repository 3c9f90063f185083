"""Training of word vectors in memory: no run folder, no checkpoints, nothing printed."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxdl.errors import InputError
from jaxdl.training import loop
from jaxdl.word2vec.batches import Batches
from jaxdl.word2vec.config import Config
from jaxdl.word2vec.data.corpus import Corpus
from jaxdl.word2vec.data.sentences import check_token
from jaxdl.word2vec.dataset import Vocabulary
from jaxdl.word2vec.rows import mean_losses
from jaxdl.word2vec.start import matched, outputs_fit, start_tables
from jaxdl.word2vec.train import vectors_task

NOTHING = (
    "not one pair of words was trained on: the vectors are what they were; give sentences of "
    "several words, or lower min_count or sample"
)

Arrays = tuple[np.ndarray, np.ndarray]  # inputs and outputs, float32 (V, D)


def tables_for(
    cfg: Config, vocabulary: Vocabulary, before: tuple[Vocabulary, Arrays] | None
) -> Arrays:
    """The tables of a vocabulary: a random start, but for words that had rows before."""
    start = None
    if before is not None:
        old, (inputs, outputs) = before
        fits = outputs_fit(cfg, vocabulary, old.words, old.counts)
        start = matched(vocabulary, old.words, inputs, outputs if fits else None)
    tables = start_tables(cfg, len(vocabulary.words), start)
    return np.array(tables.inputs), np.array(tables.outputs)


def counted(cfg: Config, counts: Mapping[str, int], old: Vocabulary | None) -> Vocabulary:
    """A vocabulary of counted words, and of those of an old one.

    Raises:
        InputError: no word comes min_count times, or one that is none.
    """
    kept = {word: n for word, n in counts.items() if n >= cfg.min_count}
    if not kept:
        raise InputError(f"no word comes min_count={cfg.min_count} times; lower it")
    every = {} if old is None else dict(zip(old.words, old.counts.tolist(), strict=True))
    for word, count in kept.items():
        check_token(word)
        every[word] = every.get(word, 0) + count
    ranked = sorted(every.items(), key=lambda item: (-item[1], item[0]))
    ranked = ranked[: cfg.max_vocab] if old is None else ranked
    words, numbers = zip(*ranked, strict=True)
    return Vocabulary(words, np.array(numbers, np.int64), np.arange(len(words)))


def fit(
    cfg: Config,
    corpus: Corpus,
    vocabulary: Vocabulary,
    tables: Arrays,
    end_epoch: Callable[[float, Arrays, bool], None],
) -> tuple[int, int]:
    """Train tables on a text of the vocabulary's words.

    Args:
        cfg: how; an epoch has one line of metrics.
        corpus: the text, encoded.
        vocabulary: of the tables; it has all of the corpus' words.
        tables: where to start; they stay as they are.
        end_epoch: gets the mean loss of a pair, copies of the tables, and whether it was the last.

    Returns:
        Words trained on after subsampling, about, and words read; both over all epochs.
    """
    place = {word: row for row, word in enumerate(vocabulary.words)}
    rows = np.array([place[word] for word in corpus.words], np.int32)
    batches = Batches(cfg, corpus, Vocabulary(vocabulary.words, vocabulary.counts, rows))
    task = vectors_task(cfg, batches)
    params = {name: jnp.array(a) for name, a in zip(("inputs", "outputs"), tables, strict=True)}
    pairs = 0.0

    def end(done: int, state: Any, metrics: Any) -> None:
        nonlocal pairs
        pairs += float(metrics.count)
        found = np.array(state.params["inputs"]), np.array(state.params["outputs"])
        end_epoch(mean_losses(metrics)["loss"], found, done == task.steps)

    loop.fit(
        task,
        task.start(False)._replace(params=params),
        task.metrics(),
        end_epoch=end,
        save=lambda done, state, metrics: None,
        stop=lambda: False,
        show=lambda done, loss: None,
    )
    if not pairs:
        warnings.warn(NOTHING, stacklevel=4)
    return int(batches.kept) * cfg.epochs, int(corpus.raw_tokens) * cfg.epochs
