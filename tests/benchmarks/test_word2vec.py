"""The word2vec benchmark: all that needs no gensim."""

import ast
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from benchmarks import shape
from benchmarks.process import ROOT
from benchmarks.roof import Rates, Step
from benchmarks.word2vec import __main__ as word2vec
from benchmarks.word2vec.__main__ import (
    Config,
    Text,
    evaluate,
    find_evaluations,
    find_gensim,
    start_of,
    train,
    write_text,
)
from benchmarks.word2vec.table import Row, comparisons, groups, roof, spread, tables
from jaxdl.errors import InputError, TrainingError
from jaxdl.word2vec import vectors
from jaxdl.word2vec.data import corpus
from jaxdl.word2vec.evaluation import evaluate_analogies, evaluate_word_pairs


def row(tool="ours", mode="command", epochs=5, seed=1, **figures) -> Row:
    given: dict[str, Any] = {"raw_wps": 3e6, "eff_wps": 2e6, "tokens": 2_000_000}
    given |= {"train_s": 5.0, "total_s": 10.0, "process_s": 11.0, "cpu_s": 19.0, "peak_mb": 500.0}
    return Row(tool=tool, mode=mode, epochs=epochs, seed=seed, **(given | figures))


@pytest.mark.slow
def test_all_tools_get_the_tokens_of_our_own_rule(tmp_path: Path):
    rng = np.random.default_rng(0)
    words = ["Don't", "STOP", "now", "naïve", "x2y", "- -", "été", "O'Neil'"]
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    lines = [" ".join(rng.choice(words, rng.integers(0, 9))) for _ in range(200)]
    first.write_text("\n\n".join(lines) + "\nno line end")
    second.write_text("now " * 25_003 + "\n")
    text = write_text([first, second], tmp_path / "text.txt")

    ours = corpus.encode([first, second], tmp_path / "cache", min_count=1)
    read = corpus.encode([text.path], tmp_path / "cache", tokens="split", min_count=1)
    assert read.words == ours.words
    assert np.array_equal(read.ids, ours.ids)
    assert np.array_equal(read.sentences, ours.sentences)
    written = text.path.read_text().splitlines()
    assert text.tokens == ours.raw_tokens == sum(len(line.split()) for line in written)
    assert text.lines == len(written) == len(ours.sentences) - 1
    assert max(len(line.split()) for line in written) == 10_000
    assert text.vocabulary == (ours.counts >= 5).sum() < len(ours.words)


def test_a_text_without_a_frequent_word_is_refused(tmp_path: Path):
    (tmp_path / "a.txt").write_text("one two three")
    with pytest.raises(InputError, match=r"a\.txt: no word comes 5 times"):
        write_text([tmp_path / "a.txt"], tmp_path / "text.txt")


def test_a_quick_text_ends_with_a_whole_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(word2vec, "QUICK_BYTES", 10)
    (tmp_path / "a.txt").write_text("one two\nthree\nfour\n")
    assert start_of(tmp_path / "a.txt", tmp_path / "b.txt").read_text() == "one two\n"


def test_a_run_that_fails_names_its_log(tmp_path: Path):
    config = Config(gensim_python=Path(sys.executable), out=tmp_path)
    text = Text(tmp_path / "text.txt", 1, 1, 1)
    with pytest.raises(TrainingError, match=r"No module named 'gensim'.*log\.txt"):
        train(config, "gensim-iterator", text, 1, 1, {})


def test_evaluation_files_are_told_apart_by_name(tmp_path: Path):
    pairs = tmp_path / "WordSim353.tsv", tmp_path / "simlex.txt"
    given = Config(word_pairs=pairs[::-1], analogies=(tmp_path / "q.txt",))
    found = {"ws353": pairs[0], "simlex": pairs[1], "analogy": tmp_path / "q.txt"}
    assert find_evaluations(given, None) == found
    assert find_evaluations(given, shape.Peer("4", tmp_path / "gensim")) == found
    assert find_evaluations(Config(), None) == {}
    theirs = find_evaluations(Config(), shape.Peer("4", tmp_path / "gensim"))
    assert theirs["simlex"] == tmp_path / "gensim/test/test_data/simlex999.txt"
    for wrong in ((tmp_path / "other.txt",), (pairs[0], pairs[0])):
        with pytest.raises(InputError, match="with wordsim and one with simlex"):
            find_evaluations(Config(word_pairs=wrong), None)


