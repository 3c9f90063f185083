"""The word2vec experiment's work: training, evaluation, and what a run leaves behind."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxdl.cli.progress import Bar
from jaxdl.devices import processes
from jaxdl.devices.mesh import shard, shardings
from jaxdl.devices.worker import another_process, pinned, quiet_cores
from jaxdl.errors import InputError
from jaxdl.files.atomic import write_bytes, write_json
from jaxdl.files.fingerprint import of_files
from jaxdl.report import page
from jaxdl.training import checkpoint, run_folder, session
from jaxdl.training.loop import Epoch, EpochReport, Task
from jaxdl.training.step import TrainState
from jaxdl.word2vec.batches import Batches, prepared_blocks
from jaxdl.word2vec.blocks import Prepared
from jaxdl.word2vec.config import Config, block_of
from jaxdl.word2vec.dataset import (
    check_same_text,
    input_files,
    is_long,
    joined,
    open_corpus,
    read_vocabulary,
    text_doubts,
    vocabulary_of,
)
from jaxdl.word2vec.model import Tables
from jaxdl.word2vec.results import doubts, write_results
from jaxdl.word2vec.rows import ROW, epoch_line, epoch_row, is_logged, summary_of
from jaxdl.word2vec.setup import (
    check_size,
    make_step,
    optimizer_of,
    rate_of,
)
from jaxdl.word2vec.sharded_step import shard_tables, whole_tables
from jaxdl.word2vec.start import Start, read_start, start_tables
from jaxdl.word2vec.step import empty_metrics
from jaxdl.word2vec.workers import Team, hired, make_round


def train_run(
    cfg: Config,
    config: dict[str, Any],
    record: dict[str, Any] | None,
    mesh: Mesh | None,
    bar: Bar,
) -> dict[str, Any]:
    """The run from the text to the report, from where it stopped."""
    if cfg.workers > 1:
        return _train_with_workers(cfg, config, record, bar)
    cores = quiet_cores() if cfg.prefetch_process and mesh is None and is_long(cfg) else None
    if cores is None:
        return _train(cfg, config, record, mesh, bar)
    with another_process(cores[1]) as call:
        with pinned(cores[0]):
            jax.devices()  # starts XLA's threads
        return _train(cfg, config, record, None, bar, call=call)


def _train_with_workers(
    cfg: Config, config: dict[str, Any], record: dict[str, Any] | None, bar: Bar
) -> dict[str, Any]:
    cores = quiet_cores(cfg.workers) or [None] * cfg.workers
    with hired(cores) as team:
        with contextlib.nullcontext() if cores[0] is None else pinned(cores[0]):
            jax.devices()  # starts XLA's threads
        if jax.default_backend() != "cpu":
            raise InputError(f"--workers {cfg.workers}: is for a CPU; leave it out on a GPU")
        return _train(cfg, config, record, None, bar, team=team)


def _train(
    cfg: Config,
    config: dict[str, Any],
    record: dict[str, Any] | None,
    mesh: Mesh | None,
    bar: Bar,
    call: Callable[..., Iterator[Prepared]] | None = None,
    team: Team | None = None,
) -> dict[str, Any]:
    began = time.monotonic()
    block = block_of(cfg, jax.default_backend())
    if record is not None:  # a run keeps its blocks on another device
        block = int(record.get("block", block))
    cfg = dataclasses.replace(cfg, block=block)
    check_size(cfg)
    unsplit = text_doubts(cfg)
    bar.warn(unsplit)
    corpus = processes.main_process_first(lambda: open_corpus(cfg, bar))
    if record is not None:
        check_same_text(cfg.out, record, corpus)
    vocabulary = vocabulary_of(corpus)
    if cfg.extend and cfg.start_from is not None:
        vocabulary = joined(corpus, *read_vocabulary(cfg.start_from / "vocabulary.txt"))
    encoding = time.monotonic() - began
    check_size(cfg, len(vocabulary.words))
    batches = Batches(cfg, corpus, vocabulary)
    bar.line(
        f"{corpus.raw_tokens:,} words, {len(corpus.ids):,} of the vocabulary of "
        f"{len(vocabulary.words):,}, about {batches.kept:,.0f} an epoch after subsampling"
    )
    if corpus.phrases:
        each = ", ".join(f"{count:,} in pass {n}" for n, count in enumerate(corpus.phrases, 1))
        bar.line(f"phrases: {each} ({corpus.folder / 'phrases.tsv'})")
    start = cache(lambda: None if cfg.start_from is None else read_start(cfg, vocabulary))
    taken_over = None
    if record is None and (found := start()) is not None:
        count, whole = len(found.rows), len(vocabulary.words)
        taken_over = {"taken": count, "initialised": whole - count}
        text = f"{count:,} of {whole:,} words take its vectors, {whole - count:,} start at random"
        bar.line(f"{cfg.start_from}: {text}")
    if record is None and processes.is_main_process():
        record = run_folder.run_record("word2vec", config, None)
        record["corpus"] = batches.corpus_record(encoding)
        record["start"] = taken_over
        record["block"] = block
        known = corpus.digests if cfg.extend or cfg.data else ()  # the embedded text is no input
        files = input_files(cfg)
        record["inputs"] = of_files(
            files, known, [f"{corpus.raw_tokens:,} words in all"] * len(known)
        )
        lines = zip(vocabulary.words, vocabulary.counts.tolist(), strict=True)
        text = "".join(f"{word}\t{count}\n" for word, count in lines)
        write_bytes(cfg.out / "vocabulary.txt", text.encode())
        write_json(cfg.out / "run.json", record)
    task = vectors_task(cfg, batches, mesh, call, start, team)
    trained = session.train(task, cfg.out, mesh=mesh, reporter=bar)
    # Every process of a mesh computes and saves, process 0 alone records; all get the vectors.
    inputs = np.asarray(task.gather(trained.state).params["inputs"])
    if not processes.is_main_process():
        return {}
    write_results(cfg, vocabulary, inputs)
    rows = run_folder.recorded_rows(cfg.out / "metrics.jsonl", ROW)
    summary = {
        "word2vec": summary_of(rows)
        | {
            "vocabulary": len(vocabulary.words),
            "raw_words": int(corpus.raw_tokens),
            "epochs": cfg.epochs,
            "encode_seconds": encoding,
            "compile_seconds": trained.first_step_seconds,
            "seconds": sum(row["seconds"] for row in rows) + encoding,
        },
        "warnings": [*unsplit, *doubts(cfg, vocabulary, rows)],
    }
    write_json(cfg.out / "summary.json", summary)
    assert record is not None
    from jaxdl.word2vec.report import word2vec_section  # matplotlib takes long to import

    page.write_page(cfg.out / "report.html", "jaxdl", [word2vec_section(cfg.out)], record)
    return summary


def vectors_task(
    cfg: Config,
    batches: Batches,
    mesh: Mesh | None = None,
    call: Callable[..., Iterator[Prepared]] | None = None,
    given: Callable[[], Start | None] = lambda: None,
    team: Team | None = None,
) -> Task:
    """What word vectors bring to `jaxdl.training.session.train`.

    Args:
        cfg: the run.
        batches: its blocks.
        mesh: devices that share the tables.
        call: of `another_process`, which prepares the blocks; None does it here.
        given: tells from what a run that has no checkpoint starts.
        team: of --workers; a step is then a round of all of them.
    """
    layout, rows = shardings(None, mesh), len(batches.vocabulary.words)
    per_epoch, steps, optimizer = batches.per_epoch, batches.steps, optimizer_of(cfg)
    step, place = make_step(cfg, batches, optimizer, mesh), int
    if team is not None:
        per_epoch, steps = batches.epoch_rounds, batches.rounds
        step, place = make_round(cfg, batches, team), batches.first_of_round

    def rate(n: int) -> float:
        return rate_of(cfg, place(n), steps=batches.steps)

    def start(resumed: bool) -> TrainState:
        tables = start_tables(cfg, rows, None if resumed else given())
        opt_state = () if optimizer is None else optimizer.init(tables)
        return scatter(TrainState(jnp.zeros((), jnp.int32), tables._asdict(), opt_state))

    def gather(state: TrainState) -> TrainState:
        if mesh is None:
            return state
        tables = whole_tables(Tables(**state.params), rows, mesh)
        return jax.tree.map(np.asarray, state._replace(params=tables._asdict()))

    def scatter(state: TrainState) -> TrainState:
        if mesh is None:
            return state
        return state._replace(params=shard_tables(Tables(**state.params), mesh)._asdict())

    def read(first: int) -> Iterator[Any]:
        if team is not None:
            return iter(range(first, steps))
        if call is None:
            return batches.run_ahead(first)
        return call(partial(prepared_blocks, cfg, batches.corpus, batches.vocabulary, first))

    def end_epoch(epoch: Epoch) -> EpochReport:
        whole = epoch.done % per_epoch == 0
        tables = Tables(**jax.tree.map(jnp.asarray, gather(epoch.state).params))
        row = epoch_row(cfg, batches, per_epoch, epoch, tables)
        row["learning_rate"] = rate(epoch.done - 1)
        held, loss = row["heldout"]["loss"], row["train"]["loss"]
        line = epoch_line(row, cfg.epochs) if whole else ""
        return EpochReport({epoch.done: row}, loss if held is None else held, line, save=whole)

    return Task(
        step=step,
        start=start,
        metrics=lambda: shard(empty_metrics(), None if layout is None else layout.replicated),
        batches=read,
        steps=steps,
        ends=lambda done: is_logged(done, per_epoch, cfg.logs_per_epoch),
        end_epoch=end_epoch,
        learning_rate=rate,
        describe=lambda n: batches.describe(place(n)),
        score=checkpoint.Score("loss", larger_is_better=False),
        meta={"width": cfg.dim, "loss": cfg.loss, "words": rows},
        row=ROW,
        gather=gather,
        scatter=scatter,
        save_seconds=cfg.save_seconds,
        items=batches.corpus.raw_tokens / per_epoch,
        unit="words",
        epoch_steps=per_epoch,
    )
