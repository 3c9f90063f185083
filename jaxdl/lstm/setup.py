"""What LSTM training is made of: its optimiser, and whether it fits into memory."""

import optax

from jaxdl.devices.memory import check_memory
from jaxdl.lstm.config import Config
from jaxdl.lstm.ensemble import PARTS
from jaxdl.lstm.lengths import USUAL
from jaxdl.lstm.model import CELLS
from jaxdl.training import optimizers


def optimizer_of(cfg: Config) -> optax.GradientTransformation:
    """Momentum SGD, or Chainer's Adam."""
    if cfg.optimizer == "adam":
        return optimizers.adam()
    return optimizers.momentum_sgd(momentum=cfg.momentum)


def check_size(cfg: Config) -> None:
    """InputError if the networks or their batches cannot fit into memory."""
    networks, largest, cell = len(cfg.hidden) * cfg.seeds, max(cfg.hidden), CELLS[cfg.cell]
    if cfg.data is not None:
        networks *= PARTS
    # Gates of one input and of the units before; above the first layer of the layer below too.
    numbers = cell.gates * largest * (largest + 1 + (cfg.layers - 1) * 2 * largest)
    copies = 4 if cfg.optimizer == "adam" else 3  # parameters, gradients, moments
    states = cfg.batch_size * (cfg.window or USUAL) * cfg.layers * len(cell.state._fields) * largest
    losses = 50 * cfg.log_every  # `jaxdl.lstm.train.INTERVALS`
    check_memory(
        f"{networks} networks of up to {largest} units in {cfg.layers} layers",
        4 * networks * (copies * numbers + states + losses),
        "lower --hidden, --seeds, --layers, --batch-size, --window or --log-every",
    )
