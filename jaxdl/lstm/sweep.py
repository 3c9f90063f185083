"""Forecasting: many LSTMs trained as one program (`jaxdl.lstm.forecast` says what comes next).

A sweep trains a network for each pair of a hidden size and a seed. The members are one `vmap`:
smaller sizes are padded to the largest (`jaxdl.lstm.model`), or, on a CPU, two are computed as one
(`jaxdl.lstm.beside`). So each gets what it would get alone, but for the order in which XLA adds up
a sum (the last bits). One call of the step is an interval of epochs in one `lax.scan`; an epoch is
one mini-batch of windows, as in the LSTM post of 2016, cut in the graph. The host draws where they
start, by the run's seed, the member's seed and the epoch. So members of one seed see the same
windows whatever their size, and a run resumes bit for bit from any interval.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as Spec
from jaxtyping import Array, Float, Int

from jaxdl.devices.mesh import shard, shardings
from jaxdl.errors import InputError
from jaxdl.lstm.beside import gradients_of_pairs, pairs_of
from jaxdl.lstm.model import Params, forward, start_params, with_units
from jaxdl.lstm.series import gather_windows, generator, window_starts
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


class Batch(NamedTuple):
    """What a step trains on.

    Attributes:
        data: on the device; the sweep's is a series (n, f).
        starts: int32, of each epoch's and member's windows (e, m, b); see
            `jaxdl.lstm.series.window_starts`.
    """

    data: Any
    starts: Any


def batches(
    data: Any,
    members: Members,
    first: int,
    *,
    seed: int,
    epochs: int,
    batch: int,
    spans: int | Sequence[int],
    mesh: Mesh | None = None,
) -> Iterator[Batch]:
    """The batches of interval `first` and those after it, without end.

    Args:
        data: see `Batch`; laid out for the mesh.
        members: see `members_of`.
        first: the interval.
        seed: of the run; with a member's seed and the epoch it decides the windows.
        epochs: mini-batches in an interval.
        batch: windows in a mini-batch.
        spans: see `jaxdl.lstm.series.window_starts`.
        mesh: the devices that share the members.
    """
    layout = None if mesh is None else NamedSharding(mesh, Spec(None, mesh.axis_names))
    for n in itertools.count(first):
        starts = window_starts(seed, members.seeds, n * epochs, epochs, batch, spans)
        yield Batch(data, jnp.asarray(starts) if layout is None else shard(starts, layout))


def start_sweep(
    seed: int,
    members: Members,
    optimizer: optax.GradientTransformation,
    *,
    inputs: int = 1,
    outputs: int = 1,
    layers: int = 1,
    cell: str = "lstm",
) -> TrainState:
    """Interval 0 of a sweep of networks of one of `jaxdl.lstm.model.CELLS`.

    The weights are drawn on the host: a program that draws them takes longer to compile than the
    training of a small sweep.

    Args:
        seed: of the run; with a member's seed it decides the weights.
        members: see `members_of`.
        optimizer: see `sweep_step`.
        inputs: values of a step.
        outputs: values read out.
        layers: recurrent layers.
        cell: their kind.

    Returns:
        A tree of arrays: ``step`` counts intervals; params and opt_state have the members as the
        leading axis of every array.
    """
    sizes = {"inputs": inputs, "outputs": outputs, "layers": layers, "cell": cell}

    def one(units: int, own: int) -> Params:
        normal = np.random.Generator(generator(seed, own, 0)).standard_normal

        def draw(*shape: int) -> np.ndarray:
            return normal(shape, np.float32)

        return with_units(start_params(draw, hidden=units, **sizes), int(max(members.units)))

    networks = map(one, members.units.tolist(), members.seeds.tolist())
    params = jax.tree.map(lambda *arrays: jnp.asarray(np.stack(arrays)), *networks)
    return TrainState(jnp.asarray(np.int32(0)), params, _start(params, optimizer))


@jax.jit(static_argnames="optimizer")
def _start(params: Any, optimizer: optax.GradientTransformation) -> Any:
    """The optimiser's state of each member; one function, so that equal sweeps compile once."""
    return jax.vmap(optimizer.init)(params)


