"""Networks that forecast together: each trained in closed loop, stopped by a validation part.

A sweep (`jaxdl.lstm.sweep`) trains for the next value, as the post does. Here a network reads a
window and continues it, and the loss is the error of the whole continuation, in the levels of the
series: what a forecast is judged by.

Each member, a size and a seed, is three networks with the same start, windows and steps:

=====  ================================  ==========================================
part   learns from                       for
=====  ================================  ==========================================
0      rows before the validation part   stopping, sizes, bands: judged on that part
1      rows before the test tail         the test tail, which is only measured
2      all rows                          `predict`
=====  ================================  ==========================================

The step at which part 0 was best on the validation part is kept for all three; it may be the start,
at which every network says "no change".
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as Spec
from jaxtyping import Array, Bool, Float

from jaxdl.lstm.choices import Cell
from jaxdl.lstm.model import Params, forward
from jaxdl.lstm.series import gather_windows
from jaxdl.lstm.sweep import Members, over_members, start_sweep
from jaxdl.lstm.transform import Transform, window_scale
from jaxdl.training.step import TrainState

PARTS = 3
ONE_STEP = 0.5  # weight of the next value's error beside the continuation's


class Data(NamedTuple):
    """What the networks learn from; standardised changes, float32.

    Attributes:
        series: of all rows.
        windows: given at each origin of the validation part.
        truth: what follows them.
        there: whether a step of the truth lies in the validation part.
    """

    series: Float[Array, "n f"]
    windows: Float[Array, "t o f"]
    truth: Float[Array, "l o f"]
    there: Bool[Array, "l o"]


def continue_windows(
    params: Params, windows: Float[Array, "t b f"], length: int, changes: bool
) -> tuple[Float[Array, "t b f"], Float[Array, "{length} b f"], Any]:
    """One network's outputs for its windows, its continuation in closed loop, both scaled by
    window, and that scale.
    """
    scale = window_scale(windows, changes)
    outputs, carry = forward(params, scale.apply(windows))

    def step(now: Any, _: None) -> tuple[Any, Array]:
        value, carry = now
        following, carry = forward(params, value[None], carry, for_cpu=False)
        return (following[0], carry), value

    return outputs, lax.scan(step, (outputs[-1], carry), length=length)[1], scale


def level_errors(errors: Float[Array, "l b f"], transform: Transform) -> Float[Array, "l b f"]:
    """Errors of levels, from those of the changes."""
    if not transform.lag:
        return errors
    matrix = jnp.asarray(transform.integration(len(errors)), errors.dtype)
    return jnp.einsum("kl,lbf->kbf", matrix, errors, precision=lax.Precision.HIGHEST)


def continuation_loss(
    params: Params, windows: Float[Array, "t b f"], given: int, transform: Transform
) -> Float[Array, ""]:
    """The error of what follows the first `given` steps, as a share of what differences alone err.

    Absolute errors of the levels (`Transform.integration`), smooth near zero, so that a
    few odd rows do not decide; and half of the mean squared error of each next value in the window.
    """
    known, after = windows[:given], windows[given:]
    outputs, found, scale = continue_windows(params, known, len(after), transform.lag > 0)
    truth = scale.apply(after)
    usual = jnp.abs(level_errors(truth, transform)).mean() + 1e-6
    errors = level_errors(found - truth, transform) / usual
    one_step = jnp.square(outputs[:-1] - scale.apply(known)[1:])
    return (jnp.sqrt(jnp.square(errors) + 0.01)).mean() + ONE_STEP * one_step.mean()


def validation_error(params: Params, data: Data, transform: Transform) -> Float[Array, ""]:
    """Mean absolute error of the levels over the validation part, standardised."""
    _, found, scale = continue_windows(params, data.windows, len(data.truth), transform.lag > 0)
    errors = jnp.abs(level_errors(scale.undo(found) - data.truth, transform)).mean(2)
    return jnp.where(data.there, errors, 0.0).sum() / data.there.sum()


def start(
    seed: int,
    members: Members,
    optimizer: optax.GradientTransformation,
    *,
    columns: int,
    layers: int = 1,
    cell: Cell = "lstm",
    given: Any = None,
) -> TrainState:
    """Interval 0: params are {"now", "best", "error"}; the networks (member, part, ...).

    They are those `given`, or read out zeros, which is no change: what the difference alone would
    forecast.
    """
    sizes = {"inputs": columns, "outputs": columns, "layers": layers, "cell": cell}
    one = start_sweep(seed, members, optimizer, **sizes)
    readout = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), one.params["readout"])
    one = one._replace(params=one.params | {"readout": readout})

    def thrice(tree: Any) -> Any:
        return jax.tree.map(lambda a: np.repeat(np.asarray(a)[:, None], PARTS, axis=1), tree)

    count = len(members.units)
    networks = thrice(one.params) if given is None else given
    # Copies: what one call donates must not be one buffer twice.
    params: dict[str, Any] = {n: jax.tree.map(np.array, networks) for n in ("now", "best")}
    params["error"] = np.full(count, np.inf, np.float32)
    return jax.tree.map(jnp.asarray, TrainState(one.step, params, thrice(one.opt_state)))


def ensemble_step(
    optimizer: optax.GradientTransformation,
    *,
    window: int,
    horizon: int,
    transform: Transform,
    mesh: Mesh | None = None,
) -> Callable[..., Any]:
    """The jitted step for `jaxdl.training.loop.fit`: validation, then an interval of mini-batches.

    Args:
        optimizer, mesh: see `jaxdl.lstm.sweep.sweep_step`.
        window: steps that a network is given.
        horizon: steps that it continues in training.
        transform: what the changes are of.

    Returns:
        ``step(state, metrics, batch, learning_rate) -> (state, metrics, loss)``; see `start`,
        `zero_metrics`, `batches` and `Data`. The state and the metrics given are donated.
    """

    def epoch(series, rate, params, opt_state, starts):
        """One network's mini-batch."""
        windows = gather_windows(series, starts, window + horizon - 1)
        loss, grads = jax.value_and_grad(continuation_loss)(params, windows, window, transform)
        opt_state = optax.tree_utils.tree_set(opt_state, learning_rate=rate)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, loss

    parts = jax.vmap(epoch, in_axes=(None, None, 0, 0, 0))
    together = jax.vmap(parts, in_axes=(None, None, 0, 0, 0))

    def interval(params, opt_state, batch, rate):
        data = batch.data

        def one(carry, starts):
            params, opt_state, losses = together(data.series, rate, carry[0], carry[1], starts)
            return (params, opt_state), losses[:, 0]

        # Before the steps: the start, which changes nothing, may be the best.
        first_parts = jax.tree.map(lambda a: a[:, 0], params["now"])
        errors = jax.vmap(lambda own: validation_error(own, data, transform))(first_parts)
        better = errors < params["error"]

        def pick(new, old):
            return jnp.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old)

        kept = {
            "best": jax.tree.map(pick, params["now"], params["best"]),
            "error": pick(errors, params["error"]),
        }
        (kept["now"], opt_state), losses = lax.scan(one, (params["now"], opt_state), batch.starts)
        return (kept, opt_state), losses, errors

    def step(state, metrics, batch, rate):
        call = interval
        if mesh is not None:
            call = over_members(interval, mesh, [Spec(mesh.axis_names)])
        rate = jnp.asarray(rate, batch.data.series.dtype)
        (params, opt_state), losses, errors = call(state.params, state.opt_state, batch, rate)
        mean = losses.mean()
        row = jnp.stack([losses.mean(0), errors])[None]
        place = state.step % len(metrics)
        metrics = lax.dynamic_update_slice_in_dim(metrics, row, place, axis=0)
        if mesh is not None:
            mean = lax.with_sharding_constraint(mean, NamedSharding(mesh, Spec()))
        return TrainState(state.step + 1, params, opt_state), metrics, mean

    return jax.jit(step, donate_argnums=(0, 1))


def zero_metrics(intervals: int, members: Members) -> Float[Array, "n 2 m"]:
    """Room for each member's mean loss and validation error in so many intervals."""
    return jnp.asarray(np.zeros((intervals, 2, len(members.units)), np.float32))


@jax.jit(static_argnames=("length", "changes"))
def continuations(
    params: Any, windows: Float[Array, "t b f"], *, length: int, changes: bool
) -> Float[Array, "m {length} b f"]:
    """What follows each window by each network (leading axis), standardised; one program."""

    def one(own: Params) -> Array:
        _, found, scale = continue_windows(own, windows, length, changes)
        return scale.undo(found)

    return jax.vmap(one)(params)
