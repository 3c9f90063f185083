"""Skip-gram training beside gensim: speed, memory and quality on one text, in one run.

make bench-word2vec, or `python -m benchmarks.word2vec --help`. See benchmarks/word2vec/README.md.
"""

import json
import math
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import tyro
from rich.console import Console

from benchmarks.process import measure, own_choice
from benchmarks.roof import Rates, Step, better, measure_rates
from benchmarks.word2vec.table import QUALITY, WIDTH, Row, comparisons, roof, tables
from jaxdl.cli.command import main
from jaxdl.errors import InputError, TrainingError
from jaxdl.files.atomic import check_output
from jaxdl.files.results import Results, work_folder
from jaxdl.word2vec import vectors
from jaxdl.word2vec.data.corpus import LONGEST_SENTENCE
from jaxdl.word2vec.data.docstrings import write_docstrings
from jaxdl.word2vec.data.tokens import in_order, read_pieces
from jaxdl.word2vec.evaluation import evaluate_analogies, evaluate_word_pairs

Tool = Literal["ours", "gensim-iterator", "gensim-file"]

MIN_COUNT = 5
# Options that our command and gensim's runner both have.
HYPER = {
    "--dim": 100,
    "--window": 5,
    "--negatives": 5,
    "--subsample": 1e-3,
    "--min-count": MIN_COUNT,
    "--learning-rate": 0.025,
}
LAST_RATE = 1e-4  # our command's default
EVALUATIONS = {
    "ws353": "wordsim353.tsv",
    "simlex": "simlex999.txt",
    "analogy": "questions-words.txt",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Skip-gram training beside gensim: speed, memory and quality on one text, in one run."""

    corpus: tuple[Path, ...] = ()
    """UTF-8 text files, a sentence a line; none: docstrings of this environment's packages."""
    epochs: tuple[int, ...] = (1, 5)
    """Each tool runs with each of these."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """And with each of these."""
    tools: tuple[Tool, ...] = ("ours", "gensim-iterator", "gensim-file")
    """Who takes part: ours, gensim's iterator API, gensim's corpus_file."""
    workers: int = 2
    """Threads of gensim."""
    gensim_python: Path = Path(".venv-gensim/bin/python")
    """A Python that has gensim; `make bench-word2vec` makes it."""
    word_pairs: tuple[Path, ...] = ()
    """Judged pairs, with wordsim or simlex in the file's name; none: those in gensim's package."""
    analogies: tuple[Path, ...] = ()
    """A file of analogies; none: the one in gensim's package."""
    json: Path | None = None
    """Write the rows here; it is written after each run."""
    out: Path = Path("runs/bench-word2vec")
    """Work folder, new or its own: the text, and a folder for each run."""

    def __post_init__(self) -> None:
        for name, numbers in (("epochs", self.epochs), ("seeds", self.seeds)):
            least = 1 if name == "epochs" else 0
            if not numbers or min(numbers) < least or len(set(numbers)) < len(numbers):
                shown = " ".join(map(str, numbers))
                raise InputError(f"--{name} {shown}: give different numbers of {least} or more")
        if not self.tools or len(set(self.tools)) < len(self.tools):
            raise InputError(f"--tools {' '.join(self.tools)}: name one or more, each once")
        if self.workers < 1:
            raise InputError(f"--workers {self.workers}: give 1 or more")
        if len(self.analogies) > 1:
            raise InputError("--analogies: give one file")
        for path in (*self.word_pairs, *self.analogies):
            if not path.is_file():
                raise InputError(f"{path}: no such file; name an evaluation file")


class Text(NamedTuple):
    """What all tools read: tokens separated by blanks, a sentence a line."""

    path: Path
    tokens: int
    lines: int
    vocabulary: int  # words of `MIN_COUNT` tokens or more


def write_text(files: Sequence[Path], path: Path) -> Text:
    """Write the files by our rule `words`; a line of more than 10,000 tokens becomes several."""
    counts: Counter[bytes] = Counter()
    lines = 0
    with path.open("wb") as out:
        for line in _lines(files):
            for start in range(0, len(line), LONGEST_SENTENCE):
                part = line[start : start + LONGEST_SENTENCE]
                counts.update(part)
                out.write(b" ".join(part) + b"\n")
                lines += 1
    kept = sum(count >= MIN_COUNT for count in counts.values())
    if not kept:
        raise InputError(
            f"{', '.join(map(str, files))}: no word comes {MIN_COUNT} times; give more text"
        )
    return Text(path, counts.total(), lines, kept)


def _lines(files: Sequence[Path]) -> Iterator[list[bytes]]:
    line: list[bytes] = []
    for piece, block in in_order(read_pieces(files, "words", 1 << 21, []), "words"):
        if piece.begins:
            yield line
            line = []
        words, start = np.array(block.words, object)[block.index].tolist(), 0
        for end in block.breaks.tolist():
            yield line + words[start:end]
            line, start = [], end
        line += words[start:]
    yield line


def find_evaluations(config: Config) -> dict[str, Path]:
    """Row's name of a figure -> its file: those given, else those that come with gensim.

    Raises InputError if gensim takes part and is not there.
    """
    found: dict[str, Path] = {}
    for path in config.word_pairs:
        name = path.name.lower()
        key = "ws353" if "wordsim" in name else "simlex" if "simlex" in name else None
        if key is None or key in found:
            raise InputError(f"{path}: name one file with wordsim and one with simlex in its name")
        found[key] = path
    for path in config.analogies:
        found["analogy"] = path
    if config.tools != ("ours",) or config.gensim_python.is_file():
        folder = _gensim_folder(config.gensim_python) / "test" / "test_data"
        found = {key: folder / name for key, name in EVALUATIONS.items()} | found
    return found


def _gensim_folder(python: Path) -> Path:
    """Where the package is; asking does not import it."""
    code = (
        "from importlib.util import find_spec as f; print(*f('gensim').submodule_search_locations)"
    )
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        remedy = "run make bench-word2vec, or name another with --gensim-python, or --tools ours"
        raise InputError(f"{python}: no Python that has gensim; {remedy}") from error
    return Path(done.stdout.strip())


def evaluate(path: Path, files: dict[str, Path]) -> dict[str, float | None]:
    """Figures of vectors by `jaxdl.word2vec.vectors`; None where no pair or question is known."""
    loaded = vectors.load(path)
    found: dict[str, float | None] = {}
    for key, file in files.items():
        try:
            if key == "analogy":
                total = evaluate_analogies(loaded, file).total
                value = total.accuracy if total.asked else math.nan
            else:
                value = evaluate_word_pairs(loaded, file).spearman
        except InputError:  # fewer than two known pairs
            value = math.nan
        found[key] = None if math.isnan(value) else value
    return found


def train(
    config: Config, tool: Tool, text: Text, epochs: int, seed: int, files: dict[str, Path]
) -> tuple[Row, float]:
    """One run in a process of its own, evaluated; and the seconds until the process ended.

    Raises TrainingError if it fails: the message names its log.
    """
    folder = (config.out / f"{tool}-{epochs}-{seed}").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    name, _, mode = tool.partition("-")
    saved, log = folder / "vectors.bin", folder / "log.txt"
    for left in ("data", "run"):  # so that ours encodes and saves again
        shutil.rmtree(folder / left, ignore_errors=True)
    saved.unlink(missing_ok=True)
    given = ["--epochs", epochs, "--seed", seed, *(x for pair in HYPER.items() for x in pair)]
    if name == "gensim":
        runner, environment = Path(__file__).with_name("gensim_runner.py"), own_choice(os.environ)
        # absolute, not resolved: an environment's python is a link to one outside of it.
        command = [config.gensim_python.absolute(), runner, "--mode", mode, "--text", text.path]
        given += ["--vectors", saved, "--last-rate", LAST_RATE, "--workers", config.workers]
    else:
        environment = dict(os.environ)
        command = [sys.executable, "-m", "jaxdl", "word2vec", "train", "--preset", "text"]
        command += ["--data", text.path, "--tokens", "split", "--out", folder / "run"]
        given += ["--data-dir", folder / "data"]
        saved = folder / "run" / "vectors.bin"
    done = measure([*command, *map(str, given)], log, environment)
    if done.status or not saved.is_file():
        last = (log.read_text(errors="replace").strip() or "it printed nothing").splitlines()[-1]
        raise TrainingError(f"{tool} ended with status {done.status}: {last}; see {log}")
    if name == "gensim":
        told = json.loads(log.read_text().splitlines()[-1])
        seconds = told["train_seconds"]
        rates = told["raw_words"] / seconds, told["effective_words"] / seconds
    else:
        told = json.loads((folder / "run" / "summary.json").read_text())["word2vec"]
        seconds, rates = told["train_seconds"], (told["raw_words_per_s"], told["words_per_s"])
        shutil.rmtree(folder / "data")
    row = Row(
        tool=name,
        mode=mode or "command",
        epochs=epochs,
        seed=seed,
        raw_wps=rates[0],
        eff_wps=rates[1],
        train_s=seconds,
        total_s=saved.stat().st_mtime - done.started,
        peak_mb=done.peak_mb,
        **evaluate(saved, files),
    )
    return row, done.seconds


def run(config: Config) -> list[Row]:
    """Everything; prints as it goes, the table at the end."""
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.width = max(console.width, WIDTH)  # folded tables cannot be read
    results = Results("benchmarks.word2vec", config.corpus)
    if config.json is not None:
        results.check(config.json)
    check_output(config.out / "text.txt", config.corpus)
    files = find_evaluations(config)
    work_folder(config.out, "benchmarks.word2vec")
    sources = config.corpus or (write_docstrings(config.out / "docstrings.txt"),)
    text = write_text(sources, (config.out / "text.txt").absolute())
    named = " ".join(path.name for path in sources)
    title = f"{named}: {text.tokens:,} tokens in {text.lines:,} lines, {text.vocabulary:,} words"
    console.print(title)
    for key in sorted(EVALUATIONS.keys() - files.keys()):
        console.print(f"{QUALITY[key]} is left out: no file; give one, or a gensim")
    before = machine()
    rows: list[Row] = []
    # Seed by seed, tool by tool: what else the machine does falls on all tools.
    for seed in config.seeds:
        for epochs in config.epochs:
            for tool in config.tools:
                row, ended = train(config, tool, text, epochs, seed, files)
                rows.append(row)
                console.print(
                    f"{tool}, epochs {epochs}, seed {seed}: {row.raw_wps:,.0f} raw words/s, "
                    f"vectors after {row.total_s:.1f} s, process ended after {ended:.1f} s"
                )
                if config.json is not None:
                    results.write_json(config.json, [asdict(row) for row in rows])
    for shown in tables(rows):
        console.print(shown)
    after = machine()
    best = {n: better(before[n], after[n]) for n in before}
    for line in (*comparisons(rows), *roof(Step(), best, rows)):
        console.print(line)
    return rows


def machine() -> dict[int, Rates]:
    """What one thread can do, and one on each core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {threads: measure_rates(threads) for threads in sorted({1, cores or 1})}


if __name__ == "__main__":
    main(lambda: run(tyro.cli(Config, prog="python -m benchmarks.word2vec")))
