"""Checkpoints: what is kept, exact restore, damage, a failed save, what transfer reports."""

import gc
import logging
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl.errors import InputError, TrainingError
from jaxdl.fcn.metrics import empty_metrics
from jaxdl.fcn.models.fcn import FCN
from jaxdl.fcn.stages import find
from jaxdl.files import checksums, limits
from jaxdl.training import checkpoint
from jaxdl.training.optimizers import momentum_sgd
from jaxdl.training.quiet import quiet
from jaxdl.training.step import TrainState, start_state
from jaxdl.training.transfer import transfer
from tests.helpers.processes import full_after


def params_of(stride: Any, num_classes: int = 3, width: int = 32) -> dict:
    model = FCN(stride, num_classes, width)
    return jax.jit(model.init)(jax.random.key(stride), jnp.zeros((1, 32, 32, 3)))["params"]


best = checkpoint.Score("mean_iu")


def same(a: object, b: object) -> None:
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x, y), a, b)


def test_latest_and_best_are_kept(tmp_path: Path):
    """Orbax's own best_fn would delete the newest step, and with it the resume."""
    with checkpoint.open_manager(tmp_path, best) as manager:
        for step, score in ((10, 0.3), (20, 0.9), (30, 0.5), (40, 0.4)):
            checkpoint.save(manager, step, {"step": jnp.asarray(step)}, {}, {"mean_iu": score})
        checkpoint.save(manager, 45, {"step": jnp.asarray(45)}, {}, None)
    # The last two: if one is damaged, there is another.
    assert checkpoint.steps(tmp_path) == [20, 40, 45]
    assert checkpoint.best_step(tmp_path) == 20
    assert sorted(p.name for p in tmp_path.iterdir()) == ["20", "40", "45"]


def test_what_was_saved_is_freed_without_a_search_for_cycles(tmp_path: Path):
    """A run that saves often would hold its state several times."""
    with checkpoint.open_manager(tmp_path, best) as manager:
        gc.collect()
        gc.disable()
        try:
            for step in (1, 2):
                checkpoint.save(manager, step, {"a": jnp.zeros((317, 211))}, {}, None)
            manager.wait_until_finished()
            assert not [array for array in jax.live_arrays() if array.shape == (317, 211)]
        finally:
            gc.enable()


@pytest.mark.parametrize("kept", [(3,), (3, 20, 100)])
def test_a_save_that_fails_names_the_newest_step(tmp_path: Path, kept: tuple[int, ...]):
    with checkpoint.open_manager(tmp_path, best) as manager:
        for step in kept:
            checkpoint.save(manager, step, {"step": jnp.asarray(step)}, {}, {"mean_iu": 1 / step})
    told = f"step {kept[-1]}, the last that was saved, is whole; free some space"
    with full_after(0), pytest.raises(TrainingError, match=told), checkpoint._saving(tmp_path):
        (tmp_path / "more").write_bytes(b"12345")
    # TensorStore's words on a full disk, where it leaves out the system's number.
    words = (
        'RESOURCE_EXHAUSTED: Error writing "metrics.confusion/0.0" in OCDBT database at local file'
    )
    with pytest.raises(TrainingError, match=told), checkpoint._saving(tmp_path):
        raise ValueError(words)


@pytest.mark.slow
def test_restore_gives_the_same_bits_in_the_same_types(tmp_path: Path):
    optimizer = momentum_sgd()
    state = start_state(params_of(16), optimizer)._replace(step=jnp.asarray(7, jnp.int32))
    kept = {**state._asdict(), "totals": empty_metrics(3)._replace(loss=jnp.asarray(1.5))}
    with checkpoint.open_manager(tmp_path, best) as manager:
        assert checkpoint.restore(manager, kept) is None
        checkpoint.save(manager, 7, kept, {"classes": ["a", "b"]}, None)
    blank = start_state(jax.tree.map(jnp.zeros_like, state.params), optimizer)
    with checkpoint.open_manager(tmp_path, best) as manager:
        like = {**blank._asdict(), "totals": empty_metrics(3)}
        found = checkpoint.restore(manager, like)
        of_numpy = checkpoint.restore(manager, jax.tree.map(np.asarray, like))
    same(found, kept)
    same(of_numpy, kept)
    here = {jax.devices()[0]}
    assert all(leaf.devices() == here for leaf in jax.tree.leaves(of_numpy))
    assert jax.tree.structure(found) == jax.tree.structure(kept)
    assert TrainState(**{k: found[k] for k in TrainState._fields}).step.dtype == jnp.int32


