"""The seed's check of a new GPU host: a LeNet on digits, through the loop of all experiments.

    python -m experiments.digits                       8x8 digits, no download, 15 s on 2 CPU cores
    python -m experiments.digits --data fashion-mnist  IDX files, or a prepared TFDS set
    python -m experiments.digits --at-least 97         exit status 3 below 97 % of the test part

The seed trained TensorFlow's and Caffe's MNIST examples to see that the driver, the container and
the framework fit together; `containers/` does the same with this.
"""

import dataclasses
import time
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from experiments.command import Bar, as_dict, check_least, input_paths, main, one_run, open_run
from experiments.compiling import Compiling, started
from jaxdl import checkpoint, classification, report, train
from jaxdl.data.digits import DigitData, open_digits
from jaxdl.errors import InputError, TrainingError
from jaxdl.metrics import add_batch, zero_totals
from jaxdl.models.lenet import LeNet

# What a run's results do not depend on: may differ when a run is resumed.
FREE = ("out", "overwrite", "resume", "at_least", "compiling")
SAMPLES = 30  # test pictures on the page


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Train a LeNet on digits: the check of a new host."""

    out: Path = Path("runs/digits")
    """Run folder: checkpoints, metrics, samples.json, report.html."""
    resume: bool = True
    """Go on where the run folder stopped; --no-resume refuses a folder that holds a run."""
    overwrite: bool = False
    """Delete the run folder first."""
    data: Path | None = None
    """Folder of MNIST's or Fashion-MNIST's IDX files, or a prepared TFDS set; none: 8x8 digits."""
    epochs: int | None = None
    """Passes over the training part; by default 15 of the 8x8 digits, 2 of --data."""
    batch_size: int = 64
    """Pictures in a step."""
    learning_rate: float = 0.05
    """At its highest; it falls to 0 along a cosine."""
    momentum: float = 0.9
    """Of the SGD."""
    weight_decay: float = 5e-4
    """L2, as in Caffe's example."""
    at_least: float = 0.0
    """Fail below this test accuracy, in percent."""
    seed: int = 0
    """Of the start and the order of the pictures."""
    compiling: Annotated[Compiling, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=Compiling
    )
    """Compiled programs."""


def check(cfg: Config) -> None:
    """Refuse what cannot be trained, in one line, before anything else is done."""
    check_least(cfg, 1, ("batch_size",))
    check_least(cfg, 0, ("seed", "momentum", "weight_decay", "at_least"))
    if cfg.epochs is not None:
        check_least(cfg, 1, ("epochs",))
    if not cfg.learning_rate > 0:
        raise InputError(f"--learning-rate {cfg.learning_rate}: must be above 0")
    if cfg.at_least > 100:
        raise InputError(f"--at-least {cfg.at_least}: is in percent, at most 100")


