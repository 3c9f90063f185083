"""A session on a task of its own: what it saves, records, resumes and ranks."""

import dataclasses
import itertools
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import signals
from jaxdl.errors import InputError, Stopped, exit_status
from jaxdl.fcn.models.fcn import FCN
from jaxdl.training import checkpoint, session
from jaxdl.training.loop import Epoch, EpochReport, Task, stale
from jaxdl.training.network import describe
from jaxdl.training.optimizers import momentum_sgd
from jaxdl.training.run_folder import read_rows
from jaxdl.training.step import TrainState, dense_step, start_state

OPTIMIZER = momentum_sgd()
SCORES = {3: 5.0, 6: 2.0, 9: 4.0, 10: 4.0}  # of a loss: step 6 is the best


def loss_fn(params: Any, batch: Any, stats: Any) -> Any:
    """A mean that is followed by running statistics, as batch normalisation has them."""
    mean = 0.9 * stats["mean"] + 0.1 * batch.mean()
    loss = jnp.square(params["w"] - batch).mean() + mean
    return loss, (jnp.float32(batch.size), batch.sum(), {"mean": mean})


STEP = dense_step(loss_fn, OPTIMIZER, jnp.add)


def start(resumed: bool) -> TrainState:
    return start_state({"w": jnp.float32(3)}, OPTIMIZER, {"mean": jnp.float32(0)})


def task(**changed: Any) -> Task:
    def end_epoch(epoch: Epoch) -> EpochReport:
        row = {"sum": float(epoch.metrics), "steps": epoch.steps}
        return EpochReport({epoch.done: row}, SCORES[epoch.done], f"done {epoch.done}")

    plain = Task(
        step=STEP,
        start=start,
        metrics=lambda: jnp.float32(0),
        batches=lambda first: (jnp.arange(2.0) + n for n in itertools.count(first)),
        steps=10,
        ends=lambda done: done % 3 == 0,
        end_epoch=end_epoch,
        learning_rate=lambda n: 0.01,
        describe=lambda n: f"batch {n}",
        score=checkpoint.Score("test_loss", larger_is_better=False),
        meta={"of": "test"},
    )
    return dataclasses.replace(plain, **changed)


def stopping(at: int, number: int = signal.SIGTERM) -> Any:
    """The task's batches, with a signal sent to this process before batch `at`."""

    def batches(first: int) -> Any:
        for n, batch in enumerate(task().batches(first), first):
            if n == at:
                os.kill(os.getpid(), number)
            yield batch

    return batches