@pytest.mark.slow
def test_parameters_are_read_alone_and_found_in_a_run(tmp_path: Path):
    params, optimizer = params_of(8), momentum_sgd()
    folder = tmp_path / "run" / "fcn8s" / "checkpoints"
    with checkpoint.open_manager(folder, best) as manager:
        kept = start_state(params, optimizer)._asdict()
        checkpoint.save(manager, 3, kept, {"mean": [1.0, 2.0, 3.0]}, None)
    for path in (tmp_path / "run", folder.parent, folder):
        assert find(path) == folder
    found, meta, step = checkpoint.load_params(folder)
    same(found, params)
    assert (meta["mean"], step) == ([1.0, 2.0, 3.0], 3)
    with pytest.raises(InputError, match=r"no checkpoint of step 9: its steps are \[3\]"):
        checkpoint.load_params(folder, 9)


def test_parameters_that_claim_more_than_their_files_can_fill(tmp_path: Path, monkeypatch):
    """Orbax would take the memory that the arrays' shapes ask for."""
    params = {"kernel": jnp.zeros((1 << 20,)), "bias": jnp.ones((3,))}
    with checkpoint.open_manager(tmp_path, best) as manager:
        checkpoint.save(manager, 1, {"params": params}, {}, None)
    same(checkpoint.load_params(tmp_path)[0], params)  # within what is free
    monkeypatch.setattr(limits, "FREE", 1 << 20)
    with pytest.raises(InputError, match=r"1/state: \d+ bytes that claim to be arrays of 4 MiB"):
        checkpoint.load_params(tmp_path)


def test_a_folder_without_checkpoints_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="holds no checkpoint"):
        find(tmp_path)
    # What a killed save leaves is not taken for a step.
    (tmp_path / "5.orbax-checkpoint-tmp").mkdir()
    with pytest.raises(InputError, match="holds no checkpoint"):
        checkpoint.load_params(tmp_path)
    (tmp_path / "9").mkdir()
    with pytest.raises(InputError, match=r"9/SHA256SUMS: is missing.*no step of .* is sound"):
        checkpoint.load_params(tmp_path)


def state_of(step: int) -> dict[str, Any]:
    array = jax.random.normal(jax.random.key(step), (4000,))
    return {"step": jnp.asarray(step), "params": {"layer": {"kernel": array}}}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Steps 10 and 20; 20 has no metrics."""
    folder = tmp_path_factory.mktemp("written")
    with checkpoint.open_manager(folder, best) as manager:
        checkpoint.save(manager, 10, state_of(10), {"a": 1}, {"mean_iu": 0.5})
        checkpoint.save(manager, 20, state_of(20), {"a": 2}, None)
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "copy"))


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def data_file(step: Path) -> Path:
    """The largest file: the arrays."""
    return max((p for p in step.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def empty(step: Path) -> Path:
    shutil.rmtree(step)
    step.mkdir()
    return step / "SHA256SUMS"


def damaged(how: Callable[..., object], path: Path, *arguments: object) -> Path:
    how(path, *arguments)
    return path


# Each damages step 20 and returns the file that has to be named.
DAMAGE: dict[str, Callable[[Path], Path]] = {
    "a flipped bit of an array": lambda step: damaged(flip, data_file(step), 5000),
    "an array cut short": lambda step: damaged(cut, data_file(step), 5000),
    "no array": lambda step: damaged(Path.unlink, data_file(step)),
    "a flipped bit of the description": lambda step: damaged(flip, step / "meta/metadata", 2),
    "an empty description": lambda step: damaged(cut, step / "meta/metadata", 0),
    "no sums": lambda step: damaged(Path.unlink, step / "SHA256SUMS"),
    "empty sums": lambda step: damaged(cut, step / "SHA256SUMS", 0),
    "an empty folder": empty,
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_step_is_named_and_the_one_before_it_used(
    damage: Callable[[Path], Path], folder: Path, capsys: pytest.CaptureFixture[str]
):
    file, said = damage(folder / "20"), []
    params, meta, step = checkpoint.load_params(folder)
    assert (step, meta) == (10, {"a": 1})
    same(params, state_of(10)["params"])
    told = capsys.readouterr().out
    assert told.startswith(f"{file}: ")
    assert "step 20 is not used, the newest sound one is 10" in told
    with pytest.raises(InputError, match=re.escape(str(file))):
        checkpoint.load_params(folder, 20)
    # A run sets it aside, resumes from the other, and may save the step again.
    with checkpoint.open_manager(folder, best, said.append) as manager:
        same(checkpoint.restore(manager, state_of(0)), state_of(10))
        checkpoint.save(manager, 20, state_of(20), {"a": 2}, None)
    (line,) = said
    assert line.startswith(f"{file}: ")
    assert line.endswith("set aside as damaged-20")
    assert checkpoint.sound_steps(folder) == [10, 20]


def test_a_file_too_many_is_named_and_costs_no_step(folder: Path):
    """A system's file does not count; another is cured by removing it, which the line says."""
    for name in (".DS_Store", "state/._x", ".nfs000012", "meta/Thumbs.db", "desktop.ini"):
        (folder / "20" / name).touch()
    assert checkpoint.sound_steps(folder) == [10, 20]
    for step in ("20", "10"):  # one step, then all of them
        (folder / step / "state" / "more").touch()
        message = r"copy/20/state/more: does not belong to its folder .*; remove it$"
        with pytest.raises(InputError, match=message), checkpoint.open_manager(folder, best):
            pass
    assert checkpoint.steps(folder) == [10, 20]


