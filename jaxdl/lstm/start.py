"""Training on from a run of an own series: with its networks, its transform and scaling."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdl.errors import InputError
from jaxdl.lstm import fit, saved
from jaxdl.lstm.config import PRESETS, Config
from jaxdl.lstm.dataset import Dataset
from jaxdl.report.reading import part
from jaxdl.training.record import read_record
from jaxdl.training.steps import newest_sums

NETWORKS = ("hidden", "seeds", "layers", "cell")


class Start(NamedTuple):
    """What the networks start from.

    Attributes:
        params: of each member and part (`jaxdl.lstm.ensemble`).
        setup: of the run: its transform, scaling and window are kept.
        told: where they come from, in a line.
        warnings: why the new run's measured errors may flatter.
    """

    params: Any
    setup: fit.Setup
    told: str
    warnings: list[str]


def settle(cfg: Config) -> Config:
    """The config with the run's networks and lengths, where none were chosen.

    Raises:
        InputError: --start-from is no run of an own series, or has other networks.
    """
    run = cfg.start_from
    if run is None:
        return cfg
    if cfg.data is None:
        raise InputError("--start-from goes with --data FILE")
    record = read_record(run)
    series, theirs = part(record, "series"), part(record, "config")
    own, changed = PRESETS["series"], dict[str, Any]()
    for name in NETWORKS:
        usual, asked, has = getattr(own, name), getattr(cfg, name), theirs.get(name)
        has = tuple(has) if isinstance(has, list) else has
        if type(has) is not type(usual):
            raise InputError(f"{run}: is no run of an LSTM on an own series; name one")
        if asked not in (usual, has):
            raise InputError(f"--{name} {asked}: {run} has {has}; leave it out")
        changed[name] = has
    for name in ("difference", "log"):
        if getattr(cfg, name) != "auto":
            raise InputError(f"--{name}: the networks of {run} keep their own; leave it out")
    for name in ("window", "period"):
        if getattr(cfg, name) is None and isinstance(series.get(name), int):
            changed[name] = series[name]
    return dataclasses.replace(cfg, **changed)


def input_files(run: Path) -> list[Path]:
    """The files of a run that decide how one starts from it."""
    files = [run / "summary.json", run / saved.SERIES, *newest_sums(run / "checkpoints")]
    return [file for file in files if file.is_file()]


def read_start(run: Path, series: Dataset) -> Start:
    """The networks of a run, for a series that they go on with.

    Where the series begins with the rows of the run, each part starts from the run's own part: none
    has seen the rows that it is measured on. Otherwise all start from part 2, which has seen all
    rows of the run.

    Raises:
        InputError: no such run, other columns, or values that its transform cannot take.
    """
    found = saved.load(run)
    columns, names = found.meta["columns"], list(series.series.names)
    if len(names) != len(columns):
        raise InputError(
            f"{series.source}: {len(names)} columns, but {run} learnt {len(columns)}; name as many "
            "with --column"
        )
    values, setup = series.series.values, found.fitted.setup
    if setup.transform.log and not (values > 0).all():
        raise InputError(
            f"{series.source}: holds values that are not positive, and {run} learnt logarithms; "
            "train without --start-from"
        )
    params, warnings = found.fitted.params, list[str]()
    try:
        old = saved.load_series(run)
    except InputError:
        old = None
    if old is not None and np.array_equal(values[: len(old.values)], old.values):
        more = len(values) - len(old.values)
        told = f"{run}: its networks are trained on, with {more:,} more rows"
    else:
        told = f"{run}: its networks are trained on, with other rows"
        params = jax.tree.map(lambda a: np.repeat(a[:, 2:], a.shape[1], axis=1), params)
        if not (old is not None and _after(series.series.times, old.times)):
            warnings = [
                f"{series.source} does not begin with the rows of {run}: if the networks have seen "
                "some of its last rows, the errors measured on these flatter"
            ]
    return Start(params, setup, told, warnings)


def _after(times: np.ndarray | None, old: np.ndarray | None) -> bool:
    """Whether all times come after the run's last one."""
    if times is None or old is None or times.dtype.kind != old.dtype.kind:
        return False
    return bool(times[0] > old[-1])
