"""Benchmarks: all that needs no gensim."""

import ast
import io
import json
import signal
import subprocess
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from benchmarks.fcn import __main__ as fcn
from benchmarks.fcn import layers, workload
from benchmarks.lstm import __main__ as lstm
from benchmarks.lstm import jax_runner
from benchmarks.process import ROOT, measure, own_choice
from benchmarks.roof import Rates, Step, better, measure_rates
from benchmarks.word2vec.__main__ import Config, Text, evaluate, find_evaluations, train, write_text
from benchmarks.word2vec.table import WIDTH, Row, comparisons, groups, roof, spread, tables
from jaxdl.errors import InputError, TrainingError
from jaxdl.files import atomic
from jaxdl.word2vec import config as experiment
from jaxdl.word2vec import vectors
from jaxdl.word2vec.data import corpus
from jaxdl.word2vec.evaluation import evaluate_analogies, evaluate_word_pairs
from jaxdl.word2vec.model import pair_loss

KEYS = ["tool", "mode", "epochs", "seed", "raw_wps", "eff_wps", "train_s", "total_s", "peak_mb"]
KEYS += ["ws353", "simlex", "analogy"]


def row(tool="ours", mode="command", epochs=5, seed=1, **figures) -> Row:
    given = {"raw_wps": 3e6, "eff_wps": 2e6, "train_s": 5.0, "total_s": 10.0, "peak_mb": 500.0}
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": (0,)}, "--epochs 0: give different numbers of 1 or more"),
        ({"epochs": ()}, "--epochs"),
        ({"seeds": (1, 1)}, "--seeds 1 1: give different"),
        ({"seeds": (-1,)}, "--seeds -1"),
        ({"tools": ()}, "--tools"),
        ({"tools": ("ours", "ours")}, "each once"),
        ({"workers": 0}, "--workers 0"),
        ({"word_pairs": (Path("none.tsv"),)}, r"none\.tsv: no such file"),
        ({"analogies": (Path("a"), Path("b"))}, "give one file"),
    ],
)
def test_bad_options_are_told_in_one_line(options: dict, message: str):
    with pytest.raises(InputError, match=message) as error:
        Config(**options)
    assert "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("python", [sys.executable, "nowhere/python"])
def test_a_python_without_gensim_is_refused_before_any_work(tmp_path: Path, python: str):
    command = [sys.executable, "-m", "benchmarks.word2vec", "--gensim-python", python]
    command += ["--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {python}: no Python that has gensim")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_run_that_fails_names_its_log(tmp_path: Path):
    config = Config(gensim_python=Path(sys.executable), out=tmp_path)
    text = Text(tmp_path / "text.txt", 1, 1, 1)
    with pytest.raises(TrainingError, match=r"No module named 'gensim'.*log\.txt"):
        train(config, "gensim-iterator", text, 1, 1, {})


def test_evaluation_files_are_told_apart_by_name(tmp_path: Path):
    def ours(**files) -> Config:
        return Config(tools=("ours",), gensim_python=tmp_path / "none", **files)

    pairs = tmp_path / "WordSim353.tsv", tmp_path / "simlex.txt"
    for path in (*pairs, tmp_path / "q.txt", tmp_path / "other.txt"):
        path.touch()
    given = ours(word_pairs=pairs[::-1], analogies=(tmp_path / "q.txt",))
    found = find_evaluations(given)
    assert found == {"ws353": pairs[0], "simlex": pairs[1], "analogy": tmp_path / "q.txt"}
    assert find_evaluations(ours()) == {}
    for wrong in ((tmp_path / "other.txt",), (pairs[0], pairs[0])):
        with pytest.raises(InputError, match="with wordsim and one with simlex"):
            find_evaluations(ours(word_pairs=wrong))


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


def test_rows_have_the_keys_that_were_agreed(tmp_path: Path):
    rows = [asdict(one) for one in (row(), row("gensim", "file", ws353=0.5))]
    atomic.write_json(tmp_path / "rows.json", rows)
    written = json.loads((tmp_path / "rows.json").read_text())
    assert [list(one) for one in written] == [KEYS, KEYS]
    assert written[0]["ws353"] is None
    assert (written[1]["tool"], written[1]["ws353"]) == ("gensim", 0.5)