def test_a_renamed_step_is_damaged_and_anothers_step_is_refused(folder: Path):
    said: list[str] = []
    folder = folder.with_name("new")
    with checkpoint.open_manager(folder, best) as manager:
        for step in (30, 40):
            meta = {"step": step, "run": "ours"}
            checkpoint.save(manager, step, state_of(step), meta, {"mean_iu": step / 100})
    (folder / "40").rename(folder / "1000")
    (folder / "damaged-1000").touch()  # something else is called so already
    with checkpoint.open_manager(folder, best, said.append, "ours") as manager:
        assert manager.latest_step() == 30
    (line,) = said
    assert "1000: is step 40 of its run under another name" in line
    assert (folder / "damaged-1000-2").is_dir()
    message = r"30: is a checkpoint of another run \(ours, and this one is other\); remove it"
    with (
        pytest.raises(InputError, match=message),
        checkpoint.open_manager(folder, best, run="other"),
    ):
        pass


@pytest.mark.slow
def test_every_flipped_bit_is_seen(folder: Path):
    """Of every file, the sums too, at places all over it."""
    step = folder / "20"
    assert checksums.damage(step) is None
    files = [path for path in step.rglob("*") if path.is_file()]
    assert len(files) > 8
    for path in files:
        whole = path.read_bytes()
        for at in np.unique(np.linspace(0, len(whole) - 1, 40).astype(int)):
            flip(path, at)
            assert checksums.damage(step) is not None, (path, at)
            path.write_bytes(whole)
    assert checksums.damage(step) is None


def test_every_line_that_the_sums_lack_is_seen(folder: Path):
    sums = folder / "20" / "SHA256SUMS"
    lines = sums.read_text().splitlines(keepends=True)
    for n in range(len(lines)):
        sums.write_text("".join(lines[:n]))
        assert checksums.damage(folder / "20") is not None
        sums.write_text("".join(lines[:n] + lines[n + 1 :]))
        assert checksums.damage(folder / "20") is not None


def test_sha256sum_agrees(folder: Path):
    command = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    assert subprocess.run(command, cwd=folder / "20", check=False).returncode == 0
    listed = (folder / "20" / "SHA256SUMS").read_text().splitlines()
    assert len(listed) + 1 == len([p for p in (folder / "20").rglob("*") if p.is_file()])


def test_without_a_sound_step_nothing_is_touched(folder: Path):
    for step in ("10", "20"):
        flip(data_file(folder / step), 100)
    before = sorted(folder.rglob("*"))
    message = f"^{re.escape(str(data_file(folder / '20')))}: is damaged .* no step of .*10, 20"
    with (
        pytest.raises(InputError, match=message),
        checkpoint.open_manager(folder, best),
    ):
        pass
    for read in (checkpoint.load_params, checkpoint.best_step):
        with pytest.raises(InputError, match=message):
            read(folder)
    assert sorted(folder.rglob("*")) == before


