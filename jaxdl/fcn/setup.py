"""What FCN training is made of: its optimiser."""

import optax

from jaxdl.fcn.config import Config
from jaxdl.fcn.rates import with_skip_rates
from jaxdl.training import optimizers


def optimizer_of(cfg: Config) -> optax.GradientTransformationExtraArgs:
    """Momentum SGD, once in --accumulate batches."""
    names = ("momentum", "weight_decay", "clip_norm", "bias_rule")
    sgd = with_skip_rates(optimizers.momentum_sgd(**{name: getattr(cfg, name) for name in names}))
    return optimizers.accumulate(sgd, cfg.accumulate, mean=cfg.reduction == "mean")
