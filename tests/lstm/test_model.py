"""The LSTM against NumPy and flax, padding against the smaller network, pieces against a whole."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl.lstm.model import LSTM, Carry, forward, init_params, lstm_cell, start_params, with_units
from jaxdl.lstm.sweep import member_params, members_of, start_sweep
from jaxdl.training.optimizers import momentum_sgd

pytestmark = pytest.mark.usefixtures("x64")


def network(inputs: int, hidden: int, outputs: int, layers: int) -> Any:
    """Random in every entry: biases too."""
    sizes = {"inputs": inputs, "hidden": hidden, "outputs": outputs, "layers": layers}
    params, rng = init_params(jax.random.key(0), **sizes), np.random.default_rng(1)
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape)), params)


def series(steps: int, batch: int, width: int, seed: int = 2) -> Any:
    return jnp.asarray(np.random.default_rng(seed).normal(size=(steps, batch, width)))


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def numpy_forward(params: Any, x: Any) -> np.ndarray:
    """Gate by gate, step by step, as the equations say."""
    x = np.asarray(x)
    for n in range(len(params) - 1):
        layer = {name: np.asarray(array) for name, array in params[f"lstm_{n + 1}"].items()}
        hidden = layer["recurrent"].shape[1]
        h = c = np.zeros((x.shape[1], hidden))
        outputs = []
        for now in x:
            z = now @ layer["input"].T + h @ layer["recurrent"].T + layer["bias"]
            g, i, f, o = (z[:, k * hidden : (k + 1) * hidden] for k in range(4))
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            outputs.append(h)
        x = np.stack(outputs)
    return x @ np.asarray(params["readout"]["kernel"]) + np.asarray(params["readout"]["bias"])


@pytest.mark.slow
@pytest.mark.parametrize(("inputs", "outputs", "layers"), [(1, 1, 1), (3, 2, 1), (2, 3, 3)])
def test_forward_is_the_equations(inputs: int, outputs: int, layers: int):
    params, x = network(inputs, 4, outputs, layers), series(7, 5, inputs)
    np.testing.assert_allclose(forward(params, x)[0], numpy_forward(params, x), atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layers", "batch", "outputs"), [(1, 3, 2), (2, 3, 2), (1, 19, 2), (1, 3, 6)]
)
def test_gradients_are_differences(layers: int, batch: int, outputs: int):
    """The derivative by hand: of every parameter, the inputs and the first state.

    A batch of 19 is filled up to whole vectors, and few outputs are read out within the scan
    (`jaxdl/lstm/cpu.py`).
    """
    params, x = network(2, 3, outputs, layers), series(5, batch, 2)
    start = tuple(
        Carry(series(1, batch, 3, n)[0], series(1, batch, 3, n + 9)[0]) for n in range(layers)
    )

    def value(params, x, start):
        y, carry = forward(params, x, start)
        last = sum((a * jnp.arange(1.0, 4.0)[None]).sum() for a in jax.tree.leaves(carry))
        return jnp.sin(y).sum() + last

    value_of = jax.jit(value)
    grads = jax.grad(value, (0, 1, 2))(params, x, start)
    rng = np.random.default_rng(3)
    for n, tree in enumerate((params, x, start)):
        toward = jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape)), tree)
        ends = []
        for sign in (1e-5, -1e-5):
            moved = [params, x, start]
            moved[n] = jax.tree.map(lambda a, b, sign=sign: a + sign * b, tree, toward)
            ends.append(float(value_of(*moved)))
        parts = jax.tree.map(lambda g, b: float((g * b).sum()), grads[n], toward)
        slope = sum(jax.tree.leaves(parts))
        assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(slope, rel=1e-7)


@pytest.mark.slow
def test_it_is_flax_optimized_lstm():
    """OptimizedLSTMCell has the same equations; its four kernels are ours, transposed."""
    params, x = network(3, 4, 1, 1), series(6, 5, 3)
    layer, mapped = params["lstm_1"], {}
    for k, gate in enumerate("gifo"):
        rows = slice(4 * k, 4 * k + 4)
        mapped[f"i{gate}"] = {"kernel": layer["input"][rows].T}
        mapped[f"h{gate}"] = {"kernel": layer["recurrent"][rows].T, "bias": layer["bias"][rows]}
    rnn = nn.RNN(nn.OptimizedLSTMCell(4, param_dtype=jnp.float64), time_major=True)
    theirs: Any = rnn.apply({"params": {"cell": mapped}}, x)
    hidden: Any = params | {"readout": {"kernel": jnp.eye(4), "bias": jnp.zeros(4)}}
    np.testing.assert_allclose(forward(hidden, x)[0], theirs, atol=1e-6)


@pytest.mark.slow
def test_pieces_with_the_state_carried_are_the_whole():
    params, x = network(2, 3, 2, 2), series(9, 4, 2)
    whole, end = forward(params, x)
    first, carry = forward(params, x[:4])
    second, carry = forward(params, x[4:], carry)
    np.testing.assert_allclose(jnp.concatenate([first, second]), whole, atol=1e-14)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-14), carry, end)
    assert float(jnp.abs(forward(params, x[4:])[0] - second).max()) > 1e-3


@pytest.mark.slow
def test_the_cell_is_one_step_of_the_scan():
    params, x = network(2, 3, 1, 1), series(3, 4, 2)
    state = Carry(jnp.zeros((4, 3)), jnp.zeros((4, 3)))
    for now in x:
        state = lstm_cell(params["lstm_1"], state, now)
    (end,) = forward(params, x)[1]
    np.testing.assert_allclose(state.h, end.h, atol=1e-14)
    np.testing.assert_allclose(state.c, end.c, atol=1e-14)


@pytest.mark.slow
def test_no_step_sees_a_later_one():
    params, x = network(1, 3, 1, 2), series(8, 2, 1)
    changed = x.at[5:].set(99.0)
    early = [forward(params, values)[0][:5] for values in (x, changed)]
    np.testing.assert_array_equal(early[0], early[1])


@pytest.mark.slow
def test_gates_of_large_size_neither_overflow_nor_lose_the_gradient():
    params = jax.tree.map(lambda a: 1e4 * a, network(1, 3, 1, 1))
    grads = jax.grad(lambda p: forward(p, series(6, 2, 1))[0].sum())(params)
    assert all(bool(jnp.isfinite(a).all()) for a in jax.tree.leaves(grads))


@pytest.mark.slow
@pytest.mark.parametrize("layers", [1, 3])
def test_padding_changes_nothing_and_has_no_gradient(layers: int):
    """Zeros are added in between the same numbers: the order of a sum may change, no more."""
    small = network(2, 3, 2, layers)
    large = with_units(small, 7)
    x = series(6, 4, 2)
    run = jax.jit(jax.value_and_grad(lambda p: jnp.square(forward(p, x)[0]).mean()))
    (loss, grads), (padded_loss, padded) = run(small), run(large)
    assert float(padded_loss) == pytest.approx(float(loss), rel=1e-14)
    back = with_units(padded, 3)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-14), back, grads)
    # What is cut off and put back as zeros was exactly zero.
    jax.tree.map(np.testing.assert_array_equal, with_units(back, 7), padded)


def test_padding_on_the_host_is_padding_on_the_device():
    sizes = {"inputs": 2, "hidden": 3, "outputs": 2, "layers": 2}
    normal = np.random.default_rng(0).standard_normal
    small = start_params(lambda *shape: normal(shape), **sizes)
    for units in (2, 6):
        on_host = with_units(small, units)
        assert all(isinstance(a, np.ndarray) for a in jax.tree.leaves(on_host))
        on_device = with_units(jax.tree.map(jnp.asarray, small), units)
        jax.tree.map(np.testing.assert_array_equal, on_host, on_device)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["key", "sweep"])
def test_chainers_start(way: str):
    """LeCun normal: deviation 1 / sqrt(fan in); forget bias 1; other biases 0."""
    sizes = {"inputs": 40, "outputs": 30, "layers": 2}
    if way == "key":
        params = init_params(jax.random.key(5), hidden=50, **sizes)
    else:  # padded, beside a larger network
        members = members_of((50, 60), (7,))
        params = member_params(start_sweep(5, members, momentum_sgd(), **sizes).params, members, 0)
    fans = {"input": 40, "recurrent": 50}
    for name, fan in fans.items():
        array = np.asarray(params["lstm_1"][name])
        assert array.std() == pytest.approx(fan**-0.5, rel=0.05)
        assert abs(array.mean()) < 4 * fan**-0.5 / array.size**0.5
        assert np.abs(array).max() > 3 * fan**-0.5  # not truncated at 2 deviations
    assert float(params["lstm_2"]["input"].std()) == pytest.approx(50**-0.5, rel=0.05)
    assert float(params["readout"]["kernel"].std()) == pytest.approx(50**-0.5, rel=0.1)
    np.testing.assert_array_equal(params["lstm_2"]["bias"].reshape(4, 50).sum(1), [0, 0, 50, 0])
    both = np.corrcoef(params["lstm_1"]["recurrent"].ravel(), params["lstm_2"]["recurrent"].ravel())
    assert abs(both[0, 1]) < 0.05
    # Each weight has a draw of its own. The last layer's are all of one scale; as a draw is one of
    # 2**23 numbers, about 30 of these 21,500 repeat another by chance.
    last = [*params["lstm_2"].values(), params["readout"]["kernel"]]
    drawn = np.concatenate([np.ravel(array) for array in last if array.ndim == 2])
    assert drawn.size - np.unique(drawn).size < 100


@pytest.mark.slow
def test_the_module_is_the_functions():
    module, x = LSTM(3, outputs=2, layers=2), series(5, 4, 1).astype(jnp.float32)
    params: Any = module.init(jax.random.key(6), x)["params"]
    plain = init_params(jax.random.key(6), inputs=1, hidden=3, outputs=2, layers=2)
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, plain)
    result: Any = module.apply({"params": params}, x)
    got, carry = result
    want = forward(params, x)
    np.testing.assert_array_equal(got, want[0])
    jax.tree.map(np.testing.assert_array_equal, carry, want[1])
    later: Any = module.apply({"params": params}, x, carry)[0]
    np.testing.assert_array_equal(later, forward(params, x, carry)[0])
