"""The passing of weights from one network to the next, by name and shape."""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdl.errors import InputError


class Transfer(NamedTuple):
    """Parameters after carrying, and the names (``trunk/conv1_1/kernel``) of what went where."""

    params: Any
    loaded: list[str]  # taken from the source
    initialized: list[str]  # kept from the target: the source has none of that name and shape
    unused: list[str]  # in the source, but not loaded


name_of = functools.partial(jax.tree_util.keystr, simple=True, separator="/")


def by_name(params: Any) -> dict[str, Any]:
    """Each array under its path's name, such as ``trunk/conv1_1/kernel``."""
    return {name_of(path): leaf for path, leaf in jax.tree.leaves_with_path(params)}


def transfer(source: Any, target: Any) -> Transfer:
    """The target's parameters with those of the source where name and shape agree.

    Source: ``copy_model`` of the 2016 posts, which skips the rest with a print; here the result
    names all that was skipped.

    Raises:
        InputError: nothing at all could be loaded.
    """
    old, new = by_name(source), by_name(target)
    loaded = [n for n in new if n in old and np.shape(old[n]) == np.shape(new[n])]
    if not loaded:
        raise InputError(
            f"no parameter could be loaded: the source has {sorted(old)[:3]}..., "
            f"the network {sorted(new)[:3]}...; is it a checkpoint of another kind or width?"
        )
    taken = set(loaded)

    def pick(path, leaf):
        name = name_of(path)
        return np.asarray(old[name], leaf.dtype) if name in taken else leaf

    params = jax.tree.map_with_path(pick, target)
    return Transfer(
        jax.tree.map(jax.numpy.asarray, params),
        loaded,
        [n for n in new if n not in taken],
        [n for n in old if n not in taken],
    )
