"""The word2vec experiment's work: training, evaluation, and what a run leaves behind."""

import math
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
from jaxdl.files.atomic import write_bytes, write_json
from jaxdl.files.fingerprint import of_files
from jaxdl.report import page
from jaxdl.training import checkpoint, run_folder, session
from jaxdl.training.loop import Epoch, EpochReport, Task
from jaxdl.training.step import TrainState
from jaxdl.word2vec.batches import Batches, prepared_blocks
from jaxdl.word2vec.blocks import Prepared
from jaxdl.word2vec.config import Config
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
from jaxdl.word2vec.evaluation import in_words
from jaxdl.word2vec.held_out import held_out_loss
from jaxdl.word2vec.model import Tables
from jaxdl.word2vec.objectives import Metrics
from jaxdl.word2vec.results import doubts, evaluate, write_results
from jaxdl.word2vec.setup import (
    check_size,
    make_step,
    optimizer_of,
    rate_of,
)
from jaxdl.word2vec.sharded_step import shard_tables, whole_tables
from jaxdl.word2vec.start import Start, read_start, start_tables
from jaxdl.word2vec.step import empty_metrics

ROW = {  # of the metrics
    "train": {"loss": (float, None), "pairs": float},
    "heldout": {"loss": (float, None)},
    "raw_words_per_s": float,
    "words_per_s": float,
    "seconds": float,
    "evaluation": dict,
}


def train_run(
    cfg: Config,
    config: dict[str, Any],
    record: dict[str, Any] | None,
    mesh: Mesh | None,
    bar: Bar,
) -> dict[str, Any]:
    """The run from the text to the report, from where it stopped."""
    cores = quiet_cores() if cfg.prefetch_process and mesh is None and is_long(cfg) else None
    if cores is None:
        return _train(cfg, config, record, mesh, None, bar)
    with another_process(cores[1]) as call:
        with pinned(cores[0]):
            jax.devices()  # starts XLA's threads
        return _train(cfg, config, record, None, call, bar)


def _train(
    cfg: Config,
    config: dict[str, Any],
    record: dict[str, Any] | None,
    mesh: Mesh | None,
    call: Callable[..., Iterator[Prepared]] | None,
    bar: Bar,
) -> dict[str, Any]:
    began = time.monotonic()
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
        known = corpus.digests if cfg.extend or cfg.data else ()  # the embedded text is no input
        files = input_files(cfg)
        record["inputs"] = of_files(
            files, known, [f"{corpus.raw_tokens:,} words in all"] * len(known)
        )
        lines = zip(vocabulary.words, vocabulary.counts.tolist(), strict=True)
        text = "".join(f"{word}\t{count}\n" for word, count in lines)
        write_bytes(cfg.out / "vocabulary.txt", text.encode())
        write_json(cfg.out / "run.json", record)
    task = vectors_task(cfg, batches, mesh, call, start)
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


def summary_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the rows of metrics say of the whole training."""
    last, seconds = rows[-1], sum(row["seconds"] for row in rows)
    speeds = {
        name: sum(row[name] * row["seconds"] for row in rows) / seconds
        for name in ("raw_words_per_s", "words_per_s")
    }
    return {
        "loss": last["train"]["loss"],
        "heldout_loss": last["heldout"]["loss"],
        **speeds,
        "train_seconds": seconds,
        "evaluation": last["evaluation"],
    }


def mean_losses(sums: Metrics) -> dict[str, float]:
    """An epoch's losses of a pair, NaN if there was none, and the number of pairs."""
    count = float(sums.count) or math.nan
    parts = {"positive": float(sums.positive), "negative": float(sums.negative)}
    means = {name: value / count for name, value in parts.items()}
    return {"loss": sum(parts.values()) / count, **means, "pairs": float(sums.count)}


def epoch_line(row: dict[str, Any], epochs: int) -> str:
    """What is printed of an epoch's row of metrics."""
    held, speed = row["heldout"]["loss"], f"{row['raw_words_per_s']:,.0f} words/s"
    scores = [f"{name} {in_words(found['score'])}" for name, found in row["evaluation"].items()]
    losses = f"loss {in_words(row['train']['loss'])}, held out {in_words(held, 4)}"
    return f"epoch {row['epoch']:.0f}/{epochs}: {', '.join([losses, speed, *scores])}"


