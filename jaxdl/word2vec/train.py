"""The word2vec experiment's work: training, evaluation, and what a run leaves behind."""

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxdl.cli.progress import Bar
from jaxdl.devices import processes
from jaxdl.devices.mesh import put, shardings
from jaxdl.devices.worker import another_process, pinned, quiet_cores
from jaxdl.files.atomic import write_bytes, write_json
from jaxdl.files.fingerprint import of_files
from jaxdl.report import page
from jaxdl.training import checkpoint, loop, run_folder
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
    vocabulary_of,
)
from jaxdl.word2vec.model import Tables
from jaxdl.word2vec.objectives import Sums
from jaxdl.word2vec.results import doubts, evaluate, write_results
from jaxdl.word2vec.setup import make_step, optimizer_of, rate_of, start_tables
from jaxdl.word2vec.sharded_step import shard_tables, whole_tables
from jaxdl.word2vec.step import held_out_loss, zero_sums


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
    corpus = processes.lead_first(lambda: open_corpus(cfg, bar))
    if record is not None:
        check_same_text(cfg.out, record, corpus)
    vocabulary = vocabulary_of(corpus)
    if cfg.start_from is not None:
        vocabulary = joined(corpus, *read_vocabulary(cfg.start_from / "vocabulary.txt"))
    encoding = time.monotonic() - began
    batches = Batches(cfg, corpus, vocabulary)
    bar.line(
        f"{corpus.raw_tokens:,} words, {len(corpus.ids):,} of the vocabulary of "
        f"{len(vocabulary.words):,}, about {batches.kept:,.0f} an epoch after subsampling"
    )
    if record is None and processes.is_lead():
        record = run_folder.run_record("word2vec", config, None)
        record["corpus"] = batches.corpus_record(encoding)
        known = corpus.digests if cfg.extend or cfg.data else ()  # the embedded text is no input
        record["inputs"] = of_files(input_files(cfg), known)
        lines = zip(vocabulary.words, vocabulary.counts.tolist(), strict=True)
        text = "".join(f"{word}\t{count}\n" for word, count in lines)
        write_bytes(cfg.out / "vocabulary.txt", text.encode())
        write_json(cfg.out / "run.json", record)
    inputs, trained = _fit(cfg, batches, mesh, call, bar)
    if not processes.is_lead():
        return {}
    write_results(cfg, vocabulary, inputs)
    rows = run_folder.read_rows(cfg.out / "metrics.jsonl")
    last = rows[-1]
    seconds = sum(row["seconds"] for row in rows)
    speeds = {
        name: sum(row[name] * row["seconds"] for row in rows) / seconds
        for name in ("raw_words_per_s", "words_per_s")
    }
    summary = {
        "word2vec": {
            "loss": last["train"]["loss"],
            "heldout_loss": last["heldout"]["loss"],
            "vocabulary": len(vocabulary.words),
            "raw_words": int(corpus.raw_tokens),
            "epochs": cfg.epochs,
            **speeds,
            "train_seconds": seconds,
            "encode_seconds": encoding,
            "evaluation": last["evaluation"],
            **trained,
            "seconds": seconds + encoding,
        },
        "warnings": doubts(rows),
    }
    write_json(cfg.out / "summary.json", summary)
    assert record is not None
    from jaxdl.word2vec.report import word2vec_section  # matplotlib takes long to import

    page.write_page(cfg.out / "report.html", "jaxdl", [word2vec_section(cfg.out)], record)
    return summary


