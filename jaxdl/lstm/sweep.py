"""Forecasting: many LSTMs trained as one program (`jaxdl.lstm.forecast` says what comes next).

A sweep trains a network for each pair of a hidden size and a seed. The members are one `vmap`:
smaller sizes are padded to the largest (`jaxdl.lstm.model`), so each gets what it would get alone,
but for the order in which XLA adds up a sum (the last bits). One call of the step is an interval of
epochs in one `lax.scan`; an epoch is one mini-batch of windows, as in the LSTM post of 2016, cut in
the graph. What is random is a key folded with the member's seed and the epoch. So members of one
seed see the same windows whatever their size, and a run resumes bit for bit from any interval.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as Spec
from jaxtyping import Array, Float, Int, Key

from jaxdl.devices.mesh import shard, shardings
from jaxdl.errors import InputError
from jaxdl.lstm.model import Params, forward, init_params, with_units
from jaxdl.lstm.series import gather_windows, window_starts
from jaxdl.training.step import TrainState

Step = Callable[[TrainState, Any, Any, float], tuple[TrainState, Any, Array]]


class Members(NamedTuple):
    """The networks of a sweep, all sizes of the first seed first."""

    units: Int[np.ndarray, " m"]
    seeds: Int[np.ndarray, " m"]


def members_of(sizes: Sequence[int], seeds: Sequence[int]) -> Members:
    """Every size with every seed; int32.

    Raises:
        InputError: no size, no seed, or a size below 1.
    """
    if not sizes or not seeds:
        raise InputError("a sweep needs at least one hidden size and one seed")
    if min(sizes) < 1:
        raise InputError(f"hidden size {min(sizes)}: give at least 1")
    units = np.tile(np.asarray(sizes, np.int32), len(seeds))
    return Members(units, np.repeat(np.asarray(seeds, np.int32), len(sizes)))


def mean_squared_error(
    predicted: Float[Array, "*n"], truth: Float[Array, "*n"]
) -> Float[Array, ""]:
    """Mean over everything; over steps and windows it is the loss of the LSTM post."""
    return jnp.square(predicted - truth).mean()


def loss(
    params: Params, windows: Float[Array, "t b f"], *, for_cpu: bool | None = None
) -> Float[Array, ""]:
    """Error of each next step of some windows, steps first; `for_cpu` as in `forward`.

    Source: the LSTM post of 2016.
    """
    predicted, _ = forward(params, windows[:-1], for_cpu=for_cpu)
    return mean_squared_error(predicted, windows[1:])


def member_keys(key: Key[Array, ""], seed: Int[Array, ""]) -> Key[Array, " 2"]:
    """A member's two keys: of its start, and of its windows."""
    return jax.random.split(jax.random.fold_in(key, seed))


def start_sweep(
    key: Key[Array, ""],
    members: Members,
    optimizer: optax.GradientTransformation,
    *,
    inputs: int = 1,
    outputs: int = 1,
    layers: int = 1,
    cell: str = "lstm",
) -> TrainState:
    """Interval 0 of a sweep of networks of one of `jaxdl.lstm.model.CELLS`.

    Returns:
        A tree of arrays: ``step`` counts intervals; params and opt_state have the members as the
        leading axis of every array.
    """
    units = int(max(members.units))
    sizes = {"hidden": units, "inputs": inputs, "outputs": outputs, "layers": layers}
    return _start(key, *members, optimizer=optimizer, cell=cell, **sizes)


def initial_sweep(
    key: Key[Array, ""],
    units: Int[Array, " m"] | Int[np.ndarray, " m"],
    seeds: Int[Array, " m"] | Int[np.ndarray, " m"],
    *,
    optimizer: optax.GradientTransformation,
    hidden: int,
    inputs: int,
    outputs: int,
    layers: int,
    cell: str,
) -> TrainState:
    """`start_sweep` without its jit; `hidden` is the largest of the units."""

    def one(units, seed):
        sizes = {"inputs": inputs, "hidden": hidden, "outputs": outputs, "layers": layers}
        params = init_params(member_keys(key, seed)[0], units=units, cell=cell, **sizes)
        return params, optimizer.init(params)

    return TrainState(jnp.zeros((), jnp.int32), *jax.vmap(one)(units, seeds))


# A program runs once in a run: compiling it carefully takes a second longer than running it
# carelessly. One jitted function for the whole process, so that equal sweeps compile once.
_start = jax.jit(
    initial_sweep,
    static_argnames=("optimizer", "hidden", "inputs", "outputs", "layers", "cell"),
    compiler_options={"xla_backend_optimization_level": 0},
)


