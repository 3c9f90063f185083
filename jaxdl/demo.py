"""One page and one summary of the demo's runs; `make run` calls it last.

    jaxdl demo        runs/demo/report.html, runs/demo/summary.json

A run that is not finished is shown as far as it is.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jaxdl.cli.command import main, parse
from jaxdl.cli.options import Command
from jaxdl.errors import InputError
from jaxdl.files import atomic

RUNS = ("fcn", "word2vec", "lstm")  # folders of runs under --out


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Put the demo's runs on one page."""

    out: Path = Path("runs/demo")
    """The folder of the runs (fcn, word2vec, lstm); report.html and summary.json go into it."""


DEMO = Command(
    prog="jaxdl demo",
    about="Put the demo's runs on one page.",
    options=Config,
    groups={"Output": ("out",)},
    examples=(
        ("jaxdl demo", "runs/demo/report.html and summary.json, of the runs that `make run` made."),
        ("jaxdl demo --out runs/tiny", "The same of runs/tiny/fcn, word2vec and lstm."),
    ),
)


def sections() -> dict[str, Callable[[Path], tuple[str, str]]]:
    """What shows each run. (The reports import matplotlib, which --help does without.)"""
    from jaxdl.fcn.report import fcn_section
    from jaxdl.lstm.report import lstm_section
    from jaxdl.word2vec.report import word2vec_section

    return {"fcn": fcn_section, "word2vec": word2vec_section, "lstm": lstm_section}


def warnings_of(summary: dict[str, Any]) -> dict[str, list[str]]:
    """The warnings of a run's summary, which stand beside its numbers."""
    return {"warnings": summary["warnings"]} if summary.get("warnings") else {}


def run(cfg: Config) -> dict[str, Any]:
    """Write the page and the summary; returns the summary, by experiment.

    Raises:
        InputError: there is no run in the folder, or a file of one is damaged.
    """
    found = {name: cfg.out / name for name in RUNS if (cfg.out / name / "run.json").is_file()}
    if not found:
        raise InputError(
            f"{cfg.out}: holds none of {', '.join(RUNS)}; run make run, or name another --out"
        )
    records = {name: atomic.read_json(folder / "run.json") for name, folder in found.items()}
    summaries = {
        name: atomic.read_json(folder / "summary.json")
        for name, folder in found.items()
        if (folder / "summary.json").is_file()
    }
    # FCN's summary is by stage; those of the others are one figure set under their own name.
    summary = {
        name: own if name == "fcn" else next(iter(own.values())) | warnings_of(own)
        for name, own in summaries.items()
    }
    atomic.write_json(cfg.out / "summary.json", summary)
    first = next(iter(records.values()))
    record = first | {
        "config": {name: record["config"] for name, record in records.items()},
        "argv": ["make", "run"],
    }
    from jaxdl.report import page

    shown = [show(found[name]) for name, show in sections().items() if name in found]
    page.write_page(cfg.out / "report.html", "jaxdl: the demo", shown, record)
    print(f"all in one: {cfg.out / 'report.html'}, {cfg.out / 'summary.json'}")
    return summary


def command(name: str, words: Sequence[str]) -> None:
    """``jaxdl demo WORDS``."""
    main(lambda: run(parse(DEMO, words)))
