"""The passing of weights from one network to the next, by name and shape."""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdl.errors import InputError


class Transplant(NamedTuple):
    """Parameters after carrying, and the names (``trunk/conv1_1/kernel``) of what went where."""

    params: Any
    carried: list[str]  # taken from the source
    fresh: list[str]  # kept from the target: the source has none of that name and shape
    unused: list[str]  # in the source, but not carried


name_of = functools.partial(jax.tree_util.keystr, simple=True, separator="/")


def by_name(params: Any) -> dict[str, Any]:
    """Each array under its path's name, such as ``trunk/conv1_1/kernel``."""
    return {name_of(path): leaf for path, leaf in jax.tree.leaves_with_path(params)}


def transplant(source: Any, target: Any) -> Transplant:
    """The target's parameters with those of the source where name and shape agree.

    Source: ``copy_model`` of the 2016 posts, which skips the rest with a print; here the result
    names all that was skipped.

    Raises:
        InputError: nothing at all could be carried.
    """
    old, new = by_name(source), by_name(target)
    carried = [n for n in new if n in old and np.shape(old[n]) == np.shape(new[n])]
    if not carried:
        raise InputError(
            f"no parameter could be carried: the source has {sorted(old)[:3]}..., "
            f"the network {sorted(new)[:3]}...; is it a checkpoint of another kind or width?"
        )
    taken = set(carried)

    def pick(path, leaf):
        name = name_of(path)
        return np.asarray(old[name], leaf.dtype) if name in taken else leaf

    params = jax.tree.map_with_path(pick, target)
    return Transplant(
        jax.tree.map(jax.numpy.asarray, params),
        carried,
        [n for n in new if n not in taken],
        [n for n in old if n not in taken],
    )
