"""word2vec and the LSTM sweep on eight devices, and on two processes of four, as on one."""

import json
import signal
import socket
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxdl.training.run_folder import read_rows
from jaxdl.word2vec import vectors
from tests.helpers import processes

pytestmark = [pytest.mark.xdist_group("many devices"), pytest.mark.slow]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("text") / "text.txt"
    words = [chr(97 + n) * 2 for n in range(26)]
    lines = [" ".join(rng.choice(words, 12)) for _ in range(1500)]
    path.write_text("\n".join(lines))
    return path


def command(name: str, text: Path) -> list[str]:
    if name == "lstm_sine":
        return ["--steps", "200", "--seeds", "2", "--log-every", "2", "--window", "10"]
    sizes = [
        "--dim",
        "8",
        "--epochs",
        "6",
        "--logs-per-epoch",
        "1",
        "--held-out",
        "500",
        "--block",
        "256",
    ]
    return [*sizes, "--data", str(text), "--data-dir", str(text.parent / "data")]


def results(name: str, out: Path) -> np.ndarray:
    """The trained vectors, or every loss of every network."""
    if name == "word2vec":
        return vectors.load(out / "vectors.bin").table
    rows: list[Any] = read_rows(out / "metrics.jsonl")
    return np.array([[loss for size in row["loss"].values() for loss in size] for row in rows])


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@pytest.mark.parametrize("name", ["word2vec", "lstm_sine"])
def test_devices_and_processes_train_what_one_device_does(
    name: str, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A run of eight devices is stopped and resumed on one; two processes of four end alike."""
    module, given = f"jaxdl {name.split('_')[0]} train", command(name, text)
    one, eight, two = (tmp_path / n for n in ("one", "eight", "two"))
    flags = processes.QUICK  # for eight devices, LLVM's work takes long
    finish = partial(processes.finish, module, flags=flags)
    done = finish(*given, "--out", str(one))
    assert done.returncode == 0, done.stderr

    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "8")
    mesh, line = ["--mesh", "data=4,model=2"], "epoch 2/6" if name == "word2vec" else "step 100 of"
    stopped = [*given, "--out", str(eight)]
    status, errors = processes.stop_at(module, line, signal.SIGTERM, *stopped, *mesh, flags=flags)
    assert status == 143, errors
    done = finish(*stopped)
    assert done.returncode == 0, done.stderr

    address = f"127.0.0.1:{free_port()}"
    among = ["--mesh", "data=8", "--coordinator", address, "--processes", "2", "--out", str(two)]
    started = [
        processes.Warm(module, *given, *among, "--process-id", str(number), flags=flags, devices=4)
        for number in (0, 1)
    ]
    for process in started:
        _, told = process.communicate()
        assert process.returncode == 0, told
    want = results(name, one)
    assert np.ptp(want) > 0.01
    for out in (eight, two):
        np.testing.assert_allclose(results(name, out), want, rtol=1e-4, atol=1e-5)
    summaries = [json.loads((out / "summary.json").read_text())[name] for out in (one, two)]
    assert set(summaries[0]) == set(summaries[1])


def test_networks_that_the_devices_do_not_divide_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "3")
    given = ["--steps", "10", "--seeds", "1", "--mesh", "data=3", "--out", str(tmp_path / "run")]
    done = processes.finish("jaxdl lstm train", *given)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "4 networks on 3 devices" in done.stderr
