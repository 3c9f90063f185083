"""Outputs appear whole or not at all, replace nothing but regular files, and never an input."""

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jaxdl.atomic import check_output, whole_file, write_bytes
from jaxdl.data.locks import LOCK, alone, one_at_a_time
from jaxdl.errors import InputError
from jaxdl.vectors import Vectors, save_binary, save_npz, save_text


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def make_link(path: Path) -> None:
    path.with_name("target").write_text("target")
    path.symlink_to("target")


SPECIAL: dict[str, Callable[[Path], object]] = {
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
    "a socket": make_socket,
    "a symbolic link": make_link,
}
WORDS = Vectors(("a", "b"), np.ones((2, 3), np.float32))
WRITERS: dict[str, Callable[[Path], object]] = {
    "bytes": lambda path: write_bytes(path, b"new"),
    "text": lambda path: save_text(path, WORDS),
    "binary": lambda path: save_binary(path, WORDS),
    "npz": lambda path: save_npz(path, WORDS),
}


def test_a_device_is_not_replaced():
    """As root a rename would: the whole machine is without its /dev/null then."""
    before = os.stat("/dev/null")
    with pytest.raises(InputError, match="/dev/null: is a device, which no output replaces"):
        write_bytes(Path("/dev/null"), b"new")
    assert os.stat("/dev/null").st_rdev == before.st_rdev


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize(("kind", "make"), SPECIAL.items(), ids=SPECIAL)
def test_what_is_not_a_regular_file_stays(
    kind: str, make: Callable, write: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)  # a socket's name may not be long
    path = Path("output")
    make(path)
    before = path.lstat()
    with pytest.raises(InputError, match=f"^output: is {kind}, which no output replaces"):
        write(path)
    assert os.path.samestat(path.lstat(), before)
    assert {p.name for p in Path().iterdir()} <= {path.name, "target"}
    if kind == "a symbolic link":
        assert Path("target").read_text() == "target"


def test_an_output_under_any_name_of_an_input_is_refused(tmp_path: Path):
    series, hard, soft = tmp_path / "a.csv", tmp_path / "hard.csv", tmp_path / "soft.csv"
    series.write_text("1\n")
    hard.hardlink_to(series)
    soft.symlink_to(series)
    for output, given in ((series, series), (series, soft), (hard, series)):
        with pytest.raises(InputError, match="is an input, which its output would replace"):
            check_output(output, [tmp_path / "missing", given])
    check_output(tmp_path / "new.csv", [series])
    check_output(hard, [tmp_path / "missing"])  # an earlier result
    for nameless in ("", ".", "..", "a/.."):
        with pytest.raises(InputError, match="is no name of a file"):
            check_output(Path(nameless))


def test_a_writer_that_fails_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "file"
    write_bytes(path, b"old")
    with contextlib.suppress(RuntimeError), whole_file(path) as file:
        file.write(b"ne")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("hold", [alone, one_at_a_time])
def test_a_lock_is_a_regular_file(hold: Callable, tmp_path: Path):
    """To open a pipe would wait for ever; what a link leads to would lose its content."""
    precious = tmp_path / "precious"
    precious.write_text("precious")
    for make in (os.mkfifo, lambda path: path.symlink_to(precious)):
        make(tmp_path / LOCK)
        with pytest.raises(InputError, match="no output replaces"), hold(tmp_path):
            pass
        (tmp_path / LOCK).unlink()
    assert precious.read_text() == "precious"
