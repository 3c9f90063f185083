"""What a run survives: damage to its checkpoints, a full disk, a second run, a killed writer.

`tests/soak` kills all four experiments many times over; here is each property once, on the
smallest of them.
"""

import gzip
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jaxdl.cli.progress import Bar
from jaxdl.digits import command as digits
from jaxdl.digits.config import Config
from jaxdl.errors import InputError, TrainingError
from jaxdl.fcn import command as fcn
from jaxdl.fcn import config as fcn_config
from jaxdl.fcn.data import archives, scenes
from jaxdl.files import locks
from jaxdl.files.atomic import read_json, write_json
from jaxdl.lstm import command as lstm_sine
from jaxdl.lstm import config as lstm_config
from jaxdl.training import checkpoint
from jaxdl.training.opening import ASIDE, open_run
from jaxdl.training.run_folder import FORMAT, read_rows
from jaxdl.word2vec import command as word2vec
from jaxdl.word2vec import config as word2vec_config
from jaxdl.word2vec.data import corpus, docstrings
from tests.digits.test_digits import idx, pictures
from tests.helpers import processes

# One worker runs the file: the straight run is made once.
pytestmark = [pytest.mark.xdist_group("survive"), pytest.mark.slow]

MODULE = "jaxdl digits"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Six epochs of a few pictures."""
    home = tmp_path_factory.mktemp("pictures")
    for name, count in (("train", 64), ("t10k", 16)):
        part = pictures(count)
        (home / f"{name}-images-idx3-ubyte").write_bytes(idx(part.images))
        (home / f"{name}-labels-idx1-ubyte").write_bytes(idx(part.labels))
    return ("--data", str(home), "--epochs", "6", "--batch-size", "16")


@pytest.fixture(scope="module")
def straight(small: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("digits") / "straight"
    done = processes.finish(MODULE, *small, "--out", str(out), fresh=True)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def stopped(small: tuple[str, ...], straight: Path) -> Path:
    """A run that was killed: steps of three epochs or more, not finished."""
    out = straight.parent / "stopped"
    status, _ = processes.stop_at(MODULE, "epoch 4/6", signal.SIGKILL, *small, "--out", str(out))
    assert status == -signal.SIGKILL
    assert not (out / "summary.json").exists()
    return out


@pytest.fixture
def run(stopped: Path, tmp_path: Path) -> Path:
    """The stopped run, to resume or to damage."""
    return Path(shutil.copytree(stopped, tmp_path / "run"))


def assert_same(run: Path, straight: Path) -> None:
    """The figures and parameters are the straight run's to the bit, and each step has one row."""
    rows, expected = (
        [{k: v for k, v in row.items() if k != "seconds"} for row in read_rows(p / "metrics.jsonl")]
        for p in (run, straight)
    )
    assert rows == expected
    ours, theirs = (checkpoint.load_params(p / "checkpoints") for p in (run, straight))
    jax.tree.map(np.testing.assert_array_equal, ours[0], theirs[0])
    assert [ours[1] | {"run": ""}, ours[2]] == [theirs[1] | {"run": ""}, theirs[2]]
    ours, theirs = (read_json(p / "summary.json")["digits"] for p in (run, straight))
    assert ours | {"seconds": 0} == theirs | {"seconds": 0}
    assert (run / "samples.json").read_bytes() == (straight / "samples.json").read_bytes()


# --- damage


