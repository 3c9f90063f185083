"""One page and one summary of the demo's runs; `make run` calls it last.

    jaxdl demo        report.html, summary.json, predict.html and words.html in runs/demo

A run that is not finished is shown as far as it is. predict.html computes with the FCNs in a
browser (`jaxdl.fcn.export.page`), words.html looks words up (`jaxdl.word2vec.words_page`); each is
left out while there is no checkpoint, or no vectors.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxdl.cli.command import main, parse
from jaxdl.cli.options import Command
from jaxdl.errors import InputError
from jaxdl.files.results import Results

if TYPE_CHECKING:
    from jaxdl.report.page import Section

_LINKS = {
    "fcn": '<p><a href="predict.html">Try the networks on your photos</a>, in this browser.</p>',
    "word2vec": '<p><a href="words.html">Look words up</a>, in this browser.</p>',
}
RUNS = ("fcn", "word2vec", "lstm")  # folders of runs under --out


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Put the demo's runs on one page."""

    out: Path = Path("runs/demo")
    """The folder of the runs (fcn, word2vec, lstm); report.html, summary.json, predict.html and
    words.html go into it."""


DEMO = Command(
    prog="jaxdl demo",
    about="Put the demo's runs on one page.",
    options=Config,
    groups={"Output": ("out",)},
    examples=(
        ("jaxdl demo", "report.html, summary.json and two more pages, of `make run`."),
        ("jaxdl demo --out runs/tiny", "The same of runs/tiny/fcn, word2vec and lstm."),
    ),
)


def sections() -> dict[str, Callable[[Path], "Section"]]:
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
    for name in ("summary.json", "report.html", "predict.html", "words.html"):
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

    shown = {name: show(found[name]) for name, show in sections().items() if name in found}
    for name in _pages(found, cfg.out, results):
        shown[name] = shown[name]._replace(html=f"{_LINKS[name]}{shown[name].html}")
    page.write_page(
        cfg.out / "report.html",
        "jaxdl: the demo",
        [*shown.values()],
        record,
        results.write,
        {name: section.defaults for name, section in shown.items()},
    )
    print(f"all in one: {cfg.out / 'report.html'}, {cfg.out / 'summary.json'}")
    return summary


def _pages(found: dict[str, Path], out: Path, results: Results) -> list[str]:
    """Write predict.html and words.html, as far as they can be made: whose are."""
    from jaxdl.fcn.export import page
    from jaxdl.word2vec import words_page

    makers: dict[str, tuple[str, Callable[[Path, Path], object]]] = {
        "fcn": (page.FILE, lambda run, path: page.export_page(run, path, write=results.write)),
        "word2vec": (
            words_page.FILE,
            lambda run, path: words_page.export_page(run, path, results.write),
        ),
    }
    made = []
    for name, (file, make) in makers.items():
        if name not in found:
            continue
        try:
            make(found[name], out / file)
        except InputError as error:
            print(f"left out: {out / file} ({error})")
        else:
            made.append(name)
    return made


def command(name: str, words: Sequence[str]) -> None:
    """``jaxdl demo WORDS``."""
    main(lambda: run(parse(DEMO, words)))
