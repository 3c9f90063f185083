"""Checkpoint to checkpoint: which one is meant, what of it is passed on, and longer training."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from jaxdl.cli.command import parse
from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError
from jaxdl.fcn.command import COMMANDS, run
from jaxdl.fcn.config import PRESETS, Config
from jaxdl.fcn.finetune import config_of
from jaxdl.fcn.longer import check_epochs
from jaxdl.fcn.models.fcn import FCN, init
from jaxdl.fcn.saved import choose, files, load, match_classes
from jaxdl.fcn.settle import RATES, settle
from jaxdl.fcn.setup import optimizer_of
from jaxdl.fcn.start import Start, kept_optimizer, parts_of, start_params
from jaxdl.training import checkpoint
from jaxdl.training.network import describe
from jaxdl.training.run_folder import read_rows
from jaxdl.training.step import start_state
from jaxdl.training.transfer import by_name

MODEL = FCN(8, 3, 64, "center", for_cpu=False)
CLASSES = ("background", "cat", "dog")
SHAPES = jax.eval_shape(MODEL.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"]
META = {"model": describe(MODEL), "mean": [1.0, 2.0, 3.0], "classes": list(CLASSES)}


def params_of(seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: rng.normal(size=a.shape).astype(np.float32), SHAPES)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stage of three steps: the second is the best, the third was saved in mid-epoch."""
    folder = tmp_path_factory.mktemp("run") / "fcn8s"
    optimizer = optimizer_of(PRESETS["own"])
    with checkpoint.open_manager(folder / "checkpoints", checkpoint.Score("mean_iu")) as manager:
        for step, score in ((10, 0.2), (20, 0.5), (30, None)):
            state = start_state(params_of(step), optimizer)
            moved = jax.tree.map(lambda a, step=step: a + step, state.opt_state)
            kept = state._replace(step=jnp.asarray(step), opt_state=moved)._asdict()
            metrics = None if score is None else {"mean_iu": score}
            checkpoint.save(manager, step, {k: v for k, v in kept.items() if v}, META, metrics)
    return folder


