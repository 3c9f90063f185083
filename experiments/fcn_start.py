"""Where a stage of the FCN experiment starts: parameters, where they came from, the optimiser."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import optax

from experiments.fcn_predict import read_meta
from jaxdl import checkpoint, train
from jaxdl.errors import InputError
from jaxdl.models.fcn import FCN
from jaxdl.transplant import by_name, transplant

if TYPE_CHECKING:
    from experiments.command import Bar
    from experiments.fcn import Config


def fresh_params(cfg: "Config", model: FCN) -> Any:
    """A random start that depends on the run's seed and the stage."""
    key = jax.random.fold_in(jax.random.key(cfg.seed), model.stride)
    # It runs once, for a third of a second. Compiled as carefully as a step, the generators of its
    # sixteen kernels take 20 seconds of a core; so, 3 to 5.
    options = {"xla_backend_optimization_level": 1}
    init = jax.jit(model.init, compiler_options=options)
    return init(key, jnp.zeros((1, 32, 32, 3)))["params"]


def start_mean(cfg: "Config", source: Path) -> tuple[float, ...]:
    """The mean colour that the checkpoint of --start-from was trained with.

    Raises:
        InputError: it is not an FCN's, or one whose trunk is of another width: next to nothing of
            it could be carried.
    """
    _, meta, _ = checkpoint.load_params(source)
    model, *_ = read_meta(meta, source)
    if model.width != cfg.width:
        raise InputError(
            f"{source}: is an FCN of --width {model.width}, this one of --width {cfg.width}: its "
            f"weights do not fit; use --width {model.width}"
        )
    return tuple(meta["mean"])


def start_params(
    cfg: "Config",
    name: str,
    fresh: Any,
    mean: tuple[float, ...],
    source: Path | None,
    trunk: Any,
    bar: "Bar",
) -> tuple[Any, dict[str, Any]]:
    """A stage's parameters before training, and the record of where each came from.

    Args:
        source: checkpoint folder of the stage before (or of --start-from), or None.
        trunk: imported VGG-16 parameters, or None; used where there is no source.
    """
    if source is not None:
        params, meta, step = checkpoint.load_params(source)
        if tuple(meta["mean"]) != mean:
            raise InputError(f"{source}: was trained with the mean {meta['mean']}, not {mean}")
        origin = f"{source} step {step}"
    elif trunk is not None:
        params, origin = {"trunk": trunk}, str(cfg.weights)
    else:
        names = list(by_name(fresh))
        return fresh, {"source": None, "carried": [], "fresh": names, "unused": []}
    moved = transplant(params, fresh)
    bar.line(
        f"{name} starts from {origin}: {len(moved.carried)} arrays carried; "
        f"fresh: {', '.join(moved.fresh) or 'none'}; unused: {', '.join(moved.unused) or 'none'}"
    )
    lists = {"carried": moved.carried, "fresh": moved.fresh, "unused": moved.unused}
    return moved.params, {"source": origin, **lists}


def optimizer_of(cfg: "Config") -> optax.GradientTransformationExtraArgs:
    """Momentum SGD, once in --accumulate batches."""
    names = ("momentum", "weight_decay", "clip_norm", "bias_rule")
    sgd = train.momentum_sgd(**{name: getattr(cfg, name) for name in names})
    return train.accumulate(sgd, cfg.accumulate, mean=cfg.reduction == "mean")
