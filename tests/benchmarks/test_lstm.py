"""The LSTM benchmark: all that needs no PyTorch."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks.lstm import __main__ as lstm
from benchmarks.lstm import jax_runner
from jaxdl.errors import TrainingError


def lstm_options(folder: Path, *more: str) -> list[str]:
    given = ["--hidden", "2", "3", "--steps", "6", "--batch", "4", "--window", "10", "--seed", "0"]
    given += ["--optimizer", "momentum", "--learning-rate", "0.1"]
    return [*given, "--series", str(jax_runner.series_file(folder)), *more]


@pytest.mark.slow
def test_our_lstm_runner_prints_its_figures(tmp_path: Path):
    command = [sys.executable, "-m", "benchmarks.lstm.jax_runner"]
    options = lstm_options(tmp_path, "--seeds", "2", "--again")
    found, done = lstm.call([*command, *options], tmp_path / "log.txt")
    assert len(found["losses"]) == 4
    assert np.isfinite(found["losses"]).all()
    assert 0 < found["compiled_seconds"] < found["seconds"] < done.seconds
    assert 0 < found["roof_seconds"] < done.seconds
    assert done.peak_mb > 50


def test_a_runner_that_fails_is_one_line(tmp_path: Path):
    command = [sys.executable, "-c", "raise SystemExit('out of luck')"]
    with pytest.raises(TrainingError, match=r"ended with status 1: out of luck; see .*log.txt"):
        lstm.call(command, tmp_path / "log.txt")


@pytest.mark.slow
def test_the_example_for_the_peer_holds_what_numpy_gets(tmp_path: Path):
    """The gates in the order g, i, f, o, and the readout; the gradient by differences."""
    jax_runner.write_example(tmp_path / "example.npz")
    kept = np.load(tmp_path / "example.npz")

    def outputs(bias):
        h = c = np.zeros((kept["x"].shape[1], 5))
        found = []
        for x in kept["x"]:
            z = x @ kept["input"].T + h @ kept["recurrent"].T + bias
            g, i, f, o = np.split(z, 4, axis=1)
            i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
            c = f * c + i * np.tanh(g)
            h = o * np.tanh(c)
            found.append(h @ kept["kernel"] + kept["readout_bias"])
        return np.stack(found), h, c

    for ours, name in zip(outputs(kept["bias"]), ("outputs", "h", "c"), strict=True):
        np.testing.assert_allclose(ours, kept[name], atol=1e-12)

    def loss(bias):
        return np.square(outputs(bias)[0] - kept["target"]).mean()

    for n in range(20):
        small = np.zeros(20)
        small[n] = 1e-6
        slope = (loss(kept["bias"] + small) - loss(kept["bias"] - small)) / 2e-6
        assert slope == pytest.approx(kept["grad_bias"][n], abs=1e-8)


def test_the_second_start_finds_what_the_first_kept(tmp_path: Path):
    """It trains once, as PyTorch does; the large sweep finds no program and keeps none."""
    cfg = lstm.Config(seeds=3, out=tmp_path)
    peer, first, second, large = lstm.programs(cfg)
    assert first.environment == second.environment
    assert first.environment["JAX_COMPILATION_CACHE_DIR"] == str(tmp_path / "compiled")
    assert large.environment == {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    assert first.command == [*second.command, "--again"]
    assert (peer.seeds, first.seeds, second.seeds, large.seeds) == (1, 1, 1, 3)


def test_the_lstm_table_shows_medians_and_how_many_times_as_fast():
    def one(tool: str, seconds: float, compiled: float | None, total: float) -> lstm.Row:
        return lstm.Row(
            tool=tool,
            networks=16,
            hidden="2 3",
            seeds=8,
            run=0,
            version="1",
            seconds=seconds,
            compiled_s=compiled,
            roof_s=None,
            total_s=total,
            cpu_s=7.0,
            peak_mb=300.0,
        )

    rows = [one("peer", s, None, 20.0) for s in (9.0, 10.0, 50.0)]
    rows += [one("ours", s, 0.5, 10.0) for s in (3.0, 2.0, 1.0)]
    rows += [one("again", s, None, 5.0) for s in (1.0, 2.5, 3.0)]
    console = Console(width=150, file=io.StringIO())
    console.print(lstm.table(rows, "made up"))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines()]
    assert lines[-4:-1] == [
        ["peer", "16", "10.00", "1.00", "-", "-", "20.00", "1.00", "7.00", "300"],
        # A process that trains twice is not compared.
        ["ours", "16", "2.00", "5.00", "0.50", "-", "10.00", "-", "7.00", "300"],
        ["again", "16", "2.50", "4.00", "-", "-", "5.00", "4.00", "7.00", "300"],
    ]
