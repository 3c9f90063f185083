"""Our LSTM against an independent implementation (float64), file by file.

Every file of ``$JAXDL_ORACLE_DIR/lstm/*.npz`` is run. Arrays there have steps first, then the
batch; weights are apart for each gate (g, i, f, o), each (hidden, inputs).
"""

import json
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl.lstm.forecast import predict
from jaxdl.lstm.model import Carry, forward, lstm_cell
from jaxdl.lstm.sweep import mean_squared_error
from jaxdl.training.optimizers import adam, momentum_sgd
from jaxdl.training.step import TrainState, dense_step, start_state

FOLDER = Path(os.environ.get("JAXDL_ORACLE_DIR", Path(__file__).parents[1] / "fixtures" / "oracle"))
FILES = sorted((FOLDER / "lstm").glob("*.npz"))
# The files do not say the rates: of the usual ones these alone give their five losses.
OPTIMIZERS = {"momentum": (momentum_sgd, 0.05), "adam": (adam, 0.01)}


def test_there_are_files():
    assert FILES, f"no oracle files in {FOLDER / 'lstm'}"


def tree_of(file: Any, prefix: str) -> dict[str, Any]:
    """Parameters (or gradients) in our tree."""

    def gates(name: str) -> np.ndarray:
        return np.concatenate([file[f"{prefix}/{name}_{gate}"] for gate in "gifo"])

    return {
        "lstm_1": {"input": gates("Wx"), "recurrent": gates("Wh"), "bias": gates("b")},
        "readout": {"kernel": file[f"{prefix}/Wo"].T, "bias": file[f"{prefix}/bo"]},
    }


def close(got: Any, want: Any) -> None:
    """1e-6 of the largest reference value."""
    jax.tree.map(
        lambda g, w: np.testing.assert_allclose(
            g, w, rtol=0, atol=1e-6 * max(np.abs(w).max(), 1e-30)
        ),
        got,
        want,
    )


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("for_cpu", [False, True])
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_oracle(path: Path, for_cpu: bool):
    """In the plain form and in that for CPUs."""
    with np.load(path) as file:
        meta = json.loads(str(file["meta"]))
        params = jax.tree.map(jnp.asarray, tree_of(file, "w0"))
        series = jnp.asarray(file["seq"])[:, :, None]
        assert series.shape == (meta["T"] + 1, meta["B"], 1)

        zero = jnp.zeros((meta["B"], meta["hidden"]))
        step = jax.jit(lstm_cell)
        states = [Carry(zero, zero)]
        for x in series[:-1]:
            states.append(step(params["lstm_1"], states[-1], x))
        close(jnp.stack([state.h for state in states[1:]]), file["h"])
        close(jnp.stack([state.c for state in states[1:]]), file["c"])

        def loss_fn(params, series):
            y, carry = forward(params, series[:-1], for_cpu=for_cpu)
            loss = mean_squared_error(y, series[1:])
            return loss, (jnp.ones(()), (y, carry))

        (loss, (_, (y, carry))), grads = jax.value_and_grad(loss_fn, has_aux=True)(params, series)
        close(y, file["y"])
        close(tuple(carry[0]), (file["h"][-1], file["c"][-1]))
        assert float(loss) == pytest.approx(float(file["loss"]), rel=1e-6)
        close(grads, tree_of(file, "grad"))

        make, rate = OPTIMIZERS[meta["optimizer"]]
        rate = meta.get("learning_rate", rate)
        optimizer: Any = make()
        train = dense_step(loss_fn, optimizer, lambda totals, _: totals)
        state: TrainState = start_state(jax.tree.map(jnp.copy, params), optimizer)
        losses = []
        for _ in range(5):
            state, _, loss = train(state, (), series, rate)
            losses.append(float(loss))
        np.testing.assert_allclose(losses, file["losses"], rtol=1e-6)
        close(state.params, tree_of(file, "w5"))

        # From the file's own weights: 75 steps in closed loop would enlarge a rounding.
        final = jax.tree.map(lambda a: jnp.asarray(a)[None], tree_of(file, "w5"))
        window = jnp.asarray(file["predict_input"])[:, None, None]
        length = len(file["predict"])
        close(predict(final, window, length=length)[0, :, 0, 0], file["predict"])
