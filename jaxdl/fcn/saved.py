"""An FCN's checkpoint as commands and Python read it: one of a run's, or any of Orbax."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxdl.errors import InputError
from jaxdl.fcn.data import voc
from jaxdl.fcn.export import safetensors
from jaxdl.fcn.models.fcn import FCN
from jaxdl.fcn.stages import find
from jaxdl.files import checksums
from jaxdl.files.atomic import read_json
from jaxdl.files.text import clip, reason
from jaxdl.training import checkpoint
from jaxdl.training.network import describe
from jaxdl.training.record import home_of
from jaxdl.training.steps import Say, steps

Which = Literal["latest", "best"]
NETWORK = "network.json"  # describes the network of a checkpoint that is not a run's
_ITEMS = (".", "default", "state", "params")  # where Orbax keeps the arrays of a step


class Saved(NamedTuple):
    """A checkpoint that was read."""

    model: FCN
    params: Any  # NumPy arrays
    mean: tuple[float, ...]  # colour that is subtracted, RGB
    classes: tuple[str, ...]
    colours: np.ndarray  # uint8 (256, 3): of the classes, white beyond
    folder: Path  # of the arrays; or the file that holds them
    origin: str  # the folder and the step, in words
    step: int | None = None  # None: the folder has no steps of ours

    @property
    def run(self) -> Path | None:
        """The run that it is of; None if there is none with a record."""
        return None if self.step is None else home_of(self.folder.parents[2])


def load(run: Path, which: Which = "best", say: Say = print) -> Saved:
    """Read the checkpoint that a path means.

    Args:
        run: a run (its last stage), a stage, a folder of steps, or one step. Or what `jaxdl fcn
            export --format safetensors` wrote. Or what Orbax's StandardCheckpointer or
            CheckpointManager wrote, with a ``network.json`` in it or beside it: an object with
            ``model`` (the attributes of `FCN`), ``mean`` and ``classes``.
        which: of several steps, the last or that of the best test mean IU.
        say: gets a line for each damaged step.

    Raises:
        InputError: there is none, it is damaged, or nothing describes its network.
    """
    meta, folder, origin, step = _find(run, which, say)
    model, _, colours, names = read_meta(meta, folder)
    mean = tuple(float(n) for n in meta["mean"])
    if folder.is_file():
        shapes = safetensors.shapes(model.stride, model.num_classes, model.width)
        params = safetensors.read_params(folder, shapes)
    else:
        found = checkpoint.read_arrays(folder, ("params",)) or checkpoint.read_arrays(folder)
        params = found.get("params", found)
    return Saved(model, params, mean, tuple(names), colours, folder, origin, step)


def network_of(run: Path) -> FCN:
    """The network of a checkpoint, without its arrays; raises as `load`."""
    meta, folder, *_ = _find(run, "best", lambda line: None)
    return read_meta(meta, folder)[0]


def _find(run: Path, which: Which, say: Say) -> tuple[dict[str, Any], Path, str, int | None]:
    """Meta, the folder of the arrays, where they are in words, and the step if they have one."""
    file = safetensors.find(run)
    if file is not None:
        return safetensors.read_meta(file), file, str(file), None
    item = _plain_item(run)
    if item is not None:
        return _description(item, run), item, str(item), None
    folder, step = choose(run, which, say)
    meta, _ = checkpoint.load_meta(folder, step, say)
    return meta, folder / str(step) / "state", f"{folder} step {step}", step


def choose(run: Path, which: Which = "best", say: Say = print) -> tuple[Path, int]:
    """The folder of the steps, and the step, of a run's checkpoint; see `load`."""
    if re.fullmatch("[0-9]+", run.name) and (run / "meta" / "metadata").is_file():
        return run.parent, int(run.name)
    folder = find(run)
    if which == "best":
        return folder, checkpoint.best_step(folder, say)
    return folder, checkpoint.load_meta(folder, None, say)[1]


