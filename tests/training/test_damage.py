"""Damaged state files: a run resumes to its end, or one line names the file and what to do."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jaxdl import signals
from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError, Stopped, TrainingError
from jaxdl.lstm.command import run
from jaxdl.lstm.config import Config
from jaxdl.training import checkpoint
from tests.helpers.stopping import ActingBar, stopping_bar

pytestmark = [pytest.mark.xdist_group("damage"), pytest.mark.slow]


def config(out: Path, **changed: Any) -> Config:
    """100 steps to a checkpoint, 250 in all."""
    options: dict[str, Any] = {"hidden": (2,), "seeds": 1, "steps": 250, "log_every": 2}
    return Config(**options, batch_size=4, window=5, out=out, **changed)


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stopped at step 202: steps 200 and 202 of training have checkpoints."""
    out = tmp_path_factory.mktemp("damage") / "unfinished"
    with signals.handled(), pytest.raises(Stopped):
        run(config(out), stopping_bar(200))
    assert len(checkpoint.steps(out / "checkpoints")) == 2
    return out


@pytest.fixture(scope="module")
def finished(unfinished: Path) -> Path:
    out = Path(shutil.copytree(unfinished, unfinished.with_name("finished")))
    run(config(out), Bar())
    return out


def put(name: str, value: Any) -> Callable[[Path], object]:
    """The file holds this, as JSON if it is not text."""
    text = value if isinstance(value, str) else json.dumps(value)
    return lambda out: (out / name).write_text(text)


def change(name: str, **values: Any) -> Callable[[Path], object]:
    """These values in a JSON file; None takes one away."""

    def edit(out: Path) -> None:
        found = json.loads((out / name).read_text()) | values
        kept = {key: value for key, value in found.items() if value is not None}
        (out / name).write_text(json.dumps(kept))

    return edit


def instead(name: str, make: Callable[[Path], object]) -> Callable[[Path], object]:
    """Something else under the name."""

    def edit(out: Path) -> None:
        path = out / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        make(path)

    return edit


def rows(edit: Callable[[list[str]], list[str]]) -> Callable[[Path], object]:
    """Other lines in metrics.jsonl."""

    def write(out: Path) -> None:
        path = out / "metrics.jsonl"
        path.write_text("".join(edit(path.read_text().splitlines(keepends=True))))

    return write


def newest(edit: Callable[[Path], object]) -> Callable[[Path], object]:
    """Something done to the newest step."""

    def call(out: Path) -> None:
        folder = out / "checkpoints"
        edit(folder / str(checkpoint.steps(folder)[-1]))

    return call


def nothing(path: Path) -> None:
    pass


