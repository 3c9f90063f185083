"""A small network on 8x8 digits: the 2016 posts' check that a new GPU host works.

    python -m experiments.digits         15 seconds on 2 CPU cores

Expect a test accuracy above 97 %. This script ends in the same bits as `jaxdl digits`.
"""

import jax
import jax.numpy as jnp

from experiments import start
from jaxdl.cli.progress import Bar
from jaxdl.digits import task as digits
from jaxdl.digits.config import Config
from jaxdl.digits.data import open_digits
from jaxdl.digits.model import LeNet
from jaxdl.training import session
from jaxdl.training.checkpoint import Score
from jaxdl.training.loop import Epoch, EpochReport, Task
from jaxdl.training.network import describe
from jaxdl.training.optimizers import learning_rate, momentum_sgd
from jaxdl.training.step import TrainState, dense_step, start_state

DEFAULTS = Config()


def experiment(cfg: Config = DEFAULTS) -> float:
    """Train in ``cfg.out``, or resume; returns the accuracy on the test part."""
    data = open_digits(None)
    model, per_epoch = LeNet(len(data.classes)), len(data.train.images) // cfg.batch_size
    steps = (cfg.epochs or 15) * per_epoch
    optimizer = momentum_sgd(momentum=cfg.momentum, weight_decay=cfg.weight_decay)
    step = dense_step(
        digits.picture_loss(model),
        optimizer,
        lambda sums, found: digits.update_metrics(sums, *found),
    )
    evaluate = digits.make_evaluate(model)

    def begin(resumed: bool) -> TrainState:
        image = jnp.zeros((1, *data.train.images.shape[1:], 1))
        # It runs once: compiled as carefully as a step it would take longer than all else.
        init = jax.jit(model.init, compiler_options={"xla_backend_optimization_level": 1})
        return start_state(init(jax.random.key(cfg.seed), image)["params"], optimizer)

    def end_epoch(epoch: Epoch) -> EpochReport:
        train = digits.compute_metrics(epoch.metrics)
        test = evaluate(epoch.state.params, data.test, cfg.batch_size)
        row = {"train": {"loss": train["loss"]}, "test": test}
        line = f"loss {train['loss']:.3f}, test accuracy {test['accuracy']:.2%}"
        return EpochReport({epoch.done: row}, test["accuracy"], line)

    task = Task(
        step=step,
        start=begin,
        metrics=lambda: digits.empty_metrics(len(data.classes)),
        batches=lambda n: digits.batches(data.train, cfg.batch_size, seed=cfg.seed, first=n),
        steps=steps,
        ends=lambda done: done % per_epoch == 0,
        end_epoch=end_epoch,
        learning_rate=lambda n: learning_rate(
            n,
            peak=cfg.learning_rate,
            steps=steps,
            warmup=min(50, steps // 10),
            schedule="cosine",
        ),
        describe=lambda n: f"batch {n}",
        score=Score("accuracy"),
        meta={"model": describe(model), "classes": list(data.classes)},
    )
    state = session.train(task, cfg.out, reporter=Bar(), name="digits").state
    return evaluate(state.params, data.test, cfg.batch_size)["accuracy"]


if __name__ == "__main__":
    start(experiment, DEFAULTS, "jaxdl digits")
