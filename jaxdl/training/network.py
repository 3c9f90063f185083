"""What a checkpoint says of its network, taken from the network."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax.numpy as jnp


def describe(module: nn.Module) -> dict[str, Any]:
    """The module's attributes as JSON takes them, a dtype by its name: ``type(module)(**record)``
    is the module again."""
    own = [f.name for f in dataclasses.fields(module) if f.name not in ("parent", "name")]
    plain = (bool, int, float, str, tuple, list, type(None))
    values = {name: getattr(module, name) for name in own}
    return {n: v if isinstance(v, plain) else jnp.dtype(v).name for n, v in values.items()}
