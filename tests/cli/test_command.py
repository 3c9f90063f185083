"""What ends a command becomes one line and an exit status; a fault of ours stays a traceback."""

from pathlib import Path

import jax.numpy as jnp
import pytest

from jaxdl.cli.command import main


def fill_memory() -> None:
    jnp.zeros((1 << 30, 1 << 16)).block_until_ready()  # more than any host has


def hold_too_much() -> None:
    bytearray(1 << 60)


def start_too_many() -> None:
    """As Orbax's end does, which finds no executor after the thread that could not begin."""
    try:
        raise RuntimeError("can't start new thread")
    finally:
        raise RuntimeError("cannot schedule new futures after shutdown")


@pytest.mark.parametrize("call", [fill_memory, hold_too_much, start_too_many])
def test_a_full_memory_is_one_line(call, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match=r"^3$"):
        main(call)
    said = capsys.readouterr().err
    assert said.startswith("error: the memory is full (")
    assert said.count("\n") == 1


def test_a_place_that_is_barred_is_one_line_wherever_it_is_noticed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    long = tmp_path / ("a" * 300)
    with pytest.raises(SystemExit, match=r"^2$"):
        main(long.stat)
    said = f"error: {long}: File name too long; name a place that you may use\n"
    assert capsys.readouterr().err == said


def test_what_a_command_returns_comes_back_and_faults_of_ours_stay(tmp_path: Path):
    assert main(lambda: 7) == 7
    with pytest.raises(FileNotFoundError):
        main((tmp_path / "missing").read_bytes)
    with pytest.raises(RuntimeError, match="ours"):
        main(lambda: (_ for _ in ()).throw(RuntimeError("ours")))
