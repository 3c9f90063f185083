"""Training: state, optimiser, step factory, and the one loop.

A task brings a step, ``step(state, totals, batch, learning_rate) -> (state, totals, loss)``, and
the loop does the rest for any of them: it dispatches step n, then reads the loss of n - 1 (so that
the device never waits for the host), stops on a non-finite loss, ends epochs, saves, and leaves
cleanly on SIGTERM. Everything that training continues from is in the arrays it saves.
"""

import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree

from jaxdl.errors import Stopped, TrainingError
from jaxdl.mesh import Shardings

Schedule = Literal["constant", "cosine", "linear"]


class TrainState(NamedTuple):
    """What a step maps to its successor; arrays only."""

    step: Int[Array, ""]
    params: PyTree
    opt_state: PyTree


def start_state(params: PyTree, optimizer: optax.GradientTransformation) -> TrainState:
    """Step 0."""
    return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params))


def learning_rate(
    step: int, *, peak: float, steps: int, schedule: Schedule, warmup: int = 0, end: float = 0.0
) -> float:
    """The rate of step 0..steps-1: linear warm-up to `peak`, then constant, or down to `end`.

    A number for the step's argument, not part of the program: no rate compiles anything anew.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    step, steps = step - warmup, max(1, steps - warmup)
    if schedule == "constant":
        return peak
    if schedule == "linear":
        return peak - (peak - end) * step / steps
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
            count = jnp.maximum(total, 1) if mean else 1.0
            whole = jax.tree.map(lambda g: g / count, grads)
            new, inner = optimizer.update(whole, state.inner, params, **extra)
            zeros = jax.tree.map(jnp.zeros_like, grads)
            return new, Accumulated(jnp.zeros_like(seen), jnp.zeros_like(total), zeros, inner)

        def wait(_):
            none = jax.tree.map(jnp.zeros_like, grads)
            return none, Accumulated(seen, total, grads, state.inner)

        return jax.lax.cond(seen == every, apply, wait, None)

    return optax.GradientTransformationExtraArgs(init, update)


def dense_step(
    loss_fn: Callable[[PyTree, Any], tuple[Array, tuple[Array, Any]]],
    optimizer: optax.GradientTransformationExtraArgs,
    add: Callable[[Any, Any], Any],
    layout: Shardings | None = None,
    *,
    prepare: Callable[[Any, Array], Any] | None = None,
    updates: int = 1,
) -> Callable[[TrainState, Any, Any, float], tuple[TrainState, Any, Array]]:
    """The jitted step of an Optax optimiser over a whole tree of parameters.

    Args:
        loss_fn: ``loss_fn(params, batch) -> (loss, (weight, figures))``; `weight` is the number of
            items (valid pixels) in the batch, for `accumulate`.
        optimizer: from `momentum_sgd`, perhaps in `accumulate`; must hold one ``learning_rate``.
        add: ``add(totals, figures) -> totals``.
        layout: of the state, on the devices that share the work: each computes on whole parameters,
            gathered for the step where the state is split, and on its rows of the batch. Sums over
            the batch (loss, weight, figures) are those of all rows, as on one device.
        prepare: ``prepare(batch, number) -> batch``, in the graph: what update `number` trains on.
        updates: in one dispatch, by a scan. The loss is then the mean of theirs, and a batch
            without items changes nothing. ``state.step`` counts dispatches.

    The state and the totals given to it are donated: use those it returns.
    """

    def update(state, totals, batch, rate):
        params = state.params
        if layout is not None:
            params = jax.lax.with_sharding_constraint(params, layout.whole)
        (loss, (weight, figures)), grads = jax.value_and_grad(loss_fn, has_aux=True)(params, batch)
        if layout is not None:
            grads = jax.lax.with_sharding_constraint(grads, layout.state.params)

        def change(_):
            opt_state = optax.tree_utils.tree_set(state.opt_state, learning_rate=rate)
            changes, new = optimizer.update(grads, opt_state, state.params, weight=weight)
            return state._replace(params=optax.apply_updates(state.params, changes), opt_state=new)

        if updates == 1:
            state = change(None)
        else:
            state = jax.lax.cond(weight > 0, change, lambda _: state, None)
        return state, add(totals, figures), loss, weight

    def step(state, totals, batch, rate):
        rate = jnp.asarray(rate, jnp.float32)

        def one(carry, i):
            now, totals = carry
            number = state.step * updates + i
            part = batch if prepare is None else prepare(batch, number)
            now, totals, loss, weight = update(now, totals, part, rate)
            return (now, totals), (loss, weight)

        if updates == 1:
            (new, totals), (loss, _) = one((state, totals), 0)
        else:
            (new, totals), (losses, weights) = jax.lax.scan(
                one, (state, totals), jnp.arange(updates)
            )
            used = weights != 0  # NaN is
            loss = jnp.where(used, losses, 0).sum() / jnp.maximum(used.sum(), 1)
        return new._replace(step=state.step + 1), totals, loss

    if layout is None:
        return jax.jit(step, donate_argnums=(0, 1))
    state, whole, rows = layout
    return jax.jit(
        step,
        donate_argnums=(0, 1),
        in_shardings=(state, whole, rows, whole),
        out_shardings=(state, whole, whole),
    )


@contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """An event that SIGTERM and Ctrl-C set, for `fit`; a second Ctrl-C interrupts at once."""
    event = threading.Event()

    def ask(number, frame):
        if event.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        event.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def fit(
    step: Callable[[TrainState, Any, Any, float], tuple[TrainState, Any, Array]],
    state: TrainState,
    totals: Any,
    batches: Iterator[Any],
    *,
    rate: Callable[[int], float],
    steps: int,
    ends: Callable[[int], bool],
    end_epoch: Callable[[int, TrainState, Any], Any],
    zero: Callable[[], Any],
    save: Callable[[int, TrainState, Any, Any], None],
    stop: threading.Event,
    show: Callable[[int, float], None],
    inputs: Callable[[int], str],
    agree: Callable[[bool], bool] = bool,
) -> TrainState:
    """Train from ``state.step`` to `steps`.

    Args:
        step: see `dense_step`.
        state: where to start; donated.
        totals: the running epoch's sums so far; donated.
        batches: batch ``state.step`` and those after it, in order.
        rate: learning rate of a step.
        steps: where to end.
        ends: whether an epoch ends when so many steps are done; the last step ends one anyway.
        end_epoch: ``end_epoch(step, state, totals) -> metrics``: evaluates and records.
        zero: totals of a new epoch.
        save: ``save(step, state, totals, metrics)``; metrics is None in mid-epoch.
        stop: when set, the loop saves and raises `Stopped`.
        show: ``show(step, loss)`` after each step, one step late.
        inputs: names the inputs of a step, for the error message.
        agree: ``agree(asked)``, called once a step with whether `stop` is set: whether to stop now
            (`jaxdl.hosts.agreement`: several processes must do so after the same step).

    Raises:
        TrainingError: a loss was not finite; names the step and its inputs. Nothing is saved.
        Stopped: after saving.
    """
    waiting: tuple[int, Any] | None = None

    def settle() -> None:
        """Read the loss that is still on its way, and look at it."""
        nonlocal waiting
        if waiting is None:
            return
        n, on_device = waiting
        waiting, loss = None, float(np.asarray(on_device))
        if not math.isfinite(loss):
            raise TrainingError(
                f"loss {loss} at step {n}, {inputs(n)}: stopped; the last checkpoint is sound. "
                "Lower the learning rate (--help lists it), or look at these inputs"
            )
        show(n + 1, loss)

    for n in range(int(state.step), steps):
        state, totals, loss = step(state, totals, next(batches), rate(n))
        settle()
        waiting = n, loss
        done = n + 1
        if at_end := ends(done) or done == steps:
            settle()
            metrics = end_epoch(done, state, totals)
            totals = zero()
            save(done, state, totals, metrics)
        if agree(stop.is_set()) and done < steps:
            if not at_end:
                settle()
                save(done, state, totals, None)
            raise Stopped(f"stopped at step {done} of {steps}; run the same command to go on")
    return state
