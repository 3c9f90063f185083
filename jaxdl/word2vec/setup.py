"""The word2vec experiment's step: which optimiser, on which devices."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from jaxdl.devices.memory import check_memory
from jaxdl.devices.mesh import shard, shardings
from jaxdl.training import optimizers
from jaxdl.training.step import TrainState
from jaxdl.word2vec.batches import Batches
from jaxdl.word2vec.config import Config, block_of
from jaxdl.word2vec.model import Tables
from jaxdl.word2vec.objectives import Metrics
from jaxdl.word2vec.sharded_step import train_blocks_sharded
from jaxdl.word2vec.step import train_blocks, train_dense


def optimizer_of(cfg: Config) -> optax.GradientTransformationExtraArgs | None:
    """The dense optimiser, or None for sparse SGD. The full softmax moves every row: dense."""
    if cfg.optimizer == "adam":
        return optax.with_extra_args_support(optax.inject_hyperparams(optax.adam)(0.0))
    if cfg.optimizer == "momentum":
        return optimizers.momentum_sgd(momentum=cfg.momentum)
    return optimizers.momentum_sgd(momentum=0.0) if cfg.loss == "full-softmax" else None


def rate_of(cfg: Config, step: int, *, steps: int) -> float:
    """The learning rate of the first block of a step."""
    peak, end = cfg.learning_rate, cfg.end_learning_rate
    return optimizers.learning_rate(step, peak=peak, steps=steps, schedule="linear", end=end)


def make_step(
    cfg: Config,
    batches: Batches,
    optimizer: optax.GradientTransformationExtraArgs | None,
    mesh: Mesh | None,
) -> Callable[..., Any]:
    """The step of `loop.fit`: a dispatch of blocks; the loss it returns is the mean of a pair."""
    layout = shardings(None, mesh)
    whole = None if layout is None else layout.replicated
    first, last = (rate_of(cfg, n, steps=batches.steps) for n in (0, batches.steps))
    fall = (first - last) / (batches.steps * batches.blocks)
    tree, slope = shard((batches.tree, jnp.asarray(fall, jnp.float32)), whole)
    options: dict[str, Any] = {"objective": batches.objective}
    # A GPU adds the rows of a repeated word one after another: sum them first.
    sum_first = jax.default_backend() != "cpu"

    def step(state, metrics, prepared, rate):
        tables = Tables(**state.params)
        prepared, rate = shard((prepared, jnp.asarray(rate, jnp.float32)), whole)
        if mesh is not None:
            tables, sums = train_blocks_sharded(
                *(tables, prepared, tree, rate, slope), mesh=mesh, sum_first=sum_first, **options
            )
            opt_state = state.opt_state
        elif optimizer is None:
            tables, sums = train_blocks(
                tables, prepared, tree, rate, slope, sum_first=sum_first, **options
            )
            opt_state = state.opt_state
        else:
            tables, opt_state, sums = train_dense(
                *(tables, state.opt_state, prepared, tree, rate, slope),
                optimizer=optimizer,
                **options,
            )
        metrics, loss = add_metrics(metrics, sums)
        return TrainState(state.step + 1, tables._asdict(), opt_state), metrics, loss

    return step


@jax.jit
def add_metrics(metrics: Metrics, sums: Metrics) -> tuple[Metrics, jax.Array]:
    """The metrics of both, and the mean loss of a pair of the second."""
    loss = (sums.positive + sums.negative) / jnp.maximum(sums.count, 1)
    return jax.tree.map(jnp.add, metrics, sums), loss


def check_size(cfg: Config, words: int = 0) -> None:
    """InputError if the tables or a block cannot fit into memory.

    Args:
        cfg: the run.
        words: of the vocabulary; 0 if it is not known yet.
    """
    copies = {"sgd": 1, "momentum": 2, "adam": 3}[cfg.optimizer]
    if cfg.workers > 1:
        copies = 1 + 2 * cfg.workers  # the joined ones; each worker's, on its device and shared
    check_memory(
        f"two tables of {words:,} words of {cfg.dim} numbers",
        4 * 2 * words * cfg.dim * copies,
        "lower --dim or --max-vocab, or raise --min-count",
    )
    negatives = 0
    if cfg.loss == "negative-sampling":
        negatives = block_of(cfg) // cfg.group * cfg.shared_negatives
    check_memory(
        f"--block {block_of(cfg)} --shared-negatives {cfg.shared_negatives}",
        4 * (block_of(cfg) + negatives) * (cfg.dim + 1),
        "lower them",
    )
