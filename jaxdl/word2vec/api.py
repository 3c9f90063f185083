"""`Word2Vec` with the names, the defaults and the meanings of gensim 4's, on this package's steps.

It holds tables, vocabulary and options; each method is one call of public functions. Nothing is
printed or changed in the process. jaxdl/word2vec/README.md has what differs.
"""

import dataclasses
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxdl.cli.options import check_ranges
from jaxdl.errors import InputError
from jaxdl.word2vec import model_file
from jaxdl.word2vec.config import Config, check_blocks
from jaxdl.word2vec.data.corpus import Corpus, encode
from jaxdl.word2vec.data.sentences import (
    BLANK,
    paths_of,
    read_sentences,
    write_sentences,
)
from jaxdl.word2vec.dataset import Vocabulary, joined, vocabulary_of
from jaxdl.word2vec.fit import counted, fit, tables_for
from jaxdl.word2vec.gensim_options import check_loss, check_others
from jaxdl.word2vec.keyed_vectors import KeyedVectors
from jaxdl.word2vec.vectors import Vectors


class Word2Vec:
    """Word vectors from sentences; see gensim's class of the name.

    Args:
        sentences: lists of tokens; any iterable of them, which is read once a training.
        corpus_file: a text file or several, a sentence a line, tokens between blanks.
        vector_size: length of a vector.
        alpha: initial learning rate; it falls linearly to `min_alpha`.
        window: the farthest context is so many words away.
        min_count: words that occur less often are left out.
        sample: words above this share of the text are dropped by chance.
        seed: of the start, subsampling, windows and negatives.
        min_alpha: learning rate at the end.
        sg: 1 is skip-gram, 0 CBOW.
        hs: 1 is the hierarchical softmax; then give negative=0.
        negative: negative samples for a pair.
        ns_exponent: negatives are drawn in proportion to count ** ns_exponent.
        cbow_mean: 1, the mean of the context; 0 is not supported.
        epochs: passes over the text.
        max_final_vocab: the vocabulary has so many words at most, the most frequent ones.
        shrink_windows: draw the window for each word from 1..window.
        callbacks: objects with on_train_begin, on_epoch_begin, on_epoch_end, on_train_end(model).
        **others: gensim's other options: workers and the like change nothing here, as results do
            not depend on the machine; the rest are refused with what to use instead.

    Attributes:
        losses: mean loss of a pair in each epoch that was trained.
        corpus_count: sentences, with a word that was kept, of the last text that was counted; 0 in
            a model that was loaded.
        corpus_total_words: its words.

    Raises:
        InputError: an option or sentences that cannot be trained with.
    """

    corpus_count = corpus_total_words = 0

    def __init__(
        self,
        sentences: Iterable[Any] | None = None,
        corpus_file: str | Path | Sequence[str | Path] | None = None,
        vector_size: int = 100,
        alpha: float | int = 0.025,
        window: int = 5,
        min_count: int = 5,
        sample: float | int = 1e-3,
        seed: int = 1,
        min_alpha: float | int = 1e-4,
        sg: int = 0,
        hs: int = 0,
        negative: int = 5,
        ns_exponent: float | int = 0.75,
        cbow_mean: int = 1,
        epochs: int = 5,
        max_final_vocab: int | None = None,
        shrink_windows: bool = True,
        callbacks: Sequence[Any] = (),
        **others: Any,
    ) -> None:
        check_others(others)
        check_loss(hs, negative, cbow_mean)
        self._cfg = Config(
            tokens="split",
            min_count=min_count,
            max_vocab=max_final_vocab,
            loss="hierarchical-softmax" if hs else "negative-sampling",
            architecture="skip-gram" if sg else "cbow",
            dim=vector_size,
            window=window,
            shrink="each" if shrink_windows else "fixed",
            negatives=negative or 5,
            power=float(ns_exponent),
            subsample=float(sample),
            epochs=epochs,
            learning_rate=float(alpha),
            end_learning_rate=float(min_alpha),
            block=max(32, -(-window // 16) * 16),
            held_out=0,
            logs_per_epoch=1,
            prefetch_process=False,
            seed=seed,
        )
        check_ranges(self._cfg)
        check_blocks(self._cfg)
        self.losses: list[float] = []
        self._vocabulary: Vocabulary | None = None
        self._tables: tuple[np.ndarray, np.ndarray] | None = None
        self._trainings = 0
        self._wv: KeyedVectors | None = None
        if sentences is None and corpus_file is None:
            return
        with tempfile.TemporaryDirectory(prefix="jaxdl-") as folder:
            corpus = self._counted(Path(folder), sentences, corpus_file)
            self._take_vocabulary(vocabulary_of(corpus))
            self._fit(corpus, self._cfg, callbacks)

    @property
    def wv(self) -> KeyedVectors:
        """The trained vectors; training starts from them, changed or not."""
        if self._wv is None:
            vocabulary, (inputs, _) = self._built()
            self._wv = KeyedVectors.of(Vectors(vocabulary.words, inputs), vocabulary.counts)
        return self._wv

    @property
    def vector_size(self) -> int:
        """Length of a vector."""
        return self._cfg.dim

    @property
    def epochs(self) -> int:
        """Passes over the text of a training that is not told otherwise."""
        return self._cfg.epochs

    def build_vocab(
        self,
        corpus_iterable: Iterable[Any] | None = None,
        corpus_file: str | Path | Sequence[str | Path] | None = None,
        update: bool = False,
        **others: Any,
    ) -> None:
        """Count the words. With `update` new words join, and all keep their vectors and counts.

        Raises:
            InputError: no word comes min_count times, the sentences are none, or another option of
                gensim's is not supported.
        """
        check_others(others)
        with tempfile.TemporaryDirectory(prefix="jaxdl-") as folder:
            corpus = self._counted(Path(folder), corpus_iterable, corpus_file)
            old = self._built()[0] if update else None
            found = joined(corpus, old.words, old.counts) if old else vocabulary_of(corpus)
            self._take_vocabulary(found, update)

    def build_vocab_from_freq(
        self, word_freq: dict[str, int], *, update: bool = False, **others: Any
    ) -> None:
        """As `build_vocab`, from the counts of the words."""
        check_others(others)
        old = self._built()[0] if update else None
        self._take_vocabulary(counted(self._cfg, word_freq, old), update)

    def train(
        self,
        corpus_iterable: Iterable[Any] | None = None,
        corpus_file: str | Path | Sequence[str | Path] | None = None,
        *,
        epochs: int | None = None,
        start_alpha: float | int | None = None,
        end_alpha: float | int | None = None,
        callbacks: Sequence[Any] = (),
        **totals: Any,
    ) -> tuple[int, int]:
        """Train on sentences; words that the vocabulary lacks are left out.

        Args:
            corpus_iterable: lists of tokens.
            corpus_file: a text file or several instead.
            epochs: passes over the text; None: the model's.
            start_alpha: initial learning rate; None: the model's.
            end_alpha: learning rate at the end.
            callbacks: see the class.
            **totals: gensim's total_examples and the like, which are not needed.

        Returns:
            Words trained on after subsampling, about, and words read; both over all epochs.
        """
        vocabulary, _ = self._built()
        changed: dict[str, Any] = {
            "epochs": epochs,
            "learning_rate": None if start_alpha is None else float(start_alpha),
            "end_learning_rate": None if end_alpha is None else float(end_alpha),
            "min_count": 1,
        }
        cfg = dataclasses.replace(
            self._cfg, max_vocab=None, **{k: v for k, v in changed.items() if v is not None}
        )
        check_ranges(cfg)
        with tempfile.TemporaryDirectory(prefix="jaxdl-") as folder:
            if corpus_file is not None:
                corpus_iterable = read_sentences(paths_of(corpus_file))
            known = frozenset(vocabulary.words)
            corpus = self._encoded(Path(folder), corpus_iterable, None, cfg, known)
            return self._fit(corpus, cfg, callbacks)

    def get_latest_training_loss(self) -> float:
        """Mean loss of a pair in the last epoch: the loss that is trained, over all its pairs."""
        return self.losses[-1] if self.losses else 0.0

    def save(self, path: str | Path) -> None:
        """Write the model for more training; see `jaxdl.word2vec.model_file.save`."""
        vocabulary, tables = self._built()
        model_file.save(Path(path), self._cfg, vocabulary, tables, self.losses, self._trainings)

    @classmethod
    def load(cls, path: str | Path) -> "Word2Vec":
        """What `save` wrote; see `jaxdl.word2vec.model_file.load`."""
        model, found = cls(), model_file.load(Path(path))
        model._cfg, model._vocabulary, model._tables = found.cfg, found.vocabulary, found.tables
        model.losses, model._trainings = found.losses, found.trainings
        return model

    def _built(self) -> tuple[Vocabulary, tuple[np.ndarray, np.ndarray]]:
        if self._vocabulary is None or self._tables is None:
            raise InputError("the model has no vocabulary: give sentences, or call build_vocab")
        if self._wv is None:
            return self._vocabulary, self._tables
        if tuple(self._wv) != self._vocabulary.words:
            raise InputError("model.wv got words that were not counted; call build_vocab")
        return self._vocabulary, (self._wv.vectors, self._tables[1])

    def _take_vocabulary(self, vocabulary: Vocabulary, update: bool = False) -> None:
        """New tables; with `update` words that were there keep their rows of the old ones."""
        before = self._built() if update else None
        self._tables = tables_for(self._cfg, vocabulary, before)
        self._vocabulary, self._wv = vocabulary, None

    def _counted(self, folder: Path, sentences: Iterable[Any] | None, corpus_file: Any) -> Corpus:
        corpus = self._encoded(folder, sentences, corpus_file)
        self.corpus_count = len(corpus.sentences) - 1
        self.corpus_total_words = corpus.raw_tokens
        return corpus

    def _encoded(
        self,
        folder: Path,
        sentences: Iterable[Any] | None,
        corpus_file: Any,
        cfg: Config | None = None,
        known: frozenset[str] | None = None,
    ) -> Corpus:
        if (sentences is None) == (corpus_file is None):
            raise InputError("give sentences or corpus_file, one of them")
        cfg, files = cfg or self._cfg, ()
        if corpus_file is not None:
            files = paths_of(corpus_file)
        else:
            assert sentences is not None
            files = (write_sentences(folder / "sentences.txt", sentences, known),)
        corpus = encode(
            files, folder, tokens="split", min_count=cfg.min_count, max_vocab=cfg.max_vocab
        )
        words = tuple(word.replace(BLANK, " ") for word in corpus.words)
        return dataclasses.replace(corpus, words=words)

    def _fit(self, corpus: Corpus, cfg: Config, callbacks: Sequence[Any]) -> tuple[int, int]:
        """Train the present tables; the first training draws what the command does."""
        vocabulary, tables = self._built()

        def call(name: str) -> None:
            for callback in callbacks:
                if (method := getattr(callback, name, None)) is not None:
                    method(self)

        def end_epoch(loss: float, tables: tuple[np.ndarray, np.ndarray], last: bool) -> None:
            self.losses.append(loss)
            self._tables, self._wv = tables, None
            call("on_epoch_end")
            if not last:
                call("on_epoch_begin")

        cfg = dataclasses.replace(cfg, seed=cfg.seed + self._trainings)
        call("on_train_begin")
        call("on_epoch_begin")
        counts = fit(cfg, corpus, vocabulary, tables, end_epoch)
        self._trainings += 1
        call("on_train_end")
        return counts
