"""Every fenced command and Python snippet of every page is run, parsed, or excepted for a reason.

- Run: as a reader types it, in a folder that holds the things that the pages speak of.
  Added to README.md's trainings, and to its snippets, are options that shorten them (`LESS`).
- Parsed: what trains or measures for minutes. Its own program reads its options; a training also
  refuses what it would refuse (`CHECKS`), and stops there. Of a `make` target these are the
  programs that it would start. Commands of the text in backticks, too, if they have options.
- Excepted: `EXCEPTED` has the first words of the command, and why; `ELSEWHERE` and `SNIPPETS` name
  the test that runs it instead.

A command in no class fails, and so does an exception that no page needs.
"""

import argparse
import ast
import contextlib
import json
import re
import runpy
import shlex
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import tyro

from jaxdl import __main__ as program
from jaxdl import signals
from jaxdl.cli.command import parse
from jaxdl.fcn.checks import check as check_fcn
from jaxdl.fcn.finetune import config_of
from jaxdl.fcn.settle import settle
from jaxdl.lstm.command import settled
from jaxdl.word2vec.config import check as check_words
from tests.helpers import pages, processes, reader

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("readme")]

LESS = {
    "jaxdl fcn train": "--epochs 1 --width-divisor 32 --stages 32",
    "jaxdl lstm train": "--steps 20 --log-every 20 --seeds 1",
    "jaxdl word2vec train": "--epochs 2",
    'fit("photos/"': 'fit("photos/", epochs=1, width_divisor=32, stages=(32,)',
    "epochs=5": "epochs=2",
    "Forecaster(seeds=3": "Forecaster(seeds=1, steps=20, log_every=20",
}
# Programs that read options before they do anything.
OWN = r"python (-m (benchmarks|experiments)\b|containers/)"
# `jaxdl doctor --host` asks the machine's docker.
PARSED = rf"jaxdl \w+ (train|finetune) (?!--help)|jaxdl (digits|doctor --host) |{OWN}|make \S"
CHECKS: dict[str, Callable[[Any], object]] = {
    "fcn train": lambda cfg: check_fcn(settle(cfg)),
    "fcn finetune": lambda options: check_fcn(settle(config_of(options))),
    "word2vec train": check_words,
    "lstm train": settled,
}
EXCEPTED = {
    "it needs a docker engine": ("docker build", "docker compose"),
    "it needs a host elsewhere": ("ssh",),
    "it needs a cluster (tests/containers/test_clusters.py runs the script)": ("sbatch", "kubectl"),
    "it fetches packages": ("pip install", "make cuda13"),
    "it needs root and buildah or debootstrap": ("make image", "make image-test"),
    "it runs this test, or rewrites the code": ("make check", "make test", "make format"),
}
ELSEWHERE = {
    "make help": "tests/test_page_commands.py::test_make_lists_its_targets",
    "jaxdl doctor": "tests/doctor/test_doctor.py::test_this_machine",
    "jaxdl doctor --json": "tests/doctor/test_doctor.py::test_this_machine",
    "jaxdl doctor --quick":
        "tests/doctor/test_doctor.py::test_quick_imports_no_jax_and_its_reader_may_leave",
}  # fmt: skip
READERS = (
    (tyro, "cli"),
    (argparse.ArgumentParser, "parse_args"),
    (argparse.ArgumentParser, "parse_known_args"),
)
SNIPPETS = {
    ("jaxdl/fcn/README.md", "In Python"):
        "tests/fcn/test_command.py::test_the_snippets_of_the_page_run",
    ("jaxdl/lstm/README.md", "From Python"):
        "tests/lstm/test_forecaster.py::test_the_snippet_of_the_page_runs",
    ("jaxdl/word2vec/README.md", "If you come from gensim"):
        "tests/word2vec/test_keyed_vectors.py::test_the_pages_example_runs",
    ("jaxdl/word2vec/README.md", "Training as with gensim"):
        "tests/word2vec/test_api.py::test_the_pages_example_runs",
    **{
        (f"jaxdl/{subject}/README.md", "A training loop on arrays"):
            "tests/test_loops.py::test_the_loop_trains_in_at_most_15_lines"
        for subject in program.SUBJECTS
    },
}  # fmt: skip
README = pages.TEXTS["README.md"]
FIRST = [line for line in pages.commands(README) if line.startswith("jaxdl ")]


def plain(line: str) -> str:
    """A command without variables before it, and without the path of its Python."""
    bare = re.sub(r"^([A-Z_]+=(\$\([^)]*\)|\S*) +)*(\.venv\S*/bin/)?", "", line)
    return re.sub(r"^python -m jaxdl\b", "jaxdl", bare)


ALL = sorted({
    plain(part)
    for text in pages.CURRENT.values()
    for line in pages.commands(text)
    for part in line.split(" && ")
})  # fmt: skip


def begins(line: str, words: str) -> bool:
    return f"{line} ".startswith(f"{words} ")


def kind(line: str) -> str | None:
    """The class of a command; None if it has none."""
    if line in ELSEWHERE or any(begins(line, e) for words in EXCEPTED.values() for e in words):
        return "excepted"
    if re.match(PARSED, f"{line} "):
        return "parsed"
    return "run" if line.startswith("jaxdl ") else None