def _fit(
    cfg: Config,
    batches: Batches,
    mesh: Mesh | None,
    call: Callable[..., Iterator[Prepared]] | None,
    bar: Bar,
) -> tuple[np.ndarray, dict[str, float]]:
    """Train from the last checkpoint, if there is one, to the end; `call` of `another_process`.

    Every process of a mesh computes and saves, process 0 alone records; all get the vectors.
    """
    layout, rows = shardings(None, mesh), len(batches.vocabulary.words)
    per_epoch, steps = batches.per_epoch, batches.steps
    ends = {
        round(per_epoch * (n + 1) / cfg.logs_per_epoch)
        for n in range(cfg.logs_per_epoch * cfg.epochs)
    }

    def zero() -> Sums:
        return put(zero_sums(), None if layout is None else layout.whole)

    def gathered(params: dict[str, Any]) -> dict[str, Any]:
        """The tables as one device has them, which is how a checkpoint holds them."""
        return params if mesh is None else whole_tables(Tables(**params), rows, mesh)._asdict()

    def kept_of(state: TrainState, totals: Sums) -> dict[str, Any]:
        """What a checkpoint holds; sparse SGD has no state of its own."""
        kept = {"step": state.step, "params": gathered(state.params), "totals": totals._asdict()}
        kept = kept if state.opt_state == () else {**kept, "opt_state": state.opt_state}
        return kept if mesh is None else jax.tree.map(np.asarray, kept)

    meta = {"width": cfg.dim, "loss": cfg.loss, "words": rows}
    optimizer = optimizer_of(cfg)
    with (
        checkpoint.open_manager(cfg.out / "checkpoints", lambda m: m["score"]) as manager,
        loop.stop_on_signal() as stop,
    ):
        tables = start_tables(cfg, batches.vocabulary)
        opt_state = () if optimizer is None else optimizer.init(tables)
        step_number, totals = jnp.zeros((), jnp.int32), zero()
        if mesh is not None:
            tables = shard_tables(tables, mesh)
        state = TrainState(step_number, tables._asdict(), opt_state)
        if manager.latest_step() is not None:
            kept = checkpoint.restore(manager, kept_of(state, totals))
            params = kept["params"]
            if mesh is not None:
                params = shard_tables(Tables(**params), mesh)._asdict()
            step_number = jnp.asarray(kept["step"])
            state = TrainState(step_number, params, kept.get("opt_state", ()))
            totals = put(Sums(**kept["totals"]), None if layout is None else layout.whole)
            bar.line(f"goes on from step {int(state.step)} of {steps}")
        first = int(state.step)
        clock = {"row": time.monotonic(), "saved": time.monotonic()}
        compile_seconds = 0.0
        words = batches.kept / per_epoch
        raw = batches.corpus.raw_tokens / per_epoch
        rate = partial(rate_of, cfg, steps=steps)
        inner = make_step(cfg, batches, optimizer, mesh)
        last_end = max([0, *(end for end in ends if end <= first)])

        def step(state, totals, prepared, rate):
            nonlocal compile_seconds
            result = inner(state, totals, prepared, rate)
            if compile_seconds == 0.0:
                # The first step is left out of the speed, with the compilation that it waits for.
                jax.block_until_ready(result)
                now = time.monotonic()
                compile_seconds, clock["row"] = now - clock["row"], now
            return result

        def end_epoch(done: int, state: TrainState, totals: Sums) -> dict[str, Any]:
            nonlocal last_end
            jax.block_until_ready(state.params)
            seconds = time.monotonic() - clock["row"]
            count = max(1.0, float(totals.count))
            parts = {"positive": float(totals.positive), "negative": float(totals.negative)}
            tables = Tables(**jax.tree.map(jnp.asarray, gathered(state.params)))
            held, pairs = None, 0
            if batches.held_out is not None:
                held, pairs = held_out_loss(
                    tables, batches.held_out, batches.tree, batches.objective
                )
            whole = done % per_epoch == 0
            trained = done - max(first + 1, last_end)
            if not trained:
                trained, seconds = 1, compile_seconds
            row = {
                "epoch": done / per_epoch,
                "train": {
                    "loss": sum(parts.values()) / count,
                    **{name: value / count for name, value in parts.items()},
                    "pairs": float(totals.count),
                },
                "heldout": {"loss": held, "pairs": pairs},
                "learning_rate": rate(done - 1),
                "raw_words_per_s": trained * raw / seconds,
                "words_per_s": trained * words / seconds,
                "seconds": seconds,
                "evaluation": evaluate(cfg, batches.vocabulary, tables.inputs) if whole else {},
            }
            if recorder is not None:
                recorder.row(done, row)
            last_end = done
            if whole:
                shown = ", ".join(f"{n} {e['score']:.3f}" for n, e in row["evaluation"].items())
                bar.line(
                    f"epoch {done // per_epoch}/{cfg.epochs}: loss {row['train']['loss']:.3f}, "
                    f"held out {'-' if held is None else f'{held:.4f}'}, "
                    f"{row['raw_words_per_s']:,.0f} words/s{', ' if shown else ''}{shown}"
                )
            clock["row"] = time.monotonic()
            return {"score": -(held if held is not None else row["train"]["loss"]), "whole": whole}

        def save(done: int, state: TrainState, totals: Sums, metrics: Any) -> None:
            # Clocks differ, and all processes must save, or none.
            soon = time.monotonic() - clock["saved"] < cfg.save_seconds or jax.process_count() > 1
            if metrics is not None and not metrics["whole"] and soon:
                return
            clock["saved"] = time.monotonic()
            checkpoint.save(manager, done, kept_of(state, totals), meta, metrics)

        if call is None:
            blocks = batches.run_ahead(first)
        else:
            blocks = call(partial(prepared_blocks, cfg, batches.corpus, batches.vocabulary, first))
        with contextlib.ExitStack() as opened:
            recorder = None
            if processes.is_lead():
                recorder = opened.enter_context(run_folder.Recorder(cfg.out, first))
            show = opened.enter_context(
                bar.training("training", first, steps, per_epoch, raw, "words")
            )
            state = loop.fit(
                step,
                state,
                totals,
                blocks,
                rate=rate,
                steps=steps,
                ends=lambda done: done in ends,
                end_epoch=end_epoch,
                zero=zero,
                save=save,
                stop=stop,
                show=show,
                inputs=batches.describe,
                agree=processes.agreement(mesh),
            )
        vectors = np.asarray(gathered(state.params)["inputs"])
    return vectors, {"compile_seconds": compile_seconds}