def assert_equal(one: Any, other: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_every_path_to_a_checkpoint_is_read(stage: Path):
    for path in (stage.parent, stage, stage / "checkpoints"):
        assert choose(path) == (stage / "checkpoints", 20)
        assert choose(path, "latest") == (stage / "checkpoints", 30)
    assert choose(stage / "checkpoints" / "30") == (stage / "checkpoints", 30)
    saved = load(stage / "checkpoints" / "30")
    assert_equal(saved.params, params_of(30))
    assert (saved.model, saved.mean, saved.classes) == (MODEL, (1.0, 2.0, 3.0), CLASSES)
    assert files(stage) == [stage / "checkpoints" / "20" / "SHA256SUMS"]


@pytest.mark.parametrize("manager", [False, True])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_plain_orbax_folder_is_read_with_its_description(
    tmp_path: Path, manager: bool, wrapped: bool
):
    params, folder = params_of(0), tmp_path / "plain"
    tree = {"params": params, "step": np.int32(7)} if wrapped else params
    if manager:
        with ocp.CheckpointManager(folder) as saver:
            saver.save(7, args=ocp.args.StandardSave(tree))
    else:
        with ocp.StandardCheckpointer() as saver:
            saver.save(folder, tree)
    with pytest.raises(InputError, match=r"does not describe its network; write network.json besi"):
        load(folder)
    (tmp_path / "network.json").write_text(json.dumps(META))
    saved = load(folder)
    assert_equal(saved.params, params)
    assert (saved.model, saved.classes) == (MODEL, CLASSES)
    assert tmp_path / "network.json" in files(folder)
    assert any(path.name == "_METADATA" for path in files(folder))
    (tmp_path / "network.json").write_text("[]")
    with pytest.raises(InputError, match="is not an object with model, mean and classes"):
        load(folder)


def test_scores_go_to_the_classes_of_their_names():
    params = params_of(1)
    moved, told = match_classes(params, CLASSES, ("dog", "horse", "background", "cow"))
    assert told == {
        "loaded": ["dog", "background"],
        "initialized": ["horse", "cow"],
        "unused": ["cat"],
    }
    for part in ("score_pool5", "score_pool4", "score_pool3"):
        for name, array in params[part].items():
            found = moved[part][name]
            np.testing.assert_array_equal(found[..., 0], array[..., 2])
            np.testing.assert_array_equal(found[..., 2], array[..., 0])
            assert not found[..., [1, 3]].any()
    assert moved["trunk"] is params["trunk"]
    assert match_classes(params, CLASSES, CLASSES)[0] is params
    assert set(match_classes(params, CLASSES, ("a", "b", "c"))[0]) == {"trunk"}


def test_as_many_classes_of_other_names_are_not_taken_for_the_same(stage: Path):
    """Their arrays have the same shapes; the scores start at zero, not at those of others."""
    saved = load(stage)
    begin = Start(saved, None, saved.mean)
    params, record = start_params(
        Config(start_from=stage), "fcn8s", MODEL, begin, ("x", "y", "z"), Bar()
    )
    assert_equal(params["trunk"], saved.params["trunk"])
    assert not any(array.any() for name, array in by_name(params).items() if "score_" in name)
    assert record["classes"]["unused"] == list(CLASSES)
    assert parts_of(record["initialized"], params) == "score_pool3, score_pool4, score_pool5"
    assert parts_of(record["loaded"], params) == "trunk"
    assert parts_of([], params) == "none"


def test_an_fcn_32s_starts_an_8s_at_once_with_every_bit(stage: Path):
    small = {k: v for k, v in params_of(2).items() if k in ("trunk", "score_pool5")}
    saved = load(stage)._replace(params=small)
    begin = Start(saved, None, saved.mean)
    params, record = start_params(Config(start_from=stage), "fcn8s", MODEL, begin, CLASSES, Bar())
    assert_equal({k: params[k] for k in small}, small)
    assert all(array.dtype == jnp.float32 for array in jax.tree.leaves(params))
    assert "classes" not in record
    assert not params["score_pool3"]["kernel"].any()
    trunk = {name: own for name, own in small["trunk"].items() if name != "conv3_2"}
    begin = Start(saved._replace(params={**small, "trunk": trunk}), None, saved.mean)
    with pytest.raises(InputError, match="its trunk lacks trunk/conv3_2/bias"):
        start_params(Config(start_from=stage), "fcn8s", MODEL, begin, CLASSES, Bar())


def test_the_optimisers_state_goes_on_or_is_refused(stage: Path):
    saved, optimizer = load(stage), optimizer_of(PRESETS["own"])
    state = kept_optimizer(saved, start_state(params_of(0), optimizer))
    for own in jax.tree.leaves(state.opt_state):
        assert (np.asarray(own) >= 20).all()
    other = optimizer_of(dataclasses.replace(PRESETS["own"], clip_norm=None))
    cut = {k: v for k, v in params_of(0).items() if k != "score_pool3"}
    for wrong in (start_state(params_of(0), other), start_state(cut, optimizer)):
        with pytest.raises(InputError, match=r"--optimizer kept: .* of another training"):
            kept_optimizer(saved, wrong)


def test_finetune_takes_the_network_from_the_checkpoint(stage: Path):
    def settled(*words: str) -> Config:
        options = parse(COMMANDS["finetune"], [str(stage.parent), "--data", str(stage), *words])
        return settle(config_of(options))

    cfg = settled()
    assert (cfg.stages, cfg.width_divisor, cfg.align) == ((8,), 64, "center")
    assert cfg.learning_rate == (RATES["narrow"],)
    assert (cfg.start_from, cfg.epochs, cfg.batch_size) == (stage.parent, (0,), 0)
    assert settled("--stages", "16", "8", "--learning-rate", "0.3").stages == (16, 8)
    with pytest.raises(InputError, match="--preset voc: finetune has its own; leave it out"):
        settled("--preset", "voc")
    with pytest.raises(InputError, match="--weights x: finetune starts from RUN; leave it out"):
        settled("--weights", "x")


def test_only_the_last_stage_of_a_constant_rate_may_train_longer():
    cfg = Config(epochs=(3, 5), stages=(32, 16))
    check_epochs(cfg, {"config": {"epochs": [3, 5]}})
    check_epochs(cfg, {"config": {"epochs": [3, 4]}})
    with pytest.raises(InputError, match=r"the last stage alone .* \(--epochs 2 5\); or name"):
        check_epochs(cfg, {"config": {"epochs": [2, 4]}})
    with pytest.raises(InputError, match="a run cannot become shorter; name another folder"):
        check_epochs(cfg, {"config": {"epochs": [3, 6]}})
    falling = dataclasses.replace(cfg, schedule="cosine")
    with pytest.raises(
        InputError, match=r"cosine the rate has fallen by the end of 4 .*finetune ru"
    ):
        check_epochs(falling, {"config": {"epochs": [3, 4]}})
    for strange in ([0, 5], [5], None):
        with pytest.raises(InputError, match=r"another configuration .*; name another folder"):
            check_epochs(cfg, {"config": {"epochs": strange}})


@pytest.mark.slow
def test_a_finished_run_that_grows_ends_as_one_that_was_as_long_from_the_start(tmp_path: Path):
    def train(out: str, epochs: int) -> Path:
        cfg = dataclasses.replace(
            PRESETS["demo"],
            out=tmp_path / out,
            data_dir=tmp_path / "data",
            scenes=(4, 2),
            stages=(32,),
            width_divisor=64,
            epochs=(epochs,),
            schedule="constant",
            learning_rate=(0.05,),
            batch_size=2,
            canvases=1,
            samples=1,
            warmup=1,
        )
        run(cfg, Bar())
        return tmp_path / out

    grown, straight = train("grown", 1), train("straight", 2)
    assert train("grown", 2) == grown
    for out in (grown, straight):
        record = json.loads((out / "run.json").read_text())
        assert record["config"]["epochs"] == [2]
        assert "finished" in record
        assert [row["epoch"] for row in read_rows(out / "fcn32s" / "metrics.jsonl")] == [1, 2]
    one, other = (
        checkpoint.load_params(out / "fcn32s" / "checkpoints") for out in (grown, straight)
    )
    assert_equal(one[0], other[0])
    assert one[2] == other[2] == 4


def test_init_may_be_transformed():
    """By `eval_shape` here; jit and vmap trace it alike."""
    assert jax.eval_shape(lambda key: init(MODEL, key), jax.random.key(0)) == SHAPES
