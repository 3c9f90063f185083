"""Training on digits, and samples for the page."""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl.cli.progress import Bar
from jaxdl.digits import task
from jaxdl.digits.config import Config
from jaxdl.digits.data import DigitData
from jaxdl.digits.model import LeNet
from jaxdl.files import atomic
from jaxdl.training import checkpoint, loop, optimizers, run_folder
from jaxdl.training.step import TrainState, dense_step, start_state

SAMPLES = 30  # test pictures on the page


def fit(cfg: Config, data: DigitData, epochs: int, bar: Bar) -> TrainState:
    """Train from the last checkpoint, if there is one, to the end."""
    model, count = LeNet(len(data.classes)), len(data.train.images)
    per_epoch = count // cfg.batch_size
    steps = epochs * per_epoch
    optimizer = optimizers.momentum_sgd(momentum=cfg.momentum, weight_decay=cfg.weight_decay)
    evaluate = task.make_evaluate(model)

    def add(totals, figures):
        return task.add_batch(totals, *figures)

    step = dense_step(task.picture_loss(model), optimizer, add)

    def zero():
        return task.zero_totals(len(data.classes))

    def rate(n: int) -> float:
        peak, warmup = cfg.learning_rate, min(50, steps // 10)
        return optimizers.learning_rate(n, peak=peak, steps=steps, warmup=warmup, schedule="cosine")

    with (
        checkpoint.open_manager(cfg.out / "checkpoints", lambda m: m["accuracy"]) as manager,
        loop.stop_on_signal() as stop,
    ):
        image = jnp.zeros((1, *data.train.images.shape[1:], 1))
        # It runs once: compiled as carefully as a step it would take longer than all else.
        init = jax.jit(model.init, compiler_options={"xla_backend_optimization_level": 1})
        params = init(jax.random.key(cfg.seed), image)["params"]
        state, totals = start_state(params, optimizer), zero()
        if manager.latest_step() is not None:
            kept = checkpoint.restore(manager, state._asdict() | {"totals": totals})
            totals = kept.pop("totals")
            state = TrainState(**kept)
            bar.line(f"goes on from step {int(state.step)} of {steps}")
        first, clock = int(state.step), time.monotonic()

        def end_epoch(done: int, state: TrainState, totals: Any) -> dict[str, float]:
            nonlocal clock
            trained = task.figures(totals)
            row = {
                "epoch": -(-done // per_epoch),
                "train": {name: trained[name] for name in ("accuracy", "loss")},
                "test": evaluate(state.params, data.test, cfg.batch_size),
                "seconds": time.monotonic() - clock,
            }
            clock = time.monotonic()
            recorder.row(done, row)
            bar.line(
                f"epoch {row['epoch']}/{epochs}: loss {trained['loss']:.3f}, test loss "
                f"{row['test']['loss']:.3f}, test accuracy {row['test']['accuracy']:.2%}"
            )
            return {"accuracy": row["test"]["accuracy"]}

        def save(done: int, state: TrainState, totals: Any, metrics: Any) -> None:
            meta = {"classes": list(data.classes)}
            checkpoint.save(manager, done, state._asdict() | {"totals": totals}, meta, metrics)

        with (
            run_folder.Recorder(cfg.out, first) as recorder,
            bar.training("digits", first, steps, per_epoch, cfg.batch_size, "pictures") as show,
        ):
            return loop.fit(
                step,
                state,
                totals,
                task.batches(data.train, cfg.batch_size, seed=cfg.seed, first=first),
                rate=rate,
                steps=steps,
                ends=lambda done: done % per_epoch == 0,
                end_epoch=end_epoch,
                zero=zero,
                save=save,
                stop=stop,
                show=show,
                inputs=lambda n: f"epoch {n // per_epoch + 1}, batch {n % per_epoch}",
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
