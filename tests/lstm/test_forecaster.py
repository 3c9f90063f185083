"""`jaxdl.Forecaster`: the command's numbers, indexes that go on, and networks trained on."""

import csv
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest

import jaxdl
from jaxdl.cli.command import parse
from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError
from jaxdl.files.atomic import write_json
from jaxdl.lstm import fit, saved
from jaxdl.lstm.command import TRAIN, run
from jaxdl.lstm.data import python
from jaxdl.lstm.data.calendar import next_times
from jaxdl.lstm.data.regular import make_series
from jaxdl.lstm.predict import predict
from jaxdl.lstm.start import settle

pytestmark = [pytest.mark.xdist_group("forecaster"), pytest.mark.slow]

ROWS = np.arange(96)
VALUES = 50 + 0.3 * ROWS + 4 * np.sin(ROWS * np.pi / 6) + np.random.default_rng(0).normal(size=96)
MONTHS = pd.date_range("2015-01-31", periods=96, freq="ME")
SERIES = pd.Series(VALUES, MONTHS, name="flow")
SMALL: dict[str, Any] = {"hidden": (2, 3), "seeds": 2, "steps": 60, "log_every": 20}
WORDS = ("--hidden", "2", "3", "--seeds", "2", "--steps", "60", "--log-every", "20")


