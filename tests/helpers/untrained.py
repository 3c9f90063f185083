"""A checkpoint of a network that was never trained: cheap, and like any other to what reads it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from jaxdl.fcn.models.fcn import FCN, init
from jaxdl.fcn.saved import meta_of
from jaxdl.fcn.train import SCORE
from jaxdl.training import checkpoint


def untrained(stage: Path, classes: Sequence[str]) -> Path:
    """An FCN-32s of the least width, as a stage's folder."""
    model = FCN(32, len(classes), 64)
    state: Any = {"step": 1, "params": init(model, jax.random.key(0))}
    with checkpoint.open_manager(stage / "checkpoints", SCORE) as manager:
        meta = meta_of(model, (100.0, 100.0, 100.0), classes)
        checkpoint.save(manager, 1, state, meta, {"mean_iu": 0.5})
    return stage
