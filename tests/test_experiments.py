"""The experiment scripts: the commands' bits, no command in them, and short."""

import ast
import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from experiments import digits, fcn, fcn_finetune, lstm_sine, word2vec, word2vec_puzzle
from jaxdl.cli.progress import Bar
from jaxdl.digits.data import open_digits
from jaxdl.fcn.config import Config
from jaxdl.training.checkpoint import load_params
from jaxdl.training.run_folder import FORMAT
from tests.helpers import processes

SCRIPTS = sorted((processes.ROOT / "experiments").glob("*.py"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_is_short_and_uses_no_command(path: Path):
    text = path.read_text()
    assert len(text.splitlines()) <= 100
    names = [
        f"{node.module}.{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    ]
    assert not [name for name in names if name.startswith("jaxdl") and name.endswith(".command")]
    assert not [name for name in names if ".plan" in name]


def same(one: Path, other: Path) -> None:
    """The same parameters, to the bit, after as many steps."""
    (params, _, step), (want, _, steps) = load_params(one), load_params(other)
    assert step == steps
    jax.tree.map(np.testing.assert_array_equal, params, want)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


TINY: dict[str, Any] = {"batch_size": 3, "canvases": 1, "samples": 1, "warmup": 1}


@pytest.fixture(scope="module")
def demo(data: Path) -> tuple[Config, dict[str, float]]:
    """The FCN script's run, and what it returned."""
    small: dict[str, Any] = {"scenes": (6, 3), "epochs": (1, 1, 1), "width_divisor": 64}
    cfg = dataclasses.replace(
        fcn.PRESETS["demo"], **small, **TINY, data_dir=data, out=data / "script"
    )
    return cfg, fcn.experiment(cfg)


@pytest.mark.slow
@pytest.mark.xdist_group("experiment scripts")
def test_the_fcn_script_ends_in_the_commands_bits(
    tmp_path: Path, demo: tuple[Config, dict[str, float]]
):
    """The checkpoint is passed on in both: three stages."""
    from jaxdl.fcn.command import run

    cfg, found = demo
    summary = run(dataclasses.replace(cfg, out=tmp_path), Bar())
    assert list(found) == ["fcn32s", "fcn16s", "fcn8s"]
    for stage, score in found.items():
        same(*(home / stage / "checkpoints" for home in (cfg.out, tmp_path)))
        assert score == summary[stage]["mean_iu"]


@pytest.mark.slow
@pytest.mark.xdist_group("experiment scripts")
def test_the_fine_tuning_script_ends_in_the_commands_bits(
    tmp_path: Path, demo: tuple[Config, dict[str, float]], monkeypatch: pytest.MonkeyPatch
):
    """From the demo's FCN-8s to two new classes; the command takes the network from the run.

    The demo is trained already: the script finds it finished.
    """
    from jaxdl.fcn.command import run
    from jaxdl.fcn.finetune import Finetune, config_of

    monkeypatch.setattr(fcn_finetune, "IMAGES", (6, 3))
    trained, data = demo[0], demo[0].data_dir
    shutil.copytree(trained.out, tmp_path / "script" / "demo")
    rest: dict[str, Any] = TINY | {"width_divisor": 64, "data_dir": data}
    scratch = dataclasses.replace(fcn_finetune.SCRATCH, epochs=(1, 1, 1), **rest)
    script = dataclasses.replace(fcn_finetune.CONFIG, epochs=(2,), out=tmp_path / "script", **rest)
    found = fcn_finetune.experiment(script, scratch, trained)
    options = Finetune(
        run=tmp_path / "script" / "demo" / "fcn8s",
        config=dataclasses.replace(
            Finetune(run=tmp_path).config,
            data=data / "moons-and-stars-0" / "VOCdevkit",
            out=tmp_path / "command",
            data_dir=data,
            epochs=(2,),
            **TINY,
        ),
    )
    summary = run(config_of(options), Bar())
    same(tmp_path / "script/finetune/fcn8s/checkpoints", tmp_path / "command/fcn8s/checkpoints")
    assert found["finetune"] == summary["fcn8s"]["mean_iu"]
    assert (tmp_path / "script/scratch/fcn8s/checkpoints").is_dir()


@pytest.mark.slow
def test_the_lstm_script_ends_in_the_commands_bits(tmp_path: Path):
    from jaxdl.lstm.command import run

    tiny: dict[str, Any] = {"hidden": (2, 3), "seeds": 2, "steps": 120, "log_every": 2}
    tiny |= {"batch_size": 4, "window": 20, "context": (20,), "horizon": (20,)}
    cfg = dataclasses.replace(lstm_sine.PRESETS["post"], **tiny)
    found = lstm_sine.experiment(dataclasses.replace(cfg, out=tmp_path / "script"))
    run(dataclasses.replace(cfg, out=tmp_path / "command"), Bar())
    same(tmp_path / "script" / "checkpoints", tmp_path / "command" / "checkpoints")
    assert list(found) == ["2", "3"]


@pytest.mark.slow
def test_the_digits_script_ends_in_the_commands_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """On a tenth of the pictures."""
    from jaxdl.digits import data as module
    from jaxdl.digits.command import run

    data = open_digits(None)
    few = data._replace(
        train=data.train._replace(images=data.train.images[:96], labels=data.train.labels[:96]),
        test=data.test._replace(images=data.test.images[:32], labels=data.test.labels[:32]),
    )
    for where in (digits, module):
        monkeypatch.setattr(where, "open_digits", lambda path: few)
    cfg = dataclasses.replace(digits.DEFAULTS, epochs=1, batch_size=32)
    found = digits.experiment(dataclasses.replace(cfg, out=tmp_path / "script"))
    summary = run(dataclasses.replace(cfg, out=tmp_path / "command"), Bar())
    same(tmp_path / "script" / "checkpoints", tmp_path / "command" / "checkpoints")
    assert found == summary["digits"]["accuracy"]


@pytest.mark.slow
def test_the_word2vec_script_ends_in_the_commands_bits_and_the_puzzle_compares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Both orders differ, and so do two seeds; a run shares all neighbours with itself."""
    from jaxdl.word2vec.command import run

    text, words = tmp_path / "text.txt", [f"w{n}" for n in range(30)]
    draw = np.random.default_rng(0)
    text.write_text("".join(" ".join(draw.choice(words, 12)) + "\n" for _ in range(200)))
    tiny: dict[str, Any] = {
        "data": (text,),
        "data_dir": tmp_path,
        "epochs": 1,
        "dim": 4,
        "tokens": "split",
    }
    tiny |= {"words": ("w3",), "held_out": 100}
    cfg = dataclasses.replace(word2vec.PRESETS["demo"], **tiny)
    monkeypatch.setattr(word2vec_puzzle, "WORDS", slice(0, 20))
    found = word2vec_puzzle.puzzle(dataclasses.replace(cfg, out=tmp_path / "script"))
    assert set(found) == {"centre", "second-seed"}
    assert all(0 < share < 1 for share in found.values())
    run(dataclasses.replace(cfg, out=tmp_path / "command"), Bar())
    same(tmp_path / "script" / "context" / "checkpoints", tmp_path / "command" / "checkpoints")
    vectors = word2vec.experiment(dataclasses.replace(cfg, out=tmp_path / "script" / "context"))
    assert word2vec_puzzle.shared_neighbours(vectors, vectors) == 1


@pytest.mark.slow
def test_a_script_refuses_another_seed_in_its_folder_and_options_of_the_command(tmp_path: Path):
    """It would take the finished run of the first seed for that of the second."""
    out = tmp_path / "run"
    out.mkdir()
    config = {
        k: v if not isinstance(v, Path) else os.fspath(v)
        for k, v in dataclasses.asdict(digits.DEFAULTS).items()
    }
    record = {"experiment": "digits", "format": FORMAT, "config": config}
    (out / "run.json").write_text(json.dumps(record))
    refused = processes.finish("experiments.digits", "--out", str(out), "--seed", "1")
    assert refused.returncode == 2
    assert "seed: 0 -> 1" in refused.stderr
    refused = processes.finish("experiments.fcn", "predict", "photo.jpg")
    assert refused.returncode == 2
    assert "predict photo.jpg: not an option of this script; jaxdl fcn" in refused.stderr
