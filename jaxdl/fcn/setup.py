"""What FCN training is made of: network, optimiser, and whether it fits into memory."""

import math

import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from jaxdl.devices.memory import check_memory
from jaxdl.fcn.config import Config
from jaxdl.fcn.models.fcn import FCN
from jaxdl.fcn.rates import with_skip_rates
from jaxdl.training import optimizers


def stage_model(cfg: Config, number: int, classes: int) -> FCN:
    """The network of a stage."""
    dtype = jnp.bfloat16 if cfg.bfloat16 else None
    stride = cfg.stages[number]
    return FCN(stride, classes, cfg.width_divisor, cfg.align, remat=cfg.remat, compute_dtype=dtype)


def is_score(params: PyTree) -> PyTree:
    """Which of the FCN's parameters are a score layer's."""
    return {name: name.startswith("score_") for name in params}


def optimizer_of(cfg: Config, number: int | None = None) -> optax.GradientTransformationExtraArgs:
    """Momentum SGD, once in --accumulate batches.

    Args:
        cfg: the config.
        number: of the stage, whose score layers may have a rate of their own; None: they have not.
    """
    names = ("momentum", "weight_decay", "clip_norm", "bias_rule")
    sgd = optimizers.momentum_sgd(**{name: getattr(cfg, name) for name in names})
    if number is not None and cfg.head_learning_rate:
        ratio = cfg.head_learning_rate[number] / cfg.learning_rate[number]
        sgd = optimizers.scaled(sgd, ratio, is_score)
    sgd = with_skip_rates(sgd)
    return optimizers.accumulate(sgd, cfg.accumulate, mean=cfg.reduction == "mean")


def check_size(cfg: Config, canvas: tuple[int, int] = (32, 32)) -> None:
    """InputError if a batch, or the demo's scenes, cannot fit into memory.

    Args:
        cfg: the run.
        canvas: height and width of the largest, or the least that there can be.
    """
    pixels = cfg.batch_size * math.prod(canvas)
    channels = 64 / cfg.width_divisor  # of the first convolutions
    kept = pixels * channels * (2 if cfg.bfloat16 else 4) * (1 if cfg.remat else 2)
    inputs = 4 * pixels * cfg.steps_per_dispatch
    remedy = "lower --batch-size or --steps-per-dispatch"
    check_memory(f"--batch-size {cfg.batch_size}", kept + inputs, remedy)
    if cfg.data is None:
        # A name and a size of each, and its bytes if they are kept.
        each = 100 + (0 if cfg.cache == "none" else 4 * 88 * 88)
        shown = " ".join(map(str, cfg.scenes))
        check_memory(f"--scenes {shown}", each * sum(cfg.scenes), "draw fewer", host=True)
