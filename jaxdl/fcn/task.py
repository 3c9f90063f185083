"""The FCN's task: loss, evaluation and prediction as jitted pure functions of parameters."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding
from jaxtyping import Array, Float, Int, Key, PyTree, UInt8

from jaxdl.devices.cpu_memory import reuse_temp_memory
from jaxdl.devices.mesh import Shardings, shard
from jaxdl.fcn.choices import Reduction
from jaxdl.fcn.data.augment import augment
from jaxdl.fcn.data.batches import Batch, Stored, class_labels, gather, part, preprocess
from jaxdl.fcn.losses import pixel_xent, reduce_pixels, soft_dice_loss, weighted_xent
from jaxdl.fcn.metrics import (
    Metrics,
    compute_metrics,
    empty_metrics,
    update_metrics,
)
from jaxdl.fcn.models.fcn import FCN, Pools
from jaxdl.fcn.tiles import canvas_side
from jaxdl.training.step import TrainState, dense_step


def apply(
    model: FCN,
    params: PyTree,
    images: UInt8[Array, "b h w 3"] | UInt8[np.ndarray, "b h w 3"] | Pools,
    sizes: Int[Array, "b 2"] | Int[np.ndarray, "b 2"] | None = None,
    *,
    mean: Float[Array, " 3"],
) -> Float[Array, "b h w c"]:
    """Logits of RGB images, float32 (float64 if the mean is).

    Args:
        model: the network.
        params: of `jaxdl.fcn.models.fcn.init`, or of a checkpoint.
        images: bytes, padded to one canvas; or a frozen trunk's `Pools` of them.
        sizes: true heights and widths, int32; None: each image fills the canvas.
        mean: colour that is subtracted, RGB.

    Source: Long, Shelhamer, Darrell 2015.
    """
    x = images if isinstance(images, Pools) else preprocess(jnp.asarray(images), mean)
    logits: Any = model.apply({"params": params}, x, sizes)
    return logits


def loss(
    model: FCN,
    params: PyTree,
    batch: Batch | Stored,
    *,
    mean: Float[Array, " 3"],
    reduction: Reduction = "mean",
    class_weights: Sequence[float | int] | None = None,
    dice: float | int = 0.0,
) -> tuple[Float[Array, ""], tuple[Float[Array, ""], Any]]:
    """Softmax cross-entropy over the valid pixels plus `dice` times Dice; (weight, outcome).

    The weight is the number of valid pixels, or the sum of their class weights; the outcome is
    (predicted classes, labels, summed cross-entropy without weights), for `add_outcome`. Labels are
    class numbers, uint8; 255 is void.

    Source: Long, Shelhamer, Darrell 2015, section 3; `jaxdl.fcn.losses`.
    """
    if class_weights is not None and len(class_weights) != model.num_classes:
        raise ValueError(f"{len(class_weights)} class weights of {model.num_classes} classes")
    pixels, classes, sizes = jax.tree.map(jnp.asarray, gather(batch))
    logits = apply(model, params, pixels, sizes, mean=mean)
    labels = class_labels(classes)
    total, weight = plain = pixel_xent(logits, labels)
    if class_weights is not None:
        total, weight = weighted_xent(logits, labels, jnp.asarray(class_weights, float))
    value = reduce_pixels(total, weight, reduction)
    if dice:
        value = value + dice * soft_dice_loss(logits, labels)
    return value, (weight.astype(value.dtype), (logits.argmax(-1), labels, plain[0]))


def pixel_loss(
    model: FCN,
    mean: Float[Array, " 3"],
    reduction: Reduction,
    class_weights: Sequence[float | int] | None = None,
    dice: float | int = 0.0,
) -> Callable[[PyTree, Batch | Stored], tuple[Array, tuple[Array, Any]]]:
    """``loss_fn(params, batch)`` for `jaxdl.training.step.dense_step`: `loss` of one model."""
    terms = {"reduction": reduction, "class_weights": class_weights, "dice": dice}
    return partial(loss, model, mean=mean, **terms)


def make_step(
    model: FCN,
    optimizer: optax.GradientTransformationExtraArgs,
    *,
    mean: Float[Array, " 3"],
    reduction: Reduction = "mean",
    class_weights: Sequence[float | int] | None = None,
    dice: float | int = 0.0,
    layout: Shardings | None = None,
    prepare: Callable[[Any, Array], Any] | None = None,
    updates: int = 1,
) -> Callable[[TrainState, Metrics, Batch | Stored, float], tuple[TrainState, Metrics, Array]]:
    """The jitted ``step(state, metrics, batch, learning_rate) -> (state, metrics, loss)``.

    Args:
        model: the network.
        optimizer: `jaxdl.training.optimizers.momentum_sgd`.
        mean: colour that is subtracted, RGB.
        reduction: over valid pixels.
        class_weights: what a pixel of each class counts for in the cross-entropy; None: all alike.
        dice: weight of the soft Dice loss beside it; no sum over pixels, so not to `accumulate`.
        layout: see `jaxdl.training.step.dense_step`, as for the rest.
        prepare: of `make_prepare`.
        updates: in one dispatch.

    The state (of `jaxdl.training.step.start_state`) and the metrics (of `empty_metrics`) are
    donated.
    """
    loss_fn = pixel_loss(model, mean, reduction, class_weights, dice)
    return dense_step(loss_fn, optimizer, add_outcome, layout, prepare=prepare, updates=updates)


def make_prepare(
    key: Key[Array, ""],
    updates: int,
    *,
    flip: bool,
    scale: tuple[float, float],
    crop: int | None,
) -> Callable[[Batch | Stored, Array], Batch]:
    """``prepare(batch, number) -> batch`` for `training.step.dense_step`, all of it in the graph.

    Its part of a dispatch of so many updates, gathered where the images lie on the device, then
    mirrored, scaled and cut to a square (`jaxdl.fcn.data.augment`) by draws that depend on the key
    and the update's number alone.
    """
    canvas = None if crop is None else (crop, crop)

    def prepare(batch, number):
        if updates > 1:
            batch = part(batch, number % updates, updates)
        batch = gather(batch)
        if not flip and scale == (1.0, 1.0) and canvas is None:
            return batch
        draws = jax.random.fold_in(key, number)
        return augment(draws, batch, flip=flip, scale=scale, canvas=canvas)

    return prepare


def add_outcome(metrics: Metrics, outcome: tuple[Array, Array, Array]) -> Metrics:
    """Metrics with what `pixel_loss` found in one batch."""
    return update_metrics(metrics, *outcome)


def make_evaluate(
    model: FCN,
    mean: Float[Array, " 3"],
    whole: NamedSharding | None = None,
) -> Callable[[PyTree, Iterable[Batch | Stored]], dict[str, Any]]:
    """``evaluate(params, batches) -> metrics`` (see `jaxdl.fcn.metrics.compute_metrics`).

    On several devices, `whole` is `jaxdl.devices.mesh.Shardings.replicated`: the metrics are those
    of all rows.
    """
    loss_fn = pixel_loss(model, mean, "sum")

    @partial(jax.jit, out_shardings=whole)
    def one(params, metrics, batch):
        if whole is not None:
            params = jax.lax.with_sharding_constraint(params, whole)
        _, (_, outcome) = loss_fn(params, batch)
        return add_outcome(metrics, outcome)

    run = reuse_temp_memory(one) if whole is None else one

    def evaluate(params, batches):
        metrics = shard(empty_metrics(model.num_classes), whole)
        for batch in batches:
            metrics = run(params, metrics, batch)
        return compute_metrics(metrics)

    return evaluate


def predict_batch(model: FCN, mean: Float[Array, " 3"]) -> Callable[[PyTree, Any, Any], Array]:
    """``predict(params, images, sizes) -> classes`` of padded images (b, h, w, 3), uint8."""

    def predict(params, images, sizes):
        return apply(model, params, images, sizes, mean=mean).argmax(-1)

    return predict


def probabilities_batch(
    model: FCN, mean: Float[Array, " 3"]
) -> Callable[[PyTree, Any, Any], Float[Array, "b h w c"]]:
    """``probabilities(params, images, sizes)`` of padded images (b, h, w, 3), uint8."""

    def probabilities(params, images, sizes):
        return jax.nn.softmax(apply(model, params, images, sizes, mean=mean))

    return probabilities


def make_predict(
    model: FCN, mean: Float[Array, " 3"]
) -> Callable[[PyTree, UInt8[np.ndarray, "h w 3"]], UInt8[np.ndarray, "h w"]]:
    """``predict(params, image) -> classes`` (h, w) for one RGB image of any size.

    Images of a like size share a compiled program: sides are padded to a multiple of 32 up to 256
    pixels, of 128 beyond, which changes nothing in the result.
    """
    one = _on_canvas(reuse_temp_memory(jax.jit(predict_batch(model, mean))))
    return lambda params, image: one(params, image).astype(np.uint8)


def make_probabilities(
    model: FCN, mean: Float[Array, " 3"]
) -> Callable[[PyTree, UInt8[np.ndarray, "h w 3"]], Float[np.ndarray, "h w c"]]:
    """``probabilities(params, image)`` of the classes, float32 (h, w, c); as `make_predict`."""

    return _on_canvas(reuse_temp_memory(jax.jit(probabilities_batch(model, mean))))


def make_batch_probabilities(
    model: FCN, mean: Float[Array, " 3"], batch_size: int
) -> Callable[[PyTree, Sequence[UInt8[np.ndarray, "_ _ 3"]]], list[Float[np.ndarray, "_ _ c"]]]:
    """``probabilities(params, images)``: float32 (h, w, c) of each RGB image, of any sizes.

    Images of a like size (see `make_predict`) share a batch, in which each is exact.
    """

    one = reuse_temp_memory(jax.jit(probabilities_batch(model, mean)))

    def call(params, images):
        groups: dict[tuple[int, int], list[int]] = {}
        for n, image in enumerate(images):
            canvas = canvas_side(image.shape[0]), canvas_side(image.shape[1])
            groups.setdefault(canvas, []).append(n)
        found: dict[int, np.ndarray] = {}
        for canvas, members in groups.items():
            size = min(batch_size, len(members))
            for start in range(0, len(members), size):
                rows = members[start : start + size]
                padded = np.zeros((size, *canvas, 3), np.uint8)
                sizes = np.zeros((size, 2), np.int32)
                for row, n in enumerate(rows):
                    h, w = sizes[row] = images[n].shape[:2]
                    padded[row, :h, :w] = images[n]
                chances = np.asarray(one(params, padded, sizes))
                for row, n in enumerate(rows):
                    h, w = sizes[row]
                    found[n] = chances[row, :h, :w].copy()
        return [found[n] for n in range(len(images))]

    return call


def _on_canvas(one: Callable[[PyTree, Any, Any], Array]) -> Callable[[PyTree, Any], np.ndarray]:
    def call(params, image):
        h, w = image.shape[:2]
        images = np.zeros((1, canvas_side(h), canvas_side(w), 3), np.uint8)
        images[0, :h, :w] = image
        return np.asarray(one(params, images, np.array([[h, w]], np.int32)))[0, :h, :w]

    return call
