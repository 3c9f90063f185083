"""``jaxdl fcn evaluate``: a checkpoint on labelled images, without training."""

import csv
import dataclasses
import io
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxdl.cli import saved
from jaxdl.cli.options import MOST, check_ranges
from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError
from jaxdl.fcn.config import RENAMED, Config
from jaxdl.fcn.data.source import Source
from jaxdl.fcn.data.unchanged import check_pictures
from jaxdl.fcn.dataset import open_source
from jaxdl.fcn.evaluate import (
    add_up,
    data_doubts,
    make_measure,
    map_classes,
    measured,
    trained_on,
)
from jaxdl.fcn.evaluate_page import confusion_picture, write_page
from jaxdl.fcn.metrics import doubts
from jaxdl.fcn.options import EVALUATE, EVALUATED, Evaluate, data_config
from jaxdl.fcn.saved import Saved, load
from jaxdl.files.atomic import plain
from jaxdl.files.results import Results
from jaxdl.files.text import visible
from jaxdl.training.record import read_record

FILES = ("metrics.json", "images.csv", "confusion.csv", "confusion.png", "evaluation.html")


def run(options: Evaluate, cfg: Config | None, bar: Bar) -> dict[str, Any]:
    """Evaluate; returns what metrics.json holds.

    Args:
        options: what was typed.
        cfg: the data that was typed; None for the run's own.
        bar: prints.
    """
    network, warnings = load(options.run, options.which, bar.line), list[str]()
    home = network.run
    if cfg is None:
        cfg, record = own_data(options, network)
        source, split = open_source(cfg, bar)
        try:
            check_pictures(home or options.run, record, source, split)
        except InputError as error:
            changed = str(error).partition(";")[0]
            warnings.append(f"the data is not what the run began with: {changed}")
    source, ids, told = chosen(cfg, options.side, bar)
    return evaluate(
        network,
        source,
        ids,
        about={"data": visible(str(cfg.data or "drawn scenes")), "side": told},
        trained=None if options.side == "train" else home,
        warnings=warnings,
        out=options.out,
        bar=bar,
    )


def own_data(options: Evaluate, network: Saved) -> tuple[Config, dict[str, Any]]:
    """The data that a run's record names, and the record.

    Raises:
        InputError: there is none.
    """
    home = network.run
    if home is None:
        raise InputError(
            f"{network.origin}: has no run.json that tells its data; name it with --data"
        )
    record = read_record(home)
    config = saved.new_names(record["config"], RENAMED)
    known = {name: config[name] for name in EVALUATED if name in config and name != "data_dir"}
    cfg = data_config(saved.apply(EVALUATE, options, known))
    if cfg.data is None and isinstance(config.get("scenes"), list):  # the demo's
        cfg = dataclasses.replace(cfg, scenes=tuple(config["scenes"]))
        check_ranges(cfg)
    return cfg, record


def chosen(cfg: Config, side: str, bar: Bar) -> tuple[Source, tuple[str, ...], str]:
    """The data, the ids of a side of its split, and what they are in words."""
    if side == "all" and cfg.train_list is None:
        source, split = open_source(dataclasses.replace(cfg, overfit=MOST), bar)
        return source, split.test, "every image"
    source, split = open_source(cfg, bar)
    if side == "all":
        return source, tuple(dict.fromkeys((*split.train, *split.test))), "both lists"
    every = len({*split.train, *split.test})
    ids = split.train if side == "train" else split.test
    kind = cfg.split
    if kind == "auto":
        kind = "its own lists" if source.has_list("train") and source.has_list("val") else "random"
    return source, ids, f"{side}, {len(ids)} of {every} images (split: {kind})"


def evaluate(
    network: Saved,
    source: Source,
    ids: Sequence[str],
    *,
    about: Mapping[str, str],
    trained: Path | None,
    warnings: Sequence[str],
    out: Path,
    bar: Bar,
) -> dict[str, Any]:
    """Write `FILES` of a checkpoint on a labelled set, and print the metrics, which it returns.

    Args:
        network: the checkpoint.
        source: the data.
        ids: of the pairs.
        about: what to say of the data.
        trained: the run whose training images are no test; None if that does not matter.
        warnings: what is doubtful already.
        out: folder of the results; earlier ones of this command are replaced, no other files.

    Raises:
        InputError: classes that the network does not know, or a pair that cannot be read.
    """
    results = Results("jaxdl fcn evaluate")
    for name in FILES:
        results.check(out / name)
    model, params, names = network.model, network.params, network.classes
    table = map_classes(source.classes, names, about["data"])
    measure = make_measure(model, np.asarray(network.mean, np.float32))
    bar.line(f"{network.origin}: FCN-{model.stride}s, {model.num_classes} classes")
    begin = time.monotonic()
    with bar.task("evaluating") as progress:
        totals = add_up(
            measured(source, ids, table, lambda image, label: measure(params, image, label)),
            model.num_classes,
            lambda done: progress(done, len(ids)),
        )
    seconds = time.monotonic() - begin
    found = [*warnings, *data_doubts(totals, names), *doubts(totals.metrics, names)]
    if trained is not None and (seen := trained_on(trained, totals.hashes)):
        found.append(
            f"{seen} of the {len(ids)} images are what this run was trained on: the results say "
            "too little of other images"
        )
    facts = {"checkpoint": network.origin, **about, "images": str(len(ids))}
    summary = {
        **facts,
        "step": network.step,
        "classes": [*names],
        **totals.metrics,
        "warnings": found,
    }
    summary |= {"images": len(ids), "pixels": int(totals.confusion.sum()), "seconds": seconds}
    results.write_json(out / "metrics.json", summary)
    rows = [[*row.values()] for row in totals.rows]
    results.write(out / "images.csv", _table([*totals.rows[0]], rows))
    matrix = [[name, *row] for name, row in zip(names, totals.confusion.tolist(), strict=True)]
    results.write(out / "confusion.csv", _table(["true, down; predicted, across", *names], matrix))
    results.write(out / "confusion.png", confusion_picture(names, totals.confusion))
    write_page(out / "evaluation.html", facts, names, network.colours, totals, found, results.write)
    bar.line(
        "mean IU {mean_iu:.1%}, pixel accuracy {pixel_accuracy:.1%}, mean image accuracy "
        "{mean_image_accuracy:.1%}, loss {loss:.3f}".format(**totals.metrics)
    )
    for name, iu in zip(names, totals.metrics["per_class_iu"], strict=True):
        bar.line(f"  {visible(name)}: " + ("in no image" if np.isnan(iu) else f"IU {iu:.1%}"))
    bar.line(f"{len(ids)} images in {seconds:.1f} s, {len(ids) / seconds:.2g} images/s")
    bar.line(f"page: {out / 'evaluation.html'}")
    bar.warn(found)
    return plain(summary)


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    """CSV; a number that is none is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([["" if cell != cell else cell for cell in row] for row in rows])
    return text.getvalue().encode(errors="backslashreplace")