def is_logged(done: int, per_epoch: int, logs: int) -> bool:
    """Whether one of the `logs` equal parts of an epoch ends, to the nearest step, after `done`."""
    part = done * logs // per_epoch
    return any(round(per_epoch * n / logs) == done for n in (part, part + 1) if n)


def epoch_row(cfg: Config, batches: Batches, epoch: Epoch, tables: Tables) -> dict[str, Any]:
    """What the metrics record of an epoch, or of a part of it; its evaluation at the whole end."""
    held: float | None = None
    pairs, whole = 0, epoch.done % batches.per_epoch == 0
    if batches.held_out is not None:
        held, pairs = held_out_loss(tables, batches.held_out, batches.tree, batches.objective)
    per_second = epoch.steps / batches.per_epoch / epoch.seconds
    return {
        "epoch": epoch.done / batches.per_epoch,
        "train": mean_losses(epoch.metrics),
        "heldout": {"loss": held if pairs else None, "pairs": pairs},
        "raw_words_per_s": per_second * batches.corpus.raw_tokens,
        "words_per_s": per_second * batches.kept,
        "seconds": epoch.seconds,
        "evaluation": evaluate(cfg, batches.vocabulary, tables.inputs) if whole else {},
    }


def vectors_task(
    cfg: Config,
    batches: Batches,
    mesh: Mesh | None = None,
    call: Callable[..., Iterator[Prepared]] | None = None,
    given: Callable[[], Start | None] = lambda: None,
) -> Task:
    """What word vectors bring to `jaxdl.training.session.train`.

    Args:
        cfg: the run.
        batches: its blocks.
        mesh: devices that share the tables.
        call: of `another_process`, which prepares the blocks; None does it here.
        given: tells from what a run that has no checkpoint starts.
    """
    layout, rows = shardings(None, mesh), len(batches.vocabulary.words)
    per_epoch, steps = batches.per_epoch, batches.steps
    rate, optimizer = partial(rate_of, cfg, steps=steps), optimizer_of(cfg)

    def start(resumed: bool) -> TrainState:
        tables = start_tables(cfg, rows, None if resumed else given())
        opt_state = () if optimizer is None else optimizer.init(tables)
        state = TrainState(jnp.zeros((), jnp.int32), tables._asdict(), opt_state)
        return scatter(state)

    def gather(state: TrainState) -> TrainState:
        if mesh is None:
            return state
        tables = whole_tables(Tables(**state.params), rows, mesh)
        return jax.tree.map(np.asarray, state._replace(params=tables._asdict()))

    def scatter(state: TrainState) -> TrainState:
        if mesh is None:
            return state
        return state._replace(params=shard_tables(Tables(**state.params), mesh)._asdict())

    def read(first: int) -> Iterator[Prepared]:
        if call is None:
            return batches.run_ahead(first)
        return call(partial(prepared_blocks, cfg, batches.corpus, batches.vocabulary, first))

    def end_epoch(epoch: Epoch) -> EpochReport:
        whole = epoch.done % per_epoch == 0
        tables = Tables(**jax.tree.map(jnp.asarray, gather(epoch.state).params))
        row = epoch_row(cfg, batches, epoch, tables) | {"learning_rate": rate(epoch.done - 1)}
        held, loss = row["heldout"]["loss"], row["train"]["loss"]
        line = epoch_line(row, cfg.epochs) if whole else ""
        return EpochReport({epoch.done: row}, loss if held is None else held, line, save=whole)

    return Task(
        step=make_step(cfg, batches, optimizer, mesh),
        start=start,
        metrics=lambda: shard(empty_metrics(), None if layout is None else layout.replicated),
        batches=read,
        steps=steps,
        ends=lambda done: is_logged(done, per_epoch, cfg.logs_per_epoch),
        end_epoch=end_epoch,
        learning_rate=rate,
        describe=batches.describe,
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
