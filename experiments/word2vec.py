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

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from jax.sharding import Mesh

from experiments import word2vec_data, word2vec_train
from experiments.command import Bar, check_least, main, parse
from experiments.compiling import Compiling, started
from experiments.devices import Devices, train_everywhere
from jaxdl.data.tokens import Tokens
from jaxdl.errors import InputError
from jaxdl.models.word2vec import Orientation
from jaxdl.objectives import Architecture, Loss
from jaxdl.wordstream import Shrink

# What a run's results do not depend on: may differ when a run is resumed.
FREE = ("out", "overwrite", "resume", "data_dir", "save_seconds", "ahead", "devices", "compiling")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Train word vectors on plain UTF-8 text, one sentence or document a line.

    `query --help` and `plan --help` tell about the other commands: neighbours and analogies of a
    trained run; memory, exchange and speed on many devices.
    """

    preset: Literal["demo", "text", "chainer"] = "text"
    """Where the other defaults come from."""
    corpus: tuple[Path, ...] = ()
    """Text files, plain or gzip (the demo brings its own)."""
    out: Path = Path("runs/word2vec")
    """Run folder: vectors.bin, checkpoints, metrics, report.html."""
    resume: bool = True
    """Go on where the run folder stopped; --no-resume refuses a folder that holds a run."""
    overwrite: bool = False
    """Delete the run folder first."""
    start_from: Path | None = None
    """A finished run whose vectors and vocabulary this one takes over (see --extend)."""
    extend: tuple[Path, ...] = ()
    """New text to go on with from --start-from: its new words join the vocabulary."""
    data_dir: Path = Path("data")
    """Where encoded text is kept and found again."""
    tokens: Tokens = "words"
    """words: lower case, letters and apostrophes; split: as the text is tokenised, at blanks."""
    min_count: int = 5
    """Rarer words are left out."""
    max_vocab: int | None = None
    """Keep the most frequent words only."""
    loss: Loss = "negative-sampling"
    """What is learnt; the full softmax is for vocabularies of some thousands."""
    architecture: Architecture = "skip-gram"
    """skip-gram predicts the neighbours of a word, cbow a word from their mean."""
    orientation: Orientation = "context"
    """Which word's vector is trained: the context's (Chainer, word2vec.c) or the centre's."""
    width: int = 100
    """Length of a vector."""
    window: int = 5
    """Farthest context."""
    shrink: Shrink = "each"
    """Window drawn anew for each word, from 1..window - 1 for each block (chainer), or fixed."""
    negatives: int = 5
    """Negative samples for a pair."""
    power: float = 0.75
    """Negatives are drawn in proportion to count ** power."""
    masked: bool = False
    """Leave out a negative that is the positive (word2vec.c); 8 % slower, same quality."""
    subsample: float = 1e-3
    """Frequent words are dropped by chance above this share of the text; 0 keeps all."""
    epochs: int = 5
    """Passes over the text."""
    optimizer: Literal["sgd", "momentum", "adam"] = "sgd"
    """sgd touches the rows of a block alone; momentum and adam both whole tables."""
    learning_rate: float = 0.025
    """Of the first block."""
    last_rate: float = 1e-4
    """Of the last; the rate falls linearly."""
    momentum: float = 0.9
    """Of --optimizer momentum."""
    block: int = 32
    """Words that move the tables together; a multiple of --group."""
    group: int = 8
    """Words that share negatives."""
    shared: int = 14
    """Negatives that a group shares."""
    cap: float = 100.0
    """A word in more terms of a block's loss moves by this many times their mean; 0: no cap."""
    held_out: int = 20_000
    """Words of whole lines kept out of training for a loss that can be compared; 0: none."""
    rows: int = 10
    """Lines of metrics an epoch."""
    word_pairs: tuple[Path, ...] = ()
    """Judged word pairs (wordsim353.tsv, simlex999.txt) to evaluate with after each epoch."""
    analogies: tuple[Path, ...] = ()
    """Analogy questions (questions-words.txt) to evaluate with after each epoch."""
    words: tuple[str, ...] = ()
    """Words whose neighbours the report shows; none: some frequent ones."""
    save_seconds: float = 60.0
    """Checkpoints between epochs, at most this often."""
    ahead: bool = True
    """On a CPU, prepare the blocks of a long run in a second process, each on a core of its own."""
    seed: int = 0
    """Of the start, subsampling, windows and negatives."""
    devices: Annotated[Devices, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Devices)
    """Many devices, many hosts."""
    compiling: Annotated[Compiling, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=Compiling
    )
    """Compiled programs."""


