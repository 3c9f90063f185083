"""Runs made by jaxdl 0.1 (commit 09c23f7), kept as files: read, never resumed."""

import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxdl.__main__ import main
from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError
from jaxdl.fcn import config as fcn
from jaxdl.fcn.models.fcn import FCN
from jaxdl.fcn.saved import load
from jaxdl.fcn.start import Start, start_params
from jaxdl.training.opening import open_run
from jaxdl.word2vec import config as word2vec
from jaxdl.word2vec.dataset import Vocabulary, read_vocabulary
from jaxdl.word2vec.start import read_start, start_tables

RUNS = Path(__file__).parents[1] / "fixtures" / "runs-0.1"


@pytest.mark.slow
def test_an_fcn_run_predicts(tmp_path: Path):
    Image.new("RGB", (20, 30)).save(tmp_path / "photo.jpg")
    words = ["fcn", "predict", str(RUNS / "fcn"), str(tmp_path / "photo.jpg")]
    assert main([*words, "--out", str(tmp_path / "made")]) == 0
    with Image.open(tmp_path / "made" / "photo_classes.png") as classes:
        assert classes.size == (20, 30)


def test_an_fcn_run_starts_the_next_stage():
    """FCN-32s' trunk and scores are the 16s network's; its new score is fresh."""
    cfg = fcn.Config(start_from=RUNS / "fcn", width_divisor=64)
    saved = load(RUNS / "fcn")
    begin = Start(saved, None, saved.mean)
    model = FCN(16, 21, 64)
    params, moved = start_params(cfg, "fcn16s", model, begin, saved.classes, Bar())
    assert moved["initialized"] == ["score_pool4/bias", "score_pool4/kernel"]
    assert not moved["unused"]
    assert float(jnp.abs(params["trunk"]["conv5_3"]["kernel"]).max()) > 0


def test_a_word2vec_run_answers_and_is_started_from(capsys: pytest.CaptureFixture[str]):
    assert main(["word2vec", "query", str(RUNS / "word2vec"), "king"]) == 0
    assert "queen" in capsys.readouterr().out
    words, counts = read_vocabulary(RUNS / "word2vec" / "vocabulary.txt")
    cfg = word2vec.Config(start_from=RUNS / "word2vec", dim=8)
    vocabulary = Vocabulary((*words, "new"), np.append(counts, 1), np.arange(len(words) + 1))
    tables = start_tables(cfg, len(words) + 1, read_start(cfg, vocabulary))
    assert float(jnp.abs(tables.outputs[:-1]).min(1).min()) > 0
    assert not tables.outputs[-1].any()  # a word that the run does not know starts at zero


@pytest.mark.slow
def test_an_lstm_run_predicts(tmp_path: Path):
    table = tmp_path / "sine.csv"
    table.write_text("value\n" + "".join(f"{np.sin(n / 3):.4f}\n" for n in range(30)))
    words = ["lstm", "predict", str(RUNS / "lstm"), str(table), "--horizon", "5"]
    assert main([*words, "--out", str(tmp_path / "next.csv")]) == 0
    lines = (tmp_path / "next.csv").read_text().splitlines()
    assert len(lines) == 6
    assert all(abs(float(line.split(",")[1])) < 10 for line in lines[1:])


@pytest.mark.parametrize("subject", ["fcn", "word2vec", "lstm"])
def test_resuming_is_refused_in_one_line(tmp_path: Path, subject: str):
    shutil.copytree(RUNS / subject, tmp_path / "run")
    with pytest.raises(InputError, match=r"by jaxdl 0\.1.*--start-from.*--out") as refused:
        open_run(tmp_path / "run", {}, may_change=(), resume=True, overwrite=False)
    assert "\n" not in str(refused.value)
    assert (tmp_path / "run" / "summary.json").is_file()
