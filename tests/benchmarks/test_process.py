"""Processes that are measured, and the rates of the machine."""

import signal
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.process import measure, own_choice
from benchmarks.roof import Rates, Step, better, measure_rates
from jaxdl.word2vec import config as experiment
from jaxdl.word2vec.model import pair_loss


def test_a_steps_flops_are_those_that_xla_counts():
    """Its count has the elementwise work too, which is small at this width."""
    step = Step(width=256, size=64)
    groups, outer = step.size // step.group, step.group + 2 * step.window + step.shared
    rows = jnp.ones((groups, step.group, step.width)), jnp.ones((groups, outer, step.width))
    weights = jnp.ones((groups, step.group, outer))
    gradient = partial(jax.grad(pair_loss, argnums=(0, 1)), targets=step.group + 2 * step.window)
    lowered = jax.jit(gradient).lower(*rows, weights)
    analysis = lowered.compile().cost_analysis()
    assert analysis is not None
    assert 1 <= analysis["flops"] / step.size / step.flops() < 1.05


def test_a_steps_bytes_are_three_passes_over_its_rows():
    """One word a group, no window, one negative: three rows of one float."""
    assert Step(width=1, window=0, size=8, group=1, shared=1).bytes() == 3 * 3 * 4


def test_the_roof_is_that_of_the_default_step():
    defaults = experiment.Config()
    ours = (defaults.dim, experiment.block_of(defaults), defaults.shared_negatives)
    assert ours == (Step().width, Step().size, Step().shared)
    for name in ("group", "window"):
        assert getattr(defaults, name) == getattr(Step(), name), name


@pytest.mark.slow
def test_the_machines_rates_are_of_a_real_machine():
    rates = measure_rates(1)
    assert 1e8 < rates.flops < 1e14
    assert 1e8 < rates.bytes < 1e13
    assert rates.kernel.startswith(("NumPy, ", "XLA"))


def test_the_better_of_two_measurements_keeps_its_kernel():
    first, second = Rates(3.0, 1.0, "XLA"), Rates(2.0, 4.0, "NumPy, Haswell")
    assert better(first, second) == better(second, first) == Rates(3.0, 4.0, "XLA")


def test_a_process_is_measured_apart_from_its_parent(tmp_path: Path):
    held = np.ones(1 << 26, np.float32)  # 268 MB that the child has no part in
    small = measure([sys.executable, "-S", "-c", "print('told')"], tmp_path / "log", {})
    assert (small.status, (tmp_path / "log").read_text()) == (0, "told\n")
    assert small.peak_mb < 100 < held.nbytes / 1e6
    code = "import sys; held = bytearray(b'x') * 200_000_000; sys.exit(3)"
    large = measure([sys.executable, "-S", "-c", code], tmp_path / "log", {})
    assert large.status == 3
    assert 200 < large.peak_mb < 300
    assert 0 < small.cpu_s <= large.cpu_s + large.seconds
    assert large.started >= small.started + small.seconds > 1e9


def test_a_process_that_is_killed_or_missing(tmp_path: Path):
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    killed = measure([sys.executable, "-S", "-c", code], tmp_path / "log", {})
    assert killed.status == -signal.SIGKILL
    with pytest.raises(OSError, match="nowhere: cannot be started"):
        measure([tmp_path / "nowhere"], tmp_path / "log", {})


def test_a_peer_chooses_its_own_kernels():
    assert own_choice({"OPENBLAS_CORETYPE": "Haswell", "HOME": "/"}) == {"HOME": "/"}
