"""`--overwrite`: whenever a command is killed, one of the two runs is left, whole."""

import pathlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jaxdl.errors import InputError
from jaxdl.files.atomic import write_json
from jaxdl.training import opening
from jaxdl.training.opening import open_run, set_aside, settle
from jaxdl.training.run_folder import FORMAT

OLD = {
    "run.json": '{"config": {}}',
    "summary.json": "{}",
    "checkpoints/7/state/array": "old",
    "fcn8s/metrics.jsonl": "old rows",
    "vocabulary.txt": "old words",
}
NEW = {"run.json": '{"config": {"overwrite": true}}', "vocabulary.txt": "new words"}
SAVED = NEW | {"checkpoints/3/state/array": "new"}
MINE = {"notes.txt": "mine", ".lock": "process 1"}


class Killed(BaseException):
    """Nothing of ours catches it."""


def write(out: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text)


def read(out: Path) -> dict[str, str]:
    return {str(p.relative_to(out)): p.read_text() for p in out.rglob("*") if p.is_file()}


@contextmanager
def killed_at(number: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The change with this number is not made, nor any after it; yields what was changed."""
    made: list[str] = []

    def counted(change: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            if len(made) == number:
                raise Killed
            made.append(str(args[0]))
            return change(*args, **options)

        return call

    with monkeypatch.context() as patch:
        for name in ("mkdir", "rename", "rmdir", "unlink"):
            patch.setattr(pathlib.Path, name, counted(getattr(pathlib.Path, name)))
        patch.setattr(shutil, "rmtree", counted(shutil.rmtree))
        yield made


def every_kill(out: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The folder as each kill of the call leaves it; at last as the whole call does."""
    before = out.with_name("before")
    shutil.copytree(out, before)
    for number in range(100):
        shutil.rmtree(out)
        shutil.copytree(before, out)
        with killed_at(number, monkeypatch) as made:
            try:
                call(out)
            except Killed:
                assert len(made) == number
                killed = True
            else:
                killed = False
        yield
        if not killed:
            assert number > 2
            return
    raise AssertionError("no end")


def test_killed_while_the_old_run_moves_it_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "run"
    write(out, OLD | MINE)
    for _ in every_kill(out, set_aside, monkeypatch):
        settle(out)
        assert read(out) == OLD | MINE
        assert not settle(out)


def test_killed_while_the_old_run_comes_back_it_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The new run had no checkpoint; some of its files have the names of the old run's."""
    out = tmp_path / "run"
    write(out, OLD | MINE)
    set_aside(out)
    assert read(out) == MINE | {f".overwritten/{name}": text for name, text in OLD.items()}
    write(out, NEW)
    for _ in every_kill(out, settle, monkeypatch):
        settle(out)
        assert read(out) == OLD | MINE


def test_killed_while_the_old_run_is_deleted_the_new_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "run"
    write(out, OLD | MINE)
    set_aside(out)
    write(out, SAVED)
    for _ in every_kill(out, settle, monkeypatch):
        assert not settle(out)
        assert read(out) == SAVED | MINE


def test_what_a_failed_run_writes_late_does_not_keep_the_old_one_out(tmp_path: Path):
    """Orbax's threads make folders of a step a little longer; a step that is whole counts."""
    write(tmp_path, {f".overwritten-moving/{name}": text for name, text in OLD.items()})
    late = {"checkpoints/3.orbax-checkpoint-tmp/a": "b", "fcn8s/checkpoints/3.x/a": "b"}
    write(tmp_path, late)
    assert settle(tmp_path)
    assert read(tmp_path) == OLD
    write(tmp_path, {".overwritten-moving/checkpoints/7/state/array": "older"})
    with pytest.raises(InputError, match="checkpoints: is in"):
        settle(tmp_path)


def test_what_is_not_ours_is_not_taken_for_an_old_run(tmp_path: Path):
    write(tmp_path, OLD)
    (tmp_path / "elsewhere").mkdir()
    for make in (Path.touch, lambda path: path.symlink_to(tmp_path / "elsewhere")):
        make(tmp_path / ".overwritten")
        with pytest.raises(InputError, match=r"\.overwritten: is not the folder that"):
            settle(tmp_path)
        (tmp_path / ".overwritten").unlink()
    write(tmp_path / ".overwritten-moving", {"run.json": "older"})
    with pytest.raises(InputError, match=r"run\.json: is in \.overwritten-moving too; remove one"):
        settle(tmp_path)
    assert (tmp_path / "run.json").read_text() == OLD["run.json"]


def record(**changed: Any) -> dict[str, Any]:
    return {"format": FORMAT, "config": {"overwrite": True, "rate": 1}} | changed


OVERWRITTEN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "begun without it": (record(config={"overwrite": False, "rate": 1}), {}),
    "of another configuration": (record(config={"overwrite": True, "rate": 2}), {}),
    "finished": (record(finished={"at": "now", "summary": "sum"}), {}),
    "of other inputs": (record(inputs="other"), {}),
    "not to be resumed": (record(), {"resume": False}),
    "damaged": (record(config=[]), {}),
}


@pytest.mark.parametrize(("old", "options"), OVERWRITTEN.values(), ids=OVERWRITTEN)
def test_overwriting_sets_aside_every_run_but_its_own(
    old: dict[str, Any], options: dict[str, Any], tmp_path: Path
):
    def same(found: dict[str, Any]) -> None:
        if "inputs" in found:
            raise InputError("other inputs")

    given: dict[str, Any] = {"may_change": ["overwrite"], "resume": True, "same": same} | options
    config = {"overwrite": True, "rate": 1}
    write_json(tmp_path / "run.json", old)
    assert open_run(tmp_path, config, overwrite=True, **given) is None
    assert (tmp_path / opening.ASIDE / "run.json").is_file()
    # Its own run, begun by now and killed, is resumed.
    write_json(tmp_path / "run.json", record())
    write(tmp_path, {"checkpoints/3/state/array": "new"})
    if given["resume"]:
        assert open_run(tmp_path, config, overwrite=True, **given) == record()
        assert [p.name for p in opening.made(tmp_path)] == ["checkpoints", "run.json"]
        assert not (tmp_path / opening.ASIDE).exists()


@pytest.mark.parametrize("config", [{"rate": 1}, {"other": 1}], ids=["older", "another subject"])
def test_an_option_that_the_run_lacks_is_told_as_one(config: dict[str, Any], tmp_path: Path):
    write_json(tmp_path / "run.json", record(config=config))
    with pytest.raises(InputError, match=r"cell: \(absent\) -> gru") as caught:
        open_run(
            tmp_path,
            {"rate": 1, "cell": "gru"},
            may_change=(),
            resume=True,
            overwrite=False,
        )
    assert ("finish it with the jaxdl that began it" in str(caught.value)) == ("rate" in config)


def test_a_run_without_its_record_is_not_begun_again(tmp_path: Path):
    left = {"splits/train.txt": "a", "vocabulary.txt": "b", "mine/.notes.1.tmp": "mine"}
    write(tmp_path, left | {".run.json.4711.tmp": "{", "splits/.sha256.txt.4711.tmp": ""})
    options: dict[str, Any] = {"may_change": (), "resume": True, "overwrite": False}
    assert open_run(tmp_path, {}, **options) is None  # killed before its record
    assert read(tmp_path) == left
    write(tmp_path, {"metrics.jsonl": "rows"})
    with pytest.raises(InputError, match=r"holds no run\.json, but metrics\.jsonl; restore it"):
        open_run(tmp_path, {}, **options)
