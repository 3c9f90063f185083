"""``jaxdl lstm export`` of an own series' run: the folder, its card, its example."""

import csv
import io
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxdl.__main__ import main
from jaxdl.lstm import saved
from jaxdl.lstm.predict import predict
from tests.helpers.forecasters import random_fitted, save

pytestmark = pytest.mark.slow
NAMES = ("flow`|", "<b>level")


@pytest.mark.parametrize("naive", [False, True])
def test_the_example_prints_what_predict_writes(
    naive: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
):
    fitted, values = random_fitted(2, naive=naive, difference="seasonal")
    times = np.arange("2001-01", "2008-07", dtype="datetime64[M]")
    run = save(fitted, values, tmp_path / "run", NAMES, times)
    predict(run, out=tmp_path / "next.csv")
    assert main(["lstm", "export", str(run), "--out", str(tmp_path / "out")]) == 0
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| columns, in order | `flow'¦`, `<b>level` |" in card
    assert ("| forecasts | the seasonal naive forecast, which" in card) == naive
    assert ("| networks | LSTM, 1 layer, 6 networks of at most 4 units |" in card) == (not naive)
    assert f"| input 2 | `horizon`: int64, steps to predict; the run measured {8}" in card
    monkeypatch.setattr(sys, "argv", ["example.py", str(run / saved.SERIES)])
    capsys.readouterr()
    runpy.run_path(str(tmp_path / "out" / "example.py"), run_name="__main__")
    names, *rows = csv.reader(io.StringIO(capsys.readouterr().out))
    with (tmp_path / "next.csv").open() as file:
        (_, *wanted_names), *wanted = csv.reader(file)
    assert names == wanted_names
    wanted = np.array([row[1:] for row in wanted], float)
    found = np.array(rows, float)
    assert (np.abs(found - wanted).max(0) <= 1e-5 * np.abs(wanted).max(0)).all()


def test_a_network_is_picked_and_one_that_there_is_not_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    fitted, values = random_fitted(naive=True)
    run = save(fitted, values, tmp_path / "run", ("flow",))
    words = ["lstm", "export", str(run), "--out", str(tmp_path / "out"), "--network"]
    assert main([*words, "2:1"]) == 0
    assert "| forecasts | 2:1 (hidden units:seed) |" in (tmp_path / "out/README.md").read_text()
    with pytest.raises(SystemExit, match="2"):
        main([*words, "3"])
    assert "--network 3" in capsys.readouterr().err
