"""What the tests cost, a line for each file: ``make test ARGS='-p tests.helpers.costs'``.

Seconds of a core, which other work on the machine changes less than seconds of the clock: of the
process that runs the tests, and of those that the tests start and wait for. A fixture counts where
it is first used; the imports of the test files (about 10 s a worker) are in none.
"""

import os
from collections import defaultdict
from collections.abc import Generator

import jax
import pytest

from tests.helpers.processes import Warm

KINDS = ("tests", "processes they start", "compiling, by the clock")
_BEFORE = pytest.StashKey[tuple[float, float, float]]()
_compiling = 0.0


def _listen(event: str, duration_secs: float, **_: object) -> None:
    global _compiling
    if event.endswith("backend_compile_duration"):
        _compiling += duration_secs


def _used() -> tuple[float, float, float]:
    t = os.times()
    started = t.children_user + t.children_system + Warm.seconds
    return t.user + t.system, started, _compiling


def pytest_configure() -> None:
    jax.monitoring.register_event_duration_secs_listener(_listen)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool, bool]:
    item.stash[_BEFORE] = _used()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """The last report of a test carries its costs to the process that started the workers."""
    report = yield
    if call.when == "teardown":
        costs = [now - before for now, before in zip(_used(), item.stash[_BEFORE], strict=True)]
        report.user_properties.append(("costs", costs))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    files = defaultdict[str, list[list[float]]](list)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if costs := dict(getattr(report, "user_properties", ())).get("costs"):
                files[report.nodeid.split("::")[0]].append(costs)
    sums = {file: [sum(kind) for kind in zip(*rows, strict=True)] for file, rows in files.items()}
    sums["all"] = [sum(kind) for kind in zip(*sums.values(), strict=True)]
    terminalreporter.section("seconds of a core: " + ", ".join(KINDS))
    for file, costs in sorted(sums.items(), key=lambda line: -sum(line[1][:2])):
        terminalreporter.write_line("".join(f"{cost:8.1f}" for cost in costs) + f"  {file}")