PRESETS = {
    "demo": Config(
        preset="demo",
        out=Path("runs/demo/word2vec"),
        epochs=10,
        learning_rate=0.05,
        words=(
            *("array", "matrix", "function", "returns", "float", "axis", "plot", "string"),
            *("file", "error", "random", "gradient", "first", "large"),
        ),
    ),
    "text": Config(),
    "chainer": Config(
        preset="chainer",
        out=Path("runs/chainer"),
        tokens="split",
        min_count=1,
        subsample=0.0,
        shrink="chainer",
        optimizer="adam",
        learning_rate=1e-3,
        last_rate=1e-3,
        epochs=20,
        block=992,  # Chainer's batches are of 1000 centres
    ),
}


def check(cfg: Config) -> None:
    """Refuse what cannot be trained, in one line, before anything else is done."""
    counts = ("width", "window", "negatives", "epochs", "group", "shared", "rows", "min_count")
    check_least(cfg, 1, counts)
    check_least(cfg, 0, ("cap", "subsample", "held_out", "seed", "last_rate", "save_seconds"))
    if not cfg.learning_rate > 0:
        raise InputError(f"--learning-rate {cfg.learning_rate}: must be above 0")
    if cfg.block < cfg.group or cfg.block % cfg.group:
        raise InputError(f"--block {cfg.block}: must be a multiple of --group {cfg.group}")
    if cfg.window > min(255, cfg.block):
        raise InputError(f"--window {cfg.window}: must be at most 255, and at most --block")
    if cfg.shrink == "chainer" and cfg.window < 2:
        raise InputError("--shrink chainer draws from 1..window - 1: --window must be 2 or more")
    if cfg.max_vocab is not None and cfg.max_vocab < 1:
        raise InputError(f"--max-vocab {cfg.max_vocab}: must be 1 or more")
    if cfg.devices.mesh is not None and (cfg.optimizer != "sgd" or cfg.loss == "full-softmax"):
        raise InputError(
            "--mesh splits the tables by rows, which dense optimisers and the full softmax change "
            "all of: use --optimizer sgd with another --loss, or one device"
        )
    if bool(cfg.extend) != (cfg.start_from is not None):
        raise InputError("--extend NEWTEXT and --start-from RUN go together: give both")
    if cfg.extend and cfg.corpus:
        raise InputError("--extend names the new text; leave --corpus out")
    if cfg.extend and cfg.loss == "hierarchical-softmax":
        raise InputError("--extend: the tree of a hierarchical softmax cannot grow; train anew")
    if not cfg.corpus and not cfg.extend and cfg.preset != "demo":
        raise InputError(
            "--corpus is missing: name one text file or more, "
            "or train on the embedded text with --preset demo"
        )
    for path in (*cfg.corpus, *cfg.extend, *cfg.word_pairs, *cfg.analogies):
        if not path.is_file():
            raise InputError(f"{path}: there is no such file")


def run(cfg: Config, bar: Bar) -> dict:
    """Train (or go on with) the vectors; returns and writes the summary (process 0 alone)."""
    check(cfg)

    def train(config: dict[str, Any], record: dict[str, Any] | None, mesh: Mesh | None) -> dict:
        return word2vec_train.train_run(cfg, config, record, mesh, bar)

    summary = train_everywhere(
        cfg, bar, train, free=FREE, parts=["word2vec"], inputs=word2vec_data.input_files(cfg)
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


if __name__ == "__main__":
    if sys.argv[1:2] == ["query"]:
        from experiments import word2vec_query

        main(lambda: word2vec_query.query(sys.argv[2:]))
    elif sys.argv[1:2] == ["plan"]:
        from experiments import plan  # the other experiments', too

        main(lambda: plan.word2vec(sys.argv[2:], Config, PRESETS))
    else:
        prog = "python -m experiments.word2vec"
        main(lambda: run(started(parse(Config, PRESETS, sys.argv[1:], prog)), Bar()))
