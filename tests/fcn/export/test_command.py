"""`jaxdl fcn export`: what is in the folder runs, also without jaxdl; what is not ours stays."""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jaxdl import Segmenter
from jaxdl.__main__ import main
from jaxdl.fcn.export import command, safetensors
from jaxdl.fcn.models.fcn import FCN
from tests.helpers.processes import environment
from tests.helpers.untrained import exported

CLASSES = ("sky", "over/lay", "人")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    return exported(folder, FCN(8, 3, 64), safetensors.TORCH_MEAN, CLASSES)[0]


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "photo.png"
    image = np.random.default_rng(0).integers(0, 256, (21, 50, 3)).astype(np.uint8)
    Image.fromarray(np.sort(image, 1)).save(path)
    return path


@pytest.fixture(scope="module")
def shares(run: Path, photo: Path) -> str:
    """What an example prints."""
    classes = Segmenter.load(run).predict(photo).classes
    found = {name: (classes == n).mean() for n, name in enumerate(CLASSES)}
    assert sum(share > 0 for share in found.values()) > 1
    ordered = sorted(found.items(), key=lambda item: -item[1])
    return "".join(f"{name} {share:.1%}\n" for name, share in ordered if share > 0)


def words(run: Path, out: Path, *more: str) -> list[str]:
    return ["fcn", "export", str(run), "--out", str(out), *more]


def example(out: Path, photo: Path, monkeypatch: Any, capsys: Any) -> str:
    """What the example of a folder prints."""
    monkeypatch.setattr(sys, "argv", ["example.py", str(photo)])
    capsys.readouterr()
    runpy.run_path(str(out / "example.py"), run_name="__main__")
    return capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format", "output"),
    [("safetensors", None), ("onnx", "logits"), ("onnx", "probabilities"), ("onnx", "classes")],
)
def test_the_example_finds_what_predict_finds(
    run: Path, photo: Path, shares: str, format: str, output: str, tmp_path, monkeypatch, capsys
):
    more = [] if output is None else ["--output", output]
    assert main(words(run, tmp_path / "out", "--format", format, *more)) == 0
    assert example(tmp_path / "out", photo, monkeypatch, capsys) == shares


@pytest.mark.slow
@pytest.mark.parametrize("output", ["probabilities", "classes"])
def test_a_program_runs_in_a_process_without_jaxdl(
    run: Path, photo: Path, shares: str, output: str, tmp_path: Path
):
    out, size = tmp_path / "out", ["--size", "32", "64", "--batch-size", "2"]
    more = ["--format", "stablehlo", "--output", output, *size]
    assert main(words(run, out, *more)) == 0
    assert "| platforms | cpu, cuda |" in (out / "README.md").read_text()
    code = (
        "import runpy, sys; from importlib.util import find_spec;"
        "assert find_spec('jaxdl') is None, sys.path; sys.argv = sys.argv[1:];"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    packages = [path for path in sys.path if path.endswith("-packages")]
    done = subprocess.run(  # -S: files of paths in site-packages, as of an editable jaxdl, are left
        [sys.executable, "-S", "-c", code, str(out / "example.py"), str(photo)],
        env=environment() | {"PYTHONPATH": os.pathsep.join(packages), "PYTHONUTF8": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == (shares, 0), done.stderr


def test_torchvisions_example_runs(run: Path, photo: Path, tmp_path, monkeypatch, capsys):
    assert main(words(run, tmp_path / "out", "--layout", "torchvision")) == 0
    assert example(tmp_path / "out", photo, monkeypatch, capsys).startswith("channel 0: mean ")


def test_examples_are_short():
    for script in vars(command.examples).values():
        if isinstance(script, str) and "sys.argv" in script:
            code = script.split('"""\n', 2)[-1].split("\n\n", 2)[-1]
            assert len(code.splitlines()) <= 16


def test_nothing_of_others_is_replaced(run: Path, tmp_path: Path, capsys):
    out = tmp_path / "out"
    assert main(words(run, out)) == 0
    assert main(words(run, out)) == 0  # its own
    (out / "README.md").write_text("mine")
    for place, more, why in (
        (out, (), "README.md: is no result of jaxdl fcn export, or was changed since"),
        (out, ("--format", "onnx"), "holds model.safetensors of another export"),
        (run, (), "model.safetensors: is an input"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main(words(run, place, *more))
        assert why in capsys.readouterr().err
    assert (out / "README.md").read_text() == "mine"


def test_options_go_with_their_format_and_a_missing_extra_is_named(
    run: Path, tmp_path: Path, capsys, monkeypatch
):
    monkeypatch.setattr(command, "_NEEDS", {"onnx": "no_such_library"})
    for more, why in (
        (
            ("--size", "9", "9", "--format", "onnx"),
            "--size: goes with --format stablehlo, not onnx",
        ),
        (
            ("--output", "classes"),
            "--output: goes with --format onnx or stablehlo, not safetensors",
        ),
        (
            ("--layout", "torchvision", "--format", "onnx"),
            "--layout: goes with --format safetensors",
        ),
        (("--format", "onnx"), "pip install 'jaxdl-functional[onnx]'"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main(words(run, tmp_path / "out", *more))
        line = capsys.readouterr().err
        assert why in line
        assert line.count("\n") == 1
    assert not (tmp_path / "out").exists()
