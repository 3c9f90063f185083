"""word2vec: does negative sampling approach the softmax over all words?

Vectors are trained by each loss on the same text, and all are judged by one number: the loss of the
full softmax on held-out pairs. A score s(w, c) of negative sampling with k negatives drawn from
q(w) tends to log p(w|c) - log q(w) - log k (Levy and Goldberg 2014). So the softmax of s alone
lacks the words' frequency. Both are shown: the softmax of s, and that of s + log q. The baseline
knows the words' frequency alone.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from experiments.findings.finding import Check, Finding, Interval, Part, Setting, interval
from experiments.findings.text import config_of, train
from jaxdl.report.plots import TEST, THIRD, TRAIN, style_axes
from jaxdl.word2vec.batches import Batches
from jaxdl.word2vec.blocks import keep_probability
from jaxdl.word2vec.dataset import vocabulary_of
from jaxdl.word2vec.held_out import held_out_loss
from jaxdl.word2vec.model import Tables
from jaxdl.word2vec.negative_sampling import unigram_probabilities

NEGATIVES = (1, 5, 20)
FULL, FREQUENCY = "full softmax", "frequency alone"
SETTINGS: dict[str, Any] = {
    "max_vocab": 500,
    "epochs": 5,
    "dim": 50,
    "learning_rate": 0.025,  # at twice the rate the full softmax may diverge
}
QUICK: dict[str, Any] = {"max_vocab": 50, "epochs": 1, "dim": 8}


def with_prior(tables: Tables, prior: Float[np.ndarray, " v"]) -> Tables:
    """Tables whose scores are larger by log prior of the target word: one dimension more."""
    one, more = jnp.ones((len(prior), 1)), jnp.asarray(np.log(prior), jnp.float32)[:, None]
    return Tables(jnp.hstack([tables.inputs, one]), jnp.hstack([tables.outputs, more]))


def measure(setting: Setting, seeds: list[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The held-out full-softmax loss of each seed's vectors, by each loss."""
    given = QUICK if setting.quick else SETTINGS
    cfg, corpus = config_of(setting, 400 if setting.quick else 4, **given)
    full = dataclasses.replace(cfg, loss="full-softmax")
    vocabulary = vocabulary_of(corpus)
    judge = Batches(full, corpus, vocabulary)  # its held-out pairs are the same for all seeds
    assert judge.held_out is not None
    pairs, objective = judge.held_out, judge.objective
    drawn = unigram_probabilities(vocabulary.counts, cfg.power)
    kept = vocabulary.counts * keep_probability(vocabulary.counts, cfg.subsample)

    def softmax(tables: Tables) -> float:
        return held_out_loss(tables, pairs, None, objective)[0]

    nothing = Tables(*(jnp.zeros((len(drawn), 1)) for _ in range(2)))
    frequency = softmax(with_prior(nothing, kept / kept.sum()))
    for seed in seeds:
        setting.bar.line(f"seed {seed}: the full softmax over {len(drawn):,} words")
        found: dict[str, Any] = {"words": len(drawn), FREQUENCY: frequency}
        found[FULL] = softmax(train(dataclasses.replace(full, seed=seed), corpus))
        found |= {"s": {}, "s + log q": {}}
        for k in NEGATIVES:
            # As many are drawn as are asked for, so that a large k is no weight on few words.
            tables = train(
                dataclasses.replace(cfg, seed=seed, negatives=k, shared_negatives=max(14, 2 * k)),
                corpus,
            )
            found["s"][str(k)] = softmax(tables)
            found["s + log q"][str(k)] = softmax(with_prior(tables, drawn))
        yield seed, found


def judge(rows: list[dict[str, Any]]) -> list[Finding]:
    """One finding: the loss falls with the number of negatives, towards the full softmax's."""
    few, many = str(NEGATIVES[0]), str(NEGATIVES[-1])

    def of(name: str, k: str | None = None) -> Interval:
        return interval([row[name] if k is None else row[name][k] for row in rows])

    def above(name: str, k: str) -> Interval:
        return interval([row[name][k] - row[FULL] for row in rows])

    table = [[FULL, of(FULL).text(3), ""], [FREQUENCY, of(FREQUENCY).text(3), ""]]
    table += [
        [f"{k} negatives, {name}", of(name, str(k)).text(3), above(name, str(k)).text(3)]
        for name in ("s + log q", "s")
        for k in NEGATIVES
    ]
    fall = interval([row["s + log q"][few] - row["s + log q"][many] for row in rows])
    learnt = interval(
        [row[FREQUENCY] - row["s + log q"][many] - (row["s + log q"][many] - row[FULL])
         for row in rows]
    )  # fmt: skip
    return [
        Finding(
            "Does negative sampling approach the softmax over all words?",
            f"The full-softmax loss of held-out pairs, by s + log q, falls from {few} to {many} "
            f"negatives; with {many} it is nearer to that of the full softmax than to that of the "
            "words' frequency.",
            [
                Check(f"fall from {few} to {many} negatives", fall, digits=3),
                Check("distance from frequency, less that from the full softmax", learnt, digits=3),
            ],
            ["trained by", "full-softmax loss", "above the full softmax"],
            table,
        )
    ]


def draw(rows: list[dict[str, Any]], figure: Figure) -> None:
    """The loss over the number of negatives; to the right without s alone, larger."""
    for axes, names in zip(
        figure.subplots(1, 2), (("s", "s + log q"), ("s + log q",)), strict=True
    ):
        for name, colour in (("s", TEST), ("s + log q", TRAIN)):
            if name in names:
                values = np.array([[row[name][str(k)] for k in NEGATIVES] for row in rows])
                axes.plot(NEGATIVES, values.mean(0), color=colour, label=f"negatives, {name}")
                axes.plot(NEGATIVES, values.T, "o", ms=4, color=colour, alpha=0.6)
        axes.axhline(np.mean([row[FULL] for row in rows]), color=THIRD, label=FULL)
        if len(names) > 1:
            known = np.mean([row[FREQUENCY] for row in rows])
            axes.axhline(known, color="0.5", ls="--", label=FREQUENCY)
            axes.set_ylabel("full-softmax loss, held-out pairs")
        axes.set(xlabel="negatives", xscale="log")
        axes.set_xticks(NEGATIVES, map(str, NEGATIVES))
        axes.minorticks_off()
        axes.legend(frameon=False, fontsize=9)
        style_axes(axes)


PART = Part(name="softmax", measure=measure, judge=judge, draw=draw)
