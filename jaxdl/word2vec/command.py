"""Word vectors from plain text: skip-gram or CBOW, with negative sampling or a softmax.

    jaxdl word2vec train --data text.txt more.txt.gz        word2vec.c's skip-gram
    jaxdl word2vec train --preset demo                      embedded text, 40 seconds
    jaxdl word2vec query runs/word2vec king - man + woman

Presets, and what to expect of them:

- demo: the docstrings of the packages of this environment, 1.4 million words. On 2 CPU cores half a
  minute; neighbours such as float: bfloat, longdouble; file: files; large: very, small.
- text: word2vec.c's skip-gram. See benchmarks/README.md for words/s and quality beside gensim's.
- chainer: Chainer's example, as the 2016 posts ran it: every token kept, a window drawn from
  1..window - 1 for each block, the context word's vector from the input table, Adam.

Only options are read here; what a command does is imported when it does it.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from jaxdl.cli import plan_options
from jaxdl.cli.command import main, parse
from jaxdl.cli.compiling import started
from jaxdl.cli.devices import NAMES as DEVICES
from jaxdl.cli.options import Command, Range
from jaxdl.cli.progress import Bar
from jaxdl.word2vec.config import GONE, PRESETS, RENAMED, RESUMABLE, SHOWN, Config, check

if TYPE_CHECKING:
    from jax.sharding import Mesh

TRAIN = Command(
    prog="jaxdl word2vec train",
    about="Train word vectors on text, one sentence or document a line.",
    options=Config,
    presets=PRESETS,
    where=RESUMABLE,
    pipes=("data", "extend"),
    groups={
        "Data": (
            *("preset", "data", "encoding", "tokens", "phrases", "phrases_min_count"),
            *("phrases_threshold", "min_count", "max_vocab", "subsample", "held_out"),
            *("start_from", "extend", "word_pairs", "analogies", "data_dir"),
        ),
        "Model": (
            *("dim", "architecture", "window", "shrink", "loss", "negatives", "power"),
            *("masked", "orientation"),
        ),
        "Training": (
            *("epochs", "optimizer", "learning_rate", "end_learning_rate", "momentum"),
            *("block", "group", "shared_negatives", "max_terms", "seed"),
        ),
        "Output": ("out", "resume", "overwrite", "logs_per_epoch", "save_seconds", "words"),
        "Devices": (*DEVICES, "workers", "prefetch_process", "compile_cache"),
    },
    examples=(
        ("jaxdl word2vec train --preset demo", "The docstrings of this environment; 40 seconds."),
        (
            "jaxdl word2vec train --data text.txt more.txt.gz --dim 300 --out runs/mine",
            "Text of your own, vectors of 300 numbers.",
        ),
    ),
    renamed=RENAMED,
    gone=GONE,
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What `query` looks up."""

    run: Annotated[Path, tyro.conf.Positional]
    """A run folder, or a file of vectors: word2vec's text or binary, GloVe's text, npz."""
    words: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Words to look up; with + and - between them, blanks around, the sum of their vectors."""
    topn: Annotated[int, Range(1)] = 10
    """The table has so many neighbours."""
    task: Literal["similar", "odd"] = "similar"
    """similar lists neighbours; odd finds the word that does not match the others."""


QUERY = Command(
    prog="jaxdl word2vec query",
    about="Print the neighbours of words, or of a sum of them: king - man + woman.",
    options=Query,
    groups={"Data": ("run", "words"), "Output": ("topn", "task")},
    examples=(
        ("jaxdl word2vec query runs/word2vec king - man + woman", "The neighbours of a sum."),
        ("jaxdl word2vec query vectors.bin red blue seven --task odd", "The one that differs."),
    ),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Evaluate:
    """What `evaluate` reads."""

    run: Annotated[Path, tyro.conf.Positional]
    """A run folder, or a file of vectors: word2vec's text or binary, GloVe's text, npz."""
    word_pairs: tuple[Path, ...] = ()
    """Judged word pairs: word, word, number, between tabs, commas, semicolons or blanks."""
    analogies: tuple[Path, ...] = ()
    """Analogy questions, four words a line, below a line ": name of the section"."""


EVALUATE = Command(
    prog="jaxdl word2vec evaluate",
    about="Score vectors by judged word pairs (Spearman) and analogies (share right), by gensim's "
    "rules; a dash where the vectors know too few of a file's words.",
    options=Evaluate,
    groups={"Data": ("run", "word_pairs", "analogies")},
    examples=(
        ("jaxdl word2vec evaluate runs/word2vec --word-pairs wordsim353.tsv", "Of a run."),
        (
            "jaxdl word2vec evaluate glove.txt --word-pairs a.csv --analogies q.txt",
            "Of a file, by two evaluations.",
        ),
    ),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What `export` reads and writes."""

    run: Annotated[Path, tyro.conf.Positional]
    """A run folder, or a file of vectors: word2vec's text or binary, GloVe's text, npz."""
    format: Literal["text", "binary", "npz", "projector", "page"] = "text"
    """word2vec's text or binary; NumPy's npz; the two .tsv files of TensorBoard's projector; or
    words.html, which looks words up in a browser."""
    out: Path | None = None
    """The file, or the folder of projector and page; by default vectors.txt, .bin, .npz, projector,
    or words. Of earlier files only this command's own are replaced."""


