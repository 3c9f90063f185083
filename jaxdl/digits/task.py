"""Classes of whole pictures: loss, counts, evaluation, batches."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree, UInt8

from jaxdl.digits.data import Pictures
from jaxdl.digits.model import LeNet


class Metrics(NamedTuple):
    """What an epoch has counted so far; fewer than 2^31 pictures."""

    confusion: Int[Array, "c c"]  # of true class (row) and class found (column)
    loss: Float[Array, ""]  # summed


def empty_metrics(num_classes: int) -> Metrics:
    """Metrics of nothing."""
    return Metrics(jnp.zeros((num_classes, num_classes), jnp.int32), jnp.zeros((), jnp.float32))


def update_metrics(
    metrics: Metrics, found: Int[Array, " b"], labels: Int[Array, " b"], loss_sum: Float[Array, ""]
) -> Metrics:
    """Metrics with one more batch; a negative label counts for nothing."""
    row = jnp.where(labels >= 0, labels, len(metrics.confusion))
    counts = metrics.confusion.at[row, found].add(1, mode="drop")
    return Metrics(counts, metrics.loss + loss_sum.astype(jnp.float32))


def cross_entropy(
    logits: Float[Array, "b c"], labels: Int[Array, " b"]
) -> tuple[Float[Array, ""], Int[Array, ""]]:
    """Softmax cross-entropy summed over the labels that are not negative, and their number."""
    valid = labels >= 0
    # A comparison instead of a gather: its gradient is elementwise, not a scatter.
    hit = labels[:, None] == jnp.arange(logits.shape[-1])[None, :]
    picked = jnp.where(hit, logits, 0.0).sum(-1)
    each = jnp.where(valid, jax.nn.logsumexp(logits, axis=-1) - picked, 0.0)
    return each.sum(), valid.sum(dtype=jnp.int32)


class PictureBatch(NamedTuple):
    """A label of -1 counts for nothing: a last batch is filled up with them."""

    images: UInt8[np.ndarray, "b h w"]
    labels: Int[np.ndarray, " b"]


def picture_loss(
    model: LeNet,
) -> Callable[[PyTree, PictureBatch], tuple[Array, tuple[Array, Any]]]:
    """``loss_fn(params, batch) -> (loss, (weight, outcome))`` for `training.step.dense_step`."""

    def loss_fn(params, batch):
        logits = scores(model, params, batch.images)
        labels = jnp.asarray(batch.labels)
        total, count = cross_entropy(logits, labels)
        loss = total / jnp.maximum(count, 1)
        return loss, (count.astype(loss.dtype), (logits.argmax(-1), labels, total))

    return loss_fn


def scores(model: LeNet, params: PyTree, images: UInt8[Any, "b h w"]) -> Float[Array, "b c"]:
    """Logits of pictures, 0 to 255."""
    scaled = jnp.asarray(images, jnp.float32)[..., None] / 255
    logits: Any = model.apply({"params": params}, scaled)
    return logits


def make_evaluate(model: LeNet) -> Callable[[PyTree, Pictures, int], dict[str, Any]]:
    """``evaluate(params, pictures, batch_size) -> {"accuracy", "loss", "confusion"}``.

    One compiled program: the last batch is filled up with pictures that do not count.
    """
    loss_fn = picture_loss(model)

    @jax.jit
    def one(params, metrics, batch):
        return update_metrics(metrics, *loss_fn(params, batch)[1][1])

    def evaluate(params, pictures, batch_size):
        metrics = empty_metrics(model.num_classes)
        for first in range(0, len(pictures.images), batch_size):
            rows = np.arange(first, first + batch_size)
            valid = rows < len(pictures.images)
            rows = np.where(valid, rows, 0)
            labels = np.where(valid, pictures.labels[rows].astype(np.int32), -1)
            metrics = one(params, metrics, PictureBatch(pictures.images[rows], labels))
        return compute_metrics(metrics)

    return evaluate


def compute_metrics(metrics: Metrics) -> dict[str, Any]:
    """Accuracy (share of right pictures), mean loss, confusion matrix [true][found].

    NaN where nothing was counted.
    """
    counts = np.asarray(metrics.confusion, np.int64)
    pictures = counts.sum()
    return {
        "accuracy": float(np.trace(counts) / pictures) if pictures else float("nan"),
        "loss": float(metrics.loss) / int(pictures) if pictures else float("nan"),
        "confusion": counts.tolist(),
    }


def batches(
    pictures: Pictures, batch_size: int, *, seed: int, first: int
) -> Iterator[PictureBatch]:
    """Batch `first` and those after it, without end; batch n depends on (seed, n) alone.

    Each epoch is a permutation; pictures that fill no whole batch are left out of it.
    """
    per_epoch = len(pictures.images) // batch_size
    epoch, order = -1, np.empty(0, np.int64)
    for n in itertools.count(first):
        if n // per_epoch != epoch:
            epoch = n // per_epoch
            order = np.random.default_rng((seed, epoch)).permutation(len(pictures.images))
        rows = order[n % per_epoch * batch_size :][:batch_size]
        yield PictureBatch(pictures.images[rows], pictures.labels[rows].astype(np.int32))
