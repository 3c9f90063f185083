"""A command replaces its own earlier results, and no other file."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jaxdl.cli.command import main
from jaxdl.errors import InputError
from jaxdl.files.results import RECORD, Results, work_folder
from jaxdl.lstm import command as lstm
from tests.helpers import processes

OWN = "jaxdl x"


def write(path: Path, content: bytes = b"new", command: str = OWN) -> None:
    Results(command).write(path, content)


def test_a_command_replaces_its_own_results_again_and_again(tmp_path: Path):
    path = tmp_path / "made" / "a.csv"
    for content in (b"1", b"2", b"2"):
        write(path, content)
        assert path.read_bytes() == content
    assert len((path.parent / RECORD).read_text().splitlines()) == 2  # the same one once
    path.unlink()
    write(path)


FOREIGN: dict[str, Callable[[Path], object]] = {
    "a user's": lambda path: path.write_text("mine"),
    "another command's": lambda path: write(path, command="jaxdl y"),
    "changed since": lambda path: (write(path), path.write_text("mine")),
    "of another name": lambda path: (write(path.with_name("b.csv")), path.write_bytes(b"new")),
    "with a record that is none": lambda path: (
        path.write_text("mine"),
        (path.parent / RECORD).write_text('[]\n{"a": [\n[1]\n["jaxdl x", "a.csv", null]\n'),
    ),
    "with a record that is a pipe": lambda path: (
        path.write_text("mine"),
        os.mkfifo(path.parent / RECORD),  # to open it would wait for ever
    ),
}


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN)
def test_no_other_file_is_replaced(make: Callable[[Path], object], tmp_path: Path):
    path = tmp_path / "a.csv"
    make(path)
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"a\.csv: is no result of jaxdl x, or was changed since"):
        write(path, b"other")
    assert path.read_bytes() == before


def test_the_record_is_a_regular_file_or_nothing_is_written(tmp_path: Path):
    (tmp_path / RECORD).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=f"{RECORD}: is a symbolic link"):
        write(tmp_path / "a.csv")
    assert [path.name for path in tmp_path.iterdir()] == [RECORD]


def test_nothing_lands_among_the_files_of_a_run(tmp_path: Path):
    """Neither in place of one nor beside them, under any name of the folder."""
    run, link = tmp_path / "run", tmp_path / "link"
    (run / "checkpoints" / "5").mkdir(parents=True)
    (run / "checkpoints" / "5" / "file").touch()
    (run / "run.json").write_text("{}")
    link.symlink_to(run)
    before = sorted(run.rglob("*"))
    for name in ("run.json", "summary.json", "new.csv", "checkpoints/5/new", "checkpoints/new"):
        for folder in (run, link):
            with pytest.raises(InputError, match="would lie among the files of the run"):
                write(folder / name)
    assert sorted(run.rglob("*")) == before
    for _ in range(2):
        write(run / "predictions" / "a.csv")  # a folder of its own


def test_an_input_is_no_place_for_a_result(tmp_path: Path):
    series = tmp_path / "a.csv"
    write(series)
    with pytest.raises(InputError, match="is an input, which its output would replace"):
        Results(OWN, [series]).check(series)


def test_a_killed_command_leaves_no_result_that_it_does_not_know(tmp_path: Path):
    """Its line comes first: the file, if it is there, is known."""
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from jaxdl.files.results import Results\n"
        "def kill(*_): os.kill(os.getpid(), signal.SIGKILL)\n"
        "os.replace = (lambda real: lambda *names: (real(*names), kill()))(os.replace)\n"
        "Results('jaxdl x').write(Path(sys.argv[1]), b'new')"
    )
    path = tmp_path / "a.csv"
    done = subprocess.run([sys.executable, "-c", code, path], cwd=processes.ROOT, check=False)
    assert done.returncode < 0
    assert path.read_bytes() == b"new"
    write(path, b"newer")


def test_a_work_folder_is_new_empty_or_its_own(tmp_path: Path):
    folder, names = tmp_path / "work", ("rows.jsonl",)
    for _ in range(2):
        work_folder(folder, "bench")
        (folder / "rows.jsonl").touch()
    with pytest.raises(InputError, match=r"holds \.jaxdl-results, which other did not make"):
        work_folder(folder, "other")
    work_folder(tmp_path, "bench", names)  # what else is there does not matter
    with pytest.raises(InputError, match=r"work: holds rows\.jsonl, which other did not make"):
        work_folder(folder, "other", names)


def test_a_name_as_long_as_a_system_takes_is_written(tmp_path: Path):
    write(tmp_path / ("\N{SNOWMAN}" * 85))  # 255 bytes; temporary names are longer
    with pytest.raises(InputError, match="File name too long"):
        write(tmp_path / ("a" * 256))


def test_a_plan_is_written_twice_and_replaces_nothing_of_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ["--devices", "1", "--hidden", "2", "--seeds", "1", "--json", str(tmp_path / "p.json")]
    for _ in range(2):
        lstm.command("plan", words)
    assert json.loads((tmp_path / "p.json").read_text())["rows"]
    (tmp_path / "p.json").write_text("mine")
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(lambda: lstm.command("plan", words))
    assert capsys.readouterr().err.count("\n") == 1
    assert (tmp_path / "p.json").read_text() == "mine"
