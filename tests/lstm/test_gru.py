"""The GRU against PyTorch and NumPy in float64; in the sweep, in runs and on their pages.

`tests/fixtures/pytorch/gru.npz` was written by PyTorch 2.13 (CPU) through
`tests/helpers/gru_fixture.py`, which says how.
"""

from functools import cache
from pathlib import Path
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import lstm, signals
from jaxdl.cli.command import parse
from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError, Stopped
from jaxdl.files.atomic import read_json
from jaxdl.lstm import choices, fit, plan, saved
from jaxdl.lstm.command import TRAIN, run
from jaxdl.lstm.forecast import predict
from jaxdl.lstm.gru import State
from jaxdl.lstm.model import CELLS, forward, init_params, with_units
from jaxdl.lstm.predict import predict as predict_file
from jaxdl.lstm.series import sine
from jaxdl.lstm.sweep import member_params, members_of
from jaxdl.training import checkpoint
from jaxdl.training.optimizers import momentum_sgd
from tests.helpers.stopping import stopping_bar
from tests.lstm.test_model import sigmoid

FIXTURE = Path(__file__).parents[1] / "fixtures" / "pytorch" / "gru.npz"
NAMES = {
    "input": "weight_ih_l",
    "recurrent": "weight_hh_l",
    "bias": "bias_ih_l",
    "recurrent_bias": "bias_hh_l",
}


def layers_of(file: Any, prefix: str = "") -> dict[str, Any]:
    """PyTorch's two layers in our tree, as they are."""
    return {
        f"gru_{n + 1}": {
            ours: jnp.asarray(file[f"{prefix}{name}{n}"]) for ours, name in NAMES.items()
        }
        for n in range(2)
    }


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_it_is_pytorch():
    """Outputs, last states, and gradients of all parameters, the inputs and the first states."""
    with np.load(FIXTURE) as file:
        layers, x = layers_of(file), jnp.asarray(file["x"])
        first = jnp.asarray(file["first"])
        readout = {"kernel": jnp.eye(3), "bias": jnp.zeros(3)}

        def loss(layers, x, first):
            start = tuple(map(State, first))
            outputs, end = forward(layers | {"readout": readout}, x, start)
            last = jnp.stack([state.h for state in end])
            value = (outputs * file["outputs_weight"]).sum() + (last * file["last_weight"]).sum()
            return value, (outputs, last)

        call = jax.jit(jax.grad(loss, (0, 1, 2), has_aux=True))
        grads, (outputs, last) = call(layers, x, first)
        pairs = [(outputs, file["outputs"]), (last, file["last"]), (grads[1], file["grad_x"])]
        pairs.append((grads[2], file["grad_first"]))
        want = layers_of(file, "grad_")
        pairs += zip(jax.tree.leaves(grads[0]), jax.tree.leaves(want), strict=True)
        assert len(pairs) == 12
        for got, theirs in pairs:
            assert np.abs(theirs).max() > 0.1
            np.testing.assert_allclose(got, theirs, rtol=0, atol=1e-12)


def numpy_forward(params: Any, x: np.ndarray) -> np.ndarray:
    """Gate by gate, step by step, as the equations say."""
    for n in range(len(params) - 1):
        layer = {name: np.asarray(array) for name, array in params[f"gru_{n + 1}"].items()}
        hidden = layer["recurrent"].shape[1]
        w, u = layer["input"].reshape(3, hidden, -1), layer["recurrent"].reshape(3, hidden, hidden)
        b, d = layer["bias"].reshape(3, hidden), layer["recurrent_bias"].reshape(3, hidden)
        h, outputs = np.zeros((x.shape[1], hidden)), []
        for now in x:
            r = sigmoid(now @ w[0].T + b[0] + h @ u[0].T + d[0])
            z = sigmoid(now @ w[1].T + b[1] + h @ u[1].T + d[1])
            new = np.tanh(now @ w[2].T + b[2] + r * (h @ u[2].T + d[2]))
            h = (1 - z) * new + z * h
            outputs.append(h)
        x = np.stack(outputs)
    return x @ np.asarray(params["readout"]["kernel"]) + np.asarray(params["readout"]["bias"])


@cache
def network(hidden: int = 3, width: int = 2, layers: int = 2) -> Any:
    """Random in every entry: biases too."""
    sizes = {"inputs": width, "outputs": width, "hidden": hidden, "layers": layers}
    params, rng = init_params(jax.random.key(0), cell="gru", **sizes), np.random.default_rng(1)
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape)), params)


def closed_loop(params: Any, window: np.ndarray, length: int, way: str) -> np.ndarray:
    """The two ways with nothing but a network from zero."""
    steps, values = len(window), []
    for _ in range(length):
        value = numpy_forward(params, window if way == "carry" else window[-steps:])[-1]
        values.append(value)
        window = np.concatenate([window, value[None]])
    return np.stack(values)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("way", get_args(choices.Mode))
def test_the_closed_loop_is_the_equations(way: Any):
    params, windows = network(), np.random.default_rng(2).normal(size=(5, 4, 2))
    got = predict(jax.tree.map(lambda a: a[None], params), jnp.asarray(windows), length=6, way=way)
    want = closed_loop(params, windows, 6, way)
    np.testing.assert_allclose(got[0], want, rtol=0, atol=1e-12)
    assert np.abs(want).max() > 0.1


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_padding_changes_nothing_and_has_no_gradient():
    small, x = network(), jnp.asarray(np.random.default_rng(3).normal(size=(6, 4, 2)))
    large = with_units(small, 7)
    call = jax.jit(jax.value_and_grad(lambda p: jnp.square(forward(p, x)[0]).mean()))
    (loss, grads), (padded_loss, padded) = call(small), call(large)
    assert float(padded_loss) == pytest.approx(float(loss), rel=1e-14)
    back = with_units(padded, 3)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-14), back, grads)
    # What is cut off and put back as zeros was exactly zero.
    jax.tree.map(np.testing.assert_array_equal, with_units(back, 7), padded)


