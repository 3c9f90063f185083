"""What was asked for, seen in the programs: jaxprs of the plain forms, which run on CUDA."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2

from jaxdl.fcn.data.batches import Batch
from jaxdl.fcn.metrics import empty_metrics
from jaxdl.fcn.models.bilinear import upsample
from jaxdl.fcn.models.fcn import FCN
from jaxdl.fcn.task import make_step
from jaxdl.lstm import plan as lstm_plan
from jaxdl.lstm.model import forward, init_params
from jaxdl.training import checkpoint
from jaxdl.training.optimizers import momentum_sgd
from jaxdl.training.step import start_state
from jaxdl.training.transfer import by_name, transfer
from jaxdl.word2vec.blocks import subsample
from jaxdl.word2vec.model import init_tables
from jaxdl.word2vec.negative_sampling import sample, unigram_table
from jaxdl.word2vec.objectives import Objective
from jaxdl.word2vec.stream_step import make_step as make_words_step

CLASSES = 3


def equations(jaxpr: Any) -> list[Any]:
    """Of a jaxpr and of all those within it."""
    found = []
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        found.append(equation)
        for value in equation.params.values():
            for inner in value if isinstance(value, list | tuple) else (value,):
                if hasattr(getattr(inner, "jaxpr", inner), "eqns"):
                    found += equations(inner)
    return found


def names(jaxpr: Any) -> list[str]:
    return [equation.primitive.name for equation in equations(jaxpr)]


def model_of(stride: Any) -> FCN:
    return FCN(stride, CLASSES, 64, for_cpu=False)


def shapes_of(stride: int) -> Any:
    """The parameters' shapes."""
    start = partial(model_of(stride).init, jax.random.key(0))
    return jax.eval_shape(start, jnp.zeros((1, 32, 32, 3)))["params"]


def words_step() -> tuple[Any, tuple[Any, ...]]:
    """The step that draws and trains, and its arguments."""
    ids = jnp.arange(256, dtype=jnp.int32) % 20
    objective = Objective(window=2)
    stream = subsample(jax.random.key(0), ids, ids * 0, jnp.ones(20), window=2)
    table = unigram_table(np.arange(1, 21))
    step = make_words_step(objective, table, blocks=2, size=64, sum_first=True)
    return step, (init_tables(jax.random.key(1), 20, 4), stream, jax.random.key(2), 0, 0.1)


def fcn_step() -> tuple[Any, tuple[Any, ...]]:
    optimizer, model = momentum_sgd(momentum=0.9), model_of(16)
    step = make_step(model, optimizer, mean=jnp.zeros(3))
    state = jax.eval_shape(partial(start_state, optimizer=optimizer), shapes_of(16))
    images, labels = np.zeros((1, 32, 48, 3), np.uint8), np.zeros((1, 32, 48), np.uint8)
    batch = Batch(images, labels, np.array([[32, 48]], np.int32))
    return step, (state, empty_metrics(CLASSES), batch, 0.1)


def test_the_upsampling_is_a_transposed_convolution_with_a_constant_bilinear_kernel():
    """No parameter: the kernel is in the program, whose only argument is the map."""
    jaxpr = jax.make_jaxpr(lambda x: upsample(x, 32, (64, 96)))(jnp.zeros((1, 2, 3, CLASSES)))
    convolutions = [e for e in equations(jaxpr) if e.primitive.name == "conv_general_dilated"]
    assert len(convolutions) == 2  # rows, columns
    assert {e.params["lhs_dilation"] for e in convolutions} == {(32, 1)}
    assert len(jaxpr.jaxpr.invars) == 1
    taps = 1 - np.abs(np.arange(64) + 0.5 - 32) / 32  # a triangle that sums to the stride
    constants = [np.ravel(c) for c in jaxpr.consts if np.size(c) == 64]
    assert constants
    for constant in constants:
        np.testing.assert_allclose(constant, taps, atol=1e-6)
    own = set(by_name(shapes_of(8)))
    assert {name.split("/")[0] for name in own} == {"trunk", *(f"score_pool{n}" for n in (3, 4, 5))}


def test_the_lstm_is_one_scan_for_each_layer():
    params = init_params(jax.random.key(0), inputs=1, hidden=3, outputs=1, layers=2)
    jaxpr = jax.make_jaxpr(partial(forward, for_cpu=False))(params, jnp.zeros((7, 2, 1)))
    scans = [e for e in equations(jaxpr) if e.primitive.name == "scan"]
    assert [e.params["length"] for e in scans] == [7, 7]
    assert "custom_vjp_call" not in names(jaxpr)


def test_negatives_are_drawn_inside_the_step():
    step, arguments = words_step()
    drawn = [e for e in equations(jax.make_jaxpr(step)(*arguments)) if "random_bits" in str(e)]
    assert drawn
    shapes = {e.outvars[0].aval.shape for e in drawn if e.primitive.name == "random_bits"}
    objective = Objective(window=2)
    assert any(shape[-1:] == (objective.shared,) for shape in shapes)


def test_negatives_are_of_unigram_to_the_three_quarters():
    """Chi-square over 200,000 draws; the bound passes once in a million for the right table, and
    the plain unigram is far above it."""
    counts = np.arange(1, 31) ** 2
    draws = np.asarray(sample(unigram_table(counts), jax.random.key(5), (200_000,)))
    seen = np.bincount(draws, minlength=30)
    bound = chi2.isf(1e-6, len(counts) - 1)

    def distance(power: float) -> float:
        wanted = counts**power / (counts**power).sum() * len(draws)
        return float(((seen - wanted) ** 2 / wanted).sum())

    assert distance(0.75) < bound
    assert distance(1.0) > 100 * bound
    assert distance(0.7) > bound


def test_optax_momentum_is_in_the_state():
    _, (state, *_) = fcn_step()
    held = {name for name in by_name(state.opt_state) if "trace" in name}
    assert len(held) == len(by_name(state.params))


def test_fcn16s_starts_from_the_orbax_checkpoint_of_fcn32s(tmp_path):
    """Every array of the 32s network arrives, bit for bit; only the new score is fresh."""
    rng = np.random.default_rng(0)
    trained = jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape), a.dtype), shapes_of(32))
    fresh = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes_of(16))
    with checkpoint.open_manager(tmp_path, checkpoint.Score("mean_iu")) as manager:
        state = {"step": jnp.ones((), jnp.int32), "params": trained}
        checkpoint.save(manager, 1, state, {}, 0.5)
    params, _, _ = checkpoint.load_params(tmp_path)
    moved = transfer(params, fresh)
    after, before = by_name(moved.params), by_name(trained)
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array)
    assert set(after) - set(before) == {"score_pool4/kernel", "score_pool4/bias"}


@pytest.mark.parametrize("make", [fcn_step, words_step, "lstm"])
def test_the_step_lowers_for_cuda_without_a_gpu(make: Any):
    if make == "lstm":
        planned = lstm_plan.lstm(epochs=2, batch=2, window=5)
        step, arguments = planned.call, planned.args
    else:
        step, arguments = make()
    text = step.trace(*arguments).lower(lowering_platforms=("cuda",)).as_text()
    assert "stablehlo" in text
    assert ("convolution" in text) == (make is fcn_step)
    assert ("while" in text) == (make is not fcn_step)
