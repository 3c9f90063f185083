"""Every path of every command, and what is printed, in places where neither is easy."""

import contextlib
import importlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from jaxdl.__main__ import commands, main
from jaxdl.cli.command import parse
from jaxdl.cli.options import options_of
from jaxdl.errors import InputError
from jaxdl.word2vec.vectors import Vectors, save_text
from tests.helpers import processes

COMMANDS = commands()
PATHS = [
    (name, option)
    for name, command in COMMANDS.items()
    for option in options_of(command.options)
    if option.kind is Path
]
NOBODY = 65534


@contextlib.contextmanager
def a_user() -> Iterator[None]:
    """As a user whom permissions bind: root is nobody within."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def user_path(tmp_path: Path) -> Iterator[Path]:
    """A folder that `a_user` may enter and write, and what is in it is removed by any user."""
    folder = tmp_path / "user"
    folder.mkdir()
    own = [path for path in tmp_path.parents if path.name.startswith(("pytest-", "popen-"))]
    for each in (tmp_path, *own):  # pytest's, which others may not enter
        each.chmod(each.stat().st_mode | 0o755)
    if not os.geteuid():
        os.chown(folder, NOBODY, NOBODY)
    with a_user():
        try:
            (folder / "try").touch()
        except OSError as error:
            pytest.skip(f"no other user may write below {tmp_path} ({error.strerror})")
    yield folder
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


def words_with(name: str, option, path: str) -> list[str]:
    """Words of a command with this path, and anything for its other places."""
    places = [each for each in options_of(COMMANDS[name].options) if each.positional]
    words = [path if each is option else "x" for each in places]
    return words if option.positional else [*words, option.flag, path]


def make(kind: str, folder: Path) -> tuple[Path, str]:
    """A place of this kind, and what is said of it."""
    if kind == "in a folder that cannot be entered":
        (folder / "locked").mkdir()
        (folder / "locked").chmod(0)
        return folder / "locked" / "a", "Permission denied"
    if kind == "of 300 characters":
        return folder / ("a" * 300), "File name too long"
    if kind == "no UTF-8":
        return folder / os.fsdecode(b"\xff"), "is no name in UTF-8; rename it"
    if kind == "a pipe":  # to open it would wait for ever
        os.mkfifo(folder / "pipe")
        return folder / "pipe", "is a pipe; name a file or folder"
    (folder / "loop").symlink_to("loop")
    return folder / "loop" / "a", "Too many levels of symbolic links"


KINDS = (
    *("in a folder that cannot be entered", "of 300 characters", "no UTF-8", "a loop of links"),
    "a pipe",
)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_path_that_cannot_be_used_is_refused_by_its_option(kind: str, user_path: Path):
    """Before anything else is done, so that it holds for all commands alike."""
    path, said = make(kind, user_path)
    with a_user():
        for name, option in PATHS:
            if kind == "a pipe" and option.name in COMMANDS[name].pipes:
                continue  # read once, and kept
            with pytest.raises(InputError) as refused:
                parse(COMMANDS[name], words_with(name, option, str(path)))
            shown = option.name.upper() if option.positional else option.flag
            assert str(refused.value).startswith(f"{shown} {path}: {said}"), (name, option.flag)
        for command in COMMANDS.values():
            if command.where is not None:
                with pytest.raises(InputError, match=f"^--config .*{said}"):
                    parse(command, ["--config", str(path)])


def refusal(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says that ends with status 2, in one line."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        main(words)
    shown = capsys.readouterr().err
    assert left.value.code == 2, (words, shown)
    assert shown.startswith("error: "), (words, shown)
    assert shown.count("\n") == 1, (words, shown)
    return shown


# What makes each command's work small, if it begins at all.
SMALL = {
    "fcn train": ("--preset", "demo", "--scenes", "1", "1"),
    "word2vec train": ("--data", "{}/text", "--min-count", "1", "--epochs", "1"),
    "lstm train": ("--steps", "10"),
    "digits": ("--epochs", "1"),
}
LAZY = (
    *("jaxdl.fcn.train", "jaxdl.fcn.plan_command", "jaxdl.word2vec.train", "jaxdl.cli.launch"),
    *("jaxdl.word2vec.plan_command", "jaxdl.lstm.train", "jaxdl.lstm.plan_command"),
    *("jaxdl.digits.train", "jaxdl.planner.compile_check"),
)
OUTPUTS = [
    (name, option.flag)
    for name, option in PATHS
    if option.name == "json" or (name in SMALL and option.name in ("out", "data_dir"))
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "flag"), OUTPUTS)
def test_a_folder_that_cannot_be_written_is_one_line(
    name: str,
    flag: str,
    user_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("XDG_CACHE_HOME", str(user_path / "cache"))
    if name == "compile-check" and flag == "--json":
        monkeypatch.setitem(sys.modules, "jax_cuda12_plugin", None)
    (user_path / "text").write_text("some words of a text\n" * 50)
    (user_path / "readonly").mkdir()
    (user_path / "readonly").chmod(0o555)
    words = [*name.split(), *(word.format(user_path) for word in SMALL.get(name, ()))]
    for other in ("--out", "--data-dir"):
        if other != flag and name in SMALL and any(o.flag == other for n, o in PATHS if n == name):
            words += [other, str(user_path / "made")]
    for module in LAZY:  # which the user may not read
        importlib.import_module(module)
    with a_user():
        said = refusal([*words, flag, str(user_path / "readonly" / "a")], capsys)
    assert "readonly" in said
    assert "ermission denied" in said
    assert [path.name for path in (user_path / "readonly").iterdir()] == []


def test_what_an_output_cannot_show_is_escaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save_text(tmp_path / "v.txt", Vectors(("w\xf6rd", "\u8a9e"), np.eye(2, 3, dtype=np.float32)))
    shown = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", shown)
    assert main(["word2vec", "query", str(tmp_path / "v.txt"), "w\xf6rd"]) == 0
    text = shown.buffer.getvalue()
    assert b"w\\xf6rd" in text
    assert b"\\u8a9e" in text


@pytest.mark.parametrize("unbuffered", [False, True])
@pytest.mark.parametrize("words", [["--help"], ["lstm", "train", "--help"], ["word2vec", "query"]])
def test_a_full_standard_output_is_named(
    words: list[str],
    unbuffered: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    if words[-1] == "query":
        save_text(tmp_path / "v.txt", Vectors(("a", "b"), np.eye(2, 3, dtype=np.float32)))
        words = [*words, str(tmp_path / "v.txt"), "a"]
    with open("/dev/full", "wb", buffering=0) as raw:
        full = io.TextIOWrapper(raw, write_through=unbuffered)
        monkeypatch.setattr(sys, "stdout", full)
        try:
            status = main(words)
        except SystemExit as left:
            status = left.code
    assert status == 3
    said = "error: the standard output: cannot be written (No space left on device)"
    assert capsys.readouterr().err.startswith(said)


def test_a_locale_without_utf_8_works_or_says_what_to_set(tmp_path: Path):
    """A name in ASCII works there; another is a line that says how."""
    save_text(tmp_path / "v.txt", Vectors(("w\xf6rd", "b"), np.eye(2, 3, dtype=np.float32)))
    code = (
        "import sys; from jaxdl.__main__ import main\n"
        "main(['word2vec', 'query', sys.argv[1], 'b'])\n"
        "main(['word2vec', 'query', sys.argv[2], 'b'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "v.txt", tmp_path / "\u8a9e"],
        cwd=processes.ROOT,
        env=processes.environment() | {"LC_ALL": "C", "PYTHONUTF8": "0"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert b"rd" in done.stdout
    assert done.stderr.count(b"\n") == 1, done.stderr
    assert b"is no name in UTF-8; set PYTHONUTF8=1, or LC_ALL=C.UTF-8" in done.stderr
