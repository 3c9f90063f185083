"""Where a stage of the FCN experiment starts: parameters, where they came from, the optimiser."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl.cli.progress import Bar
from jaxdl.devices import processes
from jaxdl.errors import InputError
from jaxdl.fcn.config import Config
from jaxdl.fcn.data.labels import some
from jaxdl.fcn.data.source import Source
from jaxdl.fcn.data.unchanged import record_pictures
from jaxdl.fcn.dataset import Data
from jaxdl.fcn.models.fcn import FCN, init
from jaxdl.fcn.saved import Saved, files, load, match_classes
from jaxdl.fcn.weights import vgg16
from jaxdl.files.atomic import write_json
from jaxdl.files.fingerprint import of_files
from jaxdl.training import run_folder
from jaxdl.training.checkpoint import read_arrays
from jaxdl.training.step import TrainState
from jaxdl.training.transfer import by_name, transfer

VGG_MEAN = (123.68, 116.779, 103.939)  # RGB


class Start(NamedTuple):
    """Where a stage's parameters come from: the first of these that there is, or at random."""

    saved: Saved | None  # the best checkpoint of the stage before, or that of --start-from
    trunk: Any  # VGG-16's parameters
    mean: tuple[float, ...]  # colour, RGB, that they expect to be subtracted


def fresh_params(model: FCN, seed: int) -> Any:
    """A random start that depends on the seed and the stage."""
    return init(model, jax.random.fold_in(jax.random.key(seed), model.stride))


def zero_params(model: FCN) -> Any:
    """Zeros (NumPy's) in place of the parameters: what is passed on, or restored, replaces them.

    Nothing is compiled, and memory that is not touched is not taken.
    """
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"]
    return jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), shapes)


def check_width(cfg: Config, saved: Saved) -> None:
    """InputError if the trunk of --start-from is of another width: next to nothing would fit."""
    width = saved.model.width
    if width != cfg.width_divisor:
        raise InputError(
            f"{cfg.start_from}: is an FCN of --width-divisor {width}, this one of "
            f"{cfg.width_divisor}: its weights do not fit; use --width-divisor {width}"
        )


def start_params(
    cfg: Config, name: str, model: FCN, begin: Start, classes: Sequence[str], bar: Bar
) -> tuple[Any, dict[str, Any]]:
    """A stage's parameters before training, and the record of where each came from.

    Score layers are passed on by class name (`jaxdl.fcn.saved.match_classes`). A score layer that
    no old one fits starts at zero beside a trained trunk: random scores of ImageNet's large pool5
    would begin at a loss of 14, zeros begin at that of guessing.

    Raises:
        InputError: arrays of the trunk are missing, or of other shapes: zeros would learn nothing.
    """
    saved, trunk, _ = begin
    matched = None
    if saved is not None:
        params, matched = match_classes(saved.params, saved.classes, classes)
        origin = saved.origin
    elif trunk is not None:
        params, origin = {"trunk": trunk}, str(cfg.weights)
    else:
        fresh = fresh_params(model, cfg.seed)
        names = list(by_name(fresh))
        return fresh, {"source": None, "loaded": [], "initialized": names, "unused": []}
    moved = transfer(params, zero_params(model))
    if gone := [each for each in moved.initialized if each.startswith("trunk/")]:
        raise InputError(f"{origin}: its trunk lacks {some(gone)}; name a whole network")
    lists = {"loaded": moved.loaded, "initialized": moved.initialized, "unused": moved.unused}
    bar.line(f"{name} starts from {origin}")
    for key, names in lists.items():
        bar.line(f"  {key + ':':13} {parts_of(names, moved.params)}")
    record: dict[str, Any] = {"source": origin, **lists}
    if matched is not None and (matched["initialized"] or matched["unused"]):
        told = "; ".join(f"{key}: {some(names)}" for key, names in matched.items() if names)
        bar.line(f"  classes       {told}")
        record["classes"] = matched
    return moved.params, record


def parts_of(names: Sequence[str], params: Any) -> str:
    """Names of arrays in words: a layer, or the trunk, whose arrays are all there, by its own."""
    there, shown = set(names), []
    for part in dict.fromkeys(name.partition("/")[0] for name in names):
        own = [f"{part}/{rest}" for rest in by_name(params.get(part, {}))]
        every = own and there.issuperset(own)
        shown += [part] if every else [n for n in names if n.partition("/")[0] == part]
    return ", ".join(shown) or "none"


def kept_optimizer(saved: Saved | None, state: TrainState) -> TrainState:
    """The state with the optimiser's own of a checkpoint: its momentum is kept.

    Raises:
        InputError: the checkpoint has none, or that of other parameters or another optimiser.
    """
    folder = None if saved is None else saved.folder
    exported = folder is None or folder.is_file()  # parameters alone
    old = {} if exported else by_name(read_arrays(folder, ("opt_state",)))
    own = {f"opt_state/{name}": leaf for name, leaf in by_name(state.opt_state).items()}
    shapes, wanted = ({n: np.shape(leaf) for n, leaf in tree.items()} for tree in (old, own))
    if shapes != wanted:
        wrong = min(n for n in wanted | shapes if wanted.get(n) != shapes.get(n))
        raise InputError(
            f"--optimizer kept: {folder} has the state of another training ({wrong} is "
            f"{shapes.get(wrong, 'missing')}, here {wanted.get(wrong, 'missing')}); keep stride, "
            "classes and optimiser, or leave it out"
        )
    leaves = [jnp.asarray(old[name], leaf.dtype) for name, leaf in own.items()]
    return state._replace(opt_state=jax.tree.unflatten(jax.tree.structure(state.opt_state), leaves))


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
        saved = load(cfg.start_from, say=bar.line)
        check_width(cfg, saved)
        start = start._replace(saved=saved, mean=saved.mean)
    elif start.trunk is None and cfg.preset != "demo":
        bar.line(
            "WARNING: no --weights: the trunk starts at random, without VGG-16's ImageNet weights. "
            "On photographs expect little but background; see the README on where to get them."
        )
    return start, imported


def input_files(cfg: Config) -> list[Path]:
    """What decides the result besides the configuration and the pictures."""
    start = () if cfg.start_from is None else files(cfg.start_from)
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
