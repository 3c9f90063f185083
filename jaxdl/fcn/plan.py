"""``plan`` of the FCN, and its steps with abstract arguments."""

import dataclasses
import functools
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as Spec

from jaxdl.cli.command import check_least
from jaxdl.cli.plan import Options, finish, read
from jaxdl.errors import InputError
from jaxdl.fcn import task
from jaxdl.fcn.data.batches import Batch, Canvas
from jaxdl.fcn.metrics import zero_totals
from jaxdl.fcn.models.fcn import FCN
from jaxdl.fcn.setup import optimizer_of as fcn_optimizer
from jaxdl.planner import plan
from jaxdl.planner.cards import Dtype
from jaxdl.planner.steps import Kind, Step, Stride, abstract, placed
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
    call = dense_step(loss, optimizer, task.add_figures)
    state = jax.eval_shape(partial(start_state, optimizer=optimizer), params)
    totals = jax.eval_shape(partial(zero_totals, classes))
    rate = jax.ShapeDtypeStruct((), np.float32)
    args = (*whole((state, totals)), split(Batch(images, labels, sizes)), whole(rate))
    return Step(name, call, args, batch, "images")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FcnOptions(Options):
    __doc__ = Options.__doc__

    stride: Literal[32, 16, 8] = 32
    """Of the FCN."""
    canvas: tuple[int, int] = (512, 512)
    """Height and width of the padded images."""
    classes: int = VOC_CLASSES
    """Their number."""
    fsdp: bool = False
    """Split parameters and optimiser state over the devices too."""
    strong: bool = False
    """--batch-size is that of all devices together; otherwise each device has as many images."""


def run(argv: Sequence[str], prog: str, config_type: type, presets: dict[str, Any]) -> None:
    """The FCN's plan: data parallel, the parameters whole on each device or split."""
    options, cfg = read(FcnOptions, config_type, presets, argv, prog)
    check_least(cfg, 1, ("batch_size", "accumulate", "width"))
    check_least(options, 1, ("classes",))
    height, width = options.canvas
    if min(height, width) < 32 or height % 32 or width % 32:
        raise InputError(f"--canvas {height} {width}: give multiples of 32")
    dtype: Dtype = "bfloat16" if cfg.bfloat16 else "float32"
    shape = {"classes": options.classes, "width": cfg.width, "remat": cfg.remat}
    loss, _, _ = fcn_loss(options.stride, dtype, **shape)
    gradient = jax.value_and_grad(loss, has_aux=True)

    @functools.cache
    def single(batch: int) -> plan.Work:
        step = fcn(
            *(options.stride, "train", options.canvas, batch, dtype),
            **shape,
            optimizer=fcn_optimizer(cfg),
        )
        return plan.dense(step, gradient)

    def work(devices: int) -> plan.Work:
        images = cfg.batch_size if options.strong else cfg.batch_size * devices
        one = single(-(-images // devices))
        return plan.data_parallel(one, devices, images, dtype=dtype, fsdp=options.fsdp)

    each = "all devices together" if options.strong else "each device"
    told = [
        f"Images of {each}: {cfg.batch_size}, {height} x {width}, {options.classes} classes.",
        "Data parallel: one all-reduce of the gradients, in the dtype of the arithmetic. Sums of "
        "the loss and of the confusion matrix (a few kB) are left out.",
    ]
    if options.fsdp:
        told[1] = (
            "FSDP: parameters, optimiser state and gradients are split over all devices; the "
            "parameters are gathered once a step (float32) and kept until the gradient is done, "
            "the gradients reduced and scattered once."
        )
    title = f"fcn{options.stride}s, {dtype}, {'FSDP' if options.fsdp else 'data parallel'}"
    finish(title, options, work, dtype, told)
