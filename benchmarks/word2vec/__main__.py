"""Skip-gram training beside gensim: speed, memory and quality on one text, in one run.

make bench-word2vec, or `python -m benchmarks.word2vec --help`. See benchmarks/word2vec/README.md.
"""

import json
import math
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np

from benchmarks import shape
from benchmarks.process import measure, own_choice
from benchmarks.roof import Rates, Step, better, measure_rates
from benchmarks.word2vec.table import QUALITY, Row, comparisons, roof, tables
from jaxdl.cli.command import main
from jaxdl.cli.options import Range
from jaxdl.errors import InputError, TrainingError
from jaxdl.files.atomic import check_output
from jaxdl.word2vec import vectors
from jaxdl.word2vec.data.corpus import LONGEST_SENTENCE
from jaxdl.word2vec.data.docstrings import write_docstrings
from jaxdl.word2vec.data.tokens import in_order, read_pieces
from jaxdl.word2vec.evaluation import evaluate_analogies, evaluate_word_pairs

Tool = Literal["ours", "ours-workers", "gensim-iterator", "gensim-file"]

MIN_COUNT = 5
LEAST = 1_000_000  # tokens of a text: training on fewer is start-up
QUICK = {"epochs": (1,), "seeds": (1,)}
QUICK_BYTES = 1_000_000  # of the text, at most
# Options that our command and gensim's runner both have.
HYPER = {"--window": 5, "--negatives": 5, "--subsample": 1e-3}
LAST_RATE = 1e-4  # our command's default
EVALUATIONS = {
    "ws353": "wordsim353.tsv",
    "simlex": "simlex999.txt",
    "analogy": "questions-words.txt",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(shape.Options):
    """Skip-gram training beside gensim: speed, memory and quality on one text, in one run."""

    corpus: tuple[Path, ...] = ()
    """UTF-8 text files, a sentence a line; none: docstrings of this environment's packages."""
    epochs: Annotated[tuple[int, ...], Range(1)] = (1, 5)
    """Each tool runs with each of these."""
    seeds: Annotated[tuple[int, ...], Range(0)] = (1, 2, 3)
    """And with each of these."""
    tools: tuple[Tool, ...] = ("ours", "gensim-iterator", "gensim-file")
    """Who takes part: ours, ours with --workers, gensim's iterator API, gensim's corpus_file."""
    rates: Annotated[tuple[float, float], Range(0, above=True)] = (0.035, 0.025)
    """Learning rates of ours and of gensim; by default each tool's own."""
    dim: Annotated[int, Range(1)] = 100
    """Length of a vector, of all tools."""
    min_count: Annotated[int, Range(1)] = MIN_COUNT
    """Words that come less often are left out, by all tools."""
    workers: Annotated[int, Range(1)] = 2
    """Threads of gensim, processes of ours-workers."""
    gensim_python: Path = Path(".venv-gensim/bin/python")
    """A Python that has gensim; `make bench-word2vec` makes it."""
    word_pairs: tuple[Path, ...] = ()
    """Judged pairs, with wordsim or simlex in the file's name; none: those in gensim's package."""
    analogies: tuple[Path, ...] = ()
    """A file of analogies; none: the one in gensim's package."""
    out: Path = Path("runs/bench-word2vec")
    """Work folder, new or its own: the text, and a folder for each run."""


def check(config: Config) -> None:
    """Refuse what cannot run, in one line."""
    for name in ("epochs", "seeds", "tools"):
        values = getattr(config, name)
        if not values or len(set(values)) < len(values):
            shown = " ".join(map(str, values))
            raise InputError(f"--{name} {shown}: name one or more, each once")
    if len(config.analogies) > 1:
        raise InputError("--analogies: give one file")
    for path in (*config.corpus, *config.word_pairs, *config.analogies):
        if not path.is_file():
            raise InputError(f"{path}: no such file; name another")


class Text(NamedTuple):
    """What all tools read: tokens separated by blanks, a sentence a line."""

    path: Path
    tokens: int
    lines: int
    vocabulary: int  # words that come often enough


def write_text(files: Sequence[Path], path: Path, min_count: int = MIN_COUNT) -> Text:
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
    kept = sum(count >= min_count for count in counts.values())
    if not kept:
        raise InputError(
            f"{', '.join(map(str, files))}: no word comes {min_count} times; give more text"
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


def find_evaluations(config: Config, gensim: shape.Peer | None) -> dict[str, Path]:
    """Row's name of a figure -> its file: those given, else those that come with gensim."""
    found: dict[str, Path] = {}
    for path in config.word_pairs:
        name = path.name.lower()
        key = "ws353" if "wordsim" in name else "simlex" if "simlex" in name else None
        if key is None or key in found:
            raise InputError(f"{path}: name one file with wordsim and one with simlex in its name")
        found[key] = path
    for path in config.analogies:
        found["analogy"] = path
    if gensim is not None:
        folder = gensim.folder / "test" / "test_data"
        found = {key: folder / name for key, name in EVALUATIONS.items()} | found
    return found


def find_gensim(config: Config) -> shape.Peer | None:
    """gensim, if it takes part or is there; raises as `shape.peer`."""
    if config.tools != ("ours",) or config.gensim_python.is_file():
        return shape.peer(config.gensim_python, "gensim", "bench-word2vec")
    return None


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
) -> Row:
    """One run in a process of its own, evaluated.

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
    given += ["--dim", config.dim, "--min-count", config.min_count]
    given += ["--learning-rate", config.rates[name == "gensim"]]
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
        given += ["--workers", config.workers] if mode == "workers" else []
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
    return Row(
        tool=name,
        mode=mode or "command",
        epochs=epochs,
        seed=seed,
        raw_wps=rates[0],
        eff_wps=rates[1],
        train_s=seconds,
        tokens=text.tokens,
        total_s=saved.stat().st_mtime - done.started,
        process_s=done.seconds,
        cpu_s=done.cpu_s,
        peak_mb=done.peak_mb,
        **evaluate(saved, files),
    )


def run(config: Config) -> list[Row]:
    """Everything; prints as it goes, the table at the end."""
    config = shape.settled(config, **QUICK)
    check(config)
    check_output(config.out / "text.txt", config.corpus)
    gensim = find_gensim(config)
    files = find_evaluations(config, gensim)
    versions = {} if gensim is None else {"gensim": gensim.version}
    given = {"work": config.out, "inputs": config.corpus, "versions": versions}
    bench = shape.begin(config, "benchmarks.word2vec", **given)
    sources = config.corpus or (write_docstrings(config.out / "docstrings.txt"),)
    if config.quick and not config.corpus:
        sources = (start_of(sources[0], config.out / "few.txt"),)
    text = write_text(sources, (config.out / "text.txt").absolute(), config.min_count)
    named = " ".join(path.name for path in sources)
    title = f"{named}: {text.tokens:,} tokens in {text.lines:,} lines, {text.vocabulary:,} words"
    bench.console.print(title)
    small = text.tokens < LEAST
    if small:
        bench.console.print(
            f"fewer than {LEAST:,} tokens: too small; seconds and words/s are of a start, and no "
            "share of the roof is told"
        )
    for key in sorted(EVALUATIONS.keys() - files.keys()):
        bench.console.print(f"{QUALITY[key]} is left out: no file; give one, or a gensim")
    before = {} if small else machine()
    rows: list[Row] = []
    # Seed by seed, tool by tool: what else the machine does falls on all tools.
    for seed in config.seeds:
        for epochs in config.epochs:
            for tool in config.tools:
                row = train(config, tool, text, epochs, seed, files)
                rows.append(row)
                bench.add(asdict(row) | {"version": versions.get(row.tool)})
                bench.console.print(
                    f"{tool}, epochs {epochs}, seed {seed}: {row.raw_wps:,.0f} raw words/s, "
                    f"vectors after {row.total_s:.1f} s, process ended after {row.process_s:.1f} s"
                )
    for shown in tables(rows):
        bench.console.print(shown)
    best = {n: better(before[n], rates) for n, rates in ({} if small else machine()).items()}
    for line in (*comparisons(rows), *([] if small else roof(Step(width=config.dim), best, rows))):
        bench.console.print(line)
    bench.end()
    return rows


def start_of(path: Path, start: Path) -> Path:
    """The first lines of a text, `QUICK_BYTES` of them at most, in another file."""
    with path.open("rb") as file:
        content = file.read(QUICK_BYTES)
    start.write_bytes(content[: content.rfind(b"\n") + 1])
    return start


def machine() -> dict[int, Rates]:
    """What one thread can do, and one on each core."""
    return {threads: measure_rates(threads) for threads in sorted({1, len(shape.cores())})}


if __name__ == "__main__":
    example = "python -m benchmarks.word2vec --corpus text.txt --epochs 5  # your own text"
    main(lambda: run(shape.options(Config, "benchmarks.word2vec", example)))