def test_tables_show_the_median_and_the_spread_of_the_seeds():
    large = {"eff_wps": 1.2e6, "total_s": 123.4, "peak_mb": 1234.0, "ws353": -0.5}
    rows = [row(seed=n, raw_wps=n * 1e6, analogy=n / 100, **large) for n in (1, 2, 7)]
    rows = [row("gensim", "iterator"), *rows, row(epochs=1)]
    assert next(iter(groups(rows))) == ("ours", "command", 1)
    assert spread(rows[1:4], "raw_wps", scale=1e-3) == "2,000 [1,000 - 7,000]"
    assert spread(rows[:1], "ws353") == "-"
    console = Console(file=io.StringIO(), record=True, width=WIDTH)
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
        "epochs 5: training 3.00x the words/s of gensim file",
        "epochs 5: end to end 4.00x as fast as gensim iterator",
    ]
    assert comparisons(rows[:2]) == comparisons(rows[2:]) == []
    assert comparisons([row(epochs=1), *rows[:2]]) == []  # other epochs are no comparison


def test_quality_is_held_against_the_iterator_and_the_wider_spread():
    ours = [row(seed=seed, ws353=0.6 + seed / 100) for seed in (1, 2, 3)]
    peer = [row("gensim", "iterator", seed=seed, ws353=0.6 + seed / 50) for seed in (1, 2, 3)]
    other = [row("gensim", "file", ws353=0.9)]
    assert comparisons([*ours, *peer, *other])[2:] == [
        "epochs 5: WS353 0.620, gensim iterator 0.640: -0.020; the seeds spread over 0.040"
    ]


def test_a_steps_flops_are_those_that_xla_counts():
    """Its count has the elementwise work too, which is small at this width."""
    step = Step(width=256, size=64)
    groups, outer = step.size // step.group, step.group + 2 * step.window + step.shared
    rows = jnp.ones((groups, step.group, step.width)), jnp.ones((groups, outer, step.width))
    weights = jnp.ones((groups, step.group, outer))
    gradient = partial(jax.grad(pair_loss, argnums=(0, 1)), targets=step.group + 2 * step.window)
    lowered = jax.jit(gradient).lower(*rows, weights)
    analysis = lowered.compile().cost_analysis()
    assert analysis is not None
    assert 1 <= analysis["flops"] / step.size / step.flops() < 1.05


def test_a_steps_bytes_are_three_passes_over_its_rows():
    """One word a group, no window, one negative: three rows of one float."""
    assert Step(width=1, window=0, size=8, group=1, shared=1).bytes() == 3 * 3 * 4


def test_the_roof_is_that_of_the_default_step():
    defaults = experiment.Config()
    ours = (defaults.dim, experiment.block_of(defaults), defaults.shared_negatives)
    assert ours == (Step().width, Step().size, Step().shared)
    for name in ("group", "window"):
        assert getattr(defaults, name) == getattr(Step(), name), name


def test_the_roof_is_the_nearer_limit():
    step = Step()
    rates = Rates(flops=step.flops() * 1e6, bytes=step.bytes() * 4e6, kernel="made up")
    lines = roof(step, {1: rates}, [row(eff_wps=5e5)])
    assert "roof 1,000,000 eff words/s" in lines[1]
    assert "50% of the roof (50% of the flops, 12% of the bytes)" in lines[2]


@pytest.mark.slow
def test_the_machines_rates_are_of_a_real_machine():
    rates = measure_rates(1)
    assert 1e8 < rates.flops < 1e14
    assert 1e8 < rates.bytes < 1e13
    assert rates.kernel.startswith(("NumPy, ", "XLA"))


def test_the_better_of_two_measurements_keeps_its_kernel():
    first, second = Rates(3.0, 1.0, "XLA"), Rates(2.0, 4.0, "NumPy, Haswell")
    assert better(first, second) == better(second, first) == Rates(3.0, 4.0, "XLA")


def test_a_process_is_measured_apart_from_its_parent(tmp_path: Path):
    held = np.ones(1 << 26, np.float32)  # 268 MB that the child has no part in
    small = measure([sys.executable, "-S", "-c", "print('told')"], tmp_path / "log", {})
    assert (small.status, (tmp_path / "log").read_text()) == (0, "told\n")
    assert small.peak_mb < 100 < held.nbytes / 1e6
    code = "import sys; held = bytearray(b'x') * 200_000_000; sys.exit(3)"
    large = measure([sys.executable, "-S", "-c", code], tmp_path / "log", {})
    assert large.status == 3
    assert 200 < large.peak_mb < 300
    assert large.started >= small.started + small.seconds > 1e9