def flip(step: Path) -> None:
    path = max((p for p in step.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def flip_beside(step: Path) -> None:
    """The name for what is set aside is taken."""
    flip(step)
    step.with_name(f"damaged-{step.name}").write_text("a file")


def replace_by_anothers(step: Path) -> None:
    """A whole step of a run of its own, in place of this."""
    other = step.parents[1].with_name("other")
    with signals.handled(), pytest.raises(Stopped):
        run(config(other), stopping_bar(200))
    shutil.rmtree(step)
    theirs = other / "checkpoints" / str(checkpoint.steps(other / "checkpoints")[-1])
    shutil.copytree(theirs, step)


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def link(path: Path) -> None:
    target = path.parents[1] / "precious"
    target.write_text("precious")
    path.symlink_to(target)


# What is done to the run, and what the line begins with after the run's folder; "" is success.
UNFINISHED: dict[str, tuple[Callable[[Path], object], str]] = {
    "record: a list": (put("run.json", []), "/run.json: is damaged"),
    "record: a number": (put("run.json", 3), "/run.json: is damaged"),
    "record: null": (put("run.json", None), "/run.json: is damaged"),
    "record: empty object": (put("run.json", {}), "/run.json: is damaged"),
    "record: empty": (put("run.json", ""), "/run.json: is not JSON"),
    "record: half": (put("run.json", '{"config": {'), "/run.json: is not JSON"),
    "record: binary": (
        lambda out: (out / "run.json").write_bytes(b"\xff\x00"),
        "/run.json: is not JSON",
    ),
    "record: deep": (put("run.json", "[" * 100_000), "/run.json: is not JSON"),
    "record: config a list": (change("run.json", config=[]), "/run.json: is damaged"),
    "record: config null": (
        lambda out: (out / "run.json").write_text('{"format": 2, "config": null}'),
        "/run.json: is damaged",
    ),
    "record: config empty": (change("run.json", config={}), ": holds a run of another config"),
    "record: argv of numbers": (change("run.json", argv=[1, 2]), "/run.json: is damaged"),
    "record: versions a text": (change("run.json", versions="1"), "/run.json: is damaged"),
    "record: versions of numbers": (change("run.json", versions={"a": 1}), "/run.json: is damaged"),
    "record: device a list": (change("run.json", device=[1]), "/run.json: is damaged"),
    "record: git a text": (change("run.json", git="x"), "/run.json: is damaged"),
    "record: started a number": (change("run.json", started=1), "/run.json: is damaged"),
    "record: finished a text": (change("run.json", finished="x"), "/run.json: is damaged"),
    "record: format a text": (change("run.json", format="2"), "/run.json: is damaged"),
    "record: no format": (change("run.json", format=None), "/run.json: is the record of a run by"),
    "record: a folder": (instead("run.json", Path.mkdir), ": holds no run.json, but"),
    "record: a pipe": (instead("run.json", os.mkfifo), ": holds no run.json, but"),
    "record: gone": (instead("run.json", nothing), ": holds no run.json, but"),
    "rows: gone": (instead("metrics.jsonl", nothing), "/metrics.jsonl: has 0 rows up to step"),
    "rows: the first gone": (rows(lambda lines: lines[3:]), "/metrics.jsonl: has 97 rows"),
    "rows: the last gone": (rows(lambda lines: lines[:-2]), "/metrics.jsonl: has 98 rows"),
    "rows: one twice": (rows(lambda lines: [lines[0], *lines]), "/metrics.jsonl: has 101 rows"),
    "rows: one half": (
        rows(lambda lines: [lines[0][:9] + "\n", *lines[1:]]),
        "/metrics.jsonl, line 1: is not a row",
    ),
    "rows: one without losses": (
        rows(lambda lines: ['{"step": 2}\n', *lines[1:]]),
        "/metrics.jsonl, line 1: is damaged (loss is missing)",
    ),
    "rows: losses of texts": (
        rows(lambda lines: ['{"step": 2, "loss": {"2": ["x"]}}\n', *lines[1:]]),
        "/metrics.jsonl, line 1: is damaged (loss.2[0] is not a number)",
    ),
    "rows: a folder": (instead("metrics.jsonl", Path.mkdir), "/metrics.jsonl: is not a file"),
    "rows: a pipe": (instead("metrics.jsonl", os.mkfifo), "/metrics.jsonl: is not a file"),
    "steps: none": (instead("checkpoints", Path.mkdir), "/checkpoints: is empty, though"),
    "steps: gone": (instead("checkpoints", nothing), "/checkpoints: is empty, though"),
    "steps: a file": (instead("checkpoints", Path.touch), "/checkpoints: is not a folder"),
    "steps: a loop": (instead("checkpoints", loop), "/checkpoints: is not a folder"),
    "step: flipped bit, name taken": (newest(flip_beside), ""),
    "step: renamed": (newest(lambda step: step.rename(step.with_name("1000"))), ""),
    "step: another run's": (newest(replace_by_anothers), ": is a checkpoint of another run"),
    "step: a stranger": (newest(lambda step: (step / "x").touch()), "/x: does not belong to"),
    "step: a system's file": (newest(lambda step: (step / ".DS_Store").touch()), ""),
    "lock: a pipe": (instead(".lock", os.mkfifo), "/.lock: is a pipe"),
    "lock: a folder": (instead(".lock", Path.mkdir), "/.lock: is a folder"),
    "lock: a link": (instead(".lock", link), "/.lock: is a symbolic link"),
}
FINISHED: dict[str, Callable[[Path], object]] = {
    "summary: a list": put("summary.json", []),
    "summary: of texts": put("summary.json", {"lstm_sine": {"seconds": "x"}, "warnings": 3}),
    "summary: gone": instead("summary.json", nothing),
    "page: gone": instead("report.html", nothing),
    "record: not finished": change("run.json", finished=None),
}


@pytest.mark.parametrize(("damage", "line"), UNFINISHED.values(), ids=UNFINISHED)
def test_a_damaged_run_resumes_or_one_line_says_what_to_do(
    damage: Callable[[Path], object], line: str, unfinished: Path, tmp_path: Path
):
    out = Path(shutil.copytree(unfinished, tmp_path / "run"))
    damage(out)
    if not line:
        assert run(config(out), Bar())["lstm_sine"]["epochs"] == 250
        return
    with pytest.raises(InputError) as refused:
        run(config(out), Bar())
    text = str(refused.value)
    assert text.startswith(str(out))
    assert line in text
    assert "\n" not in text
    if (tmp_path / "precious").exists():
        assert (tmp_path / "precious").read_text() == "precious"


@pytest.mark.parametrize("damage", FINISHED.values(), ids=FINISHED)
def test_what_is_damaged_of_a_finished_run_is_made_again(
    damage: Callable[[Path], object], finished: Path, tmp_path: Path
):
    out = Path(shutil.copytree(finished, tmp_path / "run"))
    damage(out)
    run(config(out), Bar())
    for name in ("summary.json", "predictions.json", "metrics.jsonl"):
        assert (out / name).read_text() == (finished / name).read_text()
    assert (out / "report.html").is_file()
    assert "finished" in json.loads((out / "run.json").read_text())


def files(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}


def test_overwriting_keeps_the_old_run_until_the_new_one_has_saved(finished: Path, tmp_path: Path):
    out = Path(shutil.copytree(finished, tmp_path / "run"))
    before = files(out)
    bar = ActingBar(-1, lambda: None)
    with pytest.raises(TrainingError, match=r"loss (nan|inf)"):
        run(config(out, overwrite=True, learning_rate=1e9), bar)
    assert files(out) == before
    assert bar.lines[-1] == f"{out}: the run that was there is back in its place"
    # Stopped after its first checkpoint, the same command resumes its own run; then it starts over.
    again = config(out, overwrite=True, seed=1)
    with signals.handled(), pytest.raises(Stopped):
        run(again, stopping_bar(102))
    assert not [p for p in out.iterdir() if p.name.startswith(".overwritten")]
    for begun in (True, False):
        bar = ActingBar(-1, lambda: None)
        assert run(again, bar)
        assert any("resumes at step 104 of 250" in line for line in bar.lines) == begun
        assert not any("finished already" in line for line in bar.lines)


def test_a_run_folder_that_is_removed_in_mid_training_is_named(tmp_path: Path):
    out = tmp_path / "run"
    with pytest.raises(
        TrainingError, match=r"run/metrics\.jsonl: was removed while the run trained"
    ):
        run(config(out), ActingBar(50, lambda: shutil.rmtree(out)))