def same(a: Any, b: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.slow
def test_stopped_anywhere_and_resumed_is_straight(tmp_path: Path):
    """Parameters, momentum, batch statistics, rows; in mid-epoch, and at an epoch's end."""
    straight = session.train(task(), tmp_path / "straight").state
    assert float(straight.batch_stats["mean"]) > 0
    saved, _, step = checkpoint.load_variables(tmp_path / "straight" / "checkpoints")
    same(saved, {"params": straight.params, "batch_stats": straight.batch_stats})
    assert step == 10
    for at in (1, 2, 6):
        folder = tmp_path / str(at)
        text = f"step {at + 1} of 10; run the same command to resume"
        with signals.handled(), pytest.raises(Stopped, match=text):
            session.train(task(batches=stopping(at)), folder)
        same(session.train(task(), folder).state, straight)
        rows, want = (read_rows(f / "metrics.jsonl") for f in (folder, tmp_path / "straight"))
        assert [(r["step"], r["sum"]) for r in rows] == [(r["step"], r["sum"]) for r in want]


def test_the_only_checkpoint_is_missed(tmp_path: Path):
    """Of a run that ended, here by an error of its data, between its first save and its second."""

    def broken(first: int) -> Any:
        yield from itertools.islice(task().batches(first), 4)
        raise OSError("a torn cable")

    def torn(first: int) -> Any:
        raise OSError("a torn cable")

    with pytest.raises(OSError, match="torn"):
        session.train(task(batches=broken), tmp_path)
    assert checkpoint.steps(tmp_path / "checkpoints") == [3]
    (tmp_path / checkpoint.SAVED).unlink()  # as a kill or a full disk may leave it
    with pytest.raises(OSError, match="torn"):
        session.train(task(batches=torn), tmp_path)
    assert (tmp_path / checkpoint.SAVED).exists()
    shutil.rmtree(tmp_path / "checkpoints" / "3")
    with pytest.raises(InputError, match="checkpoints: is empty, though the run has saved"):
        session.train(task(), tmp_path)


@pytest.mark.slow
def test_a_training_that_ends_early_ends_there_again(tmp_path: Path):
    """Stopped before, killed after its last row, or started once more: the scores are saved."""
    early = {"enough": lambda scores: stale(scores, task().score, 1)}
    straight = session.train(task(**early), tmp_path / "straight").state
    assert int(straight.step) == 9  # the best is step 6
    for at in (1, 4, 6):
        folder = tmp_path / str(at)
        with signals.handled(), pytest.raises(Stopped, match=f"step {at + 1} of 10"):
            session.train(task(**early, batches=stopping(at)), folder)
        same(session.train(task(**early), folder).state, straight)
    shutil.rmtree(folder / "checkpoints" / "9")
    for _ in range(2):
        same(session.train(task(**early), folder).state, straight)
        assert [row["step"] for row in read_rows(folder / "metrics.jsonl")] == [3, 6, 9]
    assert checkpoint.best_step(folder / "checkpoints") == 6


def test_scores_are_stale_when_the_best_is_so_many_epochs_old():
    """Better is strictly better; a score that is no number never is."""
    iu, loss = checkpoint.Score("iu"), checkpoint.Score("loss", larger_is_better=False)
    scores = [0.2, 0.3, 0.3, None, 0.1]
    assert [stale(scores[:n], iu, 2) for n in range(6)] == [False] * 4 + [True] * 2
    assert [stale([3.0, 2.0, 2.5], loss, n) for n in (None, 1, 2)] == [False, True, False]
    assert stale([None, None], iu, 1)
    assert not stale([None, 0.0], iu, 1)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_a_signal_saves_and_is_the_exit_status(number: int, tmp_path: Path):
    with signals.handled(), pytest.raises(Stopped, match="step 2 of 10") as stopped:
        session.train(task(batches=stopping(1, number)), tmp_path)
    assert exit_status(stopped.value) == 128 + number
    assert checkpoint.steps(tmp_path / "checkpoints") == [2]


def test_the_best_step_is_ranked_by_the_tasks_own_score(tmp_path: Path):
    session.train(task(), tmp_path)
    folder = tmp_path / "checkpoints"
    assert checkpoint.best_step(folder) == 6
    assert 6 in checkpoint.steps(folder)
    meta = checkpoint.load_params(folder)[1]
    assert meta["of"] == "test"
    assert checkpoint.Score(**meta["score"]) == task().score


@pytest.mark.parametrize("value", [None, float("nan"), "high"])
def test_a_score_that_is_no_number_is_never_the_best(value: Any):
    score = checkpoint.Score("loss", larger_is_better=False)
    assert score.rank({"loss": value}) < score.rank({"loss": 1e9})


def test_an_epoch_is_saved_when_it_says_so_or_is_due(tmp_path: Path):
    def unsaved(epoch: Epoch) -> EpochReport:
        return EpochReport({epoch.done: {}}, 1.0, save=False)

    session.train(task(end_epoch=unsaved, save_seconds=3600), tmp_path / "seldom")
    assert checkpoint.steps(tmp_path / "seldom" / "checkpoints") == [10]  # the last is always
    last = {"end_epoch": unsaved, "save_seconds": 3600, "enough": lambda scores: len(scores) == 2}
    session.train(task(**last), tmp_path / "early")
    assert checkpoint.steps(tmp_path / "early" / "checkpoints") == [6]
    session.train(task(end_epoch=unsaved), tmp_path / "often")
    assert len(checkpoint.steps(tmp_path / "often" / "checkpoints")) > 1
    assert len(read_rows(tmp_path / "seldom" / "metrics.jsonl")) == 4


def test_rows_and_messages_count_what_a_step_counts_for(tmp_path: Path):
    with signals.handled(), pytest.raises(Stopped, match="step 50 of 100"):
        session.train(task(counts=10, batches=stopping(4)), tmp_path)
    session.train(task(counts=10), tmp_path)
    assert [row["step"] for row in read_rows(tmp_path / "metrics.jsonl")] == [30, 60, 90, 100]


def test_the_first_step_is_timed_apart(tmp_path: Path):
    trained = session.train(task(), tmp_path)
    assert trained.first_step_seconds > 0
    assert [row["steps"] for row in read_rows(tmp_path / "metrics.jsonl")] == [2, 3, 3, 1]


def test_a_network_is_built_again_from_what_is_saved_of_it():
    """All its attributes, the dtype too, through JSON."""
    import json

    model = FCN(8, 3, 16, "center", remat=True, compute_dtype=jnp.bfloat16)
    again = FCN(**json.loads(json.dumps(describe(model))))
    assert jnp.dtype(again.compute_dtype) == jnp.bfloat16
    assert dataclasses.replace(again, compute_dtype=jnp.bfloat16) == model
