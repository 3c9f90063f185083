"""A training loop of one's own on arrays, as the subjects' pages show it."""

import re
import subprocess
import sys

import pytest

import jaxdl
from tests.helpers.processes import ROOT

SUBJECTS = ("fcn", "word2vec", "lstm")


@pytest.mark.slow
@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_loop_trains_in_at_most_15_lines(subject: str):
    text = (ROOT / "jaxdl" / subject / "README.md").read_text()
    section = text.split("## A training loop on arrays\n")[1]
    (block,) = re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert len([line for line in block.splitlines() if line and "import" not in line]) <= 15
    names: dict = {}
    exec(block, names)
    losses = names["losses"]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("subject", SUBJECTS)
def test_public_names_are_there_and_no_module_hides_them(subject: str):
    """A module that is imported becomes an attribute of its package, before `__getattr__`."""
    package = getattr(jaxdl, subject)
    assert {"init", "apply", "loss", "make_step"} < set(package.__all__)
    assert all(callable(getattr(package, name)) for name in package.__all__)
    modules = {path.stem for path in (ROOT / "jaxdl" / subject).iterdir()}
    assert not modules & set(package.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = package.nothing


@pytest.mark.slow
def test_importing_changes_nothing():
    """Neither options of JAX, nor the environment, signal handlers or logging; no JAX yet."""
    code = """
import logging, os, signal, sys
def state():
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    root = logging.getLogger()
    return dict(os.environ), handlers, root.level, list(root.handlers)
before = state()
import jaxdl
assert jaxdl.__version__[0].isdigit()
from jaxdl import fcn, lstm, word2vec
assert not {"jax", "numpy", "flax"} & set(sys.modules), "imported too early"
assert state() == before
import jax, flax, optax, orbax.checkpoint
before, options = state(), dict(jax.config.values)
for package in (fcn, lstm, word2vec):
    for name in package.__all__:
        getattr(package, name)
import jaxdl.training.session, jaxdl.fcn.train, jaxdl.word2vec.train, jaxdl.lstm.train
assert dict(jax.config.values) == options
assert state() == before
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
