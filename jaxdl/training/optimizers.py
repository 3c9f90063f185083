"""Optimisers whose rate each step sets, and its schedule."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from jaxdl.training.schedules import Schedule

POWER = 0.9  # of the schedule "poly"


def learning_rate(
    step: int, *, peak: float, steps: int, schedule: Schedule, warmup: int = 0, end: float = 0.0
) -> float:
    """The rate of step 0..steps-1: linear warm-up to `peak`, then constant, or down to `end`.

    Without warm-up and `end`, "poly" is ``peak * (1 - step / steps) ** 0.9`` (Chen et al. 2017,
    DeepLab).
    A number for the step's argument, not part of the program: no rate compiles anything again.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    step, steps = step - warmup, max(1, steps - warmup)
    if schedule == "constant":
        return peak
    if schedule == "linear":
        return peak - (peak - end) * step / steps
    if schedule == "poly":
        return end + (peak - end) * (1 - step / steps) ** POWER
    return end + (peak - end) * (0.5 + 0.5 * math.cos(math.pi * (step / steps)))


def momentum_sgd(
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    clip_norm: float | None = None,
    bias_rule: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """Optax momentum SGD, ``v = momentum v + g; w -= rate v``; its rate is set by each step.

    Args:
        momentum: of the velocity.
        weight_decay: L2, added to the gradient before the momentum (Chainer's WeightDecay).
        clip_norm: largest global norm of the gradient; None does not clip.
        bias_rule: the papers' rule (Caffe's lr_mult 2, decay_mult 0): biases learn at twice the
            rate and do not decay. Off: one rule for all, as in Chainer.
    """

    def is_bias(params):
        return jax.tree.map_with_path(lambda path, _: path[-1].key == "bias", params)

    def is_kernel(params):
        return jax.tree.map(lambda bias: not bias, is_bias(params))

    parts = [] if clip_norm is None else [optax.clip_by_global_norm(clip_norm)]
    if weight_decay:
        mask = is_kernel if bias_rule else None
        parts.append(optax.add_decayed_weights(weight_decay, mask=mask))
    # The rate has the dtype that each step gives it: float32 in float64 programs too.
    sgd = optax.inject_hyperparams(optax.sgd, ("momentum",), hyperparam_dtype=jnp.float32)
    parts.append(sgd(learning_rate=0.0, momentum=momentum))
    if bias_rule:
        parts.append(optax.masked(optax.scale(2.0), is_bias))
    return optax.with_extra_args_support(optax.chain(*parts))


class Multiplied(NamedTuple):
    """Numbers that multiply the updates of top-level modules; a checkpoint carries them."""

    multipliers: dict[str, Float[Array, ""]]


def multiply(names: Sequence[str]) -> optax.GradientTransformation:
    """Multiply the updates of the modules `names` by numbers that lie in the state, 1 at first.

    They are no part of the program: other numbers compile nothing again. See `set_multipliers`.
    """

    def init(params):
        return Multiplied({name: jnp.ones((), jnp.float32) for name in names if name in params})

    def update(updates, state, params=None):
        scaled = {
            name: jax.tree.map(lambda u, m=number: u * m.astype(u.dtype), updates[name])
            for name, number in state.multipliers.items()
        }
        return {**updates, **scaled}, state

    return optax.GradientTransformation(init, update)


def set_multipliers(opt_state: PyTree, multipliers: Mapping[str, float]) -> PyTree:
    """The optimiser's state with these multipliers; names that it has not are left out."""

    def is_part(node):
        return isinstance(node, Multiplied)

    def change(node):
        if not is_part(node):
            return node
        new = {n: jnp.float32(multipliers.get(n, m)) for n, m in node.multipliers.items()}
        return Multiplied(new)

    return jax.tree.map(change, opt_state, is_leaf=is_part)


def scaled(
    optimizer: optax.GradientTransformationExtraArgs,
    ratio: float | int,
    chosen: Callable[[PyTree], PyTree],
) -> optax.GradientTransformationExtraArgs:
    """The optimiser, with a rate of `ratio` times the step's for some of the parameters.

    Args:
        optimizer: such as `momentum_sgd`, whose state gains no array.
        ratio: multiplies their updates, and so their weight decay.
        chosen: ``chosen(params)`` marks them, in a tree of bools.
    """
    if ratio == 1:
        return optimizer
    slower = optax.masked(optax.scale(ratio), chosen)
    return optax.with_extra_args_support(optax.chain(optimizer, slower))


class Accumulated(NamedTuple):
    """Sums over the micro-batches seen since the last update."""

    seen: Int[Array, ""]
    weight: Float[Array, ""]
    grads: PyTree
    inner: PyTree


def accumulate(
    optimizer: optax.GradientTransformationExtraArgs, every: int, *, mean: bool = True
) -> optax.GradientTransformationExtraArgs:
    """Update once in `every` micro-batches, with the exact gradient of their union.

    ``update(grads, state, params, weight=w)`` takes the gradient of a mean over w items (valid
    pixels) and gives that of the mean over them all; averaging the gradients as they come
    (`optax.MultiSteps`) would weigh a pixel of a mostly void batch more than another. With
    ``mean=False`` the gradients are those of sums, and so is the result.
    """
    if every == 1:
        return optimizer

    def init(params):
        zeros = jax.tree.map(jnp.zeros_like, params)
        return Accumulated(jnp.zeros((), jnp.int32), jnp.zeros(()), zeros, optimizer.init(params))

    def update(updates, state, params=None, *, weight=1.0, **extra):
        share = weight if mean else 1.0
        grads = jax.tree.map(lambda s, g: s + share * g, state.grads, updates)
        total, seen = state.weight + weight, state.seen + 1

        def apply(_):
            count = jnp.where(total > 0, total, 1) if mean else 1.0
            whole = jax.tree.map(lambda g: g / count, grads)
            new, inner = optimizer.update(whole, state.inner, params, **extra)
            zeros = jax.tree.map(jnp.zeros_like, grads)
            return new, Accumulated(jnp.zeros_like(seen), jnp.zeros_like(total), zeros, inner)

        def wait(_):
            none = jax.tree.map(jnp.zeros_like, grads)
            return none, Accumulated(seen, total, grads, state.inner)

        return jax.lax.cond(seen == every, apply, wait, None)

    return optax.GradientTransformationExtraArgs(init, update)


def _adam(learning_rate: Any, b1: float, b2: float, eps: float) -> optax.GradientTransformation:
    def init(params):
        # Apart, as a buffer that is donated must not be in the state twice.
        mu, nu = (jax.tree.map(jnp.zeros_like, params) for _ in range(2))
        return optax.ScaleByAdamState(jnp.zeros((), jnp.int32), mu, nu)

    def update(updates, state, params=None):
        count = state.count + 1
        mu = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.mu, updates)
        nu = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, state.nu, updates)
        rate = learning_rate * jnp.sqrt(1 - b2**count) / (1 - b1**count)
        steps = jax.tree.map(lambda m, v: -rate * m / (jnp.sqrt(v) + eps), mu, nu)
        return steps, optax.ScaleByAdamState(count, mu, nu)

    return optax.GradientTransformation(init, update)


def adam(*, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> optax.GradientTransformation:
    """Adam as Chainer has it; its rate is set by each step, as
    `jaxdl.training.optimizers.momentum_sgd`'s.

    Chainer adds eps to sqrt(v) before the bias correction, Optax and PyTorch after it: a weight of
    tiny gradient went 6e-5 further in five steps at rate 0.01.

    Source: Kingma, Ba 2015, the form at the end of section 2.
    """
    chosen = optax.inject_hyperparams(_adam, static_args=("b1", "b2", "eps"))
    return chosen(learning_rate=0.0, b1=b1, b2=b2, eps=eps)