def test_the_best_step_is_a_sound_one(folder: Path, capsys: pytest.CaptureFixture[str]):
    flip(folder / "10" / "metrics" / "metrics", 3)
    assert checkpoint.best_step(folder) == 20  # the other sound one, saved without metrics
    told = capsys.readouterr().out
    assert "metrics/metrics: is damaged" in told
    assert "no checkpoint was saved with metrics; step 20, the newest, is used" in told


def test_what_killed_saves_and_deletions_left_is_removed(folder: Path):
    shutil.copytree(folder / "10", folder / "30.orbax-checkpoint-tmp")
    (folder / "30.orbax-checkpoint-tmp" / "SHA256SUMS").unlink()
    shutil.copytree(folder / "10" / "state", folder / checkpoint.DELETED / "5" / "state")
    with checkpoint.open_manager(folder, best) as manager:
        assert sorted(p.name for p in folder.iterdir()) == ["10", "20"]
        checkpoint.save(manager, 30, state_of(30), {}, None)
    assert checkpoint.sound_steps(folder) == [10, 20, 30]


@pytest.mark.slow
def test_transfer_carries_32s_into_16s_and_names_the_rest():
    source, target = params_of(32), params_of(16)
    moved = transfer(source, target)
    same(moved.params["trunk"], source["trunk"])
    same(moved.params["score_pool5"], source["score_pool5"])
    same(moved.params["score_pool4"], target["score_pool4"])
    assert len(moved.loaded) == 2 * 14
    assert sorted(moved.initialized) == ["score_pool4/bias", "score_pool4/kernel"]
    assert moved.unused == []
    # The other way round the skip is unused.
    back = transfer(target, source)
    assert sorted(back.unused) == ["score_pool4/bias", "score_pool4/kernel"]


@pytest.mark.slow
def test_transfer_to_other_classes_keeps_the_trunk_alone():
    moved = transfer(params_of(32, num_classes=21), params_of(32, num_classes=3))
    scores = ["score_pool5/bias", "score_pool5/kernel"]
    assert sorted(moved.initialized) == sorted(moved.unused) == scores
    assert len(moved.loaded) == 26


@pytest.mark.slow
def test_transfer_of_nothing_is_refused():
    with pytest.raises(InputError, match="no parameter could be loaded"):
        transfer({"other": {"kernel": jnp.zeros(3)}}, params_of(32))


def test_the_last_stage_is_told_by_stride_and_record(tmp_path: Path):
    """A copy has other times: in whatever order the folders were written."""
    for name in ("fcn8s", "fcn32s", "fcn16s"):
        (tmp_path / name / "checkpoints" / "3").mkdir(parents=True)
    assert find(tmp_path) == tmp_path / "fcn8s" / "checkpoints"
    (tmp_path / "run.json").write_text('{"config": {"stages": [32, 16]}}')
    assert find(tmp_path) == tmp_path / "fcn16s" / "checkpoints"
    for damaged in ("[", "[]", '{"config": {"stages": 3}}', '{"config": {"stages": [[8], "x"]}}'):
        (tmp_path / "run.json").write_text(damaged)
        assert find(tmp_path) == tmp_path / "fcn8s" / "checkpoints"
    shutil.rmtree(tmp_path / "fcn8s" / "checkpoints" / "3")  # a stage that has not begun
    assert find(tmp_path) == tmp_path / "fcn16s" / "checkpoints"
    (tmp_path / "lstm" / "checkpoints" / "3").mkdir(parents=True)
    with pytest.raises(InputError, match=r"several runs or stages .*fcn16s, fcn32s, lstm"):
        find(tmp_path)


def test_what_orbax_logs_beside_an_error_is_not_shown(caplog: pytest.LogCaptureFixture):
    log = logging.getLogger("absl")
    with quiet():
        log.error("Failed to read Metadata file: %s, error: %s", "a", "no space left")
        log.error("another")
    assert [record.getMessage() for record in caplog.records] == ["another"]
