"""`jaxdl COMMAND`: what each word leads to, and what is said of a word that leads nowhere."""

import importlib.metadata
import os
import tomllib
from pathlib import Path

import pytest

from jaxdl.__main__ import HELP, SUBJECTS, main

COMMANDS = [[subject, name] for subject, names in SUBJECTS.items() for name in names]
OTHERS = [["digits"], ["demo"], ["doctor"], ["compile-check"]]


@pytest.mark.parametrize("words", [*COMMANDS, *OTHERS], ids=" ".join)
def test_each_command_tells_its_options_under_its_own_name(words: list[str], capsys, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")  # compile-check sets it
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    with pytest.raises(SystemExit) as left:
        main([*words, "--help"])
    assert not left.value.code
    assert f"usage: jaxdl {' '.join(words)} " in capsys.readouterr().out
    assert f"  {' '.join(words)} " in HELP


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_subject_alone_names_its_commands(subject: str, capsys):
    assert main([subject]) == 2
    refused = capsys.readouterr().err
    assert main([subject, "--help"]) == 0
    shown = capsys.readouterr().out
    for name in SUBJECTS[subject]:
        assert name in refused
        assert f"  {subject} {name} " in shown


@pytest.mark.parametrize("words", [["nope"], ["fcn", "nope"]], ids=" ".join)
def test_an_unknown_word_is_named(words: list[str], capsys):
    assert main(words) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: ")
    assert "nope: no such command" in line
    assert line.count("\n") == 1


@pytest.mark.parametrize(("before", "after"), [(None, "3"), ("1", "3"), ("0", "0"), ("2", "2")])
def test_jaxs_own_log_level_is_no_users_wish(before: str | None, after: str, monkeypatch):
    """Importing jax sets 1, which a notebook's or script's commands inherit."""
    name = "TF_CPP_MIN_LOG_LEVEL"
    monkeypatch.setenv(name, "")  # so that it is put back
    monkeypatch.delenv(name) if before is None else monkeypatch.setenv(name, before)
    assert main(["fcn", "--help"]) == 0
    assert os.environ[name] == after


def test_the_version_is_the_distributions(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.split() == [
        "jaxdl",
        importlib.metadata.version("jaxdl-functional"),
    ]


def test_the_installed_command_is_this_one():
    scripts = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"][
        "scripts"
    ]
    place = importlib.metadata.EntryPoint("jaxdl", scripts["jaxdl"], "console_scripts")
    assert place.load() is main


@pytest.mark.parametrize(
    "words",
    [
        ["fcn", "predict", "RUN", "photo.jpg", "--out"],
        ["word2vec", "query", "RUN", "word"],
        ["lstm", "predict", "RUN", "series.csv", "--out"],
    ],
    ids=" ".join,
)
def test_a_run_that_is_being_overwritten_is_told_with_the_old_ones_place(
    words: list[str], tmp_path: Path, capsys
):
    run = tmp_path / "run"
    (run / ".overwritten" / "checkpoints" / "7").mkdir(parents=True)
    place = [str(tmp_path / "out.csv")] if words[-1] == "--out" else []
    with pytest.raises(SystemExit):
        main([*(str(run) if word == "RUN" else word for word in words), *place])
    line = capsys.readouterr().err
    assert f"{run}: is being overwritten by a run that has no checkpoint yet" in line
    assert f"the old run, {run / '.overwritten'}\n" in line
