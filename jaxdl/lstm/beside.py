"""Two networks of different sizes as one, where a sweep would pad each to the largest.

Networks that see the same windows are one network whose recurrent matrix has theirs on its
diagonal and zeros elsewhere. Of 2, 3, 4 and 5 units, 2 beside 5 and 3 beside 4 make two networks of
7: 14 units are computed, where four networks padded to 5 have 20. Only what a CPU computes is laid
out so; parameters and the optimiser's state stay those of the padded members.

Zeros times infinity are no zeros: if a member's numbers are no longer finite, nor are its partner's
gradients. Training ends then, as it does without pairs (`jaxdl.training.loop`).
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxdl.lstm.model import CELLS, Params, cell_of, forward, with_units
from jaxdl.lstm.series import gather_windows

WORTH = 0.9  # of the padded units; above it the laying out takes what it saves


def pairs_of(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Which sizes to put beside each other, by their places; none if it does not pay."""
    order = np.argsort(sizes, kind="stable").tolist()
    pairs = list(zip(order[: len(order) // 2], reversed(order), strict=False))
    if not pairs or len(order) % 2:
        return []
    width = max(sizes[a] + sizes[b] for a, b in pairs)
    return pairs if len(pairs) * width <= WORTH * len(sizes) * max(sizes) else []


def beside(networks: Sequence[Params]) -> Params:
    """One network that is all of these (NumPy arrays); its outputs are theirs, in their order."""
    name = cell_of(networks[0])
    gates = CELLS[name].gates
    hidden = [network[f"{name}_1"]["recurrent"].shape[1] for network in networks]
    outputs = [len(network["readout"]["bias"]) for network in networks]

    def apart(array: np.ndarray, sizes: list[int], n: int) -> np.ndarray:
        """Columns of network n, with zeros for those of the others."""
        return np.pad(array, ((0, 0), (sum(sizes[:n]), sum(sizes[n + 1 :]))))

    def rows(arrays: list[np.ndarray]) -> np.ndarray:
        blocks = [array.reshape(gates, -1, *array.shape[1:]) for array in arrays]
        return np.concatenate(blocks, 1).reshape(-1, *arrays[0].shape[1:])

    joined: Params = {}
    for layer in networks[0]:
        own = [network[layer] for network in networks]
        if layer == "readout":
            kernels = [apart(each["kernel"], outputs, n) for n, each in enumerate(own)]
            biases = [each["bias"] for each in own]
            joined[layer] = {"kernel": np.concatenate(kernels), "bias": np.concatenate(biases)}
            continue
        joined[layer] = {}
        for key in own[0]:
            of_units = key == "recurrent" or (key == "input" and layer != f"{name}_1")
            arrays = [
                apart(each[key], hidden, n) if of_units else each[key] for n, each in enumerate(own)
            ]
            joined[layer][key] = rows(arrays)
    return joined


def layout(
    params: Params, sizes: Sequence[int], pairs: Sequence[tuple[int, int]]
) -> Callable[[Params], Params]:
    """A function from padded members (the leading axis, one of each size) to the pairs.

    It is a choice of numbers, and so is its gradient. What it chooses is found here once, by
    laying out the numbers' places.

    Args:
        params: of members; shapes are all that is used.
        sizes: of the members.
        pairs: of `pairs_of`.
    """
    leaves, tree = jax.tree.flatten(params)
    ends = np.cumsum([0, *(leaf.size for leaf in leaves)])
    spans = zip(leaves, ends[:-1], ends[1:], strict=True)
    # From 1 on: what padding adds is 0.
    places = [np.arange(a, b).reshape(leaf.shape) + 1 for leaf, a, b in spans]

    def alone(n: int) -> Params:
        return with_units(jax.tree.unflatten(tree, [place[n] for place in places]), sizes[n])

    width = max(sizes[a] + sizes[b] for a, b in pairs)
    found = [with_units(beside([alone(a), alone(b)]), width) for a, b in pairs]
    chosen, joined_tree = jax.tree.flatten(jax.tree.map(lambda *all: np.stack(all), *found))
    flat = np.concatenate([each.ravel() for each in chosen])
    back = np.full(ends[-1] + 1, len(flat))  # nowhere: the padding of the members
    back[flat] = np.arange(len(flat))

    def choose(values: Array, where: np.ndarray, zero_first: bool) -> Array:
        zero = jnp.zeros(1, values.dtype)
        return jnp.concatenate([zero, values] if zero_first else [values, zero])[where]

    @jax.custom_vjp
    def lay_out(values: Array) -> Array:
        return choose(values, flat, True)

    lay_out.defvjp(
        lambda values: (lay_out(values), None), lambda _, grad: (choose(grad, back[1:], False),)
    )

    def pair(params: Params) -> Params:
        values = lay_out(jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(params)]))
        parts = jnp.split(values, np.cumsum([each.size for each in chosen])[:-1])
        arrays = [part.reshape(each.shape) for part, each in zip(parts, chosen, strict=True)]
        return jax.tree.unflatten(joined_tree, arrays)

    return pair


def gradients_of_pairs(
    params: Params,
    series: Float[Array, "n f"],
    starts: Int[Array, "m b"],
    window: int,
    sizes: Sequence[int],
    pairs: Sequence[tuple[int, int]],
) -> tuple[Float[Array, " m"], Params]:
    """`jaxdl.lstm.sweep.loss` of each member and its gradients, computed in pairs.

    Args:
        params: of members, all sizes of the first seed first.
        series: what the windows are cut from.
        starts: of each member's windows; those of a seed are alike.
        window: steps.
        sizes: of a seed's members.
        pairs: of `pairs_of`.
    """
    seeds = len(starts) // len(sizes)
    by_seed = jax.tree.map(lambda a: a.reshape(seeds, -1, *a.shape[1:]), params)
    one = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), by_seed)
    windows = jax.vmap(lambda own: gather_windows(series, own, window))(starts[:: len(sizes)])
    every = jnp.repeat(windows, len(pairs), axis=0)

    def losses(by_seed: Params) -> Float[Array, "s k"]:
        paired = jax.vmap(layout(one, sizes, pairs))(by_seed)
        # One axis for seeds and pairs: with two, XLA turns arrays about in each step of one seed.
        flat = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), paired)
        read = jax.vmap(lambda own, x: forward(own, x[:-1], for_cpu=True)[0])(flat, every)
        errors = read.reshape(*read.shape[:3], 2, -1) - every[:, 1:, :, None]
        found = jnp.square(errors).mean((1, 2, 4)).reshape(seeds, -1)
        return found[:, np.argsort(np.ravel(pairs))]

    found, pull = jax.vjp(losses, by_seed)
    grads = pull(jnp.ones_like(found))[0]
    return found.ravel(), jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), grads)
