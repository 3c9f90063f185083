"""Exported forecasters in ONNX Runtime beside JAX: `jaxdl.lstm.fit.forecast`."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest

from jaxdl.lstm import fit
from jaxdl.lstm.export import program
from jaxdl.lstm.export.onnx import to_bytes
from jaxdl.lstm.forecast import carry_state
from jaxdl.lstm.model import init_params
from jaxdl.lstm.series import Scaling, to_float32
from jaxdl.lstm.transform import Transform
from tests.helpers.forecasters import random_fitted

pytestmark = pytest.mark.slow


def session_of(content: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # an error that a test provokes is not printed too
    return onnxruntime.InferenceSession(content, options)


def run(session: Any, values: np.ndarray, horizon: int) -> list[np.ndarray]:
    return session.run(None, {"values": values, "horizon": np.array(horizon)})


@pytest.mark.parametrize(
    ("options", "picked"),
    [
        ({}, None),
        ({"difference": "seasonal", "log": "auto", "columns": 2, "layers": 2}, None),
        ({"difference": "first", "cell": "gru", "layers": 2}, None),
        ({"difference": "none", "columns": 2, "cell": "gru"}, [0, 1, 2]),
        ({"difference": "seasonal", "naive": True}, [4]),
        ({"naive": True, "columns": 2}, None),
    ],
)
def test_a_graph_forecasts_what_jax_does(options: dict[str, Any], picked: list[int] | None):
    """Logarithms are taken of each, by force: the series may not ask for them."""
    fitted, values = random_fitted(**options)
    for log in (False, True):
        setup = fitted.setup
        transform = setup.transform._replace(log=log)
        scaling = Scaling(*(a / 40 if log else a for a in setup.scaling))
        own = fitted._replace(setup=setup._replace(transform=transform, scaling=scaling))
        names = [f"column {n}" for n in range(values.shape[1])]
        found = program.of_fitted(own, names, picked)
        assert (found.networks == 0) == (own.naive and picked is None)
        session = session_of(to_bytes(found))
        for rows, horizon in ((90, 1), (60, 31), (found.given, 13)):
            wanted = fit.forecast(own, values[-rows:], horizon, picked=picked)
            outputs = run(session, values[-rows:], horizon)
            for ours, theirs in zip(outputs, wanted, strict=True):
                assert ours.shape == (horizon, values.shape[1])
                assert ours.dtype == np.float64
                assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max()
        assert all(out.shape == (0, len(names)) for out in run(session, values, 0))
        with pytest.raises(Exception, match=f"needs_{found.given}_rows"):
            run(session, values[-found.given + 1 :], 5)
    about = {k: json.loads(v) for k, v in session.get_modelmeta().custom_metadata_map.items()}
    assert about == {"columns": names, "given": found.given, "horizon": 8, "covered": 0.8}


@pytest.mark.parametrize(("columns", "layers"), [(1, 1), (2, 2)])
def test_one_network_carries_its_state(columns: int, layers: int):
    """A sine's: no transform, no scale of the window, no band."""
    sizes = {"inputs": columns, "hidden": 5, "outputs": columns, "layers": layers}
    params = init_params(jax.random.key(0), **sizes)
    for n in range(layers):  # no gate alike, so that none can be taken for another
        bias = params[f"lstm_{n + 1}"]["bias"]
        params[f"lstm_{n + 1}"]["bias"] = jnp.linspace(-1, 1.5, bias.size, dtype=jnp.float32)
    scaling = Scaling(np.array([20, 3e4])[:columns], np.array([5, 2e3])[:columns])
    stacked = jax.tree.map(lambda a: np.asarray(a)[None], params)
    plain = Transform(log=False, lag=0)
    given = (["a"] * columns, "5:0", 12, 50, plain, scaling, False, stacked, 1, None)
    session = session_of(to_bytes(program.Program(*given)))
    values = scaling.undo(np.sin(np.arange(30)[:, None] / 3 + np.arange(columns) * 1.5))
    window = jnp.asarray(to_float32(scaling.apply(values[-12:])))[:, None]
    (found,) = run(session, values, 40)
    wanted = scaling.undo(np.asarray(carry_state(params, window, 40)[:, 0]))
    assert (np.abs(found - wanted) / scaling.deviation).max() < 1e-5
