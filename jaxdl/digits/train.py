"""The digits run: training, and what it leaves behind."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxdl.cli.progress import Bar
from jaxdl.devices import processes
from jaxdl.devices.mesh import gather_to_host, join_rows, local_rows, shard, shardings
from jaxdl.digits import task
from jaxdl.digits.config import Config
from jaxdl.digits.data import DigitData
from jaxdl.digits.model import LeNet
from jaxdl.errors import InputError
from jaxdl.files import atomic
from jaxdl.files.fingerprint import of_files
from jaxdl.report import page
from jaxdl.training import optimizers, run_folder, session
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


def epochs_of(cfg: Config) -> int:
    """Passes over the training part."""
    return cfg.epochs or (15 if cfg.data is None else 2)


def digits_task(cfg: Config, data: DigitData, mesh: Mesh | None) -> Task:
    """What the digits bring to `jaxdl.training.session.train`.

    Raises:
        InputError: the devices do not divide the batch, or there are fewer pictures than it takes.
    """
    model, count = LeNet(len(data.classes)), len(data.train.images)
    if count < cfg.batch_size:
        raise InputError(f"--batch-size {cfg.batch_size}: there are {count} pictures to train on")
    if mesh is not None and cfg.batch_size % mesh.size:
        raise InputError(f"--batch-size {cfg.batch_size}: give a multiple of {mesh.size} devices")
    epochs, per_epoch = epochs_of(cfg), count // cfg.batch_size
    steps = epochs * per_epoch
    optimizer = optimizers.momentum_sgd(momentum=cfg.momentum, weight_decay=cfg.weight_decay)
    image = jnp.zeros((1, *data.train.images.shape[1:], 1))
    shapes = jax.eval_shape(model.init, jax.random.key(cfg.seed), image)["params"]
    layout = shardings(jax.eval_shape(lambda p: start_state(p, optimizer), shapes), mesh)
    whole = None if layout is None else layout.replicated
    evaluate = task.make_evaluate(model)

    def add(metrics, outcome):
        return task.update_metrics(metrics, *outcome)

    def start(resumed: bool) -> TrainState:
        if resumed:
            like = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), shapes)
            return shard(start_state(like, optimizer), layout and layout.state)
        # It runs once: compiled as carefully as a step it would take longer than all else.
        init = jax.jit(model.init, compiler_options={"xla_backend_optimization_level": 1})
        state = start_state(init(jax.random.key(cfg.seed), image)["params"], optimizer)
        return shard(state, layout and layout.state)

    def read(first: int) -> Iterator[Any]:
        rows = local_rows(cfg.batch_size, mesh)
        for batch in task.batches(data.train, cfg.batch_size, seed=cfg.seed, first=first):
            yield join_rows(jax.tree.map(lambda a: a[rows], batch), layout)

    def rate(n: int) -> float:
        peak, warmup = cfg.learning_rate, min(50, steps // 10)
        return optimizers.learning_rate(n, peak=peak, steps=steps, warmup=warmup, schedule="cosine")

    def end_epoch(epoch: Epoch) -> EpochReport:
        began, trained = time.monotonic(), task.compute_metrics(epoch.metrics)
        # Small: every process evaluates all of it.
        test = evaluate(gather_to_host(epoch.state.params, layout), data.test, cfg.batch_size)
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
        step=dense_step(task.picture_loss(model), optimizer, add, layout),
        start=start,
        metrics=lambda: shard(task.empty_metrics(len(data.classes)), whole),
        batches=read,
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


def train_run(
    cfg: Config,
    data: DigitData,
    config: dict[str, Any],
    record: dict[str, Any] | None,
    mesh: Mesh | None,
    bar: Bar,
) -> dict[str, Any]:
    """The run from the pictures to the report, from where it stopped."""
    counts = {"train": len(data.train.images), "test": len(data.test.images)}
    bar.line(f"{data.source}: {counts['train']:,} to train on, {counts['test']:,} to test on")
    trained = digits_task(cfg, data, mesh)
    if record is None and processes.is_main_process():
        record = run_folder.run_record("digits", config, data.classes)
        record |= {"data": {"source": data.source, **counts}, "inputs": of_files(data.files)}
        atomic.write_json(cfg.out / "run.json", record)
    state = session.train(trained, cfg.out, mesh=mesh, reporter=bar).state
    params = gather_to_host(state.params, shardings(None, mesh))
    if not processes.is_main_process():
        return {}
    write_samples(cfg, data, params)
    rows = run_folder.recorded_rows(cfg.out / "metrics.jsonl", ROW)
    scores = {name: rows[-1]["test"][name] for name in ("accuracy", "loss")}
    seconds = sum(row["seconds"] for row in rows)
    summary = {
        "digits": scores | {"epochs": epochs_of(cfg), "seconds": seconds},
        "warnings": doubts(rows[-1]["test"]["confusion"]),
    }
    assert record is not None
    atomic.write_json(cfg.out / "summary.json", summary)
    from jaxdl.digits.report import digits_section  # matplotlib takes long to import

    page.write_page(cfg.out / "report.html", "jaxdl", [digits_section(cfg.out)], record)
    return summary


def doubts(confusion: Sequence[Sequence[int]]) -> list[str]:
    """Why a network with these counts ([true][found], of the test part) is no good result."""
    counts = np.asarray(confusion)
    if np.trace(counts) > counts.sum(1).max():
        return []
    return [
        "the network is no better than always naming the commonest class: it has not learnt; try "
        "a lower --learning-rate, or more --epochs"
    ]


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
