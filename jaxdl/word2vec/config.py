"""Options of word2vec training, and their presets."""

import dataclasses
import os
from pathlib import Path
from typing import Annotated, Literal

import tyro

from jaxdl.cli.compiling import Compiling
from jaxdl.cli.devices import Devices
from jaxdl.cli.options import Range, check_ranges
from jaxdl.errors import InputError
from jaxdl.word2vec.choices import Architecture, Encoding, Loss, Orientation, Shrink, Tokens

# What a run's results do not depend on: may differ when a run is resumed.
RESUMABLE = (
    *("out", "overwrite", "resume", "data_dir", "save_seconds", "prefetch_process", "devices"),
    "compiling",
)
# What is measured and shown of a run; may differ too.
SHOWN = ("word_pairs", "analogies", "words")
# Names of 0.1 -> today's.
RENAMED = {
    "corpus": "data",
    "width": "dim",
    "rows": "logs_per_epoch",
    "cap": "max_terms",
    "shared": "shared_negatives",
    "last_rate": "end_learning_rate",
    "ahead": "prefetch_process",
}
GONE = ("width",)  # refused as a flag: elsewhere it divided


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Train word vectors on plain UTF-8 text, one sentence or document a line."""

    preset: Literal["demo", "text", "chainer"] = "text"
    """The preset chooses the defaults of all other options."""
    data: tuple[Path, ...] = ()
    """Text files, plain or packed (.gz, .bz2, .xz, .zst), folders of them, quoted patterns, pipes,
    or - for standard input. The demo brings its own text."""
    encoding: Encoding = "utf-8"
    """The text's encoding."""
    out: Path = Path("runs/word2vec")
    """The run folder gets vectors.bin, checkpoints, metrics and report.html."""
    resume: bool = True
    """A run that stopped is resumed; --no-resume refuses a folder that holds a run."""
    overwrite: bool = False
    """It trains again from the start; a killed command resumes its own run."""
    start_from: Path | None = None
    """Words that this run or file of vectors knows start from its vectors, the others at random; of
    a run the output rows are taken too. With --extend a run's vocabulary is taken over as well."""
    extend: tuple[Path, ...] = ()
    """New text to train on after --start-from; its new words join the vocabulary."""
    data_dir: Path = Path("data")
    """Encoded text is kept in this folder and found again."""
    tokens: Tokens = "words"
    """words are letters and apostrophes in lower case; split cuts the text at blanks alone; ja
    finds the words of Japanese (pip install 'jaxdl-functional[ja]')."""
    phrases: Annotated[int, Range(0, 10)] = 0
    """So many passes join words that come together more often than by chance: new_york; a second
    pass finds new_york_times."""
    phrases_min_count: Annotated[int, Range(1)] = 5
    """Two words are a phrase only if they come together more often."""
    phrases_threshold: Annotated[float, Range(0, above=True)] = 10.0
    """Two words are a phrase only if their score is above; it is gensim's."""
    min_count: Annotated[int, Range(1)] = 5
    """Words that occur less often are left out."""
    max_vocab: Annotated[int | None, Range(1)] = None
    """The vocabulary has so many words at most, the most frequent ones."""
    loss: Loss = "negative-sampling"
    """The loss that is learnt; the full softmax is for vocabularies of some thousands."""
    architecture: Architecture = "skip-gram"
    """skip-gram predicts the neighbours of a word, cbow a word from their mean."""
    orientation: Orientation = "context"
    """The trained vector is that of the context word (Chainer, word2vec.c) or of the centre."""
    dim: Annotated[int, Range(1, 100_000)] = 100
    """Length of a vector."""
    window: Annotated[int, Range(1, 255)] = 5
    """The farthest context is so many words away."""
    shrink: Shrink = "each"
    """The window is drawn for each word, for each block from 1..window - 1 (chainer), or is
    fixed."""
    negatives: Annotated[int, Range(1)] = 5
    """Negative samples for a pair."""
    power: Annotated[float, Range(0, 10)] = 0.75
    """Negatives are drawn in proportion to count ** power."""
    masked: bool = False
    """A negative that is the positive is left out, as in word2vec.c: 8 % slower, same quality."""
    subsample: Annotated[float, Range(0)] = 1e-3
    """Words above this share of the text are dropped by chance; 0 keeps all."""
    epochs: Annotated[int, Range(1, 100_000)] = 5
    """Passes over the text. A finished run trains more of them if its rate is constant."""
    optimizer: Literal["sgd", "momentum", "adam"] = "sgd"
    """sgd changes the rows of a block alone; momentum and adam change both whole tables."""
    learning_rate: Annotated[float, Range(0, above=True)] = 0.035
    """Initial learning rate; it falls linearly. word2vec.c and gensim start at 0.025."""
    end_learning_rate: Annotated[float, Range(0)] = 1e-4
    """Learning rate at the end."""
    momentum: Annotated[float, Range(0, 1)] = 0.9
    """Momentum of --optimizer momentum."""
    block: Annotated[int | Literal["auto"], Range(1, 1_000_000)] = "auto"
    """So many words change the tables together; a multiple of --group. auto is 4096 on a GPU, and
    32 on a CPU."""
    group: Annotated[int, Range(1, 1_000_000)] = 16
    """So many words share their negatives."""
    shared_negatives: Annotated[int, Range(1, 1_000_000)] = 28
    """A group shares so many negatives."""
    max_terms: Annotated[float, Range(0)] = 100.0
    """A word moves by the sum of its terms in a block's loss, or by so many times their mean if
    it has more terms; 0 always takes the sum."""
    held_out: Annotated[int, Range(0)] = 20_000
    """So many words, in whole lines, are kept out of training to compare losses; 0 keeps none."""
    logs_per_epoch: Annotated[int, Range(1)] = 10
    """An epoch has so many lines of metrics."""
    word_pairs: tuple[Path, ...] = ()
    """Judged word pairs (wordsim353.tsv, simlex999.txt) to evaluate with after each epoch. They and
    --analogies may differ when a run is resumed."""
    analogies: tuple[Path, ...] = ()
    """Analogy questions (questions-words.txt) to evaluate with after each epoch."""
    words: tuple[str, ...] = ()
    """The report shows the neighbours of these words; by default of some frequent ones."""
    save_seconds: Annotated[float, Range(0)] = 60.0
    """Seconds between checkpoints within an epoch, at least."""
    prefetch_process: bool = True
    """On a CPU a second process prepares the blocks of a long run, each on a core of its own."""
    workers: Annotated[int, Range(1, 1024)] = 1
    """So many processes train on a CPU, each on a core of its own, and join what they learnt after
    each half million words. Their number changes the result; for long texts."""
    seed: Annotated[int, Range(0)] = 0
    """Random seed of the start, subsampling, windows and negatives."""
    devices: Annotated[Devices, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Devices)
    """Many devices, many hosts."""
    compiling: Annotated[Compiling, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=Compiling
    )
    """Compiled programs."""