def test_a_process_that_is_killed_or_missing(tmp_path: Path):
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    killed = measure([sys.executable, "-S", "-c", code], tmp_path / "log", {})
    assert killed.status == -signal.SIGKILL
    with pytest.raises(OSError, match="nowhere: cannot be started"):
        measure([tmp_path / "nowhere"], tmp_path / "log", {})


def test_a_peer_chooses_its_own_kernels():
    assert own_choice({"OPENBLAS_CORETYPE": "Haswell", "HOME": "/"}) == {"HOME": "/"}


def test_gensims_side_imports_nothing_of_ours():
    tree = ast.parse((ROOT / "benchmarks/word2vec/gensim_runner.py").read_text())
    names = [
        name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
    ]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {name.split(".")[0] for name in names} == {"argparse", "json", "time", "gensim"}


# --- LSTM ---------------------------------------------------------------------------------------


def lstm_options(folder: Path, *more: str) -> list[str]:
    given = ["--hidden", "2", "3", "--epochs", "6", "--batch", "4", "--window", "10", "--seed", "0"]
    given += ["--optimizer", "momentum", "--learning-rate", "0.1"]
    return [*given, "--series", str(jax_runner.series_file(folder)), *more]


@pytest.mark.slow
def test_our_lstm_runner_prints_its_figures(tmp_path: Path):
    command = [sys.executable, "-m", "benchmarks.lstm.jax_runner"]
    found, total, peak = lstm.call(
        [*command, *lstm_options(tmp_path, "--seeds", "2", "--roof")], tmp_path / "log.txt"
    )
    assert len(found["losses"]) == 4
    assert np.isfinite(found["losses"]).all()
    assert 0 < found["compiled_seconds"] < found["seconds"] < total
    assert 0 < found["roof_seconds"] < total
    assert peak > 50


def test_a_runner_that_fails_is_one_line(tmp_path: Path):
    command = [sys.executable, "-c", "raise SystemExit('out of luck')"]
    with pytest.raises(TrainingError, match=r"ended with status 1: out of luck; see .*log.txt"):
        lstm.call(command, tmp_path / "log.txt")


@pytest.mark.slow
def test_the_example_for_the_peer_holds_what_numpy_gets(tmp_path: Path):
    """The gates in the order g, i, f, o, and the readout; the gradient by differences."""
    jax_runner.write_example(tmp_path / "example.npz")
    kept = np.load(tmp_path / "example.npz")

    def outputs(bias):
        h = c = np.zeros((kept["x"].shape[1], 5))
        found = []
        for x in kept["x"]:
            z = x @ kept["input"].T + h @ kept["recurrent"].T + bias
            g, i, f, o = np.split(z, 4, axis=1)
            i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
            c = f * c + i * np.tanh(g)
            h = o * np.tanh(c)
            found.append(h @ kept["kernel"] + kept["readout_bias"])
        return np.stack(found), h, c

    for ours, name in zip(outputs(kept["bias"]), ("outputs", "h", "c"), strict=True):
        np.testing.assert_allclose(ours, kept[name], atol=1e-12)

    def loss(bias):
        return np.square(outputs(bias)[0] - kept["target"]).mean()

    for n in range(20):
        small = np.zeros(20)
        small[n] = 1e-6
        slope = (loss(kept["bias"] + small) - loss(kept["bias"] - small)) / 2e-6
        assert slope == pytest.approx(kept["grad_bias"][n], abs=1e-8)


def test_the_lstm_table_shows_medians_and_how_many_times_as_fast():
    def one(tool: str, networks: int, seconds: float, compiled: float | None) -> lstm.Row:
        return lstm.Row(
            tool=tool,
            networks=networks,
            run=0,
            epochs=9,
            batch=4,
            window=5,
            seconds=seconds,
            compiled_s=compiled,
            roof_s=None,
            total_s=20.0,
            peak_mb=300.0,
        )

    rows = [one("peer", 2, s, None) for s in (9.0, 10.0, 50.0)]
    rows += [one("ours", 16, s, 0.5) for s in (3.0, 2.0, 1.0)]
    console = Console(width=120, file=io.StringIO())
    console.print(lstm.table(rows))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert [cell.strip() for cell in text.splitlines()[-3].split("│")[1:-1]][:4] == [
        *("peer", "2", "10.00", "1.0"),
    ]
    assert [cell.strip() for cell in text.splitlines()[-2].split("│")[1:-1]][:5] == [
        *("ours", "16", "2.00", "5.0", "0.50"),
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runs": 0}, "--runs 0: must be 1 or more"),
        ({"hidden": ()}, "--hidden: name at least one size"),
        ({"epochs": 150}, "--epochs 150: must be a multiple of 100"),
        ({"torch_python": Path("nowhere")}, "nowhere: no such Python; run make bench-lstm"),
    ],
)
def test_an_lstm_benchmark_that_cannot_run_is_one_line(options: dict, message: str):
    with pytest.raises(InputError, match=message):
        lstm.check(lstm.Config(**options))


