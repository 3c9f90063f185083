"""The project's steps lowered for CUDA, and what the compile check makes of the figures."""

import importlib.util
import os
import re
import sys
from typing import Any

import jax
import numpy as np
import pytest

from jaxdl.__main__ import main
from jaxdl.fcn import plan
from jaxdl.lstm.plan import lstm
from jaxdl.planner import compile_check, compile_table, jaxpr_cost, steps
from jaxdl.planner.cards import CARDS, target_config
from jaxdl.word2vec.plan import word2vec

needs_compiler = pytest.mark.skipif(
    importlib.util.find_spec("jax_cuda12_plugin") is None,
    reason="needs the CUDA compiler: make cuda-check",
)
FCN = [(stride, kind) for stride in (32, 16, 8) for kind in ("train", "predict")]


@pytest.fixture(autouse=True)
def _variables(monkeypatch):
    """The command sets these; the tests after it get them as they were."""
    for name in ("JAX_PLATFORMS", "TF_CPP_MIN_LOG_LEVEL"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
        monkeypatch.delenv(name)


def lowered(step: steps.Step) -> str:
    """Its text for CUDA; needs no GPU and compiles nothing."""
    return step.call.trace(*step.args).lower(lowering_platforms=("cuda",)).as_text()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("stride", "kind"), FCN)
def test_every_fcn_step_lowers_for_cuda(stride, kind, dtype):
    text = lowered(plan.fcn(stride, kind, (384, 512), 2, dtype))
    found = re.findall(r"stablehlo.convolution.*-> tensor<[x\d]+x(\w+)>", text)
    scores = {32: 1, 16: 2, 8: 3}[stride]
    forward = 13 + 2 * scores  # VGG's, the scores, and as many fixed upsamplings
    assert len(found) >= forward
    assert ("bf16" in found) == (dtype == "bfloat16")
    assert "f64" not in text
    if kind == "train":  # every parameter and its momentum is given back in its own buffer
        arrays = len(jax.tree.leaves(plan.fcn(stride, kind, (64, 64), 1, dtype).args[0]))
        assert text.count("tf.aliasing_output") + text.count("jax.buffer_donor") >= arrays - 2


def test_word2vec_lowers_for_cuda():
    text = lowered(word2vec(64))
    assert text.count("stablehlo.while") >= 1
    assert len(re.findall(r"unique_indices = true", text)) == 2


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [1, 8])
def test_the_lstm_sweep_lowers_for_cuda(seeds):
    step = lstm(seeds=seeds)
    text = lowered(step)
    assert f"tensor<{4 * seeds}x" in text
    assert text.count("stablehlo.while") >= 3  # epochs, steps forward, steps back


@pytest.mark.slow
def test_flops_of_fcn32s_by_hand():
    """VGG-16 at 512 x 512 and its scores; training does a filter and an input gradient more."""
    sides = [(512, 3, 64), (512, 64, 64), (256, 64, 128), (256, 128, 128)]
    sides += [(128, 128, 256), *[(128, 256, 256)] * 2, (64, 256, 512), *[(64, 512, 512)] * 2]
    sides += [(32, 512, 512)] * 3
    trunk = [2 * side**2 * i * o * 9 for side, i, o in sides]
    predict, train = (
        jaxpr_cost.count_flops(step.call.trace(*step.args).jaxpr)
        for kind in ("predict", "train")
        for step in [plan.fcn(32, kind, (512, 512), 1, "float32")]
    )
    assert sum(trunk) < predict < 1.01 * sum(trunk)
    # The first layer's input gradient is not needed.
    assert train == pytest.approx(3 * sum(trunk) - trunk[0], rel=0.01)


@pytest.mark.parametrize(("each", "base", "most"), [(3, 10, 30), (7, 95, 0), (0.02, 20, 4000)])
def test_the_largest_batch_is_found_in_few_compilations(each, base, most):
    asked = []

    def peak(batch):
        asked.append(batch)
        return float(base + each * batch)

    assert compile_check.largest_batch(peak, 100.0) == most
    assert len(asked) <= 8


@pytest.mark.parametrize("most", [1, 37, 338])
def test_a_batch_that_does_not_compile_does_not_fit(most):
    """Though its memory would: the search does not creep down to it one by one."""
    asked = []

    def peak(batch):
        asked.append(batch)
        return 10.0 + batch if batch <= most else float("inf")

    assert compile_check.largest_batch(peak, 510.0) == most
    assert len(asked) <= 14


@pytest.mark.parametrize("name", CARDS)
def test_cards_are_described_in_full(name):
    card, text = CARDS[name], target_config(CARDS[name])
    assert f"core_count: {card.multiprocessors} " in text
    assert f"device_memory_size: {card.memory} " in text
    assert f"major: {card.capability[0]} minor: {card.capability[1]} " in text
    assert text.count("{") == text.count("}")
    # Float32 without tensor cores: two flops a unit and clock; tensor cores are no slower.
    assert card.float32 > 0.9 * 2 * card.multiprocessors * card.fpus * card.clock * 1e9
    assert card.bfloat16 >= card.float32


def test_the_estimate_is_seconds_of_the_roof_times_images():
    row = compile_table.Row(
        device="t4", gpus=1, step="fcn32s train 512x512 float32", items=2, roof_s=0.06
    )
    found = compile_table.posts_minutes([row, compile_table.Row(device="l4", gpus=1, step="other")])
    assert found == {"t4": pytest.approx(60 * 2330 * 0.03 / 60)}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--batch", "0"], "--batch 0: must be 1 or more"),
        (["--canvas", "500", "375"], "--canvas 500 375: must be a multiple of 32, 32 or more"),
    ],
)
def test_bad_options_are_one_line(words, said, capsys):
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["compile-check", *words])
    assert capsys.readouterr().err.strip() == f"error: {said}"


def test_without_the_compiler_the_remedy_is_named(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "jax_cuda12_plugin", None)  # as if it were not installed
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["compile-check"])
    assert "make cuda-check" in capsys.readouterr().err


@needs_compiler
def test_a_step_compiles_for_a_card_that_is_not_here():
    compile_check.require_compiler()
    mesh = compile_check.mesh_of(CARDS["t4"], 1)
    step = plan.fcn(32, "train", (64, 64), 1, "float32", mesh)
    row = compile_check.compile_step(step, CARDS["t4"])
    assert row.error is None
    assert 100e6 < row.peak < 1e9


@needs_compiler
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_h100_gets_channels_last_convolutions_and_turns_kernels_alone(dtype: Any):
    """cuDNN's layout for tensor cores from layer to layer: no activation is turned or copied."""
    compile_check.require_compiler()
    step = plan.fcn(32, "train", (96, 128), 1, dtype, compile_check.mesh_of(CARDS["h100"], 1))
    text = step.call.lower(*step.args).compile().as_text()
    calls = re.findall(r"dim_labels=(\S+?),.*custom_call_target=.__cudnn\$conv", text)
    assert len(calls) >= 3 * 14  # forward, and both gradients
    assert set(calls) == {"b01f_o01i->b01f"}
    kernels = {tuple(sorted(p.shape)) for p in jax.tree.leaves(step.args[0].params) if p.ndim == 4}
    turned = re.findall(r"= \w+\[([\d,]+)\]\S* (?:transpose|copy)\(", text)
    shapes = [tuple(sorted(map(int, dims.split(",")))) for dims in turned]
    assert {shape for shape in shapes if np.prod(shape) > 10_000} <= kernels
