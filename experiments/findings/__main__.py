"""What the 2016 posts found, measured again: at least five seeds, means and 95 % intervals.

    python -m experiments.findings       about 20 minutes on 2 CPU cores

Each part keeps its numbers, seed by seed, in the out folder (`NAME.json`) and does not measure them
again. `report.html` has questions, rules, verdicts and pictures; experiments/README.md has ours.
"""

import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from jaxdl.cli.command import main, parse
from jaxdl.cli.compiling import Compiling, started
from jaxdl.cli.options import Command, Range
from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError
from jaxdl.files import locks
from jaxdl.files.atomic import plain, read_json, write_json
from jaxdl.files.results import work_folder

Name = Literal["lstm", "mixed", "orders", "softmax", "fcn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where and how much is measured."""

    out: Path = Path("runs/findings")
    """Numbers, pictures and report.html go to this folder."""
    seeds: Annotated[int, Range(2, 1000)] = 5
    """Each finding is measured with so many seeds (the LSTM's with four times as many)."""
    only: tuple[Name, ...] = ()
    """The parts to measure; by default all."""
    quick: bool = False
    """The small form tries the programs; its verdicts say nothing."""
    overwrite: bool = False
    """The parts are measured again, though the folder has their numbers."""
    data_dir: Path = Path("data")
    """Scenes and text are kept in this folder."""
    compiling: Annotated[Compiling, tyro.conf.arg(name="")] = field(default_factory=Compiling)
    """Compiled programs."""


COMMAND = Command(
    prog="python -m experiments.findings",
    about="The posts' findings, measured again with several seeds.",
    options=Options,
    groups={
        "Findings": ("seeds", "only", "quick"),
        "Output": ("out", "overwrite", "data_dir", "compile_cache"),
    },
    examples=(
        ("python -m experiments.findings", "All, in about 25 minutes on 2 cores."),
        ("python -m experiments.findings --only lstm", "The LSTM's, in a minute."),
    ),
)


def measured(part: Any, options: Options, bar: Bar) -> tuple[list[dict[str, Any]], float]:
    """A part's numbers of each seed, kept or new, and the seconds that they took."""
    from experiments.findings.finding import Setting

    path, folder = options.out / f"{part.name}.json", options.out / "work" / part.name
    if options.overwrite:
        path.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
    kept: dict[str, Any] = {"quick": options.quick, "seconds": 0.0, "seeds": {}}
    if path.is_file():
        kept, fresh = read_json(path), kept
        if not isinstance(kept, dict) or kept.keys() != fresh.keys():
            raise InputError(f"{path}: is not what {COMMAND.prog} wrote; use --overwrite")
        if kept["quick"] != options.quick:
            form = "small" if kept["quick"] else "whole"
            raise InputError(f"{path}: is of the {form} form; use --overwrite, or another --out")
    wanted = list(range(options.seeds * part.per_seed))
    missing = [seed for seed in wanted if str(seed) not in kept["seeds"]]
    if missing:
        setting = Setting(folder, options.data_dir, options.quick, bar)
        began = time.monotonic()
        for seed, found in part.measure(setting, missing):
            kept["seeds"][str(seed)] = plain(found)
            kept["seconds"] += time.monotonic() - began
            write_json(path, kept)
            began = time.monotonic()
    else:
        bar.line(f"{part.name}: measured already (--overwrite measures it again)")
    return [kept["seeds"][str(seed)] for seed in wanted], kept["seconds"]


def run(options: Options, bar: Bar) -> list[Any]:
    """Measure what is missing, part by part; the page is written after each."""
    from experiments.findings import fcn_mixed, fcn_stages, lstm_units, orders, page, softmax
    from jaxdl.cli.launch import as_dict
    from jaxdl.training.run_folder import run_record

    parts = [m.PART for m in (lstm_units, fcn_mixed, orders, softmax, fcn_stages)]
    work_folder(options.out, "experiments.findings")
    record = run_record("findings", as_dict(options), None)
    found, findings = [], []
    with locks.alone(options.out):
        for part in parts:
            if options.only and part.name not in options.only:
                continue
            bar.line(f"== {part.name}")
            found.append((part, *measured(part, options, bar)))
            bar.line(f"{part.name}: {found[-1][2]:.0f} s")
            findings = page.write(options.out, found, record)
    for finding in findings:
        bar.line(f"{finding.verdict:>9}: {finding.question}")
        for row in page.checks_of(finding):
            bar.line(f"           {': '.join(row[:2])} ({row[3]})")
    bar.line(f"{options.out / 'report.html'}")
    return findings


def command(words: Sequence[str]) -> None:
    """The command."""
    main(lambda: run(started(parse(COMMAND, words)), Bar()))


if __name__ == "__main__":
    command(sys.argv[1:])
