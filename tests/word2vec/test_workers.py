"""Several processes that train one pair of tables: the same as their parts one after another."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jaxdl.cli.command import parse
from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError, TrainingError
from jaxdl.training import checkpoint
from jaxdl.training.run_folder import read_rows
from jaxdl.training.step import TrainState
from jaxdl.word2vec import command, plan_workers, workers
from jaxdl.word2vec.batches import Batches
from jaxdl.word2vec.command import run
from jaxdl.word2vec.config import Config, check
from jaxdl.word2vec.dataset import open_corpus, vocabulary_of
from jaxdl.word2vec.model import Tables, init_tables
from jaxdl.word2vec.rows import is_logged
from jaxdl.word2vec.setup import make_step, rate_of
from jaxdl.word2vec.step import empty_metrics
from jaxdl.word2vec.workers import gain, terms_of

ROUNDS = 3


@pytest.fixture(scope="module")
def cfg(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A text whose words differ much in frequency; an epoch is one round of two workers."""
    folder = tmp_path_factory.mktemp("text")
    rng, path = np.random.default_rng(0), folder / "text.txt"
    words = np.minimum(rng.zipf(1.3, (1500, 12)), 300)
    path.write_text("".join(" ".join(f"w{n}" for n in line) + "\n" for line in words))
    return Config(
        data=(path,),
        data_dir=folder / "data",
        tokens="split",
        subsample=0.0,
        dim=8,
        epochs=ROUNDS,
        held_out=0,
        learning_rate=0.05,
        workers=2,
    )


def batches_of(cfg: Config) -> Batches:
    corpus = open_corpus(cfg, Bar())
    return Batches(cfg, corpus, vocabulary_of(corpus))


def by_hand(cfg: Config, batches: Batches) -> list[np.ndarray]:
    """Each worker's part from the same tables, in this process; joined by whole arrays."""
    tables = init_tables(jax.random.key(cfg.seed), len(batches.vocabulary.words), cfg.dim)
    joined = [np.array(table) for table in tables]
    step, (first, second) = make_step(cfg, batches, None, None), terms_of(batches)
    for number in range(batches.rounds):
        copies = []
        for worker in range(cfg.workers):
            begin = Tables(*(jax.numpy.array(table, copy=True) for table in joined))
            state, metrics = (
                TrainState(jax.numpy.zeros((), int), begin._asdict(), ()),
                empty_metrics(),
            )
            for n, prepared in batches.part(number * cfg.workers + worker):
                rate = rate_of(cfg, n, steps=batches.steps)
                state, metrics, _ = step(state, metrics, prepared, rate)
            copies.append([np.array(state.params[name]) for name in ("inputs", "outputs")])
        rate = rate_of(cfg, batches.first_step(number * cfg.workers), steps=batches.steps)
        for table, terms in enumerate((first, second)):
            factor = (gain(terms, rate, cfg.workers) / cfg.workers).astype(np.float32)[:, None]
            change = copies[0][table] - joined[table]
            for copy in copies[1:]:
                change += copy[table]
                change -= joined[table]
            joined[table] += factor * change
    return joined


def tables_of(folder: Path) -> list[np.ndarray]:
    params, *_ = checkpoint.load_params(folder / "checkpoints")
    return [np.asarray(params[name]) for name in ("inputs", "outputs")]