RUN = [line for line in ALL if kind(line) == "run" and line not in FIRST]
# In the text, with options; tests/test_pages.py looks at those of `jaxdl`.
INLINE = [
    plain(span).replace("--seed N", "--seed 0")
    for text in pages.CURRENT.values()
    for span in pages.spans(text)
    if re.match(rf"{OWN}.* --|make .*--", plain(span))
]
PARSE = sorted({line for line in [*ALL, *INLINE] if kind(line) == "parsed"})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the photos, the text and the series that README.md speaks of."""
    folder = tmp_path_factory.mktemp("readme")
    reader.write_own(folder)
    return folder


@pytest.fixture(scope="module")
def trained(home: Path) -> Path:
    """The same after README.md's commands, with what the other pages speak of."""
    for line in FIRST:
        call(line, home, LESS.get(" ".join(line.split()[:3]), ""))
    reader.write_more(home)
    return home


def call(line: str, folder: Path, more: str = "") -> None:
    """Run a command of `jaxdl` in the folder."""
    words = [*shlex.split(line), *shlex.split(more)]
    done = processes.finish(words[0], *words[1:], folder=folder)
    assert done.returncode == 0, (line, done.stderr)


def test_every_command_has_a_class_and_every_exception_a_command():
    assert [line for line in ALL if kind(line) is None] == []
    assert [kind(line) for line in ("make", "rm runs", "python3 x.py")] == [None] * 3
    named = [words for group in EXCEPTED.values() for words in group]
    assert [words for words in named if not any(begins(line, words) for line in ALL)] == []
    assert set(ELSEWHERE) | set(FIRST) <= set(ALL)
    assert [words for words in LESS if words not in README] == []


def source(test: str) -> str:
    """The lines of a test, by its file and name."""
    file, name = test.split("::")
    text = (processes.ROOT / file).read_text()
    (found,) = (node for node in ast.walk(ast.parse(text)) if getattr(node, "name", "") == name)
    return ast.get_source_segment(text, found) or ""


def test_what_another_test_runs_is_in_it():
    for line, test in ELSEWHERE.items():
        assert all(f'"{word}"' in source(test) for word in line.split()[1:]), line
    found = {(n, head) for n, text in pages.CURRENT.items() for head, _ in pages.snippets(text)}
    assert {place for place in found if not place[0].startswith("README.")} == set(SNIPPETS)
    for (_, heading), test in SNIPPETS.items():
        assert f'"## {heading}\\n"' in source(test), test


def test_readmes_commands_do_what_the_page_says(trained: Path):
    assert len(FIRST) == 6
    assert list((trained / "predictions").glob("photo*.png"))
    assert len((trained / "prediction.csv").read_text().splitlines()) == 13
    assert (trained / "runs" / "words" / "vectors.bin").is_file()


@pytest.mark.parametrize("number", range(4))
def test_readmes_snippets_run(number: int, home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(home)
    found = pages.snippets(README)
    assert len(found) == 4
    _, code = found[number]
    for words, less in LESS.items():
        code = code.replace(words, less)
    names: dict[str, Any] = {}
    exec(code, names)
    if number == 0:
        assert names["picture"].shape == (40, 48, 3)
    if number == 3:
        assert float(names["loss"]) < 0.5


@pytest.fixture(scope="module")
def outcomes(trained: Path) -> dict[str, tuple[int, str]]:
    """The status of each command that is run, and its errors."""
    done = processes.finish("tests.helpers.lines", *RUN, folder=trained)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("line", RUN)
def test_a_command_runs(line: str, outcomes: dict[str, tuple[int, str]]):
    status, errors = outcomes[line]
    assert status == 0, errors


def test_make_lists_its_targets():
    made = subprocess.check_output(["make", "help"], cwd=processes.ROOT, text=True)
    assert "  bench-fcn " in made


class Parsed(Exception):
    """The options of a program were read."""


def stops(read: Callable[..., object]) -> Callable[..., NoReturn]:
    """A reader of options, and nothing after it."""

    def run(*args: Any, **options: Any) -> NoReturn:
        read(*args, **options)
        raise Parsed

    return run


def programs(line: str) -> list[str]:
    """The Python programs that a command starts: of a `make` target those of its recipe."""
    if not line.startswith("make "):
        return [line]
    words = ["make", "-n", *shlex.split(line)[1:]]
    made = subprocess.run(
        words, cwd=processes.ROOT, check=True, capture_output=True, text=True
    ).stdout
    return [own for own in map(plain, made.splitlines()) if own.startswith(("jaxdl", "python"))]


def as_main(name: str) -> None:
    """A module, or a script by its path, as Python starts it."""
    if name.endswith(".py"):
        runpy.run_path(str(processes.ROOT / name), run_name="__main__")
    else:
        runpy.run_module(name, run_name="__main__")


@pytest.mark.parametrize("line", PARSE)
def test_a_program_takes_its_options(line: str, trained: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(trained)
    found = programs(line)
    assert found
    assert all(re.match(f"jaxdl |{OWN}", own) for own in found)
    for words in map(shlex.split, found):
        if words[0] == "jaxdl":
            name = " ".join(words[1 : 3 if words[1] in program.SUBJECTS else 2])
            options = parse(program.commands()[name], words[1 + len(name.split()) :])
            CHECKS.get(name, id)(options)
            continue
        given = words[2:] if words[1] == "-m" else words[1:]
        with monkeypatch.context() as patch, warnings.catch_warnings(action="ignore"):
            patch.setattr(sys, "argv", given)
            # This process is no command: its watcher would end it 5 s after a signal of any test.
            patch.setattr(signals, "commanded", contextlib.nullcontext)
            for place, name in READERS:
                patch.setattr(place, name, stops(getattr(place, name)))
            with pytest.raises(Parsed):
                as_main(given[0])
