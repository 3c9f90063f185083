"""The word2vec experiment as its user runs it: in processes of its own, on a small text."""

import contextlib
import dataclasses
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import psutil
import pytest

from jaxdl.cli.command import parse
from jaxdl.cli.launch import as_dict
from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError
from jaxdl.files.atomic import read_json, write_json
from jaxdl.training.opening import MADE
from jaxdl.training.run_folder import read_rows
from jaxdl.word2vec import batches as word2vec_data
from jaxdl.word2vec import dataset
from jaxdl.word2vec.command import TRAIN, find_texts, run
from jaxdl.word2vec.config import Config, check
from jaxdl.word2vec.query import expression
from tests.helpers import processes

pytestmark = [pytest.mark.xdist_group("word2vec"), pytest.mark.slow]

SMALL = (
    "--dim",
    "8",
    "--epochs",
    "30",
    "--logs-per-epoch",
    "2",
    "--held-out",
    "500",
    "--block",
    "256",
)


finish = partial(processes.finish, "jaxdl word2vec train")
query = partial(processes.finish, "jaxdl word2vec query")
stop_at = partial(processes.stop_at, "jaxdl word2vec train")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two topics that share no word: neighbours have to come from the own topic."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("text") / "text.txt"
    lines = []
    for _ in range(4000):
        topic = rng.choice(["a", "b"])
        lines.append(" ".join(topic + chr(97 + n) for n in rng.integers(0, 20, 12)))
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def options(text: Path) -> tuple[str, ...]:
    return (*SMALL, "--data", str(text), "--data-dir", str(text.parent / "data"))


@pytest.fixture(scope="module")
def straight(text: Path, options: tuple[str, ...]) -> Path:
    out = text.parent / "straight"
    done = finish(*options, "--out", str(out), fresh=True)
    assert done.returncode == 0, done.stderr
    return out


def test_neighbours_are_of_the_own_topic(straight: Path):
    done = query(str(straight), "aa", "--topn", "5")
    words = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("│")]
    assert len(words) == 5
    assert all(word.startswith("a") for word in words)
    rows = read_rows(straight / "metrics.jsonl")
    assert rows[-1]["heldout"]["loss"] < rows[0]["heldout"]["loss"]
    assert all(MADE.fullmatch(path.name) for path in straight.iterdir())
    assert "Word vectors" in (straight / "report.html").read_text()


