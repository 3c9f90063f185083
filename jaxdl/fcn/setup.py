"""What FCN training is made of: its optimiser, and whether it fits into memory."""

import math

import optax

from jaxdl.devices.memory import check_memory
from jaxdl.fcn.config import Config
from jaxdl.fcn.rates import with_skip_rates
from jaxdl.training import optimizers


def optimizer_of(cfg: Config) -> optax.GradientTransformationExtraArgs:
    """Momentum SGD, once in --accumulate batches."""
    names = ("momentum", "weight_decay", "clip_norm", "bias_rule")
    sgd = with_skip_rates(optimizers.momentum_sgd(**{name: getattr(cfg, name) for name in names}))
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
