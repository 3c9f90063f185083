"""The posts' findings, measured again: statistics, verdicts, objects, and two parts in small."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import stats

from experiments.findings import fcn_stages, lstm_units, softmax, text
from experiments.findings.__main__ import Options, run
from experiments.findings.finding import Check, Finding, interval, together, verdict
from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError
from jaxdl.word2vec.full_softmax import full_softmax_loss
from jaxdl.word2vec.model import Tables


def test_an_interval_is_student_s():
    found = interval([1, 2, 3])
    assert found.mean == 2
    assert found.high - 2 == pytest.approx(4.302652729911275 / math.sqrt(3))  # a table's t, 2 d.f.
    values = np.random.default_rng(0).normal(size=7)
    found, low_high = interval(values), stats.t.interval(
        0.95, 6, loc=values.mean(), scale=stats.sem(values)
    )  # fmt: skip
    assert found[1:3] == pytest.approx(low_high)
    assert interval([5.0])[1:3] == (-math.inf, math.inf)


def test_a_verdict_takes_the_whole_interval():
    assert verdict(interval([1.0, 1.1, 0.9])) == "confirmed"
    assert verdict(interval([1.0, 1.1, 0.9]), threshold=2) == "refuted"
    assert verdict(interval([1.0, 3.0, -1.0])) == "open"
    assert verdict(interval([1.0])) == "open"
    assert verdict(interval([math.nan, 1.0])) == "open"
    assert verdict(interval([0.0, 0.0])) == "open"  # no difference at all
    assert together(["confirmed", "confirmed"]) == "confirmed"
    assert together(["confirmed", "open"]) == "open"
    assert together(["open", "refuted", "confirmed"]) == "refuted"


def test_objects_are_measured_alone():
    label = np.zeros((60, 60), np.uint8)
    label[10:20, 10:20] = 1  # 100 pixels
    label[10:20, 24:34] = 1  # another of the class, within the first one's frame
    label[20:22, 10:34] = 255
    guess = label.copy()
    guess[label == 255] = 1  # void counts for nothing
    assert list(fcn_stages.objects(label, guess, 3)) == [(100, 1.0), (100, 1.0)]
    guess[10:15, 10:20] = 0  # half of the first is missed
    guess[40:50, 10:20] = 1  # and this lies outside of both frames
    assert list(fcn_stages.objects(label, guess, 3)) == [(100, 0.5), (100, 1.0)]
    guess[5:10, 24:34] = 1  # 50 pixels more, in both frames
    assert list(fcn_stages.objects(label, guess, 3)) == [(100, 50 / 150), (100, 100 / 150)]
    assert [fcn_stages.size_of(n) for n in (1, 255, 256, 1023, 1024)] == [
        *("small", "small", "middle", "middle", "large")
    ]


def test_a_prior_is_added_to_the_scores():
    """Of scores that are all 0, the softmax is the prior itself."""
    prior = np.array([0.5, 0.3, 0.2])
    tables = softmax.with_prior(Tables(*(jnp.zeros((3, 2)) for _ in range(2))), prior)
    loss = full_softmax_loss(tables.inputs, tables.outputs, jnp.arange(3))
    np.testing.assert_allclose(loss, -np.log(prior), rtol=1e-6)


def lstm_rows(loss: dict[str, float], late: float) -> list[dict[str, Any]]:
    """Of six seeds that differ a little; a prediction's last third is `late` times worse."""
    shape = np.where(np.arange(9) < 6, 1.0, late)
    return [
        {
            "loss": {n: value * (1 + 0.01 * seed) for n, value in loss.items()},
            "error": {n: (value * shape * (1 + 0.01 * seed)).tolist() for n, value in loss.items()},
        }
        for seed in range(6)
    ]


def test_lstm_s_rules():
    """Three units suffice if the loss falls before three, not after; and so on."""
    suffice = {"2": 1e-2, "3": 1e-4, "4": 9e-5, "5": 8e-5}
    found = lstm_units.judge(lstm_rows(suffice, late=10))
    assert [f.verdict for f in found] == ["confirmed", "confirmed", "confirmed"]
    steady = {"2": 1e-2, "3": 9e-3, "4": 9.5e-3, "5": 1e-5}
    found = lstm_units.judge(lstm_rows(steady, late=0.1))
    assert [f.verdict for f in found] == ["refuted", "refuted", "refuted"]


def test_a_finding_is_json_with_its_verdicts():
    finding = Finding("Why?", "as it is", [Check("a", interval([1, 2]), 5.0)], ["x"], [["1"]])
    found = json.loads(json.dumps(finding.as_json()))
    assert found["verdict"] == found["checks"][0]["verdict"] == "open"
    assert found["checks"][0]["found"]["mean"] == 1.5


@pytest.mark.slow
def test_parts_are_measured_once_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    """The small form of two parts; what is kept is not measured again, nor taken for the whole."""
    words, draw = [f"w{chr(97 + n)}" for n in range(20)], np.random.default_rng(0)
    lines = "".join(" ".join(draw.choice(words, 12)) + "\n" for _ in range(40_000 // 12))
    (tmp_path / "text.txt").write_text(lines * 10)
    monkeypatch.setattr(softmax, "NEGATIVES", (1, 5))  # each is compiled
    monkeypatch.setattr(text, "write_docstrings", lambda path, progress: tmp_path / "text.txt")
    options = Options(
        out=tmp_path / "out", data_dir=tmp_path, seeds=2, quick=True, only=("softmax", "lstm")
    )
    first = run(options, Bar())
    assert [finding.verdict in ("confirmed", "refuted", "open") for finding in first] == [True] * 4
    page = (options.out / "report.html").read_text()
    assert all(finding.question in page for finding in first)
    for name in options.only:
        with Image.open(options.out / f"{name}.png") as picture:
            assert min(picture.size) > 300
    kept = (options.out / "lstm.json").read_bytes()
    capsys.readouterr()
    again = run(dataclasses.replace(options, only=("lstm",)), Bar())
    assert "measured already" in capsys.readouterr().out
    assert (options.out / "lstm.json").read_bytes() == kept
    assert again == first[:3]
    with pytest.raises(InputError, match=r"lstm\.json: is of the small form; use --overwrite"):
        run(dataclasses.replace(options, quick=False, only=("lstm",)), Bar())
    (options.out / "lstm.json").write_text("[1]")
    with pytest.raises(InputError, match=r"lstm\.json: is not what"):
        run(dataclasses.replace(options, only=("lstm",)), Bar())