FCN_KEYS = ["system", "what", "size", "batch", "images_per_s", "peak_mb", "share_of_roof"]


def small_fcn(out: Path, **given: Any) -> fcn.Config:
    """Ours alone, at 1/16 width."""
    sizes: Any = {"strides": (32,), "sizes": ("64",), "batches": (1, 2), "images": 3, "runs": 1}
    options: Any = {"systems": ("ours",), "width": 16, "out": out, "json": out / "rows.json"}
    return fcn.Config(**(sizes | options | given))


@pytest.mark.smoke
@pytest.mark.slow
def test_the_fcn_benchmark_times_steps_and_predictions(tmp_path: Path, capsys):
    """Each batch once and no more; programs are compiled in the warm-up alone."""
    rows = fcn.run(small_fcn(tmp_path, batches=(2,)))
    rows += fcn.run(small_fcn(tmp_path, sizes=("voc",), batches=(2,), whats=("predict",)))
    written = json.loads((tmp_path / "rows.json").read_text())
    assert [list(row)[:7] for row in written] == [FCN_KEYS]
    assert [(row.what, row.size, row.batch) for row in rows] == [
        *[(f"fcn32s {what}", "64", 2) for what in ("step", "predict")],
        ("fcn32s predict", "voc", 2),
    ]
    for row in rows:
        assert row.images_per_s > 0
        assert 0 < row.share_of_roof < 1
        assert row.share_done is not None
        # Winograd's products save three quarters at most; padding and upsampling add some.
        assert 0.25 < row.share_done / row.share_of_roof < 4
        assert row.peak_mb > (row.compiled_mb or 0) > 0
        assert row.compilations == (1 if row.size == "64" else 3)  # canvases
    assert "roof:" in capsys.readouterr().out


@pytest.mark.slow
def test_the_stream_has_the_sizes_of_voc():
    sizes = workload.stream_sizes(40)
    assert len(sizes) == 40
    assert {(375, 500), (500, 375), (333, 500), (500, 500)} <= set(sizes)
    assert sizes[:7] == workload.stream_sizes(7)
    batches = workload.on_canvases(workload.draw(sizes[:12]), 4)
    assert sum(int((np.asarray(batch.sizes)[:, 0] > 0).sum()) for batch in batches) == 12
    assert len({batch.images.shape for batch in batches}) <= workload.CANVASES


@pytest.mark.slow
def test_flops_of_a_step_are_three_forward_without_the_images_gradient():
    forward, step = (workload.flops(32, 1, step, [(64, 96)]) for step in (False, True))
    first = 2 * 9 * 3 * 64 * 64 * 96
    assert step == 3 * forward - first
    blocks = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
    total, channels = 0, 3
    for n, (features, count) in enumerate(blocks):
        for _ in range(count):
            total += 2 * 9 * channels * features * 64 * 96 // 4**n
            channels = features
    assert total < forward < 1.02 * total  # the scores and the upsampling are small


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": ("x",)}, "--sizes x: give the side"),
        ({"strides": ()}, "--strides: name at least one"),
        ({"batches": (0,)}, "--batches"),
        ({"systems": ("torch",), "torch_python": Path("none")}, "none: no such Python"),
    ],
)
def test_bad_fcn_options_are_told_in_one_line(tmp_path: Path, options: dict, message: str):
    with pytest.raises(InputError, match=message):
        fcn.run(small_fcn(tmp_path, **options))


@pytest.mark.slow
def test_layers_are_timed_in_every_direction():
    """conv1_1 has no gradient of its input; the flops are those of the convolutions."""
    found = list(layers.layers(32, 1, 32, budget=0.0))
    convolutions = [timed for timed in found if timed.flops]
    assert len(convolutions) == 13 * 3 - 1
    assert all(timed.seconds > 0 for timed in found)
    first = next(timed for timed in convolutions if timed.layer == "conv1_2")
    assert first.flops == 2 * 9 * 2 * 2 * 32 * 32
