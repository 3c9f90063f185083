"""Word vectors from plain text: skip-gram or CBOW, with negative sampling or a softmax.

    python -m experiments.word2vec --corpus text.txt more.txt.gz     word2vec.c's skip-gram
    python -m experiments.word2vec --preset demo                     embedded text, 40 seconds
    python -m experiments.word2vec query runs/word2vec king - man + woman

Presets, and what to expect of them:

- demo: the docstrings of the packages of this environment, 1.4 million words. On 2 CPU cores half a
  minute; neighbours such as float: bfloat, longdouble; file: files; large: very, small.
- text: word2vec.c's skip-gram. See benchmarks/README.md for words/s and quality beside gensim's.
- chainer: Chainer's example, as the seed's posts ran it: every token kept, a window drawn from
  1..window - 1 for each block, the context word's vector from the input table, Adam.
"""

from collections.abc import Sequence
from typing import Any

from jax.sharding import Mesh

from jaxdl.cli.command import main, parse
from jaxdl.cli.compiling import started
from jaxdl.cli.launch import train_everywhere
from jaxdl.cli.progress import Bar
from jaxdl.word2vec import dataset
from jaxdl.word2vec.config import FREE, PRESETS, Config, check
from jaxdl.word2vec.train import train_run


def run(cfg: Config, bar: Bar) -> dict:
    """Train (or go on with) the vectors; returns and writes the summary (process 0 alone)."""
    check(cfg)

    def train(config: dict[str, Any], record: dict[str, Any] | None, mesh: Mesh | None) -> dict:
        return train_run(cfg, config, record, mesh, bar)

    summary = train_everywhere(
        cfg, bar, train, free=FREE, parts=["word2vec"], inputs=dataset.input_files(cfg)
    )
    if not summary:
        return {}
    bar.line(
        "{vocabulary:,} words, loss {loss:.3f} a pair, held out {held}, {raw_words_per_s:,.0f} "
        "words/s, {seconds:.0f} s".format(
            held="-"
            if summary["word2vec"]["heldout_loss"] is None
            else f"{summary['word2vec']['heldout_loss']:.3f}",
            **summary["word2vec"],
        )
    )
    for name, found in summary["word2vec"]["evaluation"].items():
        bar.line(f"{name}: {found['score']:.3f} ({found['used']} of {found['all']})")
    bar.line(f"vectors: {cfg.out / 'vectors.bin'}, report: {cfg.out / 'report.html'}")
    bar.warn(summary.get("warnings", ()))
    return summary


def command(name: str, words: Sequence[str]) -> None:
    """``jaxdl word2vec NAME WORDS``: train, query or plan."""
    prog = f"jaxdl word2vec {name}"
    if name == "query":
        from jaxdl.word2vec import query

        main(lambda: query.query(words, prog))
    elif name == "plan":
        from jaxdl.word2vec import plan_command  # what only plans is imported when asked for

        main(lambda: plan_command.run(words, prog, Config, PRESETS))
    else:
        main(lambda: run(started(parse(Config, PRESETS, words, prog)), Bar()))
