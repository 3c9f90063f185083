"""What a run on photos of one's own takes from the data: batch, epochs, crop; and its time."""

import dataclasses
import math
import time

import jax
import numpy as np

from jaxdl.cli.progress import Bar
from jaxdl.fcn.config import Config
from jaxdl.fcn.dataset import Data

UPDATES = {"scratch": (1200, 600, 600), "weights": (400, 200, 200)}  # of FCN-32s, 16s, 8s
_PIXELS = 8 * 256 * 256  # of a batch
_LARGE, _CROP = 640, 512  # larger images are trained on in squares of this side
_EPOCHS = (120, 60, 60)  # at most: a few images seen more often are learnt by heart
_FLOPS = 613e3  # of the forward pass of VGG-16's convolutions, for a pixel; three times to train
_COMPILING = 25.0  # seconds, for each program of a stage, of full width on two cores


def fit(cfg: Config, data: Data, bar: Bar) -> Config:
    """The config with what the data decides where the user did not: 0 epochs, a batch of 0.

    Says what it took, and about how long a CPU will need.
    """
    if cfg.batch_size and all(cfg.epochs):
        return cfg
    rows = data.rows("train")
    sizes, count = data.examples.sizes[rows], len(rows)
    crop = cfg.crop
    if crop is None and sizes.max() > _LARGE and cfg.freeze == "none":
        crop = _CROP
    side = sizes if crop is None else np.minimum(sizes, crop)
    area = float(np.median(side.prod(1)))
    batch = cfg.batch_size or int(min(count, 8, max(1, _PIXELS // area)))
    wanted = UPDATES["scratch" if cfg.weights is None and cfg.start_from is None else "weights"]
    place = {32: 0, 16: 1, 8: 2}
    epochs = tuple(
        given or min(_EPOCHS[place[stride]], math.ceil(wanted[place[stride]] * batch / count))
        for stride, given in zip(cfg.stages, cfg.epochs, strict=True)
    )
    canvases = len(data.canvases) if crop is None else 1
    cropped = "" if crop is None else f", training on squares of {crop}"
    bar.line(
        f"preset {cfg.preset}: batches of {batch}, {' + '.join(map(str, epochs))} epochs{cropped} "
        f"({about(cfg.width_divisor, area, count * sum(epochs), canvases * len(epochs))})"
    )
    return dataclasses.replace(cfg, batch_size=batch, epochs=epochs, crop=crop)


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
