"""The state of training, and the step of a dense optimiser."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PyTree

from jaxdl.devices.mesh import Shardings


class TrainState(NamedTuple):
    """What a step maps to its successor; arrays only."""

    step: Int[Array, ""]
    params: PyTree
    opt_state: PyTree
    batch_stats: PyTree = ()  # running statistics of batch normalisation, in a model that has it


def start_state(
    params: PyTree, optimizer: optax.GradientTransformation, batch_stats: PyTree = ()
) -> TrainState:
    """Step 0."""
    return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params), batch_stats)


def dense_step(
    loss_fn: Callable[..., tuple[Array, tuple[Any, ...]]],
    optimizer: optax.GradientTransformationExtraArgs,
    add: Callable[[Any, Any], Any],
    layout: Shardings | None = None,
    *,
    prepare: Callable[[Any, Array], Any] | None = None,
    updates: int = 1,
) -> Callable[[TrainState, Any, Any, float], tuple[TrainState, Any, Array]]:
    """The jitted step of an Optax optimiser over a whole tree of parameters.

    Args:
        loss_fn: ``loss_fn(params, batch) -> (loss, (weight, outcome))``; `weight` is the number of
            items (valid pixels) in the batch, for `accumulate`. With batch statistics in the state
            it is ``loss_fn(params, batch, batch_stats) -> (loss, (weight, outcome, batch_stats))``.
        optimizer: from `momentum_sgd`, perhaps in `accumulate`; must hold one ``learning_rate``.
        add: ``add(metrics, outcome) -> metrics``.
        layout: of the state, on the devices that share the work: each computes on whole parameters,
            gathered for the step where the state is split, and on its rows of the batch. Sums over
            the batch (loss, weight, outcome) are those of all rows, as on one device.
        prepare: ``prepare(batch, number) -> batch``, in the graph: what update `number` trains on.
        updates: in one dispatch, by a scan. The loss is then the mean of theirs, and a batch
            without items changes nothing. ``state.step`` counts dispatches.

    The state and the metrics given to it are donated: use those it returns.
    """

    def update(state, metrics, batch, rate):
        params = state.params
        if layout is not None:
            params = jax.lax.with_sharding_constraint(params, layout.replicated)
        stats = (state.batch_stats,) if jax.tree.leaves(state.batch_stats) else ()
        graded = jax.value_and_grad(loss_fn, has_aux=True)
        (loss, (weight, outcome, *new_stats)), grads = graded(params, batch, *stats)
        if layout is not None:
            grads = jax.lax.with_sharding_constraint(grads, layout.state.params)

        def change(_):
            opt_state = optax.tree_utils.tree_set(state.opt_state, learning_rate=rate)
            changes, new = optimizer.update(grads, opt_state, state.params, weight=weight)
            params = optax.apply_updates(state.params, changes)
            kept = new_stats[0] if new_stats else state.batch_stats
            return state._replace(params=params, opt_state=new, batch_stats=kept)

        if updates == 1:
            state = change(None)
        else:
            state = jax.lax.cond(weight > 0, change, lambda _: state, None)
        return state, add(metrics, outcome), loss, weight

    def step(state, metrics, batch, rate):
        rate = jnp.asarray(rate, jnp.float32)

        def one(carry, i):
            now, metrics = carry
            number = state.step * updates + i
            part = batch if prepare is None else prepare(batch, number)
            now, metrics, loss, weight = update(now, metrics, part, rate)
            return (now, metrics), (loss, weight)

        if updates == 1:
            (new, metrics), (loss, _) = one((state, metrics), 0)
        else:
            (new, metrics), (losses, weights) = jax.lax.scan(
                one, (state, metrics), jnp.arange(updates)
            )
            used = weights != 0  # NaN is
            loss = jnp.where(used, losses, 0).sum() / jnp.maximum(used.sum(), 1)
        return new._replace(step=state.step + 1), metrics, loss

    if layout is None:
        return jax.jit(step, donate_argnums=(0, 1))
    state, whole, rows = layout
    return jax.jit(
        step,
        donate_argnums=(0, 1),
        in_shardings=(state, whole, rows, whole),
        out_shardings=(state, whole, whole),
    )
