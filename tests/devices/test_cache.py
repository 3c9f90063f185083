"""Compiled programs in the user's cache folder: whose it is, how large, and what damage does."""

import os
import stat
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
import pytest

from jaxdl.devices import cache
from tests.helpers.processes import full_after
from tests.helpers.programs import programs_in

X = np.arange(7, dtype=np.float32)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's cache folder, and JAX as a command finds it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    with programs_in(None), warnings.catch_warnings():  # which gives back its `showwarning`
        warnings.simplefilter("always")
        yield tmp_path / "home"


def program() -> Callable[..., jax.Array]:
    """The same program each time, and a new function: it is compiled again, or read."""

    def seventh(x):
        return jnp.cumsum(jnp.sin(x)) * 7

    return jax.jit(seventh)


def entries(home: Path) -> list[Path]:
    return sorted(home.glob("jaxdl/jaxlib-*/jit_seventh-*-cache"))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_programs_are_kept_for_their_user_alone(home, capsys):
    cache.start()
    program()(X)
    (entry,) = entries(home)
    assert entry.parent.name == f"jaxlib-{jaxlib.__version__}"
    assert {mode(folder) for folder in entry.parents[:3]} == {0o700}
    assert capsys.readouterr().err == ""


def test_the_place_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for home in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", home)
        assert cache.user_folder() == tmp_path / ".cache" / "jaxdl"
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert cache.user_folder() == Path("/elsewhere/jaxdl")


@pytest.mark.parametrize("named", ["variable", "program", "option"])
def test_what_the_user_says_stands_above_it(named, home, tmp_path, monkeypatch):
    if named == "variable":
        monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "own"))
    if named == "program":
        jax.config.update(cache.FOLDER, str(tmp_path / "own"))
    cache.start(named != "option")
    program()(X)
    assert not home.exists()
    assert list(tmp_path.glob("own/*")) == list(tmp_path.glob("own/jit_seventh-*-cache"))
    assert (tmp_path / "own").exists() == (named == "program")


def is_a_file(folder: Path) -> None:
    folder.write_bytes(b"")


def is_open_to_others(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)


def is_of_another(folder: Path) -> None:
    folder.mkdir()
    os.chown(folder, 12345, -1)


def is_another_s_link(folder: Path) -> None:
    folder.with_name("true").mkdir()
    folder.symlink_to("true")
    os.chown(folder, 12345, -1, follow_symlinks=False)


@pytest.mark.parametrize("level", ["jaxdl", f"jaxdl/jaxlib-{jaxlib.__version__}"])
@pytest.mark.parametrize("kind", [is_a_file, is_open_to_others, is_of_another, is_another_s_link])
def test_a_folder_that_cannot_be_trusted_is_left_alone(kind, level, home, capsys):
    if kind in (is_of_another, is_another_s_link) and os.geteuid():
        pytest.skip("gives a file away, which is for root")
    folder = home / level
    folder.parent.mkdir(parents=True, mode=0o700)
    kind(folder)
    cache.start()
    program()(X)
    line = capsys.readouterr().err
    assert (line.count("\n"), str(folder) in line, "--no-compile-cache" in line) == (1, True, True)
    assert not entries(home)


def test_a_home_without_room_is_told_of_once(home, capsys, monkeypatch):
    monkeypatch.setattr(cache, "LEAST_FREE", 1 << 62)
    cache.start()
    program()(X)
    assert capsys.readouterr().err.count("\n") == 1
    assert not entries(home)


def flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [flip, lambda content: content[:-100], lambda content: b""],
    ids=["flipped", "cut", "empty"],
)
def test_a_damaged_program_is_compiled_again_and_replaced(damage, home, capsys):
    cache.start()
    right = np.asarray(program()(X))
    (entry,) = entries(home)
    damaged = damage(entry.read_bytes())
    entry.write_bytes(damaged)
    os.utime(entry, (1e9, 1e9))
    np.testing.assert_array_equal(program()(X), right)
    told = capsys.readouterr().err
    assert (told.count("\n"), "damaged" in told) == (1, True), told
    assert entry.read_bytes() != damaged
    np.testing.assert_array_equal(program()(X), right)
    assert capsys.readouterr().err == ""


def test_a_program_that_another_process_is_writing_is_left_to_it(home, capsys):
    cache.start()
    right = np.asarray(program()(X))
    (entry,) = entries(home)
    content = entry.read_bytes()
    with entry.open("wb") as written:  # as JAX does: the entry is there, and empty at first
        np.testing.assert_array_equal(program()(X), right)
        written.write(content)
    assert (entries(home), entry.read_bytes()) == ([entry], content)
    assert capsys.readouterr().err == ""


def test_a_full_disk_ends_the_keeping_and_nothing_else(home, capsys):
    cache.start()
    with full_after(100):
        first = np.asarray(program()(X))
        assert not entries(home)
        again = np.asarray(program()(X))
    np.testing.assert_array_equal(first, again)
    told = capsys.readouterr().err
    assert (told.count("\n"), "no more programs are kept" in told) == (1, True), told
    program()(X)
    assert not entries(home)


def test_other_warnings_are_shown_as_ever(home, capsys):
    shown = []
    warnings.showwarning = lambda message, *_args, **_options: shown.append(str(message))
    cache.start()
    warnings.warn("Error reading something else", stacklevel=1)
    assert (shown, capsys.readouterr().err) == (["Error reading something else"], "")


def test_the_folder_stays_within_its_bound(home):
    old, new = (home / "jaxdl" / f"jaxlib-{n}" for n in (1, 2))
    for n, folder in enumerate((old, new, old, new)):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"jit_{n}-cache"
        path.write_bytes(bytes(100))
        os.utime(path, (1e9 + 10 * n, 1e9))
    (old / "notes").write_bytes(bytes(1000))
    (old / "jit_x-cache").symlink_to("notes")
    (home / "jaxdl" / "jaxlib-3").symlink_to(new)
    cache.shrink(home / "jaxdl", 400)
    assert len(list(home.glob("jaxdl/jaxlib-[12]/jit_[0-3]-cache"))) == 4
    cache.shrink(home / "jaxdl", 250)
    left = {path.name for path in home.glob("jaxdl/jaxlib-[12]/*")}
    assert left == {"jit_2-cache", "jit_3-cache", "notes", "jit_x-cache"}


def test_another_process_gets_the_same_settings(home):
    cache.start()
    given = cache.settings()
    with programs_in(None):
        cache.adopt(given)
        assert cache.settings() == given
        program()(X)
    assert entries(home)