def sweep_step(
    key: Key[Array, ""],
    members: Members,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    batch: int,
    window: int,
    mesh: Mesh | None = None,
    for_cpu: bool | None = None,
) -> Step:
    """The jitted step of a sweep, for `jaxdl.training.loop.fit`: one step is an interval of epochs.

    Args:
        key: that of `start_sweep`; with the members' seeds and the epoch it decides the windows.
        members: those of the state.
        optimizer: that of the state; must hold a ``learning_rate``
            (`jaxdl.training.optimizers.momentum_sgd`, `adam`). Clipping by norm works on each
            member alone.
        epochs: mini-batches in an interval; part of what a run is, as the interval's number times
            it is the epoch that the windows are drawn for.
        batch: windows in a mini-batch.
        window: steps that the network is given; the targets are one step later. The state is zero
            at a window's start.
        mesh: the devices that share the members; None is one device.
        for_cpu: see `jaxdl.lstm.model.forward`.

    Returns:
        ``step(state, metrics, series, learning_rate) -> (state, metrics, loss)``. The series is
        (n, f) on the device, longer than the window (`jaxdl.lstm.series.check_window`); the metrics
        are losses by epoch and member, see `zero_losses`; the loss is their mean over the
        interval, finite only if every member's is. The state and the metrics given are donated.
    """
    seeds = jnp.asarray(members.seeds)

    def epoch(series, own, params, opt_state, number):
        """One member's mini-batch `number`."""
        starts = window_starts(jax.random.fold_in(own, number), batch, series.shape[0], window)
        windows = gather_windows(series, starts, window)

        error, grads = jax.value_and_grad(loss)(params, windows, for_cpu=for_cpu)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, error

    together = jax.vmap(epoch, in_axes=(None, 0, 0, 0, None))

    def interval(seeds, params, opt_state, first, series, rate):
        """All epochs of an interval, for as many members as there are seeds."""
        own = jax.vmap(lambda seed: member_keys(key, seed)[1])(seeds)
        rates = jnp.full(seeds.shape, rate, series.dtype)
        opt_state = optax.tree_utils.tree_set(opt_state, learning_rate=rates)

        def one(carry, number):
            params, opt_state, losses = together(series, own, carry[0], carry[1], number)
            return (params, opt_state), losses

        return lax.scan(one, (params, opt_state), first + jnp.arange(epochs))

    def step(state, metrics, series, rate):
        first = state.step * epochs
        call = interval if mesh is None else _over_members(interval, mesh)
        rate = jnp.asarray(rate, series.dtype)
        (params, opt_state), losses = call(
            seeds, state.params, state.opt_state, first, series, rate
        )
        place = first % metrics.shape[0]
        metrics = lax.dynamic_update_slice_in_dim(metrics, losses, place, axis=0)
        mean = losses.mean()
        if mesh is not None:  # every process reads it
            mean = lax.with_sharding_constraint(mean, NamedSharding(mesh, Spec()))
        return TrainState(state.step + 1, params, opt_state), metrics, mean

    return jax.jit(step, donate_argnums=(0, 1))


def _over_members(interval: Any, mesh: Mesh) -> Any:
    """`sweep_step`'s interval, each device computing its members."""
    split, whole = Spec(mesh.axis_names), Spec()
    return jax.shard_map(
        interval,
        mesh=mesh,
        in_specs=(split, split, split, whole, whole, whole),
        out_specs=((split, split), Spec(None, mesh.axis_names)),
        check_vma=False,
    )


def spread_members(state: TrainState, mesh: Mesh | None) -> TrainState:
    """A sweep's state, whole in every process, laid out for `sweep_step` with this mesh.

    Raises:
        InputError: the devices do not divide the members.
    """
    layout = shardings(None, mesh)
    if mesh is None or layout is None:
        return state
    members = len(jax.tree.leaves(state.params)[0])
    if members % mesh.size:
        raise InputError(
            f"{members} networks on {mesh.size} devices: the devices must divide them; "
            "change the sizes or seeds, or --mesh"
        )
    params, opt_state = shard((state.params, state.opt_state), layout.batch)
    return TrainState(shard(state.step, layout.replicated), params, opt_state)


def spread_losses(losses: Array, mesh: Mesh | None) -> Array:
    """The losses of `zero_losses`, each member's on the device of its parameters."""
    if mesh is None:
        return losses
    return shard(losses, NamedSharding(mesh, Spec(None, mesh.axis_names)))


def zero_losses(intervals: int, epochs: int, members: Members) -> Float[Array, "n m"]:
    """Room for the losses of each epoch and member of so many intervals: `fit`'s metrics.

    The interval of number k is written from row ``k * epochs % n``.
    """
    return jnp.zeros((intervals * epochs, len(members.units)))


def member_params(params: Any, members: Members, n: int) -> Params:
    """Member n's parameters alone, without padding: a network of its own size."""
    return with_units(jax.tree.map(lambda a: jnp.asarray(a[n]), params), int(members.units[n]))