def flip_newest(run: Path) -> Path:
    """Flip a bit in the middle of the newest step's largest file; the file."""
    newest = run / "checkpoints" / str(checkpoint.steps(run / "checkpoints")[-1])
    path = max((p for p in newest.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return path


def test_a_run_goes_on_from_the_newest_sound_step(
    small: tuple[str, ...], run: Path, straight: Path
):
    before, newest = checkpoint.steps(run / "checkpoints")[-2:]
    file = flip_newest(run)
    done = processes.finish(MODULE, *small, "--out", str(run))
    assert done.returncode == 0, done.stderr
    assert f"{file}: is damaged" in done.stdout
    assert f"step {newest} is not used, the newest sound one is {before}" in done.stdout
    assert f"resumes at step {before}" in done.stdout
    assert_same(run, straight)
    assert (run / "checkpoints" / f"damaged-{newest}").is_dir()


def test_without_a_sound_step_a_run_stops_in_one_line(small: tuple[str, ...], run: Path):
    for step in checkpoint.steps(run / "checkpoints"):
        (run / "checkpoints" / str(step) / "meta" / "metadata").unlink()
    rows = (run / "metrics.jsonl").read_bytes()
    done = processes.finish(MODULE, *small, "--out", str(run))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "meta/metadata: is missing" in done.stderr
    assert "train again with --overwrite" in done.stderr
    assert (run / "metrics.jsonl").read_bytes() == rows


# --- a full disk


def on_a_small_disk(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script whose folder $DISK is a tmpfs of $SIZE that goes when the script ends.

    A mount namespace of its own: as root, or else as root of a user namespace.
    """
    for how in (["unshare", "--mount"], ["unshare", "--mount", "--map-root-user"]):
        if shutil.which("unshare") and not subprocess.run([*how, "true"], check=False).returncode:
            command = [*how, "sh", "-euc", script, "sh", *arguments]
            return subprocess.run(
                command,
                cwd=processes.ROOT,
                env=processes.environment(),
                capture_output=True,
                text=True,
                check=False,
            )
    pytest.skip("this machine lets us mount no tmpfs: neither as root nor in a user namespace")


FILL = """
disk=$1 run=$2; shift 2
mount -t tmpfs -o size=40m none "$disk"
cp -a "$run" "$disk/run"
# What the kill left half deleted would make room when the run resumes.
rm -rf "$disk/run/checkpoints/deleted" "$disk"/run/checkpoints/*.orbax-checkpoint-tmp*
# All that is left but some kilobytes: enough for a row of metrics, too little for a checkpoint.
dd if=/dev/zero of="$disk/fill" bs=4k 2>/dev/null || true
dd if=/dev/null of="$disk/fill" bs=1k seek=$(($(stat -c %s "$disk/fill") / 1024 - 64)) 2>/dev/null
status=0; "$@" --out "$disk/run" >/dev/null || status=$?
echo "status $status"
rm "$disk/fill"
"$@" --out "$disk/run" | grep -c "resumes at step"
cp -a "$disk/run" "$run-done"
"""


def test_a_full_disk_stops_a_run_and_the_last_checkpoint_stays(
    small: tuple[str, ...], run: Path, straight: Path
):
    disk = run.parent / "disk"
    disk.mkdir()
    command = [sys.executable, "-m", *MODULE.split(), *small]
    done = on_a_small_disk(FILL, str(disk), str(run), *command)
    assert done.stdout.splitlines() == ["status 3", "1"], done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {disk}/run/")
    assert "No space left on device" in line
    assert "free some space and run the same command to resume" in line
    assert_same(run.with_name("run-done"), straight)


def test_a_checkpoint_that_cannot_be_written_is_one_line(
    small: tuple[str, ...], run: Path, straight: Path
):
    """A limit on the size of files fails in the system, as a full disk, and needs no mount."""
    kept = checkpoint.steps(run / "checkpoints")
    code = (
        "import atexit, gc, resource, runpy, sys; size = int(sys.argv.pop(1));"
        "atexit.register(gc.collect);"  # what is told of objects nobody came for is told for sure
        "resource.setrlimit(resource.RLIMIT_FSIZE, (size, size));"
        "sys.argv.insert(1, 'digits');"
        "runpy.run_module('jaxdl', run_name='__main__', alter_sys=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "60000", *small, "--out", str(run)],
        cwd=processes.ROOT,
        env=processes.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (3, 1), done.stderr
    assert "a checkpoint cannot be saved (File too large)" in done.stderr
    assert f"step {kept[-1]}, the last that was saved, is whole" in done.stderr
    assert checkpoint.sound_steps(run / "checkpoints") == kept
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == sorted(map(str, kept))
    assert processes.finish(MODULE, *small, "--out", str(run)).returncode == 0
    assert_same(run, straight)


PREPARERS: dict[str, Callable[[Path], Any]] = {
    "encoded text": lambda folder: corpus.encode([folder.parent / "text.txt"], folder),
    "embedded text": lambda folder: docstrings.write_docstrings(folder / "text.txt"),
    "scenes": lambda folder: scenes.write_scenes(folder / "scenes", train=1, val=1, seed=0),
}


@pytest.mark.parametrize("write", PREPARERS.values(), ids=PREPARERS)
def test_a_full_disk_stops_what_prepares_data_and_leaves_nothing_half(
    write: Callable[[Path], Any], tmp_path: Path
):
    """Status 3, as everywhere: the same command may have room later."""
    (tmp_path / "text.txt").write_text("some words of a text\n" * 2000)
    folder = tmp_path / "data"
    folder.mkdir()
    with (
        processes.full_after(512),
        pytest.raises(
            TrainingError, match=r"data.*: cannot be written \(.*\); free some space and"
        ),
    ):
        write(folder)
    assert not [path for path in folder.rglob("*") if path.is_file() and path.name != locks.LOCK]


# --- two runs in one folder


CONFIGS: dict[str, tuple[Callable[..., dict], Callable[[Path], Any]]] = {
    "fcn": (fcn.run, lambda out: fcn_config.Config(preset="demo", out=out)),
    "word2vec": (word2vec.run, lambda out: word2vec_config.Config(preset="demo", out=out)),
    "lstm_sine": (lstm_sine.run, lambda out: lstm_config.Config(out=out)),
    "digits": (digits.run, lambda out: Config(out=out)),
}


@pytest.mark.parametrize(("run", "config"), CONFIGS.values(), ids=CONFIGS)
def test_every_experiment_refuses_a_folder_that_is_in_use(
    run: Callable[..., dict], config: Callable[[Path], Any], tmp_path: Path
):
    out = tmp_path / "run"
    message = f"run: another run is at work in this folder \\(process {os.getpid()} on "
    with locks.alone(out), pytest.raises(InputError, match=message):
        run(config(out), Bar())
    assert not out.exists()  # empty, and made for the lock


def test_the_second_run_is_refused_and_the_lock_of_a_killed_one_is_not_heeded(
    small: tuple[str, ...], straight: Path, tmp_path: Path
):
    out = tmp_path / "run"
    command = [sys.executable, "-m", *MODULE.split(), *small, "--out", str(out)]
    with subprocess.Popen(
        command,
        cwd=processes.ROOT,
        env=processes.environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as first:
        assert first.stdout is not None
        assert "to train on" in next(iter(first.stdout))
        first.send_signal(signal.SIGSTOP)  # it is at work for as long as the second takes
        try:
            second = processes.finish(MODULE, *small, "--out", str(out), "--overwrite")
        finally:
            first.kill()
    assert (second.returncode, second.stderr.count("\n")) == (2, 1)
    assert f"another run is at work in this folder (process {first.pid} on " in second.stderr
    assert (out / locks.LOCK).is_file()
    done = processes.finish(MODULE, *small, "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert not (out / locks.LOCK).exists()
    assert_same(out, straight)


def test_overwriting_keeps_the_lock_and_nothing_else(tmp_path: Path):
    write_json(tmp_path / "run.json", {"config": {}})
    (tmp_path / "checkpoints" / "3").mkdir(parents=True)
    with locks.alone(tmp_path):
        assert open_run(tmp_path, {}, may_change=(), resume=True, overwrite=True) is None
        assert sorted(p.name for p in tmp_path.iterdir()) == [locks.LOCK, ASIDE]


def test_overwriting_deletes_what_runs_leave_and_no_input(tmp_path: Path):
    out = tmp_path / "run"
    write_json(out / "run.json", {"config": {}})
    for name in ("fcn8s/checkpoints/3/file", "notes.txt", "mine/a.csv", "vocabulary.txt"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).touch()
    before = sorted(out.rglob("*"))
    link = tmp_path / "link"
    link.symlink_to(out)
    for given in (out, out / "fcn8s", link / "vocabulary.txt"):
        with pytest.raises(InputError, match="the run would write over this input; move it"):
            open_run(out, {}, may_change=(), resume=True, overwrite=True, inputs=[given])
    with pytest.raises(InputError, match="fcn8s: the run would write over this input"):
        open_run(out, {}, may_change=(), resume=True, overwrite=False, inputs=[out / "fcn8s"])
    assert sorted(out.rglob("*")) == before
    open_run(
        out, {}, may_change=(), resume=True, overwrite=True, inputs=[tmp_path, out / "notes.txt"]
    )
    assert sorted(p.name for p in out.iterdir()) == [ASIDE, "mine", "notes.txt"]
    assert open_run(out, {}, may_change=(), resume=True, overwrite=True) is None  # a second time
    other = tmp_path / "other"
    (other / "samples").mkdir(parents=True)
    with pytest.raises(InputError, match=r"holds no run\.json, so --overwrite will not delete sam"):
        open_run(other, {}, may_change=(), resume=True, overwrite=True)


def test_every_file_of_a_run_is_one_that_overwriting_deletes(straight: Path, tmp_path: Path):
    out = Path(shutil.copytree(straight, tmp_path / "run"))
    open_run(out, {}, may_change=(), resume=True, overwrite=True)
    assert [p.name for p in out.iterdir()] == [ASIDE]


# --- writers that were killed


def test_what_a_killed_run_left_half_written_is_removed(tmp_path: Path):
    write_json(tmp_path / "run.json", {"format": FORMAT, "config": {}})
    (tmp_path / "samples").mkdir()
    left = [tmp_path / ".vectors.bin.4711.tmp", tmp_path / "samples" / ".a.png.4711.tmp"]
    for path in left:
        path.write_text("half")
    (tmp_path / ".mine.tmp").touch()  # not a name of ours
    with locks.alone(tmp_path):
        assert open_run(tmp_path, {}, may_change=(), resume=True, overwrite=False) is not None
    assert sorted(p.name for p in tmp_path.iterdir()) == [".mine.tmp", "run.json", "samples"]
    assert not any((tmp_path / "samples").iterdir())


KILLED = """
import os, signal, sys
from pathlib import Path
{}
def stop(done, of):
    if done > of // 2:
        os.kill(os.getpid(), signal.SIGKILL)
{}
"""
WRITERS = {
    "docstrings": (
        "from jaxdl.word2vec.data import docstrings as d\n"
        "d._sources = lambda: sorted(Path('jaxdl').rglob('*.py'))",
        "d.write_docstrings(Path(sys.argv[1]) / 'text', stop)",
        lambda folder: docstrings.write_docstrings(folder / "text"),
    ),
    "scenes": (
        "from jaxdl.fcn.data.scenes import write_scenes",
        "write_scenes(Path(sys.argv[1]) / 's', train=4, val=2, seed=0, progress=stop)",
        lambda folder: scenes.write_scenes(folder / "s", train=4, val=2, seed=0),
    ),
}


@pytest.mark.parametrize(("load", "call", "write"), WRITERS.values(), ids=WRITERS)
def test_a_killed_writer_leaves_nothing_that_passes_for_whole(
    load: str,
    call: str,
    write: Callable[[Path], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """The tests of corpus (word2vec) and records (FCN) do the same with theirs."""
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    own = sorted((processes.ROOT / "jaxdl").rglob("*.py"))  # the whole text takes too long
    monkeypatch.setattr(docstrings, "_sources", lambda: own)
    done = subprocess.run(
        [sys.executable, "-c", KILLED.format(load, call), str(killed)],
        cwd=processes.ROOT,
        env=processes.environment(),
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    names = {p.name for p in killed.iterdir()}
    assert names
    assert all(name.startswith(".") for name in names)
    for folder in (killed, straight):
        write(folder)
    ours, theirs = (
        {p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file()}
        for f in (killed, straight)
    )
    assert ours == theirs


def test_a_half_unpacked_archive_is_unpacked_again(tmp_path: Path):
    path, cache = tmp_path / "a.tgz", tmp_path / "cache"
    path.write_bytes(gzip.compress(b"whole" * 1000))
    plain = archives._uncompressed(path, cache, "1")
    plain.rename(plain.with_suffix(".part"))
    plain.with_suffix(".part").write_bytes(b"who")
    assert archives._uncompressed(path, cache, "1").read_bytes() == b"whole" * 1000
    assert [p.name for p in cache.iterdir()] == [plain.name]
