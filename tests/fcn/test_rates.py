"""Skips' scores learn as much slower as their pools are larger than pool5."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl.fcn import rates
from jaxdl.fcn.config import Config, for_each_stage
from jaxdl.fcn.data.batches import Batch, preprocess
from jaxdl.fcn.models.fcn import FCN, init
from jaxdl.fcn.worse import first_rise, never_warm, started_at, too_high, worse_than_start
from jaxdl.files.atomic import write_json
from jaxdl.training.optimizers import momentum_sgd, set_multipliers
from jaxdl.training.run_folder import read_rows
from jaxdl.training.transfer import by_name

MEAN = jnp.asarray([120.0, 110.0, 100.0])
MODEL = FCN(8, 3, 32, for_cpu=False)


def batch() -> Batch:
    rng = np.random.default_rng(0)
    sizes = np.array([[40, 64], [64, 33], [0, 0]], np.int32)
    images = rng.integers(0, 256, (3, 64, 64, 3)).astype(np.uint8)
    for image, (h, w) in zip(images, sizes, strict=True):
        image[h:], image[:, w:] = 0, 0
    return Batch(images, np.zeros((3, 64, 64), np.uint8), sizes)


@pytest.mark.slow
def test_multipliers_are_mean_squares_inside_the_images():
    """In NumPy, image by image; a void image counts for nothing."""
    params = init(MODEL, jax.random.key(0))
    # pool4 and pool3 as much larger as ImageNet's weights make them.
    params["trunk"]["conv5_1"]["kernel"] /= 20
    params["trunk"]["conv4_1"]["kernel"] /= 4
    given = batch()
    _, found = MODEL.apply(
        {"params": params},
        preprocess(jnp.asarray(given.images), MEAN),
        jnp.asarray(given.sizes),
        mutable=["intermediates"],
    )
    squares = {}
    for level in (5, 4, 3):
        (pool,) = found["intermediates"][f"pool{level}"]
        cells = [
            np.asarray(pool[n, : -(-h // 2**level), : -(-w // 2**level)], np.float64)
            for n, (h, w) in enumerate(given.sizes)
        ]
        count = sum(cell.shape[0] * cell.shape[1] for cell in cells)
        squares[level] = sum((cell**2).sum() for cell in cells) / count
    slower = rates.skip_multipliers(MODEL, params, [given], MEAN)
    assert slower["score_pool4"] == pytest.approx(squares[5] / squares[4], rel=1e-5)
    assert slower["score_pool3"] == pytest.approx(squares[5] / squares[3], rel=1e-5)
    assert max(slower.values()) < 0.1
    params["trunk"]["conv5_1"]["kernel"] *= 1e4
    assert set(rates.skip_multipliers(MODEL, params, [given], MEAN).values()) == {1.0}
    assert rates.skip_multipliers(FCN(32, 3, 32), {"trunk": params["trunk"]}, [given], MEAN) == {}


def test_an_update_is_momentum_sgds_times_the_multiplier():
    params = {name: {"kernel": jnp.ones(3)} for name in ("trunk", "score_pool5", "score_pool4")}
    grads = jax.tree.map(lambda p: 2 * p, params)
    optimizer = rates.with_skip_rates(momentum_sgd(momentum=0.5))
    state = set_multipliers(optimizer.init(params), {"score_pool4": 0.25, "score_pool3": 9.0})
    for velocity in (2.0, 3.0):
        state = optax.tree_utils.tree_set(state, learning_rate=jnp.float32(0.1))
        new, state = optimizer.update(grads, state, params)
        for name, times in (("trunk", 1.0), ("score_pool5", 1.0), ("score_pool4", 0.25)):
            want = np.full(3, -0.1 * velocity * times)
            np.testing.assert_allclose(by_name(new)[f"{name}/kernel"], want, rtol=1e-6)


def test_a_warm_up_that_is_never_over_is_told():
    cfg = for_each_stage(Config(data=Path("x"), warmup=9))
    assert not never_warm(cfg, 1, 10)
    (line,) = never_warm(cfg, 1, 9)
    assert line.startswith("fcn16s: --warmup 9 is not over after its 9 steps")


def test_a_loss_that_rises_is_told_and_one_that_falls_is_not():
    assert too_high(4.0, 2.0) == "the training loss 4 is above that of the start, 2"
    assert not too_high(3.0, 2.0)
    assert not too_high(4.0, None)
    assert not too_high(None, 2.0)


def test_a_stage_that_made_the_network_worse_is_told_with_its_rate(tmp_path: Path):
    """By its training loss, and by the stage before; the best epoch of each counts."""
    cfg = for_each_stage(Config(data=Path("x"), out=tmp_path, learning_rate=(1e-4, 2e-4, 3e-4)))

    def rows(losses: Any, scores: Any) -> list[dict[str, Any]]:
        return [
            {"step": n, "epoch": n, "train": {"loss": loss}, "test": {"mean_iu": score}}
            for n, (loss, score) in enumerate(zip(losses, scores, strict=True), 1)
        ]

    for name, losses, scores in (
        ("fcn32s", [2.0, 1.0], [0.2, 0.5]),
        ("fcn16s", [1.2, 9.0], [0.6, 0.1]),
        ("fcn8s", [1.0, 1.1], [None, 0.4]),
    ):
        write_json(tmp_path / name / "transfer.json", {"loss": losses[0]})
        lines = "".join(f"{json.dumps(row)}\n" for row in rows(losses, scores))
        (tmp_path / name / "metrics.jsonl").write_text(lines)
    told = [
        worse_than_start(cfg, n, read_rows(tmp_path / f"fcn{stride}s" / "metrics.jsonl"))
        for n, stride in enumerate((32, 16, 8))
    ]
    assert told[0] == []
    assert told[1] == [
        "fcn16s: in epoch 2 the training loss 9 is above that of the start, 1.2; its "
        "--learning-rate, 0.0002, may be too high; the best checkpoint is the one used"
    ]
    assert [line.split(";")[0] for line in told[2]] == [
        "fcn8s: its mean IU 40.0% is below fcn16s's 60.0%"
    ]
    assert started_at(cfg, "fcn16s") == 1.2
    say = first_rise(cfg, 1)
    assert say(1, 1.3) == []
    (line,) = say(2, 9.0)
    assert line.endswith("of the start, 1.2; lower --learning-rate (0.0002)")
    assert say(3, 9.0) == []  # once is enough
    weighted = dataclasses.replace(cfg, class_weights=("auto",))
    for other in (dataclasses.replace(cfg, dice=0.5), weighted):  # which train another loss
        assert started_at(other, "fcn16s") is None
    (tmp_path / "fcn16s" / "transfer.json").write_text("[]")  # of an earlier version, or damaged
    assert started_at(cfg, "fcn16s") is None