def test_ours_alone_needs_no_gensim(tmp_path: Path):
    assert find_gensim(Config(tools=("ours",), gensim_python=tmp_path / "none")) is None


def test_evaluation_leaves_out_what_is_unknown(tmp_path: Path):
    table = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    saved = tmp_path / "vectors.bin"
    loaded = vectors.Vectors(tuple("abcdef"), table)
    vectors.save_binary(saved, loaded)
    texts = {
        "pairs": "a\tb\t1\nc\td\t2\ne\tf\t9\n",
        "unknown": "x\ty\t1\n",
        "analogies": ": s\na b c d\na b c e\nb c d e\n",
        "unasked": ": s\nx y z w\n",
    }
    path = {name: tmp_path / name for name in texts}
    for name, content in texts.items():
        path[name].write_text(content)
    files = {"ws353": path["pairs"], "simlex": path["unknown"], "analogy": path["analogies"]}
    assert evaluate(saved, files) == {
        "ws353": evaluate_word_pairs(loaded, path["pairs"]).spearman,
        "simlex": None,
        "analogy": evaluate_analogies(loaded, path["analogies"]).total.correct / 3,
    }
    assert evaluate(saved, {"analogy": path["unasked"]}) == {"analogy": None}


def test_tables_show_the_median_and_the_spread_of_the_seeds():
    large = {"eff_wps": 1.2e6, "total_s": 123.4, "peak_mb": 1234.0, "ws353": -0.5}
    rows = [row(seed=n, raw_wps=n * 1e6, analogy=n / 100, **large) for n in (1, 2, 7)]
    rows = [row("gensim", "iterator"), *rows, row(epochs=1)]
    assert next(iter(groups(rows))) == ("ours", "command", 1)
    assert spread(rows[1:4], "raw_wps", scale=1e-3) == "2,000 [1,000 - 7,000]"
    assert spread(rows[:1], "ws353") == "-"
    console = Console(file=io.StringIO(), record=True, width=shape.WIDE)
    for shown in tables(rows):
        console.print(shown)
    text = console.export_text()
    assert "Speed: median [lowest - highest]" in text
    assert "2,000 [1,000 - 7,000]" in text
    assert "123.4 [123.4 - 123.4]" in text
    assert "-0.500 [-0.500 - -0.500]" in text
    assert "2.0 [1.0 - 7.0]" in text
    assert "…" not in text  # nothing is cut


def test_speed_is_held_against_gensims_better_mode():
    rows = [row("gensim", "iterator", raw_wps=1e6, total_s=20.0)]
    rows += [row("gensim", "file", raw_wps=1.5e6, total_s=40.0), row(raw_wps=4.5e6, total_s=5.0)]
    assert comparisons(rows) == [
        "ours command, epochs 5: training 3.00x the words/s of gensim file",
        "ours command, epochs 5: end to end 4.00x as fast as gensim iterator",
    ]
    assert comparisons(rows[:2]) == comparisons(rows[2:]) == []
    assert comparisons([row(epochs=1), *rows[:2]]) == []  # other epochs are no comparison


def test_quality_is_held_against_the_iterator_and_the_wider_spread():
    ours = [row(seed=seed, ws353=0.6 + seed / 100) for seed in (1, 2, 3)]
    peer = [row("gensim", "iterator", seed=seed, ws353=0.6 + seed / 50) for seed in (1, 2, 3)]
    other = [row("gensim", "file", ws353=0.9)]
    assert comparisons([*ours, *peer, *other])[2:] == [
        "ours command, epochs 5: WS353 0.620, gensim iterator 0.640: -0.020; "
        "the seeds spread over 0.040"
    ]


def test_gensims_side_imports_nothing_of_ours():
    tree = ast.parse((ROOT / "benchmarks/word2vec/gensim_runner.py").read_text())
    names = [
        name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
    ]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {name.split(".")[0] for name in names} == {"argparse", "json", "time", "gensim"}


def test_the_roof_is_the_nearer_limit():
    step = Step()
    rates = Rates(flops=step.flops() * 1e6, bytes=step.bytes() * 4e6, kernel="made up")
    lines = roof(step, {1: rates}, [row(eff_wps=5e5)])
    assert "roof 1,000,000 eff words/s" in lines[1]
    assert "50% of the roof (50% of the flops, 12% of the bytes)" in lines[2]
