"""All tests run strict, and on the CPU; tests marked `fuzz` can be run over and over."""

import gc
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# As the commands do: jaxlib 0.10.1 tells of every kept program that it loads, falsely, and a test
# that does not read it all would wait for ever. (A plugin has imported jax: it is 1 by now.)
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import jax
import pytest

from tests.helpers import compiled, processes

# Tests compile hundreds of small programs and run each a few times. JAX reads this when it first
# asks for a device. `make check-numbers` and `make soak` run as at a user's.
os.environ.setdefault("XLA_FLAGS", processes.QUICK)

# Under nohup it is ignored, and stays so in every process that a test starts.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Tracing makes many objects that stay: looking them through again and again took 5 % of the time.
gc.set_threshold(100_000, 20, 100)
# Else an entry's name depends on the folder's, and no run would find what another kept.
jax.config.update("jax_persistent_cache_enable_xla_caches", "none")
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)
compiled.trace_cheaply()


def pytest_configure(config: pytest.Config) -> None:
    """Most of a test's time is compilation: one cache for the workers and for what tests start.

    It is of the process that starts the workers, and begins with what earlier runs kept.
    """
    if "JAXDL_TEST_CACHE" not in os.environ:
        own = Path(tempfile.mkdtemp(prefix="jaxdl-test-"))
        os.environ["JAXDL_TEST_CACHE"] = str(own)
        config.add_cleanup(partial(shutil.rmtree, own, ignore_errors=True))
        if config.pluginmanager.hasplugin("cacheprovider"):
            kept = compiled.folder(config.cache.mkdir("compiled"))
            compiled.take(kept, own)
            config.add_cleanup(partial(compiled.keep, own, kept))  # done first: the last added
    jax.config.update("jax_compilation_cache_dir", os.environ["JAXDL_TEST_CACHE"])


@pytest.fixture
def x64() -> Iterator[None]:
    """Float64 for one test."""
    with jax.enable_x64(True):
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fuzz-seconds", type=float, default=0, help="repeat the tests marked fuzz for so long"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Tests marked `fuzz` share the time of --fuzz-seconds, and draw new cases in each round."""
    seconds = pyfuncitem.config.getoption("--fuzz-seconds")
    if not seconds or pyfuncitem.get_closest_marker("fuzz") is None:
        return None
    marked = [i for i in pyfuncitem.session.items if i.get_closest_marker("fuzz") is not None]
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    end = time.monotonic() + seconds * workers / len(marked)
    given = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    rounds = 0
    while rounds == 0 or time.monotonic() < end:
        pyfuncitem.obj(**given)
        rounds += 1
    pyfuncitem.user_properties.append(("rounds", rounds))
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many rounds of cases each fuzz test ran."""
    for report in terminalreporter.stats.get("passed", []):
        if rounds := dict(report.user_properties).get("rounds"):
            terminalreporter.write_line(f"{report.nodeid}: {rounds} rounds")
