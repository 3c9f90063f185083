"""forecast.html without a browser: its policy, its numbers, and text that stays text."""

import base64
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from jaxdl.lstm import fit
from jaxdl.lstm.export import page, program
from jaxdl.lstm.export.command import export
from jaxdl.lstm.series import Series
from tests.helpers.forecasters import random_fitted, save

HOSTILE = ("</script><script>alert(1)</script>", "<!--<script>")


@pytest.mark.slow
def test_the_page_runs_its_own_script_alone_and_holds_the_numbers(tmp_path: Path):
    fitted, values = random_fitted(2, cell="gru", layers=2)
    run = save(fitted, values, tmp_path / "run", HOSTILE)
    export(run, network=None, format="page", out=tmp_path / "out")
    html = (tmp_path / "out" / page.FILE).read_text()
    assert "alert(1)</script>" not in html
    assert "<!--<script>" not in html
    assert not re.search(r"<[^>]*\s(src|href|on\w+|style|action)\s*=", html.split("<script>")[0])
    policy = dict(
        rule.split(" ", 1)
        for rule in re.findall(r'Security-Policy" content="([^"]*)"', html)[0]
        .replace("&#39;", "'")
        .split("; ")
    )
    digests = {}
    for tag in ("script", "style"):
        (own,) = re.findall(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
        digests[f"{tag}-src"] = f"'sha256-{digest}'"
    none = dict.fromkeys(("default-src", "base-uri", "form-action"), "'none'")
    assert policy == none | digests

    def inside(name: str) -> str:
        return re.findall(rf'id="{name}">(.*?)</script>', html, re.DOTALL)[0]

    found = json.loads(inside("data"))
    assert found["columns"] == list(HOSTILE)
    assert found["inside"]["before"] == 0
    assert len(found["inside"]["csv"].splitlines()) == 1 + len(values)
    numbers = np.frombuffer(base64.b64decode(inside("weights")), "<f4")
    params = fit.part_of(fitted.params, 2)
    assert numbers.size == sum(a.size for layer in params.values() for a in layer.values())
    np.testing.assert_array_equal(numbers[:24].reshape(12, 2), params["gru_1"]["input"][0])


def test_a_naive_page_has_no_weights_and_many_rows_are_cut():
    fitted, values = random_fitted(naive=True)
    own = program.of_fitted(fitted, ["flow"])
    found = page.describe(own)
    assert found["networks"] is None
    assert page.weights(own) == b""
    series = Series(values=np.tile(values, (20, 1)), names=("flow",))
    html = page.to_bytes(own, series).decode()
    inside = json.loads(re.findall(r'id="data">(.*?)</script>', html)[0])["inside"]
    assert inside["before"] == 1800 - page.ROWS
    assert len(inside["csv"].splitlines()) == 1 + page.ROWS