def fit(cfg: Config, data: DigitData, epochs: int, bar: Bar) -> train.TrainState:
    """Train from the last checkpoint, if there is one, to the end."""
    model, count = LeNet(len(data.classes)), len(data.train.images)
    per_epoch = count // cfg.batch_size
    steps = epochs * per_epoch
    optimizer = train.momentum_sgd(momentum=cfg.momentum, weight_decay=cfg.weight_decay)
    evaluate = classification.make_evaluate(model)

    def add(totals, figures):
        return add_batch(totals, *figures)

    step = train.dense_step(classification.picture_loss(model), optimizer, add)

    def zero():
        return zero_totals(len(data.classes))

    def rate(n: int) -> float:
        peak, warmup = cfg.learning_rate, min(50, steps // 10)
        return train.learning_rate(n, peak=peak, steps=steps, warmup=warmup, schedule="cosine")

    with (
        checkpoint.open_manager(cfg.out / "checkpoints", lambda m: m["accuracy"]) as manager,
        train.stop_on_signal() as stop,
    ):
        image = jnp.zeros((1, *data.train.images.shape[1:], 1))
        # It runs once: compiled as carefully as a step it would take longer than all else.
        init = jax.jit(model.init, compiler_options={"xla_backend_optimization_level": 1})
        params = init(jax.random.key(cfg.seed), image)["params"]
        state, totals = train.start_state(params, optimizer), zero()
        if manager.latest_step() is not None:
            kept = checkpoint.restore(manager, state._asdict() | {"totals": totals})
            totals = kept.pop("totals")
            state = train.TrainState(**kept)
            bar.line(f"goes on from step {int(state.step)} of {steps}")
        first, clock = int(state.step), time.monotonic()

        def end_epoch(done: int, state: train.TrainState, totals: Any) -> dict[str, float]:
            nonlocal clock
            trained = classification.figures(totals)
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

        def save(done: int, state: train.TrainState, totals: Any, metrics: Any) -> None:
            meta = {"classes": list(data.classes)}
            checkpoint.save(manager, done, state._asdict() | {"totals": totals}, meta, metrics)

        with (
            report.Recorder(cfg.out, first) as recorder,
            bar.training("digits", first, steps, per_epoch, cfg.batch_size, "pictures") as show,
        ):
            return train.fit(
                step,
                state,
                totals,
                classification.batches(data.train, cfg.batch_size, seed=cfg.seed, first=first),
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
    predict = jax.jit(lambda params, images: classification.scores(model, params, images))
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
    report.write_json(cfg.out / "samples.json", samples)


@one_run
def run(cfg: Config, bar: Bar) -> dict[str, Any]:
    """Train (or go on), write the page; returns the summary.

    Raises:
        TrainingError: less than --at-least.
    """
    check(cfg)
    data = open_digits(cfg.data)
    epochs = cfg.epochs or (15 if cfg.data is None else 2)
    if len(data.train.images) < cfg.batch_size:
        count = len(data.train.images)
        raise InputError(f"--batch-size {cfg.batch_size}: there are {count} pictures to train on")
    config = as_dict(cfg)
    record = open_run(
        cfg.out,
        config,
        free=FREE,
        resume=cfg.resume,
        overwrite=cfg.overwrite,
        inputs=input_paths(cfg),
    )
    counts = {"train": len(data.train.images), "test": len(data.test.images)}
    if record is None:
        record = report.run_record("digits", config, data.classes)
        record["data"] = {"source": data.source, **counts}
        report.write_json(cfg.out / "run.json", record)
    bar.line(f"{data.source}: {counts['train']:,} to train on, {counts['test']:,} to test on")
    page, summary_file = cfg.out / "report.html", cfg.out / "summary.json"
    if page.is_file() and summary_file.is_file():
        summary = report.read_json(summary_file)
        bar.line(f"{cfg.out}: finished already (--overwrite trains it again)")
    else:
        state = fit(cfg, data, epochs, bar)
        write_samples(cfg, data, state.params)
        rows = report.read_rows(cfg.out / "metrics.jsonl")
        figures = {name: rows[-1]["test"][name] for name in ("accuracy", "loss")}
        seconds = sum(row["seconds"] for row in rows)
        summary = {"digits": figures | {"epochs": epochs, "seconds": seconds}}
        from jaxdl.digitfigures import digits_section  # matplotlib takes long to import

        report.write_page(page, "jaxdl", [digits_section(cfg.out)], record)
        report.write_json(summary_file, summary)
    accuracy, device = 100 * summary["digits"]["accuracy"], jax.devices()[0]
    bar.line(f"test accuracy {accuracy:.2f} % on {device.device_kind} ({device.platform})")
    bar.line(f"report: {page}")
    if accuracy < cfg.at_least:
        raise TrainingError(f"test accuracy {accuracy:.2f} %: below --at-least {cfg.at_least:g} %")
    return summary


if __name__ == "__main__":
    prog = "python -m experiments.digits"
    main(lambda: run(started(tyro.cli(Config, prog=prog)), Bar()))
