"""The LSTM experiment as its user runs it, and the page it leaves."""

import json
import math
import runpy
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxdl import signals
from jaxdl.__main__ import main
from jaxdl.cli.command import parse
from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError, Stopped
from jaxdl.files.atomic import read_json
from jaxdl.lstm import command, dataset
from jaxdl.lstm.command import PREDICT, TRAIN, run, train
from jaxdl.lstm.config import Config, check
from jaxdl.lstm.predict import predict
from jaxdl.lstm.report import lstm_section, thin
from jaxdl.lstm.saved import choose
from jaxdl.training import checkpoint
from jaxdl.training.opening import MADE
from jaxdl.training.run_folder import read_rows
from tests.helpers import processes
from tests.helpers.stopping import stopping_bar

pytestmark = [pytest.mark.xdist_group("lstm_sine"), pytest.mark.slow]

MODULE = "jaxdl lstm train"
SERIES = Path(__file__).parents[1] / "fixtures" / "series"
# Checkpoints after 200, 400 and 600 epochs.
SMALL = (
    "--hidden",
    "2",
    "4",
    "--seeds",
    "2",
    "--steps",
    "600",
    "--log-every",
    "4",
    "--batch-size",
    "8",
)
finish, stop_at = partial(processes.finish, MODULE), partial(processes.stop_at, MODULE)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("lstm") / "straight"
    done = finish(*SMALL, "--out", str(out), fresh=True)
    assert done.returncode == 0, done.stderr
    return out


def losses(run: Path) -> list:
    return [(row["step"], row["loss"]) for row in read_rows(run / "metrics.jsonl")]


def params(run: Path) -> list[np.ndarray]:
    found, _, _ = checkpoint.load_params(run / "checkpoints")
    return [leaf for layer in found.values() for leaf in layer.values()]


def test_a_run_learns_and_leaves_its_files(straight: Path):
    assert all(MADE.fullmatch(path.name) for path in straight.iterdir())
    rows = losses(straight)
    assert [step for step, _ in rows] == list(range(4, 601, 4))
    for size in ("2", "4"):
        first, last = rows[0][1][size], rows[-1][1][size]
        assert len(first) == 2
        assert all(after < 0.2 * before for before, after in zip(first, last, strict=True))
    summary = read_json(straight / "summary.json")["lstm_sine"]
    assert summary["loss"] == rows[-1][1]
    assert summary["naive_mse"] < 1e-9  # the sine repeats itself
    found = read_json(straight / "predictions.json")
    assert [(s["given"], s["length"]) for s in found["settings"]] == [(50, 50), (25, 75)]
    wave = np.sin(2 * np.pi * np.arange(50) / 50)
    for one in found["settings"]:
        both = np.array(one["input"] + one["truth"])[:, 0]
        phase = 50 - one["given"]
        np.testing.assert_allclose(both, np.roll(np.tile(wave, 3), -phase)[: len(both)], atol=1e-9)
        for member in one["members"].values():
            # Both ways have read the same window for the first value.
            np.testing.assert_allclose(member["window"][0], member["carry"][0], atol=1e-6)
            assert len(member["window"]) == len(member["carry"]) == one["length"]
    errors = np.array(found["errors"]["sizes"]["4"]["carry"])
    assert errors.shape == (2, 75)
    assert (errors[:, :5].mean(1) < errors[:, -25:].mean(1)).all()
    assert found["errors"]["windows"] == 51  # every phase of the wave


def test_the_page_shows_curves_predictions_and_errors(straight: Path):
    page = (straight / "report.html").read_text()
    for text in ("Learning curves", "50 steps given, 50 predicted", "25 steps given, 75 predicted"):
        assert text in page
    assert page.count("data-curves=") == 4
    assert "Error against distance" in page