def sweep_step(
    optimizer: optax.GradientTransformation,
    *,
    window: int,
    mesh: Mesh | None = None,
    for_cpu: bool | None = None,
    sizes: Sequence[int] = (),
) -> Step:
    """The jitted step of a sweep, for `jaxdl.training.loop.fit`: one step is an interval of epochs.

    Args:
        optimizer: that of the state; must hold a ``learning_rate``
            (`jaxdl.training.optimizers.momentum_sgd`, `adam`). Clipping by norm works on each
            member alone.
        window: steps that the network is given; the targets are one step later. The state is zero
            at a window's start.
        mesh: the devices that share the members; None is one device.
        for_cpu: see `jaxdl.lstm.model.forward`.
        sizes: of the members of each seed. A CPU that has whole seeds computes them in pairs, if
            that is less work (`jaxdl.lstm.beside`).

    Returns:
        ``step(state, metrics, batch, learning_rate) -> (state, metrics, loss)``. The batch is of
        `batches`, its series longer than the window (`jaxdl.lstm.series.check_window`); the metrics
        are losses by epoch and member, see `zero_losses`; the loss is their mean over the
        interval, finite only if every member's is. The state and the metrics given are donated.
    """

    on_cpu = jax.default_backend() == "cpu" if for_cpu is None else for_cpu
    pairs = pairs_of(sizes) if on_cpu else []

    def gradients(params, series, starts):
        """Of one member's mini-batch."""
        windows = gather_windows(series, starts, window)
        return jax.value_and_grad(loss)(params, windows, for_cpu=for_cpu)

    def together(series, params, opt_state, starts):
        """Everyone's mini-batch."""
        if pairs and len(starts) % len(sizes) == 0:  # whole seeds
            errors, grads = gradients_of_pairs(params, series, starts, window, sizes, pairs)
        else:
            errors, grads = jax.vmap(gradients, in_axes=(0, None, 0))(params, series, starts)
        updates, opt_state = jax.vmap(optimizer.update)(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, errors

    def interval(params, opt_state, batch, rate):
        """All epochs of an interval, for as many members as there are starts."""
        rates = jnp.full(batch.starts.shape[1], rate, batch.data.dtype)
        opt_state = optax.tree_utils.tree_set(opt_state, learning_rate=rates)

        def one(carry, starts):
            params, opt_state, losses = together(batch.data, carry[0], carry[1], starts)
            return (params, opt_state), losses

        return lax.scan(one, (params, opt_state), batch.starts)

    def step(state, metrics, batch, rate):
        epochs = len(batch.starts)
        call = interval if mesh is None else over_members(interval, mesh)
        rate = jnp.asarray(rate, batch.data.dtype)
        (params, opt_state), losses = call(state.params, state.opt_state, batch, rate)
        place = state.step * epochs % metrics.shape[0]
        metrics = lax.dynamic_update_slice_in_dim(metrics, losses, place, axis=0)
        mean = losses.mean()
        if mesh is not None:  # every process reads it
            mean = lax.with_sharding_constraint(mean, NamedSharding(mesh, Spec()))
        return TrainState(state.step + 1, params, opt_state), metrics, mean

    return jax.jit(step, donate_argnums=(0, 1))


def over_members(interval: Any, mesh: Mesh, more: Sequence[Spec] = ()) -> Any:
    """An interval's function, each device computing its members.

    Args:
        interval: ``interval(params, opt_state, batch, rate)``, which returns the new params and
            opt_state as a pair, the losses by epoch, and what else `more` names.
        mesh: the devices.
        more: how other results lie.
    """
    split, whole, by_epoch = Spec(mesh.axis_names), Spec(), Spec(None, mesh.axis_names)
    return jax.shard_map(
        interval,
        mesh=mesh,
        in_specs=(split, split, Batch(whole, by_epoch), whole),
        out_specs=((split, split), by_epoch, *more),
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
    return jnp.asarray(np.zeros((intervals * epochs, len(members.units)), np.float32))


def member_params(params: Any, members: Members, n: int) -> Params:
    """Member n's parameters alone, without padding: a network of its own size."""
    return with_units(jax.tree.map(lambda a: jnp.asarray(a[n]), params), int(members.units[n]))