@pytest.mark.slow
@pytest.mark.xdist_group("workers")
def test_a_team_ends_as_its_parts_one_after_another_also_when_a_worker_dies(
    cfg: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """To the bit; a worker is killed in the second round, and the same command resumes."""
    batches, out = batches_of(cfg), tmp_path / "run"
    assert batches.rounds == ROUNDS
    calls, tell = [], workers._tell

    def kill(team: workers.Team) -> None:
        calls.append(team)
        if len(calls) == 3:  # two in each round
            team.others[0].process.kill()
            team.others[0].process.join()
        tell(team)

    with monkeypatch.context() as patch:
        patch.setattr(workers, "_tell", kill)
        with pytest.raises(TrainingError, match="a worker's process ended with status -9"):
            run(dataclasses.replace(cfg, out=out), Bar())
    summary = run(dataclasses.replace(cfg, out=out), Bar())
    rows = read_rows(out / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert summary["word2vec"]["epochs"] == ROUNDS
    for ours, want in zip(tables_of(out), by_hand(cfg, batches), strict=True):
        np.testing.assert_array_equal(ours, want)
    losses = [row["train"]["loss"] for row in rows]
    assert losses[-1] < 0.95 * losses[0], losses


def test_plan_of_workers_on_more_cores(tmp_path: Path, capsys: pytest.CaptureFixture):
    """`plan --cores`: what is joined grows with the tables, the speed with the cores."""
    words = ["--cores", "1", "2", "32", "--vocabulary", "1000", "--dim", "50"]
    command.plan(parse(command.PLAN, [*words, "--json", str(tmp_path / "plan.json")]))
    assert "planned, not measured" in capsys.readouterr().out
    one, two, many = json.loads((tmp_path / "plan.json").read_text())["rows"]
    tables = 2 * 1000 * 50 * 4
    assert (one["moved"], one["efficiency"]) == (0, 1)
    # Each copy of both tables is read and written twice; two copies and the joined one are joined.
    assert two["moved"] == tables * (2 + 2 + 2)
    assert two["memory"] - 2 * one["memory"] == tables * 3  # five tables, not one each
    for row in (two, many):
        alone = row["workers"] * one["words_per_s"]
        assert row["words_per_s"] == pytest.approx(alone * row["efficiency"])
        assert one["words_per_s"] < row["words_per_s"] < alone
    (larger,) = plan_workers.rows([2], 2000, 50)
    assert larger.join_s == pytest.approx(2 * two["join_s"])
    for wrong in ("--loss full-softmax", "--optimizer adam", "--architecture cbow", "--card t4"):
        with pytest.raises(InputError, match=f"^{wrong.split()[0]}"):
            command.plan(parse(command.PLAN, ["--cores", "2", *wrong.split()]))


def test_plan_of_two_workers_is_near_what_was_measured():
    """benchmarks/word2vec/README.md: words/s of a run, by words and numbers."""
    measured = {(70_916, 100): 1.918e6, (70_916, 300): 844e3, (312_552, 100): 1.363e6}
    for (words, dim), speed in measured.items():
        (planned,) = plan_workers.rows([2], words, dim)
        assert 0.85 < speed / planned.words_per_s < 1.05


def test_no_row_of_metrics_has_the_first_step_alone():
    """It is timed with its compilation: a row's words a second would be those of XLA."""
    logged = [done for done in range(1, 29) if is_logged(done, 14, 10)]
    assert logged[0] == 3
    assert sum(done > 14 for done in logged) == 10  # ten rows of each later epoch
    assert is_logged(1, 1, 10)  # the only step of an epoch


def test_workers_share_an_epoch_without_a_gap(cfg: Config):
    """Each token is in one part; all workers have as many parts."""
    for count in (1, 2, 3, 8):
        batches = batches_of(dataclasses.replace(cfg, workers=count))
        parts = [np.asarray(batches._part(n)[1]) for n in range(len(batches.ends))]
        assert len(parts) % count == 0
        assert sum(int((part >= 0).sum()) for part in parts) == len(batches.ids)
        assert batches.first_step(len(parts)) == batches.per_epoch


def test_the_gain_is_that_of_parts_one_after_another():
    """A row that each part takes a fixed share of the way to its place, wherever it starts."""
    rate, place = 0.3, 7.0
    for count in (2, 3, 8):
        for terms in (1e-3, 1.0, 40.0, 1e3, 1e6):
            share = -np.expm1(-workers.CURVATURE * rate * terms)
            straight = 0.0
            for _ in range(count):
                straight += share * (place - straight)
            mean = share * place  # of workers that all start at 0
            got = gain(np.array([terms]), rate, count)[0] * mean
            assert got == pytest.approx(straight, rel=1e-3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"optimizer": "adam"}, "--workers 2: .* --optimizer sgd"),
        ({"loss": "full-softmax"}, "--workers 2: .* --loss"),
    ],
)
def test_what_a_team_cannot_train_is_refused(cfg: Config, given: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        check(dataclasses.replace(cfg, **given))


def test_a_text_too_short_for_all_is_refused(cfg: Config, tmp_path: Path):
    (tmp_path / "short.txt").write_text("a b c d e f g\n" * 9)
    few = dataclasses.replace(cfg, data=(tmp_path / "short.txt",), data_dir=tmp_path / "data")
    assert batches_of(dataclasses.replace(few, workers=1)).steps
    with pytest.raises(InputError, match="--workers 2: the text has 63 words to train on"):
        batches_of(few)