def test_another_text_under_the_old_name_is_refused(
    text: Path, straight: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Vectors would go to the wrong words; a finished run would show the old text's figures."""
    out, given = tmp_path / "run", tmp_path / "text.txt"
    shutil.copytree(straight, out)
    record = read_json(out / "run.json")
    cfg = parse(TRAIN, [*SMALL, "--data", str(given), "--out", str(out)])
    write_json(out / "run.json", record | {"config": as_dict(cfg)})
    lines = text.read_text().splitlines()
    given.write_text("\n".join(lines))
    assert run(cfg, Bar())["word2vec"]["loss"] > 0  # the same content, elsewhere
    assert "finished already" in capsys.readouterr().out
    given.write_text("\n".join(reversed(lines)))
    for finished in (True, False):
        if not finished:
            (out / "summary.json").unlink()
        with pytest.raises(InputError, match=r"text\.txt holds another content, and held the same"):
            run(cfg, Bar())
    corpus = dataset.open_corpus(dataclasses.replace(cfg, data_dir=tmp_path), Bar())
    with pytest.raises(InputError, match="the text is not what it was when this run began"):
        dataset.check_same_text(out, record, corpus)


def test_an_evaluation_that_cannot_be_used_is_told_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Refused for its layout; for its words alone it is no score, and a warning."""
    text, pairs = tmp_path / "few.txt", tmp_path / "pairs.tsv"
    text.write_text("one two three\n" * 30)
    again = tmp_path / "again" / "pairs.tsv"
    again.parent.mkdir()
    again.write_text("one\ttwo\t3\ntwo\tthree\t2\none\tthree\t1\n")
    pairs.write_text("one two many\ntwo three few\n")
    questions = tmp_path / "questions.txt"
    questions.write_text(": far\nAthens Greece Oslo Norway\n")
    out = tmp_path / "run"
    cfg = Config(
        data=(text,), data_dir=tmp_path, min_count=1, dim=4, out=out, epochs=1, subsample=0.0
    )
    cfg = dataclasses.replace(cfg, word_pairs=(pairs, again), analogies=(questions,))
    with pytest.raises(InputError, match=r"pairs\.tsv: 0 usable pairs; give two or more"):
        run(cfg, Bar())
    assert not out.exists()
    pairs.write_text("cat\tdog\t3\nred\tblue\t2\n")
    found = run(cfg, Bar())
    scores = found["word2vec"]["evaluation"]
    assert scores[str(pairs)]["score"] is None
    assert (scores[str(again)]["used"], scores[str(again)]["all"]) == (3, 3)
    assert scores["questions.txt"] == {"kind": "analogies", "score": None, "used": 0, "all": 1}
    assert [text.split(":")[0] for text in found["warnings"]] == [str(pairs), "questions.txt"]
    assert f"{pairs}: - (0 of 2)" in capsys.readouterr().out
    assert "with only 0 of 2 lines of known words" in (out / "report.html").read_text()
    late = tmp_path / "late.csv"
    late.write_text("one,two,3\ntwo,three,2\n")
    again.write_text("one\ttwo\t3\ntwo\tthree\t2\n")  # it may change too
    assert run(dataclasses.replace(cfg, word_pairs=(again, late), words=("two",)), Bar()) == found
    told = "".join(capsys.readouterr().out.split("\n"))
    assert f"late.csv: named after the run's end; see jaxdl word2vec evaluate {out}" in told
    (out / "summary.json").unlink()  # as of a run that was stopped
    found = run(dataclasses.replace(cfg, word_pairs=(late,), analogies=()), Bar())
    assert found["word2vec"]["evaluation"].keys() == scores.keys()  # of the epochs that were run


def test_vectors_that_do_not_fit_are_refused_before_the_run_has_a_record(
    straight: Path, text: Path, tmp_path: Path
):
    """So that the corrected command is not another configuration."""
    cfg = Config(start_from=straight, extend=(text,), dim=9, out=tmp_path / "run")
    cfg = dataclasses.replace(cfg, data_dir=text.parent / "data")
    with pytest.raises(InputError, match="use --dim 8 --loss negative-sampling"):
        run(cfg, Bar())
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_run_that_trained_on_nothing_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path, out = tmp_path / "short.txt", tmp_path / "run"
    path.write_text("the cat sat on the mat\n")
    cfg = Config(data=(path,), out=out, data_dir=tmp_path / "data", min_count=2, epochs=1)
    found = run(cfg, Bar())
    (line,) = found["warnings"]
    assert line.startswith("not one pair of words was trained on: the vectors are the random start")
    printed = capsys.readouterr().out
    assert f"WARNING: {line}" in printed
    assert "loss - a pair, held out -" in printed  # a loss of 0.000 would look perfect
    assert found["word2vec"]["loss"] is None
    assert line in (out / "report.html").read_text()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_run_ends_in_the_same_bits(
    straight: Path, options: tuple[str, ...], number: int, tmp_path: Path
):
    out = ("--out", str(tmp_path / "run"))
    status, errors = stop_at("epoch 4/30", number, *options, *out)
    assert status == (143 if number == signal.SIGTERM else -number), errors
    assert finish(*options, *out).returncode == 0
    same = (straight / "vectors.bin").read_bytes()
    assert (tmp_path / "run" / "vectors.bin").read_bytes() == same
    losses = [
        [(row["step"], row["train"], row["heldout"]) for row in read_rows(run / "metrics.jsonl")]
        for run in (straight, tmp_path / "run")
    ]
    assert losses[0] == losses[1]


def test_a_process_that_prepares_gives_the_same_bits(
    straight: Path, options: tuple[str, ...], tmp_path: Path
):
    """Stopped once, so that the other process starts in mid-run too."""
    command = [sys.executable, *processes.TWO_PROCESSES, *options, "--out", str(tmp_path / "run")]
    with trained_until("epoch 9/30", command) as (process, others):
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
        assert not psutil.wait_procs(others, timeout=20)[1]
    done = subprocess.run(
        command, cwd=processes.ROOT, env=processes.environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "resumes at step" in done.stdout
    same = (straight / "vectors.bin").read_bytes()
    assert (tmp_path / "run" / "vectors.bin").read_bytes() == same


def test_neither_process_outlives_the_other(options: tuple[str, ...], tmp_path: Path):
    command = [sys.executable, *processes.TWO_PROCESSES, *options, "--out", str(tmp_path / "run")]
    with trained_until("epoch 2/30", command) as (process, others):
        process.kill()
        assert not psutil.wait_procs(others, timeout=20)[1]
    with trained_until("epoch 4/30", command) as (process, others):
        for other in others:
            other.kill()
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 3
        assert "--no-prefetch-process" in errors


@contextlib.contextmanager
def trained_until(line: str, command: list[str]) -> Iterator[tuple[Any, list[psutil.Process]]]:
    """A running process whose output had that line, and the processes it has started."""
    pipe = subprocess.PIPE
    places: Any = {"cwd": processes.ROOT, "env": processes.environment()}
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, **places) as process:
        try:
            assert process.stdout is not None
            assert any(line in text for text in process.stdout)
            others = psutil.Process(process.pid).children(recursive=True)
            assert others
            yield process, others
        finally:
            process.kill()


def test_a_text_of_several_parts_is_laid_out_once_and_from_any_step(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Parts are what lies on the device at once: 16.7 million tokens, here 5,000."""
    monkeypatch.setattr(word2vec_data, "PART", 5000)
    monkeypatch.setattr(word2vec_data, "DISPATCH", 4)
    cfg = Config(
        data=(text,),
        data_dir=tmp_path / "data",
        subsample=0.0,
        held_out=0,
        block=256,
        window=3,
        epochs=2,
    )
    corpus = dataset.open_corpus(cfg, Bar())
    vocabulary = dataset.vocabulary_of(corpus)
    batches = word2vec_data.Batches(cfg, corpus, vocabulary)
    steps = list(batches.run_ahead(0))
    assert len(steps) == batches.steps == 2 * batches.per_epoch
    found: dict[tuple[int, int], list[np.ndarray]] = {}
    pairs = 0
    for n, step in enumerate(steps):
        epoch, part, _ = batches.place(n)
        inner = np.asarray(step.blocks.tokens)[:, 3:-3].ravel()
        found.setdefault((epoch, part), []).append(inner)
        if epoch == 0:
            pairs += int(step.blocks.pairs.sum())
    ids = vocabulary.rows[corpus.ids]
    parts = [ids[at : at + 5000] for at in range(0, len(ids), 5000)]
    assert sorted(found) == [(epoch, part) for epoch in (0, 1) for part in range(len(parts))]
    assert len(parts) > 5
    for (_, part), inner in found.items():
        own = np.concatenate(inner)
        np.testing.assert_array_equal(own[: len(parts[part])], parts[part])
    # Windows of 1, 2 or 3 within lines of 12: 22 + (22 + 20) + (22 + 20 + 18) pairs in three lines.
    assert pairs == pytest.approx(len(corpus.sentences) * (22 + 42 + 60) / 3, rel=0.02)
    for first in (1, batches.per_epoch // 2, batches.per_epoch + 3):
        later = next(batches.run_ahead(first))
        for ours, theirs in zip(jax.tree.leaves(later), jax.tree.leaves(steps[first]), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_an_unknown_word_is_one_line(straight: Path):
    done = query(str(straight), "qqq")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "qqq" in done.stderr


@pytest.mark.parametrize(
    "wrong", [["+", "a"], ["a", "-"], ["a", "b", "+", "c"], ["a", "-", "+", "b"]]
)
def test_expressions_that_make_no_sense_are_refused(wrong: list[str]):
    with pytest.raises(InputError):
        expression(wrong)


def test_an_expression_has_two_sides():
    assert expression(["king", "-", "man", "+", "woman"]) == (["king", "woman"], ["man"])
    assert expression(["king", "man"]) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "--data is missing"),
        ({"data": (Path("none.txt"),)}, "no such file"),
        ({"preset": "demo", "block": 100}, "multiple of --group"),
        ({"preset": "demo", "window": 0}, "--window 0"),
        ({"preset": "demo", "learning_rate": 0.0}, "--learning-rate"),
        ({"preset": "demo", "extend": (Path("a"),)}, "--start-from"),
    ],
)
def test_bad_options_are_told_before_any_work(options: dict, message: str):
    cfg = Config(**options)
    refuse = find_texts if message == "no such file" else check
    with pytest.raises(InputError, match=message):
        refuse(cfg)
