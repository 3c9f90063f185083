"""FCN-32s, then FCN-16s from its checkpoint, then FCN-8s, on drawn scenes.

    python -m experiments.fcn            about 3 minutes on 2 CPU cores

Expect a mean IU of about 41, 62 and 81 % (the seeds differ by some points). The posts trained on
PASCAL VOC from VGG-16's weights: `jaxdl fcn train --data VOC.tar --weights vgg16.safetensors`.
This script ends in the same bits as `jaxdl fcn train --preset demo`.
"""

from pathlib import Path
from typing import Any

import jax.numpy as jnp

from experiments import start
from jaxdl.cli.progress import Bar
from jaxdl.devices.cpu_memory import reuse_temp_memory
from jaxdl.fcn.config import PRESETS, Config
from jaxdl.fcn.data.batches import BatchSource, read_ahead
from jaxdl.fcn.dataset import Data, open_data, open_source
from jaxdl.fcn.metrics import compute_metrics, empty_metrics
from jaxdl.fcn.models.fcn import FCN
from jaxdl.fcn.rates import skip_multipliers, with_skip_rates
from jaxdl.fcn.saved import load, match_classes
from jaxdl.fcn.start import VGG_MEAN, fresh_params, zero_params
from jaxdl.fcn.task import add_outcome, make_evaluate, pixel_loss
from jaxdl.training import checkpoint, session
from jaxdl.training.loop import Epoch, EpochReport, Task
from jaxdl.training.network import describe
from jaxdl.training.optimizers import learning_rate, momentum_sgd, set_multipliers
from jaxdl.training.run_folder import read_rows
from jaxdl.training.step import TrainState, dense_step, start_state
from jaxdl.training.transfer import transfer


def experiment(cfg: Config = PRESETS["demo"]) -> dict[str, float]:
    """Train the three stages in ``cfg.out``, or resume them; returns the mean IU of each."""
    data, before, found = open_data(cfg, *open_source(cfg, Bar()), Bar()), None, {}
    for number, stride in enumerate((32, 16, 8)):
        found[f"fcn{stride}s"] = train_stage(cfg, data, number, stride, before)
        before = cfg.out / f"fcn{stride}s" / "checkpoints"  # passed on to the next stage
    return found


def train_stage(cfg: Config, data: Data, number: int, stride: Any, before: Path | None) -> float:
    """Train one stage from the checkpoint of the one before; returns its mean IU."""
    name, model = f"fcn{stride}s", FCN(stride, len(data.classes), cfg.width_divisor)
    mean = jnp.asarray(VGG_MEAN)
    sgd = momentum_sgd(
        momentum=cfg.momentum, weight_decay=cfg.weight_decay, clip_norm=cfg.clip_norm
    )
    optimizer = with_skip_rates(sgd)  # scores of pool4 and pool3 learn slower
    step = dense_step(pixel_loss(model, mean, "mean"), optimizer, add_outcome)
    evaluate = make_evaluate(model, mean)
    images = BatchSource(
        *(data.examples, data.rows("train"), data.canvases, cfg.batch_size),
        seed=cfg.seed + stride,
        epochs=cfg.epochs[number],
    )
    test = BatchSource(data.examples, data.rows("test"), data.canvases, cfg.batch_size, seed=None)

    def begin(resumed: bool) -> TrainState:
        drawn = before is None and not resumed
        params = fresh_params(model, cfg.seed) if drawn else zero_params(model)
        if before is not None and not resumed:
            saved = load(before)  # the best step; scores are passed on by class name
            passed, _ = match_classes(saved.params, saved.classes, data.classes)
            params = transfer(passed, params).params
        state = start_state(params, optimizer)
        slower = skip_multipliers(model, params, read_ahead(images), mean)
        return state._replace(opt_state=set_multipliers(state.opt_state, slower))

    def end_epoch(epoch: Epoch) -> EpochReport:
        result = evaluate(epoch.state.params, read_ahead(test))
        row = {"train": compute_metrics(epoch.metrics), "test": result, "seconds": epoch.elapsed}
        return EpochReport({epoch.done: row}, result["mean_iu"], f"{name}: {result['mean_iu']:.1%}")

    def rate(n: int) -> float:
        rest = {"steps": len(images), "warmup": cfg.warmup, "schedule": cfg.schedule}
        return learning_rate(n, peak=cfg.learning_rate[number], **rest)

    task = Task(
        step=reuse_temp_memory(step),
        start=begin,
        metrics=lambda: empty_metrics(len(data.classes)),
        batches=lambda first: read_ahead(images, first),
        steps=len(images),
        ends=lambda done: done % images.per_epoch == 0,
        end_epoch=end_epoch,
        learning_rate=rate,
        describe=lambda n: f"images {', '.join(images.ids(n))}",
        score=checkpoint.Score("mean_iu"),
        meta={"model": describe(model), "mean": list(VGG_MEAN), "classes": list(data.classes)},
    )
    session.train(task, cfg.out / name, reporter=Bar(), name=name)
    return read_rows(cfg.out / name / "metrics.jsonl")[-1]["test"]["mean_iu"]


if __name__ == "__main__":
    start(experiment, PRESETS["demo"], "jaxdl fcn train")
