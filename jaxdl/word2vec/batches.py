"""The steps of a word2vec run by number: blocks of a part of the text."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int64

from jaxdl.errors import InputError
from jaxdl.word2vec.blocks import Prepared, Stream, keep_probability, prepare, subsample
from jaxdl.word2vec.config import Config, block_of
from jaxdl.word2vec.data.corpus import Corpus
from jaxdl.word2vec.dataset import Vocabulary
from jaxdl.word2vec.huffman import HuffmanTree, huffman_tree
from jaxdl.word2vec.negative_sampling import UnigramTable, unigram_table
from jaxdl.word2vec.objectives import Objective

PART = 1 << 20  # tokens that lie on the device at once; subsampled while others are trained on
SHARE = 1 << 19  # of several workers, which join what they learnt after each part
DISPATCH = 400  # blocks of a dispatch, about


NONE = np.zeros(0, np.int64)  # sentences


def held_sentences(corpus: Corpus, every: int) -> Int64[np.ndarray, "n"]:
    """The sentences that are kept out of training, by their numbers: one in `every`.

    Sentences with a word that comes in such sentences alone are trained on: it would keep its
    random start.
    """
    starts = np.asarray(corpus.sentences)
    held = np.arange(every // 2, len(starts) - 1, every)
    parts = [np.asarray(corpus.ids[starts[i] : starts[i + 1]]) for i in held]
    counts = np.bincount(np.concatenate([NONE, *parts]), minlength=len(corpus.words))
    lost = (counts > 0) & (counts == corpus.counts)
    return held[np.array([not lost[part].any() for part in parts], bool)]


class Batches:
    """The steps of a run by number: step n is a dispatch of blocks of a part of an epoch.

    Everything follows from (seed, n), so that a run resumes at any step.
    """

    def __init__(self, cfg: Config, corpus: Corpus, vocabulary: Vocabulary) -> None:
        self.cfg, self.corpus, self.vocabulary = cfg, corpus, vocabulary
        self.objective = Objective(
            loss=cfg.loss,
            architecture=cfg.architecture,
            orientation=cfg.orientation,
            window=cfg.window,
            group=cfg.group,
            shared=cfg.shared_negatives,
            negatives=cfg.negatives,
            masked=cfg.masked,
        )
        keep = keep_probability(vocabulary.counts, cfg.subsample)
        self.programs: dict[Any, Any] = {}
        self.ids, self.starts = corpus.ids, np.asarray(corpus.sentences)
        count = len(self.ids)
        every = max(20, count // cfg.held_out) if cfg.held_out else 0
        self.held = held_sentences(corpus, every) if 0 < every < len(self.starts) else NONE
        sizes, n = [], cfg.workers
        if n > 1 and count < n * max(n, block_of(cfg)):
            raise InputError(f"--workers {n}: the text has {count} words to train on; leave it out")
        # As many parts for each worker.
        parts = -(-count // PART) if n == 1 else n * -(-count // (n * SHARE))
        self.length = PART if n == 1 else -(-count // parts)
        for part in range(parts):
            some = self.ids[part * self.length : (part + 1) * self.length]
            chance = keep[vocabulary.rows[some]]
            # Six deviations above the mean: no token is left over in practice.
            sizes.append(chance.sum() + 6 * np.sqrt((chance * (1 - chance)).sum()))
        blocks = np.ceil(np.array(sizes) / block_of(cfg))
        self.kept = float(sum(sizes))
        self.blocks = int(np.max(np.ceil(blocks / np.ceil(blocks / DISPATCH))))
        ends = np.cumsum(np.ceil(blocks / self.blocks).astype(int))
        self.ends, self.per_epoch = ends, int(ends[-1])
        self.keep = jnp.asarray(keep, jnp.float32)
        self.table: UnigramTable = unigram_table(vocabulary.counts, cfg.power)
        self.tree: HuffmanTree | None = None
        if cfg.loss == "hierarchical-softmax":
            self.tree = huffman_tree(vocabulary.counts)

    @property
    def steps(self) -> int:
        return self.per_epoch * self.cfg.epochs

    def place(self, n: int) -> tuple[int, int, int]:
        """Epoch, part and number within the part of step n, all from 0."""
        epoch, within = divmod(n, self.per_epoch)
        part = int(np.searchsorted(self.ends, within, side="right"))
        return epoch, part, within - (int(self.ends[part - 1]) if part else 0)

    def describe(self, n: int) -> str:
        """Where in the text a step is, for an error message."""
        epoch, part, within = self.place(n)
        share = within / int(np.diff(self.ends, prepend=0)[part])
        at = (part + share) * self.length if len(self.ends) > 1 else share * len(self.ids)
        return f"epoch {epoch + 1}, near token {at:,.0f}"

    def _part(self, part: int) -> tuple[jax.Array, jax.Array]:
        """Token rows and sentence numbers of a part; held-out sentences are negative."""
        begin, end = part * self.length, min((part + 1) * self.length, len(self.ids))
        ids = self.vocabulary.rows[self.ids[begin:end]]
        first = int(np.searchsorted(self.starts, begin, side="right")) - 1
        last = int(np.searchsorted(self.starts, end, side="left"))
        lengths = np.diff(np.clip(self.starts[first : last + 1], begin, end))
        numbers = np.arange(first, last, dtype=np.int32)
        ends = np.searchsorted(self.held, (first, last))
        numbers[self.held[slice(*ends)] - first] = -1
        sentences = np.repeat(numbers, lengths)
        if len(self.ends) > 1:  # one shape for all parts, so that one program does
            ids = np.pad(ids, (0, self.length - len(ids)))
            sentences = np.pad(sentences, (0, self.length - len(sentences)), constant_values=-1)
        return jnp.asarray(ids), jnp.asarray(sentences)

    def run_ahead(self, first: int) -> Iterator[Prepared]:
        """The prepared blocks of step `first` and those after it."""
        root = jax.random.key(self.cfg.seed)
        held: tuple[int, Any] = (-1, None)

        def begin(n: int) -> tuple[tuple[int, int], Any, Any]:
            """(epoch, part) of step n, the part's key, and what chance leaves of its tokens."""
            nonlocal held
            epoch, part, _ = self.place(n)
            if held[0] != part:
                held = part, self._part(part)
            key = jax.random.fold_in(root, epoch * len(self.ends) + part)
            return (epoch, part), key, self._subsampled(jax.random.fold_in(key, 0), *held[1])

        current, following = begin(first), None
        for n in range(first, self.steps):
            epoch, part, within = self.place(n)
            if current[0] != (epoch, part):
                assert following is not None
                current, following = following, None
            yield self._prepared(current[2], current[1], within * self.blocks)
            if following is None:
                # The next part is begun while blocks of this one wait to be trained on.
                after = epoch * self.per_epoch + int(self.ends[part])
                following = begin(after) if after < self.steps else None

    @property
    def epoch_rounds(self) -> int:
        """Of several workers, each of which trains on a part of the text in a round."""
        return len(self.ends) // self.cfg.workers

    @property
    def rounds(self) -> int:
        """Of all epochs."""
        return self.epoch_rounds * self.cfg.epochs

    def first_step(self, part: int) -> int:
        """The number of a part's first step; parts are counted through all epochs."""
        epoch, within = divmod(part, len(self.ends))
        return epoch * self.per_epoch + (int(self.ends[within - 1]) if within else 0)

    def first_of_round(self, number: int) -> int:
        """The number of the first worker's first step."""
        return self.first_step(number * self.cfg.workers)

    def part(self, number: int) -> Iterator[tuple[int, Prepared]]:
        """The steps of a part by their numbers, and their prepared blocks."""
        key = jax.random.fold_in(jax.random.key(self.cfg.seed), number)
        ids, sentences = self._part(number % len(self.ends))
        stream = self._subsampled(jax.random.fold_in(key, 0), ids, sentences)
        first = self.first_step(number)
        for n in range(first, self.first_step(number + 1)):
            yield n, self._prepared(stream, key, (n - first) * self.blocks, care=3)

    def _subsampled(self, *given: jax.Array, care: int = 1) -> Stream:
        static = {"window": self.cfg.window, "shrink": self.cfg.shrink, "size": block_of(self.cfg)}
        return self._call(subsample, care, (*given, self.keep), static)

    def _prepared(
        self, stream: Stream, key: jax.Array, first: int, care: int = 1, **static: Any
    ) -> Prepared:
        """Blocks `first` and after it; `key` is the part's."""
        given = stream, self.table, self.tree, jax.random.fold_in(key, 1), jnp.asarray(first)
        static = {"blocks": self.blocks, "cap": self.cfg.max_terms or None} | static
        static |= {"objective": self.objective, "size": block_of(self.cfg)}
        return self._call(prepare, care, given, static)

    def _call(self, function: Any, care: int, given: tuple, static: dict[str, Any]) -> Any:
        """``function(*given, **static)``; on a CPU compiled with so much care, 0 to 3.

        With 1 `prepare` is there half a second earlier and takes half as long again, which costs
        nothing where another process prepares; with 0 it is another half a second, which pays where
        it runs once.
        """
        if jax.default_backend() != "cpu":
            return function(*given, **static)
        if (function, care) not in self.programs:
            options = {"xla_backend_optimization_level": care}
            lowered = function.lower(*given, **static)
            self.programs[function, care] = lowered.compile(compiler_options=options)
        return self.programs[function, care](*given)

    @cached_property
    def held_out(self) -> Prepared | None:
        """The held-out sentences, subsampled and prepared with a key of their own."""
        if not len(self.held):
            return None
        cfg = self.cfg
        most = min(cfg.held_out, 2000 if cfg.loss == "full-softmax" else cfg.held_out)
        parts = [self.ids[self.starts[i] : self.starts[i + 1]] for i in self.held]
        ids = self.vocabulary.rows[np.concatenate(parts)][:most]
        sentences = np.repeat(np.arange(len(parts), dtype=np.int32), [len(p) for p in parts])[:most]
        key, given = jax.random.key(0), (jnp.asarray(ids), jnp.asarray(sentences))
        stream = self._subsampled(key, *given, care=0)  # the same for all seeds
        blocks = -(-len(ids) // block_of(cfg))
        return self._prepared(stream, key, 0, care=0, blocks=blocks, cap=None)

    def corpus_record(self, seconds: float) -> dict[str, Any]:
        """What the run's record and report say of the text."""
        files = [path.name for path in (self.cfg.extend or self.cfg.data)]
        return {
            "files": files or ["docstrings of the installed packages"],
            "raw_words": int(self.corpus.raw_tokens),
            "kept_words": len(self.ids),
            "vocabulary": len(self.vocabulary.words),
            "sentences": len(self.starts) - 1,
            "sha256": list(self.corpus.digests),
            "seconds": seconds,
        }


def prepared_blocks(
    cfg: Config, corpus: Corpus, vocabulary: Vocabulary, first: int
) -> Iterator[Prepared]:
    """`Batches.run_ahead`, from what another process can be given."""
    return Batches(cfg, corpus, vocabulary).run_ahead(first)
