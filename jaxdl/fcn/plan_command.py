"""``jaxdl fcn plan``."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, Literal

import jax

from jaxdl.cli.command import check_least
from jaxdl.cli.plan import Options, finish, read
from jaxdl.errors import InputError
from jaxdl.fcn.plan import VOC_CLASSES, fcn, fcn_loss
from jaxdl.fcn.setup import optimizer_of as fcn_optimizer
from jaxdl.planner import plan
from jaxdl.planner.cards import Dtype


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
