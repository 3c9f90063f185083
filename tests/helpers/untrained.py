"""Networks that were never trained: cheap, and like any other to what reads them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxdl.fcn.export import safetensors
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


def drawn(model: FCN, seed: int = 0) -> Any:
    """Random parameters, all of them: no score is zero, and no layer dies. Nothing is compiled."""
    rng, params = np.random.default_rng(seed), {}
    shapes = safetensors.shapes(model.stride, model.num_classes, model.width)
    for name, shape in shapes.items():
        *parts, kind = name.split("/")
        layer = params
        for part in parts:
            layer = layer.setdefault(part, {})
        values = rng.normal(size=shape) * (2 / np.prod(shape[:-1])) ** 0.5
        if kind == "bias":
            values = rng.uniform(0, 0.5, shape)
        elif parts[-1] == "conv1_1":
            values /= 64
        layer[kind] = values.astype(np.float32)
    return params


def exported(
    folder: Path, model: FCN, mean: Sequence[float], classes: Sequence[str]
) -> tuple[Path, Any]:
    """`drawn` parameters in an exported folder, which commands read as a RUN."""
    folder.mkdir(parents=True)
    params = drawn(model)
    content = safetensors.to_bytes(params, meta_of(model, mean, classes))
    (folder / safetensors.FILE).write_bytes(content)
    return folder, params
