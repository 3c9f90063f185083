"""What all benchmarks share: refusals before any work, the head, rows that say all."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks import check_numbers, shape
from benchmarks.fcn import __main__ as fcn
from benchmarks.fcn import layers, loader, real_photos
from benchmarks.lstm import __main__ as lstm
from benchmarks.lstm import exported, forecasts
from benchmarks.process import ROOT
from benchmarks.word2vec import __main__ as word2vec
from benchmarks.word2vec import same_as_gensim
from jaxdl.errors import InputError

PROGRAMS: dict[str, tuple[Any, Callable[[Any], object]]] = {
    "fcn": (fcn.Config, fcn.run),
    "layers": (layers.Config, layers.run),
    "loader": (loader.Config, loader.run),
    "lstm": (lstm.Config, lstm.run),
    "forecasts": (forecasts.Config, forecasts.run),
    "exported": (exported.Config, exported.run),
    "word2vec": (word2vec.Config, word2vec.run),
    "real_photos": (real_photos.Options, real_photos.run_all),
    "same_as_gensim": (same_as_gensim.Config, same_as_gensim.run),
    "check_numbers": (check_numbers.Config, check_numbers.run_all),
}
ALONE = "--tools ours --gensim-python none "
NO_PLACE = "file/rows.json: cannot be written"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(shape.Options):
    """A made-up benchmark."""

    size: int = 224
    """A number."""
    sizes: tuple[int, ...] = (1, 2)
    """Numbers."""
    out: Path = Path("none")
    """A folder."""


@pytest.mark.parametrize(
    ("program", "typed", "message"),
    [
        ("fcn", "--sizes x", "--sizes x: give the side"),
        ("fcn", "--strides 32 32", "--strides: name at least one, each once"),
        ("fcn", "--batches 0", "--batches 0: must be 1 or more"),
        ("fcn", "--width 65", "--width 65: must be 1 to 64"),
        ("fcn", "--systems torch --torch-python none", "none: no Python that has torch"),
        ("fcn", "--systems ours --json file/rows.json", NO_PLACE),
        *(("layers", f"--size {n}", f"--size {n}: must be 1 or more") for n in (0, -5)),
        *(("layers", f"--width {n}", f"--width {n}: must be 1 to 64") for n in (0, 128)),
        ("layers", "--batch 0", "--batch 0: must be 1 or more"),
        ("layers", "--json file/rows.json", NO_PLACE),
        *(("loader", f"--{n} 0", f"--{n} 0: must be 1") for n in ("images", "batch", "width")),
        ("loader", "--json file/rows.json", NO_PLACE),
        ("lstm", "--runs 0", "--runs 0: must be 1 or more"),
        ("lstm", "--steps 150", "--steps 150: must be a multiple of 100"),
        ("lstm", "--epochs 100", "--epochs: no such option; did you mean --steps?"),
        ("lstm", "--torch-python none", "none: no Python that has torch; run make bench-lstm"),
        ("forecasts", "--names x", "--names x: choose from airline"),
        ("forecasts", "--names nile nile", "--names nile nile: name one or more, each once"),
        ("forecasts", "--peers-python none", "none: no Python that has statsforecast"),
        ("exported", "none", "none"),
        ("exported", "none --repeats 0", "--repeats 0: must be 1 or more"),
        ("word2vec", ALONE + "--epochs 0", "--epochs 0: must be 1 or more"),
        ("word2vec", ALONE + "--seeds 1 1", "--seeds 1 1: name one or more, each once"),
        ("word2vec", ALONE + "--seeds -1", "--seeds -1: must be 0 or more"),
        ("word2vec", ALONE + "--workers 0", "--workers 0: must be 1 or more"),
        ("word2vec", ALONE + "--corpus none.txt", "none.txt: no such file"),
        ("word2vec", ALONE + "--word-pairs none.tsv", "none.tsv: no such file"),
        ("word2vec", ALONE + "--analogies a b", "--analogies: give one file"),
        ("word2vec", ALONE + "--json file/rows.json", NO_PLACE),
        ("word2vec", "--gensim-python none", "none: no Python that has gensim; run make bench-w"),
        ("real_photos", "--updates 4", "--updates 4: must be a multiple of 3"),
        ("real_photos", "--json file/rows.json", NO_PLACE),
        ("same_as_gensim", "--gensim-python none", "none: no Python that has gensim"),
        ("check_numbers", "--only nothing", "--only nothing: no step has this in its name"),
        ("check_numbers", "--only (", "is no pattern"),
        ("check_numbers", "--only digits --json file/rows.json", NO_PLACE),
    ],
)
def test_what_cannot_run_is_told_in_one_line_before_any_work(
    program: str, typed: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.chdir(tmp_path)
    config, run = PROGRAMS[program]
    with pytest.raises(InputError) as error:
        run(shape.options(config, program, "x  # y", typed.split()))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.slow
def test_a_refusal_ends_with_status_2_before_any_work(tmp_path: Path):
    """This Python has no gensim."""
    command = [sys.executable, "-m", "benchmarks.word2vec", "--gensim-python", sys.executable]
    command += ["--out", str(tmp_path / "out"), "--json", str(tmp_path / "rows.json")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {sys.executable}: no Python that has gensim")
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_quick_replaces_what_nobody_changed():
    small = {"size": 8, "sizes": (3,)}
    assert shape.settled(Config(size=9), **small) == Config(size=9)
    quick = shape.settled(Config(quick=True, size=9), **small)
    assert quick == Config(quick=True, size=9, sizes=(3,))


def test_a_peer_is_asked_for_its_version_without_importing_it():
    found = shape.peer(Path(sys.executable), "numpy", "bench-x")
    assert found.version == np.__version__
    assert (found.folder / "__init__.py").is_file()


def test_the_head_comes_once_and_each_row_says_all(tmp_path: Path, capsys):
    rows = tmp_path / "work" / "rows.json"
    cfg = Config(quick=True, json=rows)
    bench = shape.begin(cfg, "benchmarks.x", work=tmp_path / "work", versions={"torch": "2.13"})
    head = capsys.readouterr().out
    for text in ("machine: ", "cores: ", "GB", "kernels: ", "Python 3", "jaxlib ", "torch 2.13"):
        assert head.count(text) == 1, text
    assert "load: " in head
    assert "--quick: a small form; its seconds mean nothing" in head
    assert (tmp_path / "work").is_dir()
    assert pd.read_json(rows).empty  # the place was tried

    bench.add({"system": "ours", "size": 64, "cpu_s": None})
    bench.add({"system": "torch", "cpu_s": 2.5}, {"system": "last", "cpu_s": 3.5})
    found = pd.read_json(rows)
    assert found["system"].tolist() == ["ours", "torch", "last"]
    assert found["size"].tolist() == [64, 224, 224]  # a row's own value, else the option's
    assert found["cpu_s"].tolist()[1:] == [2.5, 3.5]
    assert found["quick"].all()
    for name in ("processor", "cores", "kernels", "jax", "jaxlib", "numpy"):
        assert found[name].nunique() == 1, name
    assert found["busy_share"].dropna().between(0, 1).all()
    assert not {"json", "out", "sizes"} & set(found.columns)


def test_an_earlier_file_of_rows_stays_until_there_is_a_new_one(tmp_path: Path):
    rows = tmp_path / "rows.json"
    cfg = Config(json=rows)
    shape.begin(cfg, "benchmarks.x").add({"kept": 1})
    shape.begin(cfg, "benchmarks.x")
    assert pd.read_json(rows)["kept"].tolist() == [1]
    with pytest.raises(InputError, match=r"is no result of benchmarks\.y"):
        shape.begin(cfg, "benchmarks.y")


STAT = """cpu  9 9 9 9 9 9 9 9 0 0
cpu0 100 20 30 700 50 5 5 90 40 0
cpu1 {} 0 0 {} 0 0 0 0 0 0
cpu10 999 0 0 999 0 0 0 0 0 0
intr 1 2 3
"""


def test_the_load_is_that_of_the_cores_that_may_be_used(monkeypatch: pytest.MonkeyPatch):
    """Waiting for a disk is idle, what a hypervisor takes is not; guests count once."""
    monkeypatch.setattr(shape.os, "sysconf", lambda name: 100)
    assert shape.spent(STAT.format(0, 0), {0}) == (10.0, 2.5)
    before = shape.Moment(*shape.spent(STAT.format(100, 100), {1}), own=1.0)
    after = shape.Moment(*shape.spent(STAT.format(400, 800), {1}), own=2.0)
    assert shape.others(before, after) == pytest.approx((3.0 - 1.0) / 10.0)
    assert shape.others(before, before) is None
    assert shape.others(before, after._replace(own=9.0)) == 0.0  # rounding of the counters


def test_a_processors_family_and_model_are_told():
    xeon = "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 207\n"
    xeon += "model name\t: Intel(R) Xeon(R) Processor\nflags\t\t: fpu vme\n\nprocessor\t: 1\n"
    assert shape.processor(xeon) == "Intel(R) Xeon(R) Processor, family 6, model 207"
    arm = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n"
    assert shape.processor(arm) == "implementer 0x41, part 0xd0c"
    assert shape.processor("")
