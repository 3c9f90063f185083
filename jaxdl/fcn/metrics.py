"""Segmentation metrics from summed confusion matrices.

Sums stay on the device while an epoch runs (`Metrics`), and become named numbers once
(`compute_metrics`).
Source: Long, Shelhamer, Darrell 2015, section 5 (pixel accuracy, mean accuracy, mean IU,
frequency-weighted IU); the accuracy of the 2016 posts is the mean over images of each image's pixel
accuracy, void left out ("what share of one picture's pixels is right").
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt32

FOUND = 0.01  # IU below which a class counts as not found


class Metrics(NamedTuple):
    """What an epoch has summed so far (arrays only).

    The confusion matrix counts pixels in two 32-bit words: 32 bits alone overflow after about
    20,000 VOC images, float32 stops counting at 2^24.
    """

    low: UInt32[Array, "c c"]
    high: UInt32[Array, "c c"]
    loss: Float[Array, ""]  # summed over valid pixels
    image_accuracy: Float[Array, ""]  # summed over images with a valid pixel
    images: Int[Array, ""]


def empty_metrics(num_classes: int) -> Metrics:
    """Metrics of nothing."""
    # Each word has an array of its own: the training step donates them all.
    low, high = (jnp.zeros((num_classes, num_classes), jnp.uint32) for _ in range(2))
    loss, accuracy = (jnp.zeros((), jnp.float32) for _ in range(2))
    return Metrics(low, high, loss, accuracy, jnp.zeros((), jnp.int32))


def confusion_matrix(
    predicted: Int[Array, "..."], labels: Int[Array, "..."], num_classes: int
) -> Int[Array, "c c"]:
    """Pixels of true class (row) and predicted class (column); negative labels are left out."""
    cell = jnp.where(labels >= 0, labels * num_classes + predicted, num_classes**2)
    counts = jnp.zeros(num_classes**2, jnp.int32)
    return counts.at[cell.ravel()].add(1, mode="drop").reshape(num_classes, num_classes)


def image_accuracy(
    predicted: Int[Array, "b h w"], labels: Int[Array, "b h w"]
) -> tuple[Float[Array, " b"], Int[Array, " b"]]:
    """Each image's pixel accuracy (0 where no pixel is valid) and its number of valid pixels."""
    valid = (labels >= 0).sum((1, 2), dtype=jnp.int32)
    right = ((predicted == labels) & (labels >= 0)).sum((1, 2), dtype=jnp.int32)
    return right / jnp.maximum(valid, 1), valid


def update_metrics(
    metrics: Metrics,
    predicted: Int[Array, "b h w"],
    labels: Int[Array, "b h w"],
    loss_sum: Float[Array, ""],
) -> Metrics:
    """Metrics with one more batch; fewer than 2^31 pixels in it."""
    counts = confusion_matrix(predicted, labels, metrics.low.shape[0]).astype(jnp.uint32)
    low = metrics.low + counts
    accuracy, valid = image_accuracy(predicted, labels)
    return Metrics(
        low,
        metrics.high + (low < counts),
        metrics.loss + loss_sum.astype(jnp.float32),
        metrics.image_accuracy + accuracy.sum().astype(jnp.float32),
        metrics.images + (valid > 0).sum(dtype=jnp.int32),
    )


def _ratio(top, bottom):
    """top / bottom, NaN where bottom is 0."""
    top, bottom = np.asarray(top, np.float64), np.asarray(bottom, np.float64)
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)


def _mean(values: np.ndarray) -> float:
    """Mean of the values that are not NaN; NaN if there are none."""
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if kept.size else float("nan")


def doubts(metrics: Mapping[str, Any], classes: Sequence[str]) -> list[str]:
    """Why these numbers (of `compute_metrics`, or as JSON) are no good result; none if they may be.

    A network that sees background everywhere has a high pixel accuracy, and half of the mean IU.
    """
    iu = zip(classes[1:], metrics["per_class_iu"][1:], strict=False)
    objects = {name: value for name, value in iu if value is not None and np.isfinite(value)}
    if not objects or max(objects.values()) >= FOUND:
        return []
    names = ", ".join(list(objects)[:5]) + (" and more" if len(objects) > 5 else "")
    return [
        f"none of the classes but {classes[0]} is found in the test images (IU below {FOUND:.0%}: "
        f"{names}); the other numbers say nothing of them"
    ]


def compute_metrics(metrics: Metrics) -> dict[str, float | list[float]]:
    """`metrics_of` what was summed."""
    low, high = np.asarray(metrics.low, np.int64), np.asarray(metrics.high, np.int64)
    sums = (float(each) for each in (metrics.loss, metrics.image_accuracy, metrics.images))
    return metrics_of(low + (high << 32), *sums)


def metrics_of(
    matrix: Int[np.ndarray, "c c"], loss: float, image_accuracy: float, images: float | int
) -> dict[str, float | list[float]]:
    """Named numbers, as fractions; NaN where nothing was counted.

    Args:
        matrix: pixels of true class (row) and predicted class (column), int64.
        loss: summed over valid pixels.
        image_accuracy: summed over images with a valid pixel.
        images: how many these are.

    ``loss`` is the mean over valid pixels. ``mean_accuracy`` is over the classes that occur in the
    labels, ``mean_iu`` over those that occur in labels or predictions. ``background_share`` is the
    share of valid pixels predicted as class 0.
    """
    right, truth, guessed = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    iu = _ratio(right, truth + guessed - right)
    share = _ratio(truth, matrix.sum())
    return {
        "loss": float(_ratio(loss, matrix.sum())),
        "pixel_accuracy": float(_ratio(right.sum(), matrix.sum())),
        "mean_image_accuracy": float(_ratio(image_accuracy, images)),
        "mean_accuracy": _mean(_ratio(right, truth)),
        "mean_iu": _mean(iu),
        "fw_iu": float(np.nansum(share * iu)) if matrix.any() else float("nan"),
        "background_share": float(_ratio(guessed[0], matrix.sum())),
        "per_class_iu": [float(v) for v in iu],
    }
