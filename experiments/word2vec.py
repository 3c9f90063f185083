"""Word vectors by skip-gram with negative sampling, from the docstrings of the installed packages.

    python -m experiments.word2vec       about 40 seconds on 2 CPU cores

Negatives are drawn inside the compiled program from unigram^0.75. Expect neighbours such as float:
bfloat, longdouble; file: files. This script ends in the same bits as
`jaxdl word2vec train --preset demo`.
"""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import start
from jaxdl.cli.progress import Bar
from jaxdl.training import checkpoint, session
from jaxdl.training.loop import Epoch, EpochReport, Task
from jaxdl.training.optimizers import learning_rate
from jaxdl.training.step import TrainState
from jaxdl.word2vec.batches import Batches
from jaxdl.word2vec.config import PRESETS, Config
from jaxdl.word2vec.dataset import open_corpus, vocabulary_of
from jaxdl.word2vec.held_out import held_out_loss
from jaxdl.word2vec.keyed_vectors import KeyedVectors
from jaxdl.word2vec.model import Tables, init_tables
from jaxdl.word2vec.step import empty_metrics, train_blocks
from jaxdl.word2vec.vectors import Vectors


def experiment(cfg: Config = PRESETS["demo"]) -> KeyedVectors:
    """Train in ``cfg.out``, or resume; returns the vectors."""
    bar = Bar()
    corpus = open_corpus(cfg, bar)
    words, blocks = vocabulary_of(corpus), Batches(cfg, corpus, vocabulary_of(corpus))
    steps, per_epoch = blocks.steps, blocks.per_epoch
    bar.line(f"{corpus.raw_tokens:,} words, {len(words.words):,} of the vocabulary")

    def rate(n: int) -> float:
        ends = {"peak": cfg.learning_rate, "end": cfg.end_learning_rate}
        return learning_rate(n, steps=steps, schedule="linear", **ends)

    fall = jnp.float32((rate(0) - rate(steps)) / (steps * blocks.blocks))  # with each block

    def step(state: TrainState, sums: Any, prepared: Any, rate: float) -> tuple[Any, Any, Any]:
        """A dispatch of blocks; its loss is the mean of a pair."""
        tables, new = train_blocks(
            *(Tables(**state.params), prepared, blocks.tree, jnp.float32(rate), fall),
            objective=blocks.objective,
            sum_first=jax.default_backend() != "cpu",
        )
        loss = (new.positive + new.negative) / jnp.maximum(new.count, 1)
        sums = jax.tree.map(jnp.add, sums, new)
        return TrainState(state.step + 1, tables._asdict(), ()), sums, loss

    def begin(resumed: bool) -> TrainState:
        tables = init_tables(jax.random.key(cfg.seed), len(words.words), cfg.dim)
        return TrainState(jnp.zeros((), jnp.int32), tables._asdict(), ())

    def read(first: int) -> Iterator[Any]:
        return blocks.run_ahead(first)

    def end_epoch(epoch: Epoch) -> EpochReport:
        loss = float(epoch.metrics.positive + epoch.metrics.negative) / float(epoch.metrics.count)
        held = loss
        if blocks.held_out is not None:
            tables = Tables(**epoch.state.params)
            held, _ = held_out_loss(tables, blocks.held_out, blocks.tree, blocks.objective)
        line = f"epoch {epoch.done // per_epoch}: loss {loss:.3f}, held out {held:.3f}"
        return EpochReport({epoch.done: {"train": {"loss": loss}, "heldout": held}}, held, line)

    task = Task(
        step=step,
        start=begin,
        metrics=empty_metrics,
        batches=read,
        steps=steps,
        ends=lambda done: done % per_epoch == 0,
        end_epoch=end_epoch,
        learning_rate=rate,
        describe=blocks.describe,
        score=checkpoint.Score("loss", larger_is_better=False),
        meta={"width": cfg.dim, "loss": cfg.loss, "words": len(words.words)},
        items=corpus.raw_tokens / per_epoch,
        unit="words",
    )
    state = session.train(task, cfg.out, reporter=bar, name="word2vec").state
    vectors = KeyedVectors.of(Vectors(words.words, np.asarray(state.params["inputs"])))
    for word in (word for word in cfg.words if word in words.words):
        found = ", ".join(neighbour for neighbour, _ in vectors.most_similar(word, topn=4))
        bar.line(f"{word}: {found}")
    return vectors


if __name__ == "__main__":
    start(experiment, PRESETS["demo"], "jaxdl word2vec train")
