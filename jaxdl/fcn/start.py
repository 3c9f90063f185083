"""Where a stage of the FCN experiment starts: parameters, where they came from, the optimiser."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxdl.cli.progress import Bar
from jaxdl.devices import processes
from jaxdl.errors import InputError
from jaxdl.fcn.config import Config
from jaxdl.fcn.data.source import Source
from jaxdl.fcn.data.unchanged import record_pictures
from jaxdl.fcn.dataset import Data
from jaxdl.fcn.models.fcn import FCN, init
from jaxdl.fcn.predict import read_meta
from jaxdl.fcn.stages import find
from jaxdl.fcn.weights import vgg16
from jaxdl.files.atomic import write_json
from jaxdl.files.fingerprint import of_files
from jaxdl.training import checkpoint, run_folder, steps
from jaxdl.training.transfer import by_name, transfer

VGG_MEAN = (123.68, 116.779, 103.939)  # RGB


class Start(NamedTuple):
    """Where a stage's parameters come from: the first of these that there is, or at random."""

    source: Path | None  # checkpoint folder of the stage before, or of --start-from
    trunk: Any  # VGG-16's parameters
    mean: tuple[float, ...]  # colour, RGB, that they expect to be subtracted
    step: int | None = None  # of the source; None: the newest


def fresh_params(model: FCN, seed: int) -> Any:
    """A random start that depends on the seed and the stage."""
    return init(model, jax.random.fold_in(jax.random.key(seed), model.stride))


def start_mean(cfg: Config, source: Path) -> tuple[float, ...]:
    """The mean colour that the checkpoint of --start-from was trained with.

    Raises:
        InputError: it is not an FCN's, or one whose trunk is of another width: next to nothing of
            it could be loaded.
    """
    meta, _ = checkpoint.load_meta(source)
    model, *_ = read_meta(meta, source)
    if model.width != cfg.width_divisor:
        raise InputError(
            f"{source}: is an FCN of --width-divisor {model.width}, this one of "
            f"{cfg.width_divisor}: its weights do not fit; use --width-divisor {model.width}"
        )
    return tuple(meta["mean"])


def start_params(
    cfg: Config,
    name: str,
    fresh: Any,
    begin: Start,
    bar: Bar,
) -> tuple[Any, dict[str, Any]]:
    """A stage's parameters before training, and the record of where each came from."""
    source, trunk, mean, step = begin
    if source is not None:
        params, meta, step = checkpoint.load_params(source, step)
        if tuple(meta["mean"]) != mean:
            raise InputError(f"{source}: was trained with the mean {meta['mean']}, not {mean}")
        origin = f"{source} step {step}"
    elif trunk is not None:
        params, origin = {"trunk": trunk}, str(cfg.weights)
    else:
        names = list(by_name(fresh))
        return fresh, {"source": None, "loaded": [], "initialized": names, "unused": []}
    moved = transfer(params, fresh)
    if trunk is not None:
        # ImageNet's pool5 is large: random scores of it would begin at a loss of 14, zeros begin at
        # that of guessing.
        scores = jax.tree.map(jnp.zeros_like, moved.params["score_pool5"])
        moved = moved._replace(params={**moved.params, "score_pool5": scores})
    new, unused = (", ".join(names) or "none" for names in (moved.initialized, moved.unused))
    bar.line(
        f"{name} starts from {origin}: {len(moved.loaded)} arrays loaded; "
        f"initialized: {new}; unused: {unused}"
    )
    lists = {"loaded": moved.loaded, "initialized": moved.initialized, "unused": moved.unused}
    return moved.params, {"source": origin, **lists}


def first_start(cfg: Config, bar: Bar) -> tuple[Start, dict[str, Any] | None]:
    """Where the first stage starts, and the record of the imported weights."""
    imported = None
    if cfg.weights is not None:
        found = vgg16.load_vgg16(cfg.weights, format=cfg.weights_format)
        bar.line(vgg16.describe(found.record))
        start, imported = Start(None, found.trunk, tuple(found.mean)), found.record
    else:
        start = Start(None, None, VGG_MEAN)
    if cfg.start_from is not None:
        source = find(cfg.start_from)
        start = start._replace(source=source, mean=start_mean(cfg, source))
    elif start.trunk is None and cfg.preset != "demo":
        bar.line(
            "WARNING: no --weights: the trunk starts at random, without VGG-16's ImageNet weights. "
            "On photographs expect little but background; see the README on where to get them."
        )
    return start, imported


def input_files(cfg: Config) -> list[Path]:
    """What decides the result besides the configuration and the pictures."""
    start = () if cfg.start_from is None else steps.newest_sums(find(cfg.start_from))
    return [*(() if cfg.weights is None else (cfg.weights,)), *start]


def write_start(stage: Path, record: dict[str, Any], bar: Bar) -> None:
    """``transfer.json``: what a stage was loaded from, its loss there, its skips' multipliers."""
    if processes.is_main_process():
        write_json(stage / "transfer.json", record)
    for part, times in record["multipliers"].items():
        if times < 1:
            bar.line(f"{stage.name}: {part} learns at {times:.2g} of the rate: its input is larger")


def write_record(
    cfg: Config,
    config: dict[str, Any],
    source: Source,
    data: Data,
    imported: dict[str, Any] | None,
    bar: Bar,
) -> dict[str, Any]:
    """run.json and the lists of images."""
    record = run_folder.run_record("fcn", config, data.classes)
    with bar.task("hashing images") as progress:
        pictures = record_pictures(cfg.out, source, data.split, progress)
    counts = {"train": len(data.split.train), "test": len(data.split.test)}
    record |= {"splits": counts, "weights": imported, "pictures": pictures}
    record["class_weights"] = data.class_weights
    record["inputs"] = of_files(input_files(cfg))
    write_json(cfg.out / "run.json", record)
    return record