@pytest.fixture(scope="module")
def fitted() -> jaxdl.Forecaster:
    return jaxdl.Forecaster(**SMALL).fit(SERIES)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the command on the same series."""
    folder = tmp_path_factory.mktemp("forecaster")
    SERIES.to_csv(folder / "flow.csv", index_label="month")
    run(
        parse(TRAIN, (*WORDS, "--data", f"{folder / 'flow.csv'}", "--out", f"{folder / 'run'}")),
        Bar(),
    )
    return folder / "run"


def table(path: Path) -> list[list[str]]:
    with path.open() as file:
        return list(csv.reader(file))


def test_python_and_the_command_agree(fitted: jaxdl.Forecaster, trained: Path, tmp_path: Path):
    out = tmp_path / "next.csv"
    predict(trained, horizon=5, out=out)
    names, *rows = table(out)
    assert names == ["time", "flow", "flow_p10", "flow_p90"]
    ours = fitted.predict(5)
    assert [row[0] for row in rows] == [str(t.date()) for t in ours.index]
    theirs = np.array([row[1:] for row in rows], float)
    # The command spreads its networks over devices: other sums.
    np.testing.assert_allclose(ours[[0.5, 0.1, 0.9]].to_numpy(), theirs, rtol=1e-5)
    named = tmp_path / "named.csv"
    predict(trained, trained.parent / "flow.csv", horizon=5, out=named)
    assert named.read_bytes() == out.read_bytes()
    test = saved.read_finished(trained)["forecast"]["test"]
    ours, theirs = (found["methods"]["forecast"]["total"] for found in (fitted.backtest(), test))
    np.testing.assert_allclose(ours["mase"], theirs["mase"], rtol=1e-5)
    assert fitted.backtest()["methods"]["naive"] == test["methods"]["naive"]


def test_a_seed_repeats_and_what_is_saved_forecasts_the_same(
    fitted: jaxdl.Forecaster, trained: Path, tmp_path: Path
):
    again = jaxdl.Forecaster(**SMALL).fit(SERIES)
    pd.testing.assert_frame_equal(again.predict(7), fitted.predict(7), check_exact=True)
    fitted.save(tmp_path / "kept")
    read = jaxdl.Forecaster.load(tmp_path / "kept")
    pd.testing.assert_frame_equal(read.predict(7), fitted.predict(7), check_exact=True)
    assert read.backtest() == fitted.backtest()
    predict(tmp_path / "kept", horizon=7, out=tmp_path / "next.csv")
    theirs = np.array([row[1] for row in table(tmp_path / "next.csv")[1:]], float)
    np.testing.assert_array_equal(fitted.predict(7)[0.5], theirs)
    with pytest.raises(InputError, match="holds something already"):
        fitted.save(tmp_path / "kept")
    read = jaxdl.Forecaster.load(trained, quantiles=(0.5,))
    assert read.predict(3).shape == (3, 1, 1)
    times = read.times(3)
    assert times is not None
    assert times.astype("datetime64[D]").tolist() == [t.date() for t in fitted.predict(3).index]
    read.save(tmp_path / "copied")
    assert np.array_equal(
        jaxdl.Forecaster.load(tmp_path / "copied").predict(3)[..., 1:2], read.predict(3)
    )


def test_quantiles_are_in_order_and_agree_with_the_band(fitted: jaxdl.Forecaster):
    fitted.quantiles, before = (0.05, 0.1, 0.5, 0.8, 0.9), fitted.quantiles
    wide = fitted.predict(6)
    fitted.quantiles = before
    assert (np.diff(wide.to_numpy(), axis=1) > 0).all()
    pd.testing.assert_frame_equal(wide[list(before)], fitted.predict(6))
    np.testing.assert_allclose((wide[0.1] + wide[0.9]) / 2, wide[0.5], rtol=1e-6)


def test_networks_are_trained_on(trained: Path, tmp_path: Path):
    """Each part goes on from its own; without a step that matters nothing changes."""
    more = pd.concat([SERIES, pd.Series(VALUES[-12:] + 3.6, MONTHS[-12:] + pd.DateOffset(years=1))])
    longer = more.set_axis(pd.date_range(MONTHS[0], periods=108, freq="ME")).rename("flow")
    still = jaxdl.Forecaster(**SMALL, start_from=trained, learning_rate=1e-30).fit(longer)
    old = saved.load(trained)
    assert still._saved is not None
    for ours, theirs in zip(
        *map(jax.tree.leaves, (still._saved.fitted.params, old.fitted.params)), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert still._saved.fitted.setup.transform == old.fitted.setup.transform
    np.testing.assert_array_equal(
        still._saved.fitted.setup.scaling.mean, old.fitted.setup.scaling.mean
    )
    want = fit.members_forecast(
        *(old.fitted.setup, fit.part_of(old.fitted.params, 2), longer.to_numpy()[:, None]),
        *(np.array([108]), 4),
    )
    chosen = fit.kept(still._saved.fitted)
    np.testing.assert_allclose(
        still.predict(4)[0.5], np.median(want[chosen], axis=0)[:, 0, 0], rtol=1e-6
    )
    assert any("with 12 more rows" in line for line in still.told)
    assert not still.warnings
    # Other rows: all parts start from the one that has seen most.
    other = jaxdl.Forecaster(start_from=trained, steps=20, log_every=20, learning_rate=1e-30)
    other.fit(SERIES.to_numpy()[::-1].copy())
    assert other._saved is not None
    for ours, theirs in zip(
        *map(jax.tree.leaves, (other._saved.fitted.params, old.fitted.params)), strict=True
    ):
        for part in range(3):
            np.testing.assert_array_equal(ours[:, part], theirs[:, 2])
    assert "does not begin with the rows" in other.warnings[-1]


def test_what_cannot_be_trained_on_is_refused(trained: Path, tmp_path: Path):
    data = str(trained.parent / "flow.csv")
    start = ("--data", data, "--start-from", str(trained))
    found = settle(parse(TRAIN, start))
    assert (found.hidden, found.seeds, found.period) == ((2, 3), 2, 12)
    for words, text in (
        ((*start, "--hidden", "7"), "--hidden .7,.: .* has .2, 3."),
        ((*start, "--difference", "none"), "keep their own"),
        (("--start-from", str(trained)), "goes with --data FILE"),
        (("--data", data, "--start-from", str(tmp_path)), "run.json"),
    ):
        with pytest.raises(InputError, match=text):
            settle(parse(TRAIN, words))
    two = pd.DataFrame({"a": VALUES, "b": VALUES[::-1]})
    with pytest.raises(InputError, match=r"2 columns, but .* learnt 1"):
        jaxdl.Forecaster(start_from=trained).fit(two)


TIMES = {
    "month ends": MONTHS,
    "business days": pd.bdate_range("2024-01-01", periods=96),
    "hours in a zone, over a change": pd.date_range(
        "2024-03-29", periods=96, freq="h", tz="Europe/Berlin"
    ),
    "days in a zone, over a change": pd.date_range("2024-03-01", periods=96, tz="Europe/Berlin"),
    "quarters": pd.period_range("2001Q1", periods=96, freq="Q"),
    "years": pd.RangeIndex(1900, 1996, name="year"),
    "counts": pd.Index(np.arange(96) * 5),
}


@pytest.mark.parametrize("name", TIMES)
def test_an_index_goes_on(name: str):
    index = TIMES[name][:90]
    given = python.take(pd.DataFrame({"a": VALUES[:90], "b": VALUES[:90]}, index))
    series = make_series(given.values, names=given.names, times=given.times).series
    assert series.times is not None
    assert series.step is not None
    found = python.give_back(
        np.zeros((6, 2, 3)), (0.1, 0.5, 0.9), next_times(series.times, series.step, 6), given.kind
    )
    assert list(found.columns) == [(c, q) for c in "ab" for q in (0.1, 0.5, 0.9)]
    assert list(found.index) == list(TIMES[name][90:])
    assert found.index.name == index.name
    assert type(found.index) is type(index) or name == "years"


def test_what_was_trained_on_is_read_again(tmp_path: Path):
    frame = pd.DataFrame({"time": VALUES * 1e-7, "2": VALUES * 1e9, 'a "b", c': VALUES / 3}, MONTHS)
    years = frame.set_axis(pd.date_range("1900", periods=96, freq="YS"))
    for given in (frame, years, frame.reset_index(drop=True), frame.to_numpy()):
        taken = python.take(given)
        series = make_series(taken.values, names=taken.names, times=taken.times).series
        (tmp_path / saved.SERIES).write_bytes(saved.write_series(series))
        times = None if series.times is None else {"dtype": str(series.times.dtype)}
        write_json(
            tmp_path / "run.json",
            {"format": 2, "experiment": "x", "config": {}, "series": {"times": times}},
        )
        read = saved.load_series(tmp_path)
        np.testing.assert_array_equal(read.values, series.values)
        assert read.names == series.names
        assert str(read.step) == str(series.step)
        np.testing.assert_array_equal(read.times, series.times)
    (tmp_path / saved.SERIES).write_text("1,2,3\n4,5,six\n")
    with pytest.raises(InputError, match="is not what the run was trained on"):
        saved.load_series(tmp_path)


def test_series_that_cannot_be_learnt_are_refused_in_a_line():
    holes = SERIES.copy()
    holes.iloc[[3, 50]] = np.nan
    own = jaxdl.Forecaster
    for series, text in (
        (holes, "2 .*missing"),
        (["a", "b"], "something else than numbers"),
        (np.zeros((2, 3, 4)), "shape"),
        (pd.DataFrame({"a": ["x"] * 40}), "column 'a' holds"),
        (pd.Series(VALUES, [f"day {n}" for n in ROWS]), "has no order in time"),
        (pd.DataFrame(np.ones((40, 2)), columns=["a", "a"]), "is there twice"),
        (SERIES.iloc[:5], "too few to learn from"),
        (np.full(50, 3.0), "holds one value"),
        (np.full(50, np.nan), "holds no number"),
    ):
        with pytest.raises(InputError, match=text):
            own().fit(series)
    for options, text in (
        ({"hiden": 3}, "no option 'hiden': is it hidden"),
        ({"out": "x"}, "it is for files"),
        ({"quantiles": (0.5, 1.0)}, "between 0 and 1"),
        ({"seeds": 0}, "--seeds 0"),
    ):
        with pytest.raises(InputError, match=text):
            own(**options)
    with pytest.raises(InputError, match="fit it, or use"):
        own().predict(3)
    filled = python.take(holes)
    made = make_series(filled.values, times=filled.times, missing="interpolate").series
    np.testing.assert_allclose(made.values[3, 0], (VALUES[2] + VALUES[4]) / 2)


def test_the_snippet_of_the_page_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    page = (Path(saved.__file__).parent / "README.md").read_text()
    section = page.split("## From Python\n")[1].split("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.S)
    exec(code.replace("seeds=8", "seeds=1, steps=20, log_every=20"), {})
    assert "1961-01" in capsys.readouterr().out
