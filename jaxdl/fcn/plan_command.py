"""``jaxdl fcn plan``."""

import functools

import jax

from jaxdl.cli.plan import check, finish
from jaxdl.cli.plan_options import Options
from jaxdl.fcn.config import Config
from jaxdl.fcn.plan import fcn, fcn_loss
from jaxdl.fcn.setup import optimizer_of as fcn_optimizer
from jaxdl.planner import plan
from jaxdl.planner.cards import Dtype
from jaxdl.planner.choices import Stride


def run(
    options: Options,
    cfg: Config,
    *,
    stride: Stride,
    canvas: tuple[int, int],
    classes: int,
    strong: bool,
) -> None:
    """The FCN's plan: data parallel, the parameters whole on each device or split.

    Args:
        options: devices, card and output.
        cfg: the run that is planned.
        stride: of the FCN.
        canvas: height and width of the padded images.
        classes: their number.
        strong: --batch-size is that of all devices together, not of each.
    """
    results = check(options, "jaxdl fcn plan")
    height, width = canvas
    dtype: Dtype = "bfloat16" if cfg.bfloat16 else "float32"
    shape = {"classes": classes, "width": cfg.width_divisor, "remat": cfg.remat}
    loss, _, _ = fcn_loss(stride, dtype, **shape)
    gradient = jax.value_and_grad(loss, has_aux=True)

    @functools.cache
    def single(batch: int) -> plan.Work:
        step = fcn(
            *(stride, "train", canvas, batch, dtype),
            **shape,
            optimizer=fcn_optimizer(cfg),
        )
        return plan.dense(step, gradient)

    def work(devices: int) -> plan.Work:
        images = cfg.batch_size if strong else cfg.batch_size * devices
        one = single(-(-images // devices))
        return plan.data_parallel(one, devices, images, dtype=dtype, fsdp=cfg.fsdp)

    each = "all devices together" if strong else "each device"
    told = [
        f"Images of {each}: {cfg.batch_size}, {height} x {width}, {classes} classes.",
        "Data parallel: one all-reduce of the gradients, in the dtype of the arithmetic. Sums of "
        "the loss and of the confusion matrix (a few kB) are left out.",
    ]
    if cfg.fsdp:
        told[1] = (
            "FSDP: parameters, optimiser state and gradients are split over all devices; the "
            "parameters are gathered once a step (float32) and kept until the gradient is done, "
            "the gradients reduced and scattered once."
        )
    title = f"fcn{stride}s, {dtype}, {'FSDP' if cfg.fsdp else 'data parallel'}"
    finish(title, options, results, work, dtype, told)
