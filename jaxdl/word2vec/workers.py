"""Several processes train one pair of tables, each on a core of its own: local SGD.

In each round every worker trains a copy of the tables on a part of the text of its own. Then the
copies are joined, row by row: what the workers changed is added where a row moved little, and
averaged where each of them moved it as far as it goes (`gain`). All that happens is decided by the
seed and the number of workers, so that a run resumes with the same bits.

The tables lie in memory that all processes share: the joined ones, and a copy for each worker.
"""

import contextlib
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import DupFd
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float

from jaxdl.devices.worker import started
from jaxdl.errors import TrainingError
from jaxdl.signals import waiting
from jaxdl.training.step import TrainState
from jaxdl.word2vec.batches import Batches
from jaxdl.word2vec.blocks import keep_probability
from jaxdl.word2vec.config import Config
from jaxdl.word2vec.data.corpus import Corpus
from jaxdl.word2vec.dataset import Vocabulary
from jaxdl.word2vec.model import Tables
from jaxdl.word2vec.objectives import Metrics
from jaxdl.word2vec.setup import add_metrics, make_step, rate_of
from jaxdl.word2vec.step import empty_metrics

# How much nearer a row is to where it goes after one term of the loss at a rate of 1.
CURVATURE = 0.005
PATIENCE = 5.0  # seconds for a worker to be ready, before a signal ends this process at once
_ROWS = 1024  # that are joined at once: all copies of them stay in the cache


class Job(NamedTuple):
    """What a worker is told: all of it can be sent to another process."""

    cfg: Config
    corpus: Corpus
    vocabulary: Vocabulary
    number: int  # of the worker
    first: int  # round


def gain(terms: Float[np.ndarray, " v"], rate: float, workers: int) -> Float[np.ndarray, " v"]:
    """How many times the mean of the workers' changes a row moves: from `workers` down to 1.

    A row that nears its place by the factor ``exp(-a)`` in a worker's part nears it by ``exp(-N
    a)`` in N parts one after the other; each worker has moved it by ``1 - exp(-a)`` of the way.

    Args:
        terms: of the loss that a row is in, in a part.
        rate: learning rate.
        workers: N.
    """
    a = np.maximum(CURVATURE * rate * terms, 1e-6)
    return np.expm1(-workers * a) / np.expm1(-a)


def terms_of(batches: Batches) -> tuple[Float[np.ndarray, " v"], Float[np.ndarray, " v"]]:
    """In how many terms of the loss each row of the tables is, in a part of the text, about."""
    cfg, counts = batches.cfg, batches.vocabulary.counts
    kept = counts * keep_probability(counts, cfg.subsample) / len(batches.ends)
    pairs = 2.0 * cfg.window if cfg.shrink == "fixed" else cfg.window + 1.0
    kept *= 1.0 if cfg.architecture == "cbow" else pairs  # pairs of each word
    if batches.tree is not None:
        there = np.asarray(batches.tree.signs) != 0
        nodes, each = np.asarray(batches.tree.nodes), np.where(there, kept[:, None], 0.0)
        outputs = np.bincount(nodes.ravel(), each.ravel(), minlength=len(counts))
        return kept * there.sum(1).mean(), outputs
    drawn = counts**cfg.power
    negatives = kept.sum() * cfg.negatives * drawn / drawn.sum()
    return kept * (1 + cfg.negatives), kept + negatives


