"""Signals and lost readers, in real processes: one line, the status of the signal, nothing left."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from jaxdl import signals
from jaxdl.signals import Deferral, Signalled, handled, held, waiting
from tests.helpers import processes

LSTM = (
    *("lstm", "train", "--hidden", "2", "--seeds", "1", "--log-every", "2", "--batch-size", "4"),
    *("--window", "5", "--steps"),
)


@contextlib.contextmanager
def start(*words: str) -> Iterator[subprocess.Popen[str]]:
    """Python in a group of its own, to which signals can be sent; nothing of it is left."""
    with subprocess.Popen(
        [sys.executable, *words],
        cwd=processes.ROOT,
        env=processes.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    assert any(text in line for line in process.stdout)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The status and what was told, within the seconds that a command has."""
    _, errors = process.communicate(timeout=signals.GRACE + 5)
    return process.returncode, errors


def test_a_failed_command_waits_for_no_thread():
    """Orbax's wait ten minutes for a step's folder that a full disk did not let them make."""
    script = (
        "import sys, threading; from jaxdl.signals import commanded\n"
        "with commanded():\n"
        "    threading.Thread(target=threading.Event().wait).start()\n"
        "    print('error: told', file=sys.stderr)\n"
        "    sys.exit(3)"
    )
    with start("-c", script) as process:
        assert ended(process) == (3, "error: told\n")


def test_a_thread_that_never_begins_ends_the_command():
    """As one whose first steps find no memory."""
    script = (
        "import threading; from jaxdl import signals\n"
        "signals.STUCK = 0.1\n"
        "class Lost(threading.Thread):\n"
        "    def _bootstrap(self): pass\n"
        "with signals.commanded():\n"
        "    Lost(daemon=True).start()"
    )
    with start("-c", script) as process:
        status, errors = ended(process)
    assert status == 3
    assert errors.startswith("error: the memory is full (a new thread never began)")
    assert errors.count("\n") == 1


@pytest.mark.slow
def test_a_signal_before_training_ends_the_command_in_one_line(tmp_path: Path):
    """In its imports; whatever it had begun to overwrite is as it was."""
    with start("-v", "-m", "jaxdl", *LSTM, "100", "--out", str(tmp_path / "run")) as process:
        assert process.stderr is not None
        assert any("import 'jax._src" in line for line in process.stderr)  # -v tells imports
        os.killpg(process.pid, signal.SIGINT)
        status, errors = ended(process)
    assert status == 130
    assert "Traceback" not in errors
    assert errors.splitlines().count("stopped by SIGINT") == 1


@pytest.mark.slow
def test_a_reader_that_leaves_does_not_stop_training(tmp_path: Path):
    out = tmp_path / "run"
    with start("-m", "jaxdl", *LSTM, "400", "--out", str(out)) as process:
        wait_for(process, "in one program")
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(60) == 0
    assert (out / "summary.json").is_file()


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path, words = tmp_path_factory.mktemp("words") / "text.txt", random.Random(0)
    lines = (" ".join(t + words.choice("abcdefgh") for _ in range(12)) for t in "ab" * 2000)
    path.write_text("\n".join(lines))
    return path


def stop(child: psutil.Process) -> None:
    child.suspend()


def leave(child: psutil.Process) -> None:
    pass


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "number", "before"),
    [
        ("held out", signal.SIGHUP, leave),
        ("held out", signal.SIGTERM, stop),
    ],
    ids=["to the group", "the second process is stopped"],
)
def test_both_processes_of_word2vec_end(
    line: str, number: int, before: Any, text: Path, tmp_path: Path
):
    options = (
        *("--data", str(text), "--data-dir", str(text.parent / "data"), "--dim", "8"),
        *("--epochs", "2000", "--save-seconds", "0", "--out", str(tmp_path / "run")),
    )
    with start(*processes.TWO_PROCESSES, *options) as process:
        wait_for(process, line)
        others = psutil.Process(process.pid).children(recursive=True)
        assert others
        for other in others:
            if "resource_tracker" not in str(other.cmdline()):
                before(other)
        os.killpg(process.pid, number)
        status, errors = ended(process)
    assert status == 128 + number, errors
    assert errors.count("\n") == 1
    assert "run the same command to resume" in errors
    assert not psutil.wait_procs(others, timeout=5)[1]


# --- in this process


def test_handlers_are_given_back():
    before = [signal.getsignal(number) for number in signals.HANDLED]
    with handled():
        assert all(signal.getsignal(n) != b for n, b in zip(signals.HANDLED, before, strict=True))
    assert [signal.getsignal(number) for number in signals.HANDLED] == before


def test_a_hangup_that_is_ignored_stays_so():
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with handled():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", signals.HANDLED)
def test_a_signal_is_noted_in_training_and_raised_elsewhere(number: int):
    with handled(), pytest.raises(Signalled) as stopped:
        signal.raise_signal(number)
    assert stopped.value.number == number

    def train() -> None:
        with Deferral() as deferral:
            deferral.begin()
            assert deferral.number is None
            signal.raise_signal(number)
            assert deferral.number == number
            signal.raise_signal(signal.SIGTERM)  # one more changes nothing
            assert deferral.number == number
            with pytest.raises(Signalled):
                signal.raise_signal(signal.SIGINT)  # a second Ctrl-C does not wait
            with pytest.raises(Signalled), waiting():  # for what may never come
                pass

    with handled(), pytest.raises(Signalled):
        train()  # its end raises what was noted


def test_what_swallows_the_signal_does_not_train():
    with handled():
        with contextlib.suppress(Signalled):
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Signalled), Deferral() as deferral:
            deferral.begin()


def test_a_program_keeps_its_handlers():
    """Nothing but a command takes signals: a session only asks whether one came."""
    came = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: came.set())
    try:
        with Deferral() as deferral:
            deferral.begin()
            signal.raise_signal(signal.SIGTERM)
            assert came.is_set()
            assert deferral.number is None
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_process_started_while_signals_are_held_gets_none():
    code = "import signal; print(sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ()))))"
    with held():
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == str(sorted(map(int, signals.HANDLED)))
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & set(signals.HANDLED)
