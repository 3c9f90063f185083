"""Exported LSTMs in ONNX Runtime beside JAX, in closed loop."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest

from jaxdl.lstm.export import to_bytes
from jaxdl.lstm.forecast import carry_state
from jaxdl.lstm.model import init_params
from jaxdl.lstm.series import Scaling, to_float32


@pytest.mark.slow
@pytest.mark.parametrize(("columns", "layers"), [(1, 1), (2, 2)])
def test_a_graph_forecasts_what_jax_does(columns: int, layers: int):
    sizes = {"inputs": columns, "hidden": 5, "outputs": columns, "layers": layers}
    params = init_params(jax.random.key(0), **sizes)
    for n in range(layers):  # no gate alike, so that none can be taken for another
        bias = params[f"lstm_{n + 1}"]["bias"]
        params[f"lstm_{n + 1}"]["bias"] = jnp.linspace(-1, 1.5, bias.size, dtype=jnp.float32)
    scaling = Scaling(np.array([20, 3e4])[:columns], np.array([5, 2e3])[:columns])
    about = {"columns": ["a"] * columns, "window": 12}
    session: Any = onnxruntime.InferenceSession(to_bytes(params, scaling, about))
    phase = np.arange(columns) * 1.5
    for steps, horizon in ((1, 1), (12, 40), (30, 0)):
        angle = np.arange(steps)[:, None] / 3 + phase
        values = scaling.undo(np.sin(angle))
        window = jnp.asarray(to_float32(scaling.apply(values)))[:, None]
        (found,) = session.run(None, {"values": values, "horizon": np.array(horizon)})
        assert found.shape == (horizon, columns)
        assert found.dtype == np.float64
        if horizon:
            wanted = scaling.undo(np.asarray(carry_state(params, window, horizon)[:, 0]))
            error = np.abs(found - wanted) / scaling.deviation
            assert error.max() < 1e-5
    found = session.get_modelmeta().custom_metadata_map
    assert {key: json.loads(text) for key, text in found.items()} == about
