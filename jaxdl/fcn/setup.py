"""What FCN training is made of: its optimiser."""

import optax
from jaxtyping import PyTree

from jaxdl.fcn.config import Config
from jaxdl.training import optimizers


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
    return optimizers.accumulate(sgd, cfg.accumulate, mean=cfg.reduction == "mean")