EXPORT = Command(
    prog="jaxdl word2vec export",
    about="Write vectors in the format that another tool reads.",
    options=Export,
    groups={"Data": ("run",), "Output": ("format", "out")},
    examples=(
        ("jaxdl word2vec export runs/word2vec --out vectors.txt.gz", "For gensim, packed."),
        ("jaxdl word2vec export runs/word2vec --format page", "A page that looks words up."),
    ),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan(plan_options.Options):
    """What `plan` computes."""

    vocabulary: Annotated[int, Range(1, 2_000_000_000)] = 100_000
    """Size of the vocabulary."""
    cores: Annotated[tuple[int, ...], Range(1, 1024)] = ()
    """Plan --workers on so many CPU cores of one host instead: memory, and the time to join."""
    config: Annotated[Config, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Config)
    """The run that is planned."""


PLAN = Command(
    prog="jaxdl word2vec plan",
    about=plan_options.ABOUT,
    options=Plan,
    presets={name: Plan(config=config) for name, config in PRESETS.items()},
    groups={
        "Data": ("vocabulary",),
        "Model": (
            *("preset", "dim", "architecture", "window", "loss", "negatives", "masked"),
            "orientation",
        ),
        "Training": ("optimizer", "block", "group", "shared_negatives"),
        **plan_options.GROUPS,
        "Devices": ("cores", *plan_options.GROUPS["Devices"]),
    },
    examples=(
        ("jaxdl word2vec plan --card a100", "Vectors of 100 numbers on 1 to 1024 A100."),
        ("jaxdl word2vec plan --cores 2 8 32", "What --workers would gain on them."),
    ),
    renamed=RENAMED | {"words": "vocabulary"},
    gone=GONE,
)
COMMANDS = {
    "train": TRAIN,
    "query": QUERY,
    "evaluate": EVALUATE,
    "export": EXPORT,
    "plan": PLAN,
}


def find_texts(cfg: Config) -> Config:
    """The config with each text file in place of folders, patterns and pipes."""
    from jaxdl.word2vec.data.text_files import text_files

    keep = cfg.data_dir / "piped"
    data, extend = (text_files(given, keep) for given in (cfg.data, cfg.extend))
    return dataclasses.replace(cfg, data=data, extend=extend)


def run(cfg: Config, bar: Bar) -> dict:
    """Train (or go on with) the vectors; returns and writes the summary (process 0 alone)."""
    check(cfg)
    cfg = find_texts(cfg)
    from jaxdl.cli.launch import train_everywhere
    from jaxdl.training.record import lengthen
    from jaxdl.word2vec import dataset
    from jaxdl.word2vec.evaluation import in_words
    from jaxdl.word2vec.evaluation_files import check_files
    from jaxdl.word2vec.longer import check_epochs
    from jaxdl.word2vec.train import train_run

    check_files(cfg.word_pairs, cfg.analogies)

    def train(config: dict[str, Any], record: dict[str, Any] | None, mesh: "Mesh | None") -> dict:
        return train_run(cfg, config, record, mesh, bar)

    summary = train_everywhere(
        cfg,
        bar,
        train,
        may_change=(*RESUMABLE, *SHOWN, "epochs"),
        summary_keys=["word2vec"],
        inputs=dataset.input_files(cfg),
        check=partial(check_epochs, cfg),
        lengthen=partial(lengthen, cfg.out, cfg.epochs),
    )
    if not summary:
        return {}
    ended = summary["word2vec"]
    bar.line(
        f"{ended['vocabulary']:,} words, loss {in_words(ended['loss'])} a pair, held out "
        f"{in_words(ended['heldout_loss'])}, {ended['raw_words_per_s']:,.0f} words/s, "
        f"{ended['seconds']:.0f} s"
    )
    for name, found in summary["word2vec"]["evaluation"].items():
        bar.line(f"{name}: {in_words(found['score'])} ({found['used']} of {found['all']})")
    scored = {Path(name).name for name in summary["word2vec"]["evaluation"]}
    if late := [path for path in (*cfg.word_pairs, *cfg.analogies) if path.name not in scored]:
        names = ", ".join(path.name for path in late)
        bar.line(f"{names}: named after the run's end; see jaxdl word2vec evaluate {cfg.out}")
    bar.line(f"vectors: {cfg.out / 'vectors.bin'}, report: {cfg.out / 'report.html'}")
    bar.warn(summary.get("warnings", ()))
    return summary


def train(cfg: Config) -> None:
    """``jaxdl word2vec train``."""
    check(cfg)  # before jax is imported: a refusal is fast
    run(started(find_texts(cfg)), Bar())


def query(options: Query) -> None:
    """``jaxdl word2vec query``."""
    from jaxdl.word2vec import query

    query.query(options.run, options.words, topn=options.topn, task=options.task)


def evaluate(options: Evaluate) -> None:
    """``jaxdl word2vec evaluate``."""
    from jaxdl.word2vec import evaluate_command

    evaluate_command.evaluate(options.run, options.word_pairs, options.analogies)


def export(options: Export) -> None:
    """``jaxdl word2vec export``."""
    from jaxdl.word2vec import export

    export.export(options.run, options.format, options.out)


def plan(options: Plan) -> None:
    """``jaxdl word2vec plan``."""
    from jaxdl.word2vec import plan_command

    if options.cores:
        plan_command.run_workers(options, options.config, options.vocabulary, options.cores)
    else:
        plan_command.run(options, options.config, words=options.vocabulary)


def command(name: str, words: Sequence[str]) -> None:
    """``jaxdl word2vec NAME WORDS``, of COMMANDS."""
    calls: dict[str, Callable[[Any], None]] = {
        "train": train,
        "query": query,
        "evaluate": evaluate,
        "export": export,
        "plan": plan,
    }
    main(lambda: calls[name](parse(COMMANDS[name], words)))
