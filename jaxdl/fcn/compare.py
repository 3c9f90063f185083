"""Trained stages beside each other: what their runs have recorded, and where they differ."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxdl.cli.saved import new_names
from jaxdl.errors import InputError
from jaxdl.fcn.config import RENAMED, RESUMABLE
from jaxdl.fcn.data.labels import some
from jaxdl.fcn.metrics import doubts
from jaxdl.files import schema
from jaxdl.files.atomic import plain
from jaxdl.training.record import RECORD, SUMMARY, home_of
from jaxdl.training.run_folder import flatten, read_rows

_ROW = {"epoch": int, "test": {"mean_iu": (float, None), "per_class_iu?": [(float, None)]}}


class Stage(NamedTuple):
    """A stage of a run, as it has recorded itself."""

    name: str  # fcn32s
    rows: list[dict[str, Any]]  # of metrics.jsonl, one at least
    rate: float | None  # peak learning rate

    @property
    def last(self) -> dict[str, Any]:
        return self.rows[-1]["test"]

    @property
    def best(self) -> float | None:
        """Highest test mean IU of an epoch."""
        return max((v for r in self.rows if (v := r["test"]["mean_iu"]) is not None), default=None)

    @property
    def seconds(self) -> float:
        return sum(row.get("seconds") or 0.0 for row in self.rows)


class Run(NamedTuple):
    """A run, or one stage of it, that is compared."""

    path: str  # as it was named
    classes: tuple[str, ...]
    images: dict[str, int]  # of each side of its split
    tested_on: str | None  # the ids; None if it has not recorded them
    config: dict[str, Any]
    stages: list[Stage]
    notes: list[str]  # why its results are no good ones

    def iu(self, stage: Stage) -> dict[str, float | None]:
        """IU of each class on the test images, of the last epoch."""
        found = stage.last.get("per_class_iu") or []
        return dict(zip(self.classes, found, strict=False))


def read_run(path: Path) -> Run:
    """What a run has recorded.

    Args:
        path: its folder, or that of a stage, which is then the only one.

    Raises:
        InputError: it is no run of FCNs that has trained.
    """
    path = path.parent if path.name == "checkpoints" else path
    home = home_of(path)
    if home is None:
        raise InputError(f"{path}: has no run.json; name a run folder, such as runs/demo/fcn")
    record = schema.read(home / "run.json", RECORD | {"splits?": {str: int}})
    if home == path:
        named = [(re.fullmatch("fcn([0-9]+)s", p.name), p) for p in home.iterdir()]
        strides = sorted(((int(match[1]), p) for match, p in named if match), reverse=True)
        folders = [p for _, p in strides]
    else:
        folders = [path]
    config = new_names(record["config"], RENAMED)
    found = [(p.name, read_rows(p / "metrics.jsonl", _ROW)) for p in folders]
    stages = [Stage(name, rows, _rate(name, config)) for name, rows in found if rows]
    if not stages:
        raise InputError(f"{path}: no stage of FCNs has trained for an epoch; train it first")
    classes = tuple(record.get("classes") or ())
    ids = home / "splits" / "test.txt"
    return Run(
        str(path),
        classes,
        record.get("splits", {}),
        ids.read_text("utf-8", "replace") if ids.is_file() else None,
        config,
        stages,
        _notes(home, record, stages, classes),
    )


def _rate(stage: str, config: dict[str, Any]) -> float | None:
    """The peak learning rate of a stage; None if the config does not tell."""
    try:
        rates = config["learning_rate"]
        at = [f"fcn{stride}s" for stride in config["stages"]].index(stage)
        return float(rates[at if len(rates) > 1 else 0])
    except (KeyError, IndexError, TypeError, ValueError):
        return None


def _notes(
    home: Path, record: dict[str, Any], stages: Sequence[Stage], classes: Sequence[str]
) -> list[str]:
    """What its record says against its results."""
    found = [
        f"{s.name}: {text}"
        for s in stages
        for text in doubts({"per_class_iu": [], **s.last}, classes)
    ]
    if "finished" not in record:
        found.append("has not finished: its last epoch so far is compared")
    summary = home / "summary.json"
    if summary.is_file():
        own = schema.read(summary, SUMMARY).get("warnings", [])
        names = {stage.name for stage in stages}
        others = re.compile(r"(fcn[0-9]+s): ")
        for text in own:
            match = others.match(text)
            if text not in found and (match is None or match[1] in names):
                found.append(text)
    return found


def shared_classes(runs: Sequence[Run]) -> list[str]:
    """The classes that all runs know, in the order of the first; none if it is the background."""
    names = [name for name in runs[0].classes if all(name in run.classes for run in runs)]
    return [] if names == [*runs[0].classes[:1]] else names


def mean_iu(iu: dict[str, float | None], names: Sequence[str]) -> float | None:
    """Mean IU over these classes alone, of those that occur."""
    found = [value for name in names if (value := iu.get(name)) is not None]
    return float(np.mean(found)) if found else None


def notes_of(runs: Sequence[Run]) -> list[str]:
    """Why the runs do not compare, and what each says against itself."""
    found, shared = [], shared_classes(runs)
    if any(set(run.classes) != set(runs[0].classes) for run in runs):
        found.append(
            f"the runs have different classes: they share {len(shared)} ({some(shared)}), over "
            "which the column 'shared' takes the mean IU; all other numbers are of all classes of "
            "each run, and do not compare"
            if shared
            else "the runs share no class but the background: their numbers do not compare"
        )
    if len({run.tested_on for run in runs if run.tested_on is not None}) > 1:
        counts = ", ".join(f"{run.path}: {run.images.get('test', '?')}" for run in runs)
        found.append(
            f"the runs were tested on different images ({counts}): a higher number may be "
            "that of easier images; jaxdl fcn evaluate tests both on the same"
        )
    return found + [f"{run.path}: {text}" for run in runs for text in run.notes]


def differing_options(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Options that are not the same in all runs: name -> the value in each."""
    flat = [
        flatten({k: v for k, v in plain(run.config).items() if k not in RESUMABLE}) for run in runs
    ]
    names = sorted({name for config in flat for name in config})
    table = {name: [str(config.get(name, "\N{EN DASH}")) for config in flat] for name in names}
    return {name: values for name, values in table.items() if len(set(values)) > 1}