class _Shared:
    """The joined tables and each worker's copy, float32 (1 + N, 2, V, D), in shared memory."""

    def __init__(self, file: int, batches: Batches) -> None:
        cfg, words = batches.cfg, len(batches.vocabulary.words)
        rows = -(-words // 16) * 16  # each table begins at 64 bytes: the device reads it in place
        shape = (1 + cfg.workers, 2, rows, cfg.dim)
        size = int(np.prod(shape)) * 4
        os.ftruncate(file, size)
        every = np.frombuffer(mmap.mmap(file, size), np.float32).reshape(shape)[:, :, :words]
        self.joined, self.copies = every[0], every[1:]

    def write(self, place: Float[np.ndarray, "2 v d"], tables: Tables) -> None:
        for table, values in zip(place, tables, strict=True):
            np.copyto(table, np.asarray(values))

    def read(self, into: Tables | None = None) -> Tables:
        """The joined tables, on the device: a copy, in the place of `into`, which is given away."""
        if into is None:
            return Tables(*(jnp.array(table, copy=True) for table in self.joined))
        joined = Tables(*(jax.device_put(table, may_alias=True) for table in self.joined))
        # Before the next copies are joined, nothing may read this memory any more.
        return jax.block_until_ready(_copied(into, joined))

    def join(self, part: int, gains: Sequence[Float[np.ndarray, " v"]]) -> None:
        """Join the rows of one of N equal parts of the tables."""
        workers, rows = len(self.copies), self.joined.shape[1]
        begin, end = (rows * n // workers for n in (part, part + 1))
        for table, gained in enumerate(gains):
            factor = (gained / workers).astype(np.float32)[:, None]
            for first in range(begin, end, _ROWS):
                some = slice(first, min(first + _ROWS, end))
                before = self.joined[table, some]
                change = self.copies[0, table, some] - before
                for copy in self.copies[1:]:
                    change += copy[table, some]
                    change -= before
                before += factor[some] * change


@partial(jax.jit, donate_argnames="into")
def _copied(into: Tables, tables: Tables) -> Tables:
    return jax.tree.map(lambda a, b: lax.dynamic_update_slice(a, b, (0, 0)), into, tables)


class _Worker:
    """One worker's part of a round, and of the joining; the one of this process is number 0."""

    def __init__(self, job: Job, batches: Batches, shared: _Shared) -> None:
        self.job, self.batches, self.shared = job, batches, shared
        self._step = make_step(job.cfg, batches, None, None)
        self._terms = terms_of(batches)

    def train(self, tables: Tables, number: int) -> tuple[Tables, Metrics]:
        """Train on this worker's part of the round `number`."""
        cfg, batches = self.job.cfg, self.batches
        state = TrainState(jnp.zeros((), jnp.int32), tables._asdict(), ())
        metrics = empty_metrics()
        for n, prepared in batches.part(number * cfg.workers + self.job.number):
            rate = rate_of(cfg, n, steps=batches.steps)
            state, metrics, _ = self._step(state, metrics, prepared, rate)
        tables = Tables(**state.params)
        self.shared.write(self.shared.copies[self.job.number], tables)
        return tables, metrics

    def join(self, number: int) -> None:
        """Join this worker's part of the rows, when all copies are written."""
        cfg = self.job.cfg
        first = self.batches.first_of_round(number)
        rate = rate_of(cfg, first, steps=self.batches.steps)
        gains = [gain(terms, rate, cfg.workers) for terms in self._terms]
        self.shared.join(self.job.number, gains)


def _serve(pipe: Connection, file: Any) -> None:
    """A worker of another process: it does as the first one says, until that has gone."""
    try:
        job: Job = pipe.recv()
        batches = Batches(job.cfg, job.corpus, job.vocabulary)
        worker = _Worker(job, batches, _Shared(file.detach(), batches))
        tables = None
        for number in range(job.first, batches.rounds):
            tables, metrics = worker.train(worker.shared.read(tables), number)
            pipe.send(jax.tree.map(np.asarray, metrics))
            pipe.recv()  # all copies are written
            worker.join(number)
            pipe.send(None)
            pipe.recv()  # all rows are joined
    except (EOFError, OSError):
        pass  # the process that saves and reports has gone


class Other(NamedTuple):
    """A worker's process."""

    pipe: Connection
    process: BaseProcess


class Team(NamedTuple):
    """The processes of all workers but the first, which this process is."""

    others: Sequence[Other]
    file: int  # of the shared memory


@contextlib.contextmanager
def hired(cores: Sequence[int | None]) -> Iterator[Team]:
    """Start the other workers; they import what they need while this process reads the text.

    Args:
        cores: of each worker, this process' first; None: any.
    """
    with contextlib.ExitStack() as stack:
        file = os.memfd_create("jaxdl-word2vec")
        stack.callback(os.close, file)
        others = [
            Other(*stack.enter_context(started(_serve, core, DupFd(file)))) for core in cores[1:]
        ]
        yield Team(others, file)


def make_round(
    cfg: Config, batches: Batches, team: Team
) -> Callable[..., tuple[TrainState, Metrics, jax.Array]]:
    """The step of `loop.fit`: a round of all workers; its batch is the round's number."""

    def job(number: int, first: int) -> Job:
        return Job(cfg, batches.corpus, batches.vocabulary, number, first)

    shared = _Shared(team.file, batches)
    own = _Worker(job(0, 0), batches, shared)
    begun = False

    def begin(tables: Tables, first: int) -> None:
        nonlocal begun
        shared.write(shared.joined, tables)
        for number, other in enumerate(team.others, 1):
            other.pipe.send(job(number, first))
        begun = True

    def run(state, metrics, number, rate):
        tables = Tables(**state.params)
        if not begun:
            begin(tables, number)
        tables, sums = own.train(tables, number)
        for other in team.others:
            sums, _ = add_metrics(sums, jax.tree.map(jnp.asarray, _hear(other)))
        _tell(team)
        own.join(number)
        for other in team.others:
            _hear(other)
        _tell(team)
        metrics, loss = add_metrics(metrics, sums)
        return TrainState(state.step + 1, shared.read(tables)._asdict(), ()), metrics, loss

    return run


def _hear(other: Other) -> Any:
    """What a worker has to tell; TrainingError if its process has gone."""
    try:
        if not other.pipe.poll(PATIENCE):
            with waiting():  # it may be stopped
                return other.pipe.recv()
        return other.pipe.recv()
    except (EOFError, OSError) as error:
        other.process.join()
        raise TrainingError(
            f"a worker's process ended with status {other.process.exitcode}; "
            "run the same command to resume"
        ) from error


def _tell(team: Team) -> None:
    for other in team.others:
        try:
            other.pipe.send(None)
        except OSError:
            _hear(other)
