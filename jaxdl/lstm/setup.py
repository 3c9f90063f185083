"""What LSTM training is made of: its optimiser."""

import optax

from jaxdl.lstm.config import Config
from jaxdl.training import optimizers


def optimizer_of(cfg: Config) -> optax.GradientTransformation:
    """Momentum SGD, or Chainer's Adam."""
    if cfg.optimizer == "adam":
        return optimizers.adam()
    return optimizers.momentum_sgd(momentum=cfg.momentum)
