"""The abstract steps of the FCN, for the planner and the compile check."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as Spec

from jaxdl.fcn import task
from jaxdl.fcn.data.batches import Batch, Canvas
from jaxdl.fcn.metrics import empty_metrics
from jaxdl.fcn.models.fcn import FCN
from jaxdl.planner.cards import Dtype
from jaxdl.planner.choices import Kind, Stride
from jaxdl.planner.steps import Step, abstract, placed
from jaxdl.training import optimizers
from jaxdl.training.step import dense_step, start_state

VOC_CLASSES = 21


def fcn_loss(
    stride: Stride, dtype: Dtype, *, classes: int = VOC_CLASSES, width: int = 1, remat: bool = False
) -> tuple[Any, Any, FCN]:
    """The FCN's `task.pixel_loss`, its abstract parameters, and the model."""
    compute = jnp.bfloat16 if dtype == "bfloat16" else None
    model = FCN(stride, classes, width, remat=remat, compute_dtype=compute, for_cpu=False)
    params = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"]
    return task.pixel_loss(model, jnp.zeros(3), "mean"), params, model


def fcn(
    stride: Stride,
    kind: Kind,
    canvas: Canvas,
    batch: int,
    dtype: Dtype,
    mesh: Mesh | None = None,
    *,
    classes: int = VOC_CLASSES,
    width: int = 1,
    remat: bool = False,
    optimizer: optax.GradientTransformationExtraArgs | None = None,
) -> Step:
    """Training, or prediction, of FCN-32s, 16s or 8s.

    Args:
        stride: 32, 16 or 8.
        kind: train or predict.
        canvas: height and width of the padded images; multiples of 32.
        batch: images.
        dtype: of the arithmetic; parameters are float32.
        mesh: with the axis "data": the images are split over it, the parameters are on each device.
        classes: number of them.
        width: divides the trunk's channel counts.
        remat: compute the trunk's activations again in the gradient.
        optimizer: of training; None for momentum SGD.
    """
    loss, params, model = fcn_loss(stride, dtype, classes=classes, width=width, remat=remat)
    images = abstract((batch, *canvas, 3), np.uint8)
    labels = abstract((batch, *canvas), np.uint8)
    sizes = abstract((batch, 2), np.int32)
    name = f"fcn{stride}s {kind} {canvas[0]}x{canvas[1]} {dtype}"
    split = partial(placed, mesh=mesh, spec=Spec("data"))
    whole = partial(placed, mesh=mesh, spec=Spec())
    if kind == "predict":
        call = jax.jit(task.predict_batch(model, jnp.zeros(3)))
        return Step(name, call, (whole(params), *split((images, sizes))), batch, "images")
    optimizer = optimizers.momentum_sgd() if optimizer is None else optimizer
    call = dense_step(loss, optimizer, task.add_outcome)
    state = jax.eval_shape(partial(start_state, optimizer=optimizer), params)
    metrics = jax.eval_shape(partial(empty_metrics, classes))
    rate = jax.ShapeDtypeStruct((), np.float32)
    args = (*whole((state, metrics)), split(Batch(images, labels, sizes)), whole(rate))
    return Step(name, call, args, batch, "images")
