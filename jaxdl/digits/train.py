"""Training on digits, and samples for the page."""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl.digits import task
from jaxdl.digits.config import Config
from jaxdl.digits.data import DigitData
from jaxdl.digits.model import LeNet
from jaxdl.files import atomic
from jaxdl.training import optimizers
from jaxdl.training.checkpoint import Score
from jaxdl.training.loop import Epoch, EpochReport, Task
from jaxdl.training.network import describe
from jaxdl.training.step import TrainState, dense_step, start_state

NUMBER = (float, None)
ROW = {  # of the metrics
    "epoch": int,
    "train": dict,
    "test": {"accuracy": NUMBER, "loss": NUMBER},
    "seconds": float,
}
SAMPLES = 30  # test pictures on the page


def digits_task(cfg: Config, data: DigitData, epochs: int) -> Task:
    """What the digits bring to `jaxdl.training.session.train`."""
    model, count = LeNet(len(data.classes)), len(data.train.images)
    per_epoch = count // cfg.batch_size
    steps = epochs * per_epoch
    optimizer = optimizers.momentum_sgd(momentum=cfg.momentum, weight_decay=cfg.weight_decay)
    evaluate = task.make_evaluate(model)

    def add(metrics, figures):
        return task.update_metrics(metrics, *figures)

    def start(resumed: bool) -> TrainState:
        image = jnp.zeros((1, *data.train.images.shape[1:], 1))
        # It runs once: compiled as carefully as a step it would take longer than all else.
        init = jax.jit(model.init, compiler_options={"xla_backend_optimization_level": 1})
        return start_state(init(jax.random.key(cfg.seed), image)["params"], optimizer)

    def rate(n: int) -> float:
        peak, warmup = cfg.learning_rate, min(50, steps // 10)
        return optimizers.learning_rate(n, peak=peak, steps=steps, warmup=warmup, schedule="cosine")

    def end_epoch(epoch: Epoch) -> EpochReport:
        began, trained = time.monotonic(), task.compute_metrics(epoch.metrics)
        test = evaluate(epoch.state.params, data.test, cfg.batch_size)
        row = {
            "epoch": -(-epoch.done // per_epoch),
            "train": {name: trained[name] for name in ("accuracy", "loss")},
            "test": test,
            "seconds": epoch.elapsed + time.monotonic() - began,
        }
        line = (
            f"epoch {row['epoch']}/{epochs}: loss {trained['loss']:.3f}, test loss "
            f"{test['loss']:.3f}, test accuracy {test['accuracy']:.2%}"
        )
        return EpochReport({epoch.done: row}, test["accuracy"], line)

    return Task(
        step=dense_step(task.picture_loss(model), optimizer, add),
        start=start,
        metrics=lambda: task.empty_metrics(len(data.classes)),
        batches=lambda first: task.batches(data.train, cfg.batch_size, seed=cfg.seed, first=first),
        steps=steps,
        ends=lambda done: done % per_epoch == 0,
        end_epoch=end_epoch,
        learning_rate=rate,
        describe=lambda n: f"epoch {n // per_epoch + 1}, batch {n % per_epoch}",
        score=Score("accuracy"),
        meta={"model": describe(model), "classes": list(data.classes)},
        row=ROW,
        items=cfg.batch_size,
        unit="pictures",
        epoch_steps=per_epoch,
    )


def write_samples(cfg: Config, data: DigitData, params: Any) -> None:
    """samples.json: some test pictures with what was found, the wrong ones first."""
    model, test = LeNet(len(data.classes)), data.test
    predict = jax.jit(lambda params, images: task.scores(model, params, images))
    found = np.concatenate(
        [
            np.asarray(predict(params, test.images[i : i + 1000])).argmax(-1)
            for i in range(0, len(test.images), 1000)
        ]
    )
    rows = np.argsort(found == test.labels, kind="stable")[:SAMPLES]
    samples = [
        {
            "image": test.images[row],
            "found": data.classes[found[row]],
            "label": data.classes[test.labels[row]],
        }
        for row in rows
    ]
    atomic.write_json(cfg.out / "samples.json", samples)
