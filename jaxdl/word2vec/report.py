"""The word2vec section of the report page: results, curves, a map of the words, neighbours.

As in `jaxdl.fcn.report`, what a run lacks becomes a note on the page.
"""

import dataclasses
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from jaxdl.cli.saved import new_names
from jaxdl.files.text import clip
from jaxdl.report.page import Section, render
from jaxdl.report.plots import INK, TEST, TRAIN, copy_of, decimal, style_axes, svg_element
from jaxdl.report.reading import Notes, part, reader
from jaxdl.training.record import RECORD, SUMMARY
from jaxdl.training.run_folder import flatten, read_rows
from jaxdl.word2vec.config import RENAMED, Config
from jaxdl.word2vec.word_map import MAP_SIZE, Label, place_labels

Row = dict[str, Any]


def _labels(found: Any) -> list[Label]:
    """The labels of a map.json."""
    x, y = ([float(value) for value in found[axis]] for axis in "xy")
    words, counts = [str(word) for word in found["words"]], [int(n) for n in found["counts"]]
    if not len(words) == len(x) == len(y) == len(counts) or not np.isfinite([x, y]).all():
        raise ValueError("lists of different length, or not finite")
    return place_labels(words, x, y, counts)


def _neighbours(found: Any) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Word, count, and (word, cosine) of its neighbours, for each line of a neighbours.json."""

    def near(line: Any) -> list[tuple[str, str]]:
        return [(clip(word), decimal(cosine, 1, 2)) for word, cosine in line["neighbours"]]

    return [(clip(o["word"]), decimal(o["count"], 1, 0), near(o)) for o in found["words"]]


def _numbers(rows: Sequence[Row], key: str) -> list[float]:
    """The finite numbers found under a key, "train.loss" say, in the rows that have it."""
    found = [flatten(row).get(key) for row in rows]
    return [float(v) for v in found if isinstance(v, (int, float)) and math.isfinite(v)]


def _draw(axes: Axes, rows: Sequence[Row], title: str, lines: Sequence[tuple]) -> None:
    """One panel against the epoch, of lines (label, colour, line style, key)."""
    for label, colour, style, key in lines:
        points = [_numbers([row], "epoch") + _numbers([row], key) for row in rows]
        points = [point for point in points if len(point) == 2]
        if points:
            look = {"c": colour, "lw": 1.8, "marker": "o" if len(points) <= 20 else None, "ms": 3.2}
            axes.plot(*zip(*points, strict=True), style, **look, label=label)
    style_axes(axes)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.set_title(title, loc="left", color=INK, fontsize=11, fontweight="bold")
    if len(lines) > 1 and axes.lines:
        for text in axes.legend(frameon=False, labelcolor=INK, fontsize=9.5).get_texts():
            text.set_parse_math(False)


def training_curves(rows: Sequence[Row]) -> str:
    """Loss, scores if any, speed and learning rate by epoch, from rows of metrics, as ``<svg>``."""
    scores = []
    found = {name: one for row in rows for name, one in part(row, "evaluation").items()}
    for n, (name, one) in enumerate(found.items()):
        # The figure's font has few scripts, and would warn of each letter that it lacks.
        label = f"{_measure(one)}, {clip(name).encode('ascii', 'replace').decode()}"
        colour, style = (TRAIN, TEST, INK)[n % 3], ("-", "--", ":")[n // 3 % 3]
        scores.append((label, colour, style, f"evaluation.{name}.score"))
    figure = Figure(figsize=(9.2, 6.6), layout="constrained")
    panels = figure.subplot_mosaic("LE;SR" if scores else "LL;SR")
    lines = [("training", TRAIN, "-", "train.loss"), ("held out", TEST, "-", "heldout.loss")]
    _draw(panels["L"], rows, "loss per pair", lines)
    if scores:
        _draw(panels["E"], rows, "evaluation", scores)
    lines = [("of the text", TRAIN, "-", "raw_words_per_s")]
    lines += [("after subsampling", TEST, "-", "words_per_s")]
    _draw(panels["S"], rows, "words/s", lines)
    _draw(panels["R"], rows, "learning rate", [("", TRAIN, "-", "learning_rate")])
    for name, form in (("S", EngFormatter(sep="")), ("R", "{x:g}")):
        panels[name].set_ylim(bottom=0)
        panels[name].set_xlabel("epoch", color=INK, fontsize=11)
        panels[name].yaxis.set_major_formatter(form)
    return svg_element(figure, "Loss, evaluation, words per second and learning rate by epoch")


def _measure(found: Any) -> str:
    """What the score of one evaluation is."""
    kind = found.get("kind") if isinstance(found, dict) else None
    return {"pairs": "Spearman", "analogies": "share right"}.get(str(kind), "score")


def _cell(values: Sequence[float], digits: int = 0) -> str:
    """The first of some numbers, for a table; a dash if there is none."""
    return decimal(values[0] if values else None, 1, digits)


def _results(summary: Row, rows: Sequence[Row], corpus: Row) -> dict[str, str]:
    """Heading -> cell; what the summary does not tell is taken from the rows and the corpus."""
    last, seconds = rows[-1:], math.fsum(_numbers(rows, "seconds"))

    def of(key: str, others: Sequence[Row], theirs: str) -> list[float]:
        return _numbers([summary], key) + _numbers(others, theirs)

    def middle(key: str) -> list[float]:
        found = sorted(_numbers(rows, key))
        return _numbers([summary], key) + found[len(found) // 2 :]

    return {
        "vocabulary": _cell(of("vocabulary", [corpus], "vocabulary")),
        "words": _cell(of("raw_words", [corpus], "raw_words")),
        "epochs": _cell(of("epochs", last, "epoch"), 2).removesuffix(".00"),
        "seconds": _cell([*_numbers([summary], "seconds"), seconds], 1),
        "words/s": _cell(middle("raw_words_per_s")),
        "words/s after subsampling": _cell(middle("words_per_s")),
        "loss per pair": _cell(of("loss", last, "train.loss"), 4),
        "held-out loss": _cell(of("heldout_loss", last, "heldout.loss"), 4),
    }


def _scores(evaluation: Row) -> list[list[str]]:
    """A line of cells for each file of an evaluation: name, score, measure, Pearson, used, all."""
    lines = []
    for name in evaluation:
        found = [part(evaluation, name)]
        score, measure = _numbers(found, "score"), _measure(found[0])
        text = f"{decimal(score[0], 100)} %" if measure == "share right" and score else ""
        counts = [_cell(_numbers(found, key)) for key in ("used", "all")]
        pearson = _cell(_numbers(found, "pearson"), 3)
        lines.append([clip(name, 60), text or _cell(score, 3), measure, pearson, *counts])
    return lines


def word2vec_section(run: Path) -> Section:
    """The section of a word2vec run folder, whichever files it has by now."""
    notes = Notes(run)
    record = notes.json("run.json", RECORD, {})
    rows = notes.read(read_rows, "metrics.jsonl", [])
    found = notes.json("summary.json", SUMMARY, {})
    notes.warn(found)
    summary = part(found, "word2vec")
    corpus, files = part(record, "corpus"), part(record, "corpus").get("files")
    if not rows:
        notes.append("no row of metrics is finished yet")
    elif not summary:
        notes.append("the run has no summary yet: the last row so far is shown")
    results = _results(summary, rows, corpus) if rows or summary else {}
    labels = notes.read(reader(_labels, "a map of words"), "map.json", [])
    neighbours = notes.read(reader(_neighbours, "a list of neighbours"), "neighbours.json", [])
    curves = copy_of(training_curves(rows), "word2vec-curves") if rows else None
    evaluations = [found for row in (*rows, summary) if (found := part(row, "evaluation"))]
    html = render(
        "word2vec",
        config=new_names(part(record, "config"), RENAMED),
        files=[clip(str(name), 60) for name in files] if isinstance(files, list) else [],
        corpus={key: _cell(_numbers([corpus], key)) for key in corpus},
        seconds=_cell(_numbers([summary], "encode_seconds") + _numbers([corpus], "seconds"), 1),
        results=results,
        scores=(scores := _scores(evaluations[-1] if evaluations else {})),
        curves=Markup(curves[0]) if curves else None,
        labels=labels,
        size=MAP_SIZE,
        neighbours=neighbours,
        notes=notes,
    )
    return Section(
        "Word vectors",
        html,
        figures=_key_figures(results, scores),
        pictures=[
            *([(_MAP, f"Map of the {len(labels)} most frequent words")] if labels else []),
            *([(curves[1], "Training of the word vectors")] if curves else []),
        ],
        warnings=notes,
        steps=_next_steps(run, [word for word, *_ in neighbours], scored=bool(scores)),
        defaults=dataclasses.asdict(Config()),
    )


_MAP = (  # a copy of the map below
    f'<svg class="map-copy" role="img" aria-label="Map of words" viewBox="0 0 {MAP_SIZE[0]} '
    f'{MAP_SIZE[1]}"><use href="#word-map" width="100%" height="100%"/></svg>'
)


def _key_figures(results: dict[str, str], scores: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    """Value, and what it is; the first evaluation comes first."""
    found = [(line[1], f"{line[2]}, {line[0]}") for line in scores[:1]]
    names = {
        "held-out loss": "loss per pair of words, held-out text",
        "vocabulary": "words in the vocabulary",
        "words/s": "words of the text a second",
    }
    known = [(results.get(name, ""), what) for name, what in names.items()]
    return found + [(value, what) for value, what in known if value[:1].isdigit()]


def _next_steps(run: Path, words: Sequence[str], *, scored: bool) -> list[tuple[str, str]]:
    """What to try next: why, and the command."""

    def command(*more: str) -> str:
        return shlex.join(["jaxdl", "word2vec", *more])

    plain = [word for word in words if word.isalnum()][-2:]
    found = []
    if plain:
        found.append(("Look words up here:", command("query", str(run), *plain)))
    words_page = command("export", str(run), "--format", "page", "--out", "words")
    found.append(("Look words up in a browser:", words_page))
    if not scored:
        why = "No file of judged pairs has scored the vectors yet. Compare with others':"
        found.append((why, command("evaluate", str(run), "--word-pairs", "wordsim353.tsv")))
    return found
