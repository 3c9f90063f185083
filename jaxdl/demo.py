"""One page and one summary of the demo's runs; `make run` calls it last.

    jaxdl demo        report.html, summary.json and predict.html in runs/demo

A run that is not finished is shown as far as it is. predict.html computes with the FCNs in a
browser (`jaxdl.fcn.export.page`); it is left out while they have no checkpoint.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jaxdl.cli.command import main, parse
from jaxdl.cli.options import Command
from jaxdl.errors import InputError
from jaxdl.files.results import Results

_LINK = '<p><a href="predict.html">Try the networks on your own photos</a>, in this browser.</p>'
RUNS = ("fcn", "word2vec", "lstm")  # folders of runs under --out


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Put the demo's runs on one page."""

    out: Path = Path("runs/demo")
    """The folder of the runs (fcn, word2vec, lstm); report.html, summary.json and predict.html go
    into it."""


DEMO = Command(
    prog="jaxdl demo",
    about="Put the demo's runs on one page.",
    options=Config,
    groups={"Output": ("out",)},
    examples=(
        ("jaxdl demo", "report.html, summary.json, predict.html, of the runs of `make run`."),
        ("jaxdl demo --out runs/tiny", "The same of runs/tiny/fcn, word2vec and lstm."),
    ),
)


def sections() -> dict[str, Callable[[Path], tuple[str, str]]]:
    """What shows each run. (The reports import matplotlib, which --help does without.)"""
    from jaxdl.fcn.report import fcn_section
    from jaxdl.lstm.report import lstm_section
    from jaxdl.word2vec.report import word2vec_section

    return {"fcn": fcn_section, "word2vec": word2vec_section, "lstm": lstm_section}


def scores_of(summary: dict[str, Any]) -> dict[str, Any]:
    """The numbers of a summary that has one set, under its own name."""
    return next((each for each in summary.values() if isinstance(each, dict)), {})


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
    results = Results("jaxdl demo")
    for name in ("summary.json", "report.html", "predict.html"):
        results.check(cfg.out / name)
    from jaxdl.training.record import read_record, read_summary

    records = {name: read_record(folder) for name, folder in found.items()}
    summaries = {
        name: read_summary(folder)
        for name, folder in found.items()
        if (folder / "summary.json").is_file()
    }
    # FCN's summary is by stage; those of the others are one figure set under their own name.
    summary = {
        name: own if name == "fcn" else scores_of(own) | warnings_of(own)
        for name, own in summaries.items()
    }
    results.write_json(cfg.out / "summary.json", summary)
    first = next(iter(records.values()))
    record = first | {
        "config": {name: record["config"] for name, record in records.items()},
        "argv": ["make", "run"],
    }
    from jaxdl.report import page

    shown = [show(found[name]) for name, show in sections().items() if name in found]
    if "fcn" in found and _write_predict(found["fcn"], cfg.out / "predict.html", results):
        title, html = shown[0]
        shown[0] = title, f"{_LINK}{html}"
    page.write_page(cfg.out / "report.html", "jaxdl: the demo", shown, record, results.write)
    print(f"all in one: {cfg.out / 'report.html'}, {cfg.out / 'summary.json'}")
    return summary


def _write_predict(fcn: Path, path: Path, results: Results) -> bool:
    """Write predict.html; False, and a line, if it cannot be made."""
    from jaxdl.fcn.export.page import export_page

    try:
        export_page(fcn, path, write=results.write)
    except InputError as error:
        print(f"left out: {path} ({error})")
        return False
    return True


def command(name: str, words: Sequence[str]) -> None:
    """``jaxdl demo WORDS``."""
    main(lambda: run(parse(DEMO, words)))
