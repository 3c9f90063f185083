"""Fully convolutional networks: FCN-32s, 16s and 8s heads on the VGG-16 trunk.

Source: Long, Shelhamer, Darrell 2015; the form of the 2016 posts (no fc6 and fc7: the scores are
1x1 convolutions on pool5, pool4 and pool3). Images have any size, one by one or in exact mixed
batches.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from jaxdl.errors import InputError
from jaxdl.fcn.choices import Align
from jaxdl.fcn.models.bilinear import interpolate, upsample
from jaxdl.fcn.models.vgg import ConvParams, Trunk, block, convolve, keep_valid


class Forms(NamedTuple):
    """The operations that have a second form for CPUs."""

    block: Callable[..., Array] = block
    interpolate: Callable[..., Array] = interpolate


def forms(for_cpu: bool | None, remat: bool) -> Forms:
    """The plain operations, or those of `jaxdl.fcn.models.cpu`: chosen here and nowhere else.

    Args:
        for_cpu: None: if JAX has one device, a CPU. On several the CPU forms would send a number
            between devices in each layer (`jaxdl.fcn.models.cpu.ordering.after`).
        remat: compute a block's activations again in its gradient.
    """
    if for_cpu is None:
        for_cpu = jax.default_backend() == "cpu" and jax.device_count() == 1
    if for_cpu:
        from jaxdl.fcn.models import cpu

        return Forms(cpu.block_again if remat else cpu.block, cpu.interpolate)
    return Forms(jax.checkpoint(block, static_argnums=(3,)) if remat else block)


class Pools(NamedTuple):
    """What the scores read: the trunk's pools at 1/8, 1/16 and 1/32 of the canvas."""

    pool3: Any  # float32 (B, H / 8, W / 8, C)
    pool4: Any
    pool5: Any


class FCN(nn.Module):
    """``model.apply({"params": p}, images, sizes)`` gives the logits (B, H, W, num_classes).

    Parameters: ``trunk/conv1_1/{kernel,bias}`` ... ``trunk/conv5_3``, ``score_pool5``, and for
    stride 16 ``score_pool4``, for stride 8 ``score_pool3`` too. Each stage's parameters are a
    superset of the stage before, so that a checkpoint passes them on. The skips' scores start at
    zero: a fresh FCN-16s predicts what its FCN-32s' scores give.

    Attributes:
        stride: 32 (pool5 alone), 16 (and pool4) or 8 (and pool3).
        num_classes: number of score maps.
        width: divides the trunk's channel counts.
        align: where the upsampling crops; see `jaxdl.fcn.models.bilinear`.
        remat: recompute the trunk's activations in the gradient, to save memory.
        compute_dtype: dtype of the activations (None: that of the images). The parameters stay
            float32, and the logits are at least float32.
        for_cpu: write convolutions and upsampling as XLA's CPU backend runs them fastest, equal but
            for rounding; see `forms`.
    """

    stride: Literal[32, 16, 8] = 32
    num_classes: int = 21
    width: int = 1
    align: Align = "exact"
    remat: bool = False
    compute_dtype: Any = None
    for_cpu: bool | None = None

    @nn.compact
    def __call__(
        self, images: Float[Array, "b h w 3"] | Pools, sizes: Int[Array, "b 2"] | None = None
    ) -> Float[Array, "b h w c"]:
        """Preprocessed images to logits.

        Args:
            images: RGB minus the trunk's mean (`jaxdl.fcn.data.batches.preprocess`), floating
                point; or what a trunk has made of them, on a canvas whose sides 32 divides.
            sizes: int32 true heights and widths of the images inside the canvas; None means that
                each fills it. Logits outside an image mean nothing (their labels are void).
        """
        block, interpolate = forms(self.for_cpu, self.remat)
        if isinstance(images, Pools):
            height, width = (32 * side for side in images.pool5.shape[1:3])
            pools = [images.pool3] * 2 + [*images]  # no score reads the first two
        else:
            if not jnp.issubdtype(images.dtype, jnp.floating):
                raise InputError(f"images of {images.dtype}; give RGB minus the mean, float32")
            height, width = images.shape[1:3]
            x = images if self.compute_dtype is None else images.astype(self.compute_dtype)
            x = keep_valid(x, sizes, 0)
            pools = Trunk(self.width, block, name="trunk")(x, sizes)
        for number, pool in enumerate(pools, 1):
            self.sow("intermediates", f"pool{number}", pool)

        def score(level: int) -> Array:
            """1x1 score of pool `level`, in at least float32."""
            pool = pools[level - 1]
            start = nn.initializers.lecun_normal() if level == 5 else nn.initializers.zeros
            params = ConvParams(
                1, (pool.shape[-1], self.num_classes), start, name=f"score_pool{level}"
            )(pool.dtype)
            y = convolve(pool, params["kernel"], params["bias"])
            y = keep_valid(y.astype(jnp.promote_types(y.dtype, jnp.float32)), sizes, level)
            self.sow("intermediates", f"p{level}", y)
            return y

        fused, level = score(5), 5
        while 2**level > self.stride:
            level -= 1
            skip = score(level)
            inner = None if sizes is None else -(-sizes // 2**level)
            up = upsample(fused, 2, (skip.shape[1], skip.shape[2]), self.align, inner, interpolate)
            up = keep_valid(up, sizes, level)
            self.sow("intermediates", f"u{level + 1}", up)
            fused = skip + up
            self.sow("intermediates", f"fuse{level}", fused)
        return upsample(fused, self.stride, (height, width), self.align, sizes, interpolate)


def init(model: FCN, key: Key[Array, ""]) -> Any:
    """Random parameters, float32; see `FCN` for the tree.

    Source: He et al. 2015 for the trunk; new skips' scores are zero.
    """
    # It runs once, for a third of a second. Compiled as carefully as a step, the generators of its
    # sixteen kernels take 20 seconds of a core; so, 3 to 5.
    options = {"xla_backend_optimization_level": 1}
    start: Any = jax.jit(model.init, compiler_options=options)
    image = jnp.zeros((1, 32, 32, 3))
    try:
        return start(key, image)["params"]
    except ValueError:  # within jit, vmap or eval_shape, which take no options of an inner jit
        return model.init(key, image)["params"]