def test_a_run_that_was_stopped_ends_in_the_same_bits(straight: Path):
    """Killed, and then told to end."""
    out = straight.parent / "stopped"
    status, errors = stop_at("step 400 of 600", signal.SIGKILL, *SMALL, "--out", str(out))
    assert status == -signal.SIGKILL, errors
    status, errors = stop_at("step 400 of 600", signal.SIGTERM, *SMALL, "--out", str(out))
    assert status == 143, errors
    assert "run the same command to resume" in errors
    assert not (out / "summary.json").exists()
    done = finish(*SMALL, "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert losses(out) == losses(straight)
    for ours, theirs in zip(params(out), params(straight), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_run_that_was_stopped_between_two_checkpoints_loses_no_line(tmp_path: Path):
    straight, stopped = (
        Config(hidden=(2, 3), seeds=1, steps=200, log_every=2, batch_size=8, out=tmp_path / name)
        for name in ("straight", "stopped")
    )
    run(straight, Bar())
    text = "of 200; run the same command to resume"
    with signals.handled(), pytest.raises(Stopped, match=text):
        run(stopped, stopping_bar(140))
    assert 50 < checkpoint.steps(stopped.out / "checkpoints")[-1] < 100
    assert len(losses(stopped.out)) == 50
    run(stopped, Bar())
    assert losses(stopped.out) == losses(straight.out)
    for ours, theirs in zip(params(stopped.out), params(straight.out), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_finished_run_is_not_trained_again(straight: Path):
    before = (straight / "report.html").stat().st_mtime_ns
    done = finish(*SMALL, "--out", str(straight))
    assert done.returncode == 0
    assert "finished already" in done.stdout
    assert (straight / "report.html").stat().st_mtime_ns == before
    other = finish(*SMALL, "--window", "40", "--out", str(straight))
    assert other.returncode == 2
    assert "another configuration (window: 50 -> 40" in other.stderr


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Two columns of very different size, and one that is not for the network."""
    path = tmp_path / "flow.csv"
    angle = 2 * np.pi * np.arange(400) / 20
    lines = zip(range(400), 20 + 5 * np.sin(angle), 3e4 + 2e3 * np.cos(angle), strict=True)
    path.write_text("n,level,flow\n" + "".join(f"{n},{a:.5f},{b:.3f}\n" for n, a, b in lines))
    return path


def own_config(table: Path, out: Path, **options) -> Config:
    given: dict[str, Any] = {
        "column": ("level", "flow"),
        "window": 20,
        "steps": 200,
        "batch_size": 16,
        "seeds": 1,
    }
    given |= {"optimizer": "adam", "learning_rate": 0.02, "context": (20,), "horizon": (30,)}
    given |= {"hidden": (3, 4), "log_every": 20, "period": 20}
    return Config(data=table, out=out, **(given | options))


def test_a_series_of_ones_own_is_learnt_and_predicted(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "run"
    cfg = own_config(table, out, difference="none")
    run(cfg, Bar())
    record = read_json(out / "run.json")["series"]
    assert record["reading"]["column"] == record["columns"] == ["level", "flow"]
    assert [record[name] for name in ("steps", "training", "tail")] == [400, 320, 80]
    assert record["times"] is None
    found = read_json(out / "summary.json")["lstm_sine"]["forecast"]
    assert found["test"]["origins"] == 80
    totals = {name: one["total"] for name, one in found["test"]["methods"].items()}
    assert totals["networks"]["mae"][0] < 2.5  # half an amplitude, of each column in its own unit
    assert totals["networks"]["mae"][1] < 1e3
    drawn = found["test"]["drawn"]
    angle = 2 * np.pi * np.arange(320, 350) / 20
    truth = np.stack([20 + 5 * np.sin(angle), 3e4 + 2e3 * np.cos(angle)], axis=1)
    np.testing.assert_allclose(drawn["truth"], truth, rtol=1e-6)
    # The sine repeats itself: no network beats the naive forecast, and `predict` says so.
    assert found["naive"]
    capsys.readouterr()
    predict(out, table, horizon=31, out=tmp_path / "next.csv")
    said = capsys.readouterr()
    assert "by the seasonal naive forecast, which the validation part preferred" in said.out
    assert "31 steps are predicted; the run measured its errors over 30" in said.out + said.err
    lines = (tmp_path / "next.csv").read_text().splitlines()
    assert lines[0] == "step,level,level_p10,level_p90,flow,flow_p10,flow_p90"
    assert [int(line.split(",")[0]) for line in lines[1:]] == list(range(401, 432))
    assert (tmp_path / "next.png").read_bytes().startswith(b"\x89PNG")
    got = np.loadtxt(tmp_path / "next.csv", delimiter=",", skiprows=1)
    np.testing.assert_allclose(
        got[:20, 1], 20 + 5 * np.sin(2 * np.pi * np.arange(20) / 20), atol=1e-4
    )
    # One network: what it forecasts is what it has learnt from all rows.
    predict(out, table, network="4:0", horizon=3, out=tmp_path / "one.csv")
    one = np.loadtxt(tmp_path / "one.csv", delimiter=",", skiprows=1)
    assert (np.abs(one[:, 1] - got[:3, 1]) < 2.5).all()
    assert (one[:, 2] < one[:, 1]).all()
    assert (one[:, 1] < one[:, 3]).all()
    with pytest.raises(InputError, match=r"--network 5: .* has sizes 3, 4, seeds 0 to 0"):
        predict(out, table, network="5")
    with pytest.raises(InputError, match=r"--mode window: .* leave it out"):
        predict(out, table, mode="window")
    page = (out / "report.html").read_text()
    assert "LSTM: level, flow" in page
    assert "The networks do not beat the seasonal naive forecast on the 80 held-out steps" in page
    assert 'id="lstm-forecast"' in page
    assert 'href="#lstm-forecast"' in page  # the copy in the summary
    assert "Error by horizon" in page
    short = table.with_name("short.csv")
    short.write_text("\n".join(table.read_text().splitlines()[:321]))
    capsys.readouterr()
    before = short.read_bytes()
    with pytest.raises(
        InputError, match=r"short\.csv: is an input, which its output would replace"
    ):
        predict(out, short, out=short)
    with pytest.raises(InputError, match=r"q\.png: is for the predicted steps; name it \.csv"):
        predict(out, table, out=tmp_path / "q.png")
    assert short.read_bytes() == before
    # Another series under the name of the old: its held-out steps would be trained on.
    assert run(cfg, Bar())
    table.write_text(table.read_text() + "400,20,30000\n")
    for unfinished in (False, True):
        if unfinished:
            (out / "summary.json").unlink()
        with pytest.raises(InputError, match=r"flow\.csv holds \d+ bytes, and held \d+ .*when"):
            run(cfg, Bar())


def test_a_series_with_dates_and_gaps_is_forecast_in_two_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """As it is typed: `predict` reads the file that was trained on, and continues its dates."""
    months = np.arange("1949-01", "1961-01", dtype="datetime64[M]").astype("datetime64[D]")
    level = 1e9 + 100 * np.sin(np.arange(144) * 2 * np.pi / 12)
    lines = [f"{months[n]},{n},{level[n].item()!r}" for n in range(144)]
    del lines[50:52]
    data, out = tmp_path / "air.csv", tmp_path / "run"
    data.write_text("\n".join(["month,n,y", *lines[::-1]]))
    words = ["--data", str(data), "--out", str(out), "--hidden", "4", "--seeds", "1"]
    words += ["--steps", "100", "--batch-size", "8"]
    refusal = r"2 of 144 times have no row \(1953-03-01 to 1953-04-01\); fill them with --missing"
    with pytest.raises(InputError, match=refusal):
        train(parse(TRAIN, words))
    assert not out.exists()
    train(parse(TRAIN, [*words, "--missing", "seasonal"]))
    said = capsys.readouterr().out
    assert "144 rows of 'y', by 'month': a step is 1 month, from 1949-01-01 to 1960-12-01" in said
    assert "newest first: turned round" in said
    assert "left out: 'n' only counts the rows" in said
    assert "period 12 found" in said
    record = read_json(out / "run.json")
    assert record["config"]["window"] is None
    assert [record["series"][k] for k in ("window", "horizon", "period")] == [24, [24], 12]
    forecast = tmp_path / "next.csv"
    words = [str(out), str(data), "--horizon", "3", "--out", str(forecast)]
    command.predict(parse(PREDICT, words))
    rows = [line.split(",") for line in forecast.read_text().splitlines()]
    assert rows[0] == ["time", "y", "y_p10", "y_p90"]
    assert [row[0] for row in rows[1:]] == ["1961-01-01", "1961-02-01", "1961-03-01"]
    values = [float(row[1]) for row in rows[1:]]
    assert all(repr(value) == row[1] for value, row in zip(values, rows[1:], strict=True))
    assert len(set(values)) == 3  # not seven digits of 1e9
    assert "a step is 1 month" in capsys.readouterr().out
    # Another file: its column is named, and has no dates.
    other = tmp_path / "other.csv"
    other.write_text("a,b\n" + "".join(f"{n % 5},{1e9 + n % 7}\n" for n in range(40)))
    with pytest.raises(InputError, match=r"2 columns hold numbers: 'a', 'b'; choose with --column"):
        command.predict(parse(PREDICT, [str(out), str(other), "--out", str(forecast)]))
    words = [str(out), str(other), "--column", "b", "--horizon", "2", "--out", str(forecast)]
    command.predict(parse(PREDICT, words))
    steps = [line.split(",")[0] for line in forecast.read_text().splitlines()]
    assert steps == ["step", "41", "42"]


@pytest.mark.parametrize("rows", [30, 100])
def test_few_rows_are_enough_to_try(rows: int, tmp_path: Path):
    """Without an option: Nile's 100 rows, and 30 of them."""
    lines = (SERIES / "nile_100.csv").read_text().splitlines()[: rows + 1]
    (tmp_path / "nile.csv").write_text("\n".join(lines))
    words = ["--data", str(tmp_path / "nile.csv"), "--out", str(tmp_path / "run")]
    cfg = parse(TRAIN, words)
    check(cfg)
    series = dataset.open_series(cfg)
    assert len(series.training) + len(series.tail) == rows
    assert series.lengths.window < len(series.training)


def test_scaling_is_learnt_on_the_training_part_alone(table: Path, tmp_path: Path):
    other = tmp_path / "other.csv"
    lines = table.read_text().splitlines()
    other.write_text("\n".join([*lines[:321], *("0,1000,-7" for _ in range(80))]))
    ours, theirs = (dataset.open_series(own_config(path, tmp_path)) for path in (table, other))
    np.testing.assert_array_equal(ours.training, theirs.training)
    np.testing.assert_array_equal(ours.scaling.mean, theirs.scaling.mean)
    assert abs(ours.training.mean()) < 1e-9
    assert ours.tail.shape == (80, 2)


WRONG = {
    "window of 0": ({"window": 0}, "--window 0: must be 1 or more"),
    "no multiple": ({"steps": 15}, "--steps 15: must be a multiple of --log-every 10"),
    "sizes": ({"hidden": ()}, "--hidden: name at least one number"),
    "size 0": ({"hidden": (2, 0)}, "--hidden 0: must be 1 to 100000"),
    "a size twice": ({"hidden": (2, 2)}, "name each size once"),
    "lengths": ({"context": (50,)}, "give as many of each"),
    "column alone": ({"column": ("a",)}, "--column goes with --data FILE"),
    "test steps alone": ({"test_steps": 9}, "--test-steps goes with --data FILE"),
    "rate": ({"learning_rate": 0.0}, "must be above 0"),
    "period": ({"period": 51}, "--period 51: must be 1 to 50"),
    "difference alone": ({"difference": "first"}, "--difference goes with --data FILE"),
    "fill alone": ({"missing": "ffill"}, "--missing goes with --data FILE"),
    "nothing to fit": ({"window": None}, "--preset series goes with --data FILE"),
}


@pytest.mark.parametrize(("options", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_trained_is_one_line(options: dict, message: str):
    with pytest.raises(InputError, match=message):
        check(Config(**options))


FILES = {
    "short": ("a\n" + "1\n2\n" * 30, {}, r"series.csv: of 60 rows 75 are held out, .* --horizon"),
    "few test steps": (
        "a\n" + "1\n2\n" * 50,
        {"test_steps": 74},
        "--test-steps 74: must be 75 or more, the longest --horizon",
    ),
    "5 rows": ("a\n1\n2\n3\n5\n4\n", {}, "series.csv: 5 rows are too few to learn from"),
    "one value": ("a\n" + "3\n" * 40, {}, "column 'a' holds one value, 3, in all 40 rows"),
    "nan": ("a\n" + "1\n" * 9 + "nan\n", {}, r"1 of 10 rows has no value of 'a' \(line 11\)"),
    "column": (
        "a,b\n1,2\n",
        {"column": ("c",)},
        "no column 'c' for --column; its columns are 'a', 'b'",
    ),
    "empty": ("", {}, "holds no step"),
}


@pytest.mark.parametrize(("text", "options", "message"), FILES.values(), ids=FILES)
def test_a_bad_series_is_one_line_and_leaves_no_run(
    text: str, options: dict, message: str, tmp_path: Path
):
    path = tmp_path / "series.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        run(Config(data=path, out=tmp_path / "run", **options), Bar())
    assert not (tmp_path / "run").exists()


def test_an_exported_network_predicts_what_the_command_does(
    straight: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
):
    series, out = tmp_path / "series.csv", tmp_path / "out"
    series.write_text("sine\n" + "".join(f"{math.sin(n / 8)}\n" for n in range(70)))
    predict(straight, series, out=tmp_path / "next.csv")
    assert main(["lstm", "export", str(straight), "--out", str(out)]) == 0
    assert "| columns, in order | `sine` |" in (out / "README.md").read_text()
    monkeypatch.setattr(sys, "argv", ["example.py", str(series)])
    capsys.readouterr()
    runpy.run_path(str(out / "example.py"), run_name="__main__")
    name, *values = capsys.readouterr().out.splitlines()
    wanted = [line.split(",")[1] for line in (tmp_path / "next.csv").read_text().splitlines()]
    assert name == wanted[0]
    np.testing.assert_allclose(np.array(values, float), np.array(wanted[1:], float), atol=1e-5)
    assert main(["lstm", "export", str(straight), "--format", "page", "--out", str(out)]) == 0
    assert '"columns": ["sine"]' in (out / "forecast.html").read_text()


def test_predict_says_what_it_lacks(straight: Path, tmp_path: Path):
    series = tmp_path / "series.csv"
    series.write_text("sine\n" + "0.5\n0.6\n" * 5)
    with pytest.raises(InputError, match=r"10 steps, and 50 are to be given .* --context 1 to 10"):
        predict(straight, series)
    with pytest.raises(InputError, match=r"--network 3: .* has sizes 2, 4"):
        predict(straight, series, network="3")
    with pytest.raises(InputError, match="holds no finished run"):
        predict(tmp_path, series)
    assert choose({"2": [0.5, 0.1], "4": [0.3, 0.2]}, None, straight) == (2, 1)
    assert choose({"2": [0.5, 0.1], "4": [0.3, 0.2]}, "4:0", straight) == (4, 0)
    assert choose({"2": [0.5, 0.1], "4": [0.3, 0.2]}, "4", straight) == (4, 1)


def test_a_damaged_run_becomes_notes_on_the_page(straight: Path, tmp_path: Path):
    for name in ("run.json", "metrics.jsonl", "summary.json"):
        (tmp_path / name).write_bytes((straight / name).read_bytes())
    found = read_json(straight / "predictions.json")
    found["settings"][0]["truth"] = "nothing"
    (tmp_path / "predictions.json").write_text(json.dumps(found))
    html = lstm_section(tmp_path).html
    assert "predictions.json: is not a list of predictions" in html
    assert "Learning curves" in html
    empty = tmp_path / "empty"
    empty.mkdir()
    html = lstm_section(empty).html
    assert "run.json is missing" in html
    assert "<svg" not in html


def test_a_network_that_ran_away_is_told_not_drawn(straight: Path, tmp_path: Path):
    for path in straight.glob("*.json*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    summary = read_json(straight / "summary.json")
    summary["lstm_sine"]["loss"]["2"][0] = None
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    found = read_json(straight / "predictions.json")
    found["settings"][0]["members"]["2"]["carry"][7] = [None]
    (tmp_path / "predictions.json").write_text(json.dumps(found))
    html = lstm_section(tmp_path).html
    assert "2 hidden units: 1 of 2 seeds ended with a loss that has no logarithm" in html
    assert html.count("<svg") == 4


def test_thin_keeps_both_ends():
    assert thin(5) == [0, 1, 2, 3, 4]
    assert thin(1000, 3)[0] == 0
    assert thin(1000, 3)[-1] == 999
    assert len(thin(1000, 3)) == 3
