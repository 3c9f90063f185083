"""One page and one summary of the demo's runs; `make run` calls it last.

    python -m experiments.demo        runs/demo/report.html, runs/demo/summary.json

A run that is not finished is shown as far as it is.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tyro

from experiments.command import main
from jaxdl import report
from jaxdl.errors import InputError
from jaxdl.figures import fcn_section
from jaxdl.sinefigures import lstm_section
from jaxdl.wordfigures import word2vec_section

# Folder of a run under --out -> what shows it.
SECTIONS: dict[str, Callable[[Path], tuple[str, str]]] = {
    "fcn": fcn_section,
    "word2vec": word2vec_section,
    "lstm": lstm_section,
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Put the demo's runs on one page."""

    out: Path = Path("runs/demo")
    """Folder of the runs (fcn, word2vec, lstm); report.html and summary.json are written here."""


def warnings_of(figures: dict[str, Any]) -> dict[str, list[str]]:
    """The warnings of a run's summary, which stand beside its figures."""
    return {"warnings": figures["warnings"]} if figures.get("warnings") else {}


def run(cfg: Config) -> dict[str, Any]:
    """Write the page and the summary; returns the summary, by experiment.

    Raises:
        InputError: there is no run in the folder, or a file of one is damaged.
    """
    found = {name: cfg.out / name for name in SECTIONS if (cfg.out / name / "run.json").is_file()}
    if not found:
        raise InputError(
            f"{cfg.out}: holds none of {', '.join(SECTIONS)}; run make run, or name another --out"
        )
    records = {name: report.read_json(folder / "run.json") for name, folder in found.items()}
    summaries = {
        name: report.read_json(folder / "summary.json")
        for name, folder in found.items()
        if (folder / "summary.json").is_file()
    }
    # FCN's summary is by stage; those of the others are one figure set under their own name.
    summary = {
        name: figures if name == "fcn" else next(iter(figures.values())) | warnings_of(figures)
        for name, figures in summaries.items()
    }
    report.write_json(cfg.out / "summary.json", summary)
    first = next(iter(records.values()))
    record = first | {
        "config": {name: record["config"] for name, record in records.items()},
        "argv": ["make", "run"],
    }
    sections = [SECTIONS[name](folder) for name, folder in found.items()]
    report.write_page(cfg.out / "report.html", "jaxdl: the demo", sections, record)
    print(f"all in one: {cfg.out / 'report.html'}, {cfg.out / 'summary.json'}")
    return summary


if __name__ == "__main__":
    main(lambda: run(tyro.cli(Config, prog="python -m experiments.demo")))