def files(run: Path) -> list[Path]:
    """What tells the whole content of a checkpoint, for `jaxdl.files.fingerprint`."""
    file = safetensors.find(run)
    if file is not None:
        return [file]
    item = _plain_item(run)
    if item is not None:
        described = _description_file(item, run)
        inside = sorted(path for path in item.rglob("*") if path.is_file())
        return [*inside, *(() if described is None else (described,))]
    folder, step = choose(run)
    return [folder / str(step) / checksums.NAME]


def read_meta(meta: Any, folder: Path) -> tuple[FCN, Any, np.ndarray, list[str]]:
    """Network, mean colour, colours (256, 3) and class names, as a checkpoint may claim them."""
    try:
        model, mean = FCN(**meta["model"]), jnp.asarray(meta["mean"], jnp.float32)
        names = [clip(str(name), 100) for name in meta["classes"]]
        palette = meta.get("palette", voc.palette()[: len(names)])
        colours = np.full((256, 3), 255, np.uint8)
        colours[: len(palette)] = palette
        if mean.shape != (3,) or model.num_classes != len(names) or len(names) > voc.VOID:
            raise ValueError(f"{model.num_classes} classes, {len(names)} names, mean {mean}")
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        text = f"its meta is not that of an FCN ({reason(error)}); name another checkpoint"
        raise InputError(f"{folder}: {text}") from error
    return model, mean, colours, names


def meta_of(model: FCN, mean: Sequence[float], classes: Sequence[str]) -> dict[str, Any]:
    """What prediction needs besides the parameters."""
    palette = voc.palette()[: len(classes)].tolist()
    described = describe(model)
    return {"model": described, "mean": [*mean], "classes": [*classes], "palette": palette}


def match_classes(
    params: Any, old: Sequence[str], new: Sequence[str]
) -> tuple[Any, dict[str, list[str]]]:
    """The parameters with the score layers of other classes, by name; and what became of each.

    A class of the same name keeps its weights, in its new place; the scores of the others start at
    zero. If no class has the name of an old one, the score layers are left out.
    """
    shared = [name for name in new if name in old]
    told = {
        "loaded": shared,
        "initialized": [name for name in new if name not in old],
        "unused": [name for name in old if name not in new],
    }
    if list(old) == list(new):
        return params, told
    to, of = ([names.index(name) for name in shared] for names in (list(new), list(old)))
    found = {}
    for layer, arrays in params.items():
        if not layer.startswith("score_"):
            found[layer] = arrays
        elif shared:
            found[layer] = {}
            for name, array in arrays.items():
                found[layer][name] = np.zeros((*array.shape[:-1], len(new)), array.dtype)
                found[layer][name][..., to] = np.asarray(array)[..., of]
    return found, told


def _plain_item(run: Path) -> Path | None:
    """The folder of the arrays that Orbax wrote without us; None if it is not of this kind."""
    newest = steps(run)[-1:]
    for folder in (run, *(run / str(step) for step in newest)):
        for name in _ITEMS:
            item = folder / name
            ours = any((f / checksums.NAME).is_file() for f in (item, item.parent))
            if (item / "_METADATA").is_file() and not ours:
                return item
    return None


def _description_file(item: Path, run: Path) -> Path | None:
    folders = [f for f in (item, *item.parents) if f == run.parent or f.is_relative_to(run)]
    return next((f / NETWORK for f in folders if (f / NETWORK).is_file()), None)


def _description(item: Path, run: Path) -> dict[str, Any]:
    file = _description_file(item, run)
    if file is None:
        raise InputError(
            f"{run}: is an Orbax checkpoint that does not describe its network; write {NETWORK} "
            'beside it: {"model": {"stride": 8, "num_classes": 21, "width": 1}, '
            '"mean": [123.68, 116.779, 103.939], "classes": ["background", ...]}'
        )
    found = read_json(file)
    if not isinstance(found, dict):
        raise InputError(f"{file}: is not an object with model, mean and classes")
    return found
