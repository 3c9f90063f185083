"""The rows of a word2vec run's metrics: losses, speed, evaluation; and what is printed of them."""

import math
from typing import Any

from jaxdl.training.loop import Epoch
from jaxdl.word2vec.batches import Batches
from jaxdl.word2vec.config import Config
from jaxdl.word2vec.evaluation import in_words
from jaxdl.word2vec.held_out import held_out_loss
from jaxdl.word2vec.model import Tables
from jaxdl.word2vec.objectives import Metrics
from jaxdl.word2vec.results import evaluate

ROW = {  # of the metrics
    "train": {"loss": (float, None), "pairs": float},
    "heldout": {"loss": (float, None)},
    "raw_words_per_s": float,
    "words_per_s": float,
    "seconds": float,
    "evaluation": dict,
}


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
    """Whether one of the `logs` equal parts of an epoch ends, to the nearest step, after `done`.

    A row that had the first step alone would be timed with its compilation: it waits for the next.
    """
    if done == 1 and per_epoch > 1:
        return False
    part = done * logs // per_epoch
    return any(round(per_epoch * n / logs) == done for n in (part, part + 1) if n)


def epoch_row(
    cfg: Config, batches: Batches, per_epoch: int, epoch: Epoch, tables: Tables
) -> dict[str, Any]:
    """What the metrics record of an epoch, or of a part of it; its evaluation at the whole end.

    Args:
        cfg: the run.
        batches: its blocks.
        per_epoch: steps.
        epoch: what was trained since the row before.
        tables: by now.
    """
    held: float | None = None
    pairs, whole = 0, epoch.done % per_epoch == 0
    if batches.held_out is not None:
        held, pairs = held_out_loss(tables, batches.held_out, batches.tree, batches.objective)
    per_second = epoch.steps / per_epoch / epoch.seconds
    return {
        "epoch": epoch.done / per_epoch,
        "train": mean_losses(epoch.metrics),
        "heldout": {"loss": held if pairs else None, "pairs": pairs},
        "raw_words_per_s": per_second * batches.corpus.raw_tokens,
        "words_per_s": per_second * batches.kept,
        "seconds": epoch.seconds,
        "evaluation": evaluate(cfg, batches.vocabulary, tables.inputs) if whole else {},
    }
