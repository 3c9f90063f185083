"""What a run on photos of one's own takes from the data: stages, epochs, batch, crop; its time."""

import dataclasses
import math
import time
from typing import Any

import jax
import numpy as np

from jaxdl.cli.progress import Bar
from jaxdl.fcn.config import STRIDES, Config
from jaxdl.fcn.dataset import Data

# Updates of the stages in order, and epochs at most: a few images seen more often are learnt by
# heart.
_LENGTHS = {
    "scratch": ((1200, 120), (600, 60), (600, 60)),
    "weights": ((400, 120), (200, 60), (200, 60)),
    "checkpoint": ((200, 60),) * 3,
}
_PIXELS = 8 * 256 * 256  # of a batch
_LARGE, _CROP = 640, 512  # larger images are trained on in squares of this side
_CELLS = 3  # of the coarsest map, along an image's shorter side, at least
_FLOPS = 613e3  # of the forward pass of VGG-16's convolutions, for a pixel; three times to train
_COMPILING = 25.0  # seconds, for each program of a stage, of full width on two cores


def fit(cfg: Config, data: Data, bar: Bar) -> Config:
    """The config with what the data decides where the user did not: no stages, 0 epochs, batch 0.

    Says what it took, and about how long a CPU will need.
    """
    if cfg.stages and cfg.batch_size and all(cfg.epochs):
        return cfg
    cfg = cfg if cfg.stages else _choose_stages(cfg, data)
    rows = data.rows("train")
    sizes, count = data.examples.sizes[rows], len(rows)
    crop = cfg.crop
    if crop is None and sizes.max() > _LARGE and cfg.freeze == "none":
        crop = _CROP
    side = sizes if crop is None else np.minimum(sizes, crop)
    area = float(np.median(side.prod(1)))
    batch = cfg.batch_size or int(min(count, 8, max(1, _PIXELS // area)))
    start = "checkpoint" if cfg.start_from else "weights" if cfg.weights else "scratch"
    epochs = tuple(
        given or min(most, math.ceil(updates * batch / count))
        for given, (updates, most) in zip(cfg.epochs, _LENGTHS[start], strict=False)
    )
    canvases = len(data.canvases) if crop is None else 1
    cropped = "" if crop is None else f", training on squares of {crop}"
    named = ", ".join(f"FCN-{stride}s" for stride in cfg.stages)
    bar.line(
        f"preset {cfg.preset}: {named}, batches of {batch}, "
        f"{' + '.join(map(str, epochs))} epochs{cropped} "
        f"({about(cfg.width_divisor, area, count * sum(epochs), canvases * len(epochs))})"
    )
    return dataclasses.replace(cfg, batch_size=batch, epochs=epochs, crop=crop)


def _choose_stages(cfg: Config, data: Data) -> Config:
    """The stages whose map has `_CELLS` cells or more along the median image's shorter side.

    The rest would learn little but the background, in the longest of all trainings. The last stage
    is always there.
    """
    shorter = float(np.median(data.examples.sizes[data.rows("train")].min(1)))
    first = next((n for n, stride in enumerate(STRIDES) if shorter >= _CELLS * stride), -1)
    values: dict[str, Any] = {"stages": STRIDES[first:]}
    for name in ("epochs", "learning_rate", "head_learning_rate"):
        given = getattr(cfg, name)
        # The first stage trains the trunk, whatever its stride.
        values[name] = given[:1] + given[first:][1:]
    return dataclasses.replace(cfg, **values)


def about(width: int, area: float, images: int, programs: int) -> str:
    """How long a training of so many images of `area` pixels takes here, in words."""
    if jax.default_backend() != "cpu":
        return "a GPU's time is not estimated; jaxdl fcn plan does"
    peak = _product_flops()
    share = 0.5 if width == 1 else 0.2  # of a product's speed; narrow layers use less of it
    seconds = images * area * 3 * _FLOPS / width**2 / (share * peak)
    seconds += programs * _COMPILING / math.sqrt(width)
    return f"about {_in_words(seconds)} on this CPU"


def _product_flops() -> float:
    """Floating point operations a second of a product of float32 matrices, now."""
    a = np.ones((768, 768), np.float32)
    best = math.inf
    for _ in range(3):
        begin = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - begin)
    return 2 * 768**3 / best


def _in_words(seconds: float) -> str:
    minutes = seconds / 60
    if minutes < 1.5:
        return "a minute"
    if minutes < 90:
        return f"{minutes:.0f} minutes"
    return f"{minutes / 60:.0f} hours" if minutes < 2880 else f"{minutes / 1440:.0f} days"