# Of a CPU: the smallest that is fast. Of a GPU: the largest whose vectors are as good
# (benchmarks/word2vec/README.md).
BLOCKS = (32, 4096)
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
        end_learning_rate=1e-3,
        epochs=20,
        block=992,  # Chainer's batches are of 1000 centres
    ),
}


def block_of(cfg: Config, platform: str = "cpu") -> int:
    """Words in a block: what was chosen, or what suits the platform (`BLOCKS`)."""
    return BLOCKS[platform != "cpu"] if cfg.block == "auto" else cfg.block


def check_blocks(cfg: Config) -> None:
    """InputError for a block that is not cut into groups."""
    if (block := block_of(cfg)) < cfg.group or block % cfg.group:
        raise InputError(f"--block {block}: must be a multiple of --group {cfg.group}")


def check(cfg: Config) -> None:
    """Refuse what cannot be trained, in one line, before anything else is done."""
    check_ranges(cfg)
    check_blocks(cfg)
    if cfg.window > (block := block_of(cfg)):
        raise InputError(f"--window {cfg.window}: must be at most --block {block}")
    if cfg.shrink == "chainer" and cfg.window < 2:
        raise InputError("--shrink chainer draws from 1..window - 1: --window must be 2 or more")
    if cfg.devices.mesh is not None and (cfg.optimizer != "sgd" or cfg.loss == "full-softmax"):
        raise InputError(
            "--mesh splits the tables by rows, which dense optimisers and the full softmax change "
            "all of: use --optimizer sgd with another --loss, or one device"
        )
    if cfg.workers > 1:
        _check_workers(cfg)
    if cfg.extend and cfg.start_from is None:
        raise InputError("--extend NEWTEXT continues a run: name it with --start-from RUN")
    if cfg.start_from is not None and not cfg.start_from.exists():
        raise InputError(f"{cfg.start_from}: there is no such file; name a run or a vectors file")
    if cfg.extend and cfg.start_from is not None and cfg.start_from.is_file():
        raise InputError(
            f"{cfg.start_from}: a file does not count its words, which --extend needs; name a run, "
            "or give the text as --data"
        )
    if cfg.extend and cfg.data:
        raise InputError("--extend names the new text; leave --data out")
    if cfg.extend and cfg.loss == "hierarchical-softmax":
        raise InputError(
            "--extend: a hierarchical softmax's tree cannot grow; train from the start"
        )
    if not cfg.data and not cfg.extend and cfg.preset != "demo":
        raise InputError(
            "--data is missing: name one text file or more, "
            "or train on the embedded text with --preset demo"
        )
    for path in (*cfg.word_pairs, *cfg.analogies):
        if not path.is_file():
            raise InputError(f"{path}: there is no such file")


def _check_workers(cfg: Config) -> None:
    flag = f"--workers {cfg.workers}"
    if cfg.devices.mesh is not None:
        raise InputError(f"{flag}: processes of one CPU share the tables; leave --mesh out")
    if cfg.optimizer != "sgd" or cfg.loss == "full-softmax":
        raise InputError(
            f"{flag}: join what they moved, and dense optimisers and the full softmax move every "
            "row: use --optimizer sgd and another --loss"
        )
    if not hasattr(os, "memfd_create"):
        raise InputError(f"{flag}: needs Linux; leave it out")