@pytest.mark.slow
def test_the_start():
    """LeCun normal, biases 0."""
    params = init_params(jax.random.key(5), inputs=40, hidden=50, outputs=1, cell="gru")
    layer = params["gru_1"]
    assert {name: array.shape for name, array in layer.items()} == {
        "input": (150, 40),
        "recurrent": (150, 50),
        "bias": (150,),
        "recurrent_bias": (150,),
    }
    for name, fan in (("input", 40), ("recurrent", 50)):
        assert float(layer[name].std()) == pytest.approx(fan**-0.5, rel=0.05)
        assert np.unique(layer[name]).size > 0.99 * layer[name].size
    assert not np.any(layer["bias"])
    assert not np.any(layer["recurrent_bias"])


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_a_member_of_a_sweep_is_what_it_is_alone():
    """Padded to 4 units and beside others, and a network of 2 units: the functions that anyone may
    call from Python.
    """
    values = jnp.asarray(sine(10, 6))

    def train(members):
        optimizer = momentum_sgd()
        state = lstm.start_sweep(3, members, optimizer, layers=2, cell="gru")
        params, opt_state = jax.tree.map(
            lambda a: a.astype(jnp.float64), (state.params, state.opt_state)
        )
        state = state._replace(params=params, opt_state=opt_state)
        step, drawn = lstm.make_step(optimizer, window=9), {"seed": 3, "epochs": 30, "batch": 6}
        batch = next(lstm.batches(values, members, 0, **drawn, spans=60 - 9))
        state, losses, _ = step(state, jnp.zeros((30, len(members.units))), batch, 0.1)
        return member_params(state.params, members, 0), np.asarray(losses[:, 0])

    (params, losses), (alone, own) = (train(members_of(sizes, (7,))) for sizes in ((2, 4), (2,)))
    np.testing.assert_allclose(losses, own, rtol=1e-12)
    assert losses[-5:].mean() < losses[:5].mean()
    assert params["gru_2"]["recurrent"].shape == (6, 2)
    assert np.abs(np.asarray(params["gru_1"]["recurrent_bias"])).min() > 0
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-12), params, alone)


@pytest.mark.slow
def test_the_module_is_the_functions():
    module, x = lstm.LSTM(3, layers=2, cell="gru"), jnp.ones((5, 4, 1))
    params: Any = module.init(jax.random.key(6), x)["params"]
    result: Any = module.apply({"params": params}, x)
    jax.tree.map(np.testing.assert_array_equal, result, lstm.apply(params, x))
    assert isinstance(result[1][1], State)


def test_each_cell_can_be_chosen():
    assert list(CELLS) == list(get_args(choices.Cell))
    with pytest.raises(InputError, match="a network of rnn_1, readout: its layers must be of lstm"):
        forward({"rnn_1": {}, "readout": {}}, jnp.zeros((2, 1, 1)))


@pytest.mark.slow
def test_a_run_is_resumed_shown_and_predicted_from(tmp_path: Path):
    """Stopped after 60 of 200 steps, it ends in the bits of one that went straight through."""
    table = tmp_path / "wave.csv"
    table.write_text("wave\n" + "".join(f"{5 + value:.6f}\n" for (value,) in sine(10, 20)))
    words = ["--data", str(table), "--cell", "gru", "--hidden", "2", "3", "--seeds", "1"]
    words += ["--steps", "200", "--log-every", "2", "--batch-size", "8", "--window", "10"]
    straight, stopped = (
        parse(TRAIN, [*words, "--out", str(tmp_path / name)]) for name in ("straight", "stopped")
    )
    run(straight, Bar())
    with signals.handled(), pytest.raises(Stopped):
        run(stopped, stopping_bar(60))
    run(stopped, Bar())
    (ours, meta, _), (theirs, *_) = (
        checkpoint.load_params(cfg.out / "checkpoints") for cfg in (stopped, straight)
    )
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert set(ours["best"]) == {"gru_1", "readout"}
    assert meta["cell"] == read_json(straight.out / "run.json")["config"]["cell"] == "gru"
    assert "Each GRU reads a series" in (straight.out / "report.html").read_text()
    predict_file(straight.out, horizon=12, network="3:0", out=tmp_path / "next.csv")
    got = np.loadtxt(tmp_path / "next.csv", delimiter=",", skiprows=1)[:, 1:]
    own, values = saved.load(straight.out).fitted, saved.load_series(straight.out).values
    np.testing.assert_array_equal(got, np.hstack(fit.forecast(own, values, 12, picked=[1])))
    np.testing.assert_allclose(got[:, 0], 5 + sine(10, 22)[200:212, 0], atol=0.5)
    other = parse(TRAIN, [*words[:2], *words[4:], "--out", str(straight.out)])
    with pytest.raises(InputError, match=r"another configuration .*cell: gru -> lstm"):
        run(other, Bar())


@pytest.mark.slow
def test_it_is_planned():
    """The planner's sweep starts from the GRU's arrays."""
    state = plan.lstm((2, 3), 1, 4, 2, window=5, cell="gru").args[0]
    assert {name: array.shape for name, array in state.params["gru_1"].items()} == {
        "input": (2, 9, 1),
        "recurrent": (2, 9, 3),
        "bias": (2, 9),
        "recurrent_bias": (2, 9),
    }
