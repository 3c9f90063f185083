"""`python -m benchmarks.gpu`: its quick form with packages missing, faults of parts, the table."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.gpu import buffers, planned, summary
from benchmarks.gpu.parts import PARTS, Part, run_process, share
from benchmarks.gpu.record import Recorder, Timing, rates, read
from benchmarks.process import ROOT
from jaxdl.planner import plan
from jaxdl.planner.cards import CARDS, LAUNCH

# What a GPU machine that is lent for minutes may lack.
MISSING = ("tensorflow_datasets", "grain", "tyro", "tensorboardX", "array_record")
HIDE = f"""
import sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {MISSING}:
            raise ModuleNotFoundError("hidden: " + name, name=name)
sys.meta_path.insert(0, Hide())
"""


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """The environment of a Python, and of all that it starts, without the packages in MISSING."""
    (tmp_path / "sitecustomize.py").write_text(HIDE)
    return os.environ | {"PYTHONPATH": str(tmp_path), "JAX_PLATFORMS": "cpu"}


@pytest.mark.smoke
@pytest.mark.slow
def test_parts_run_without_the_packages_of_commands_and_data(tmp_path: Path, bare: dict):
    modules = ", ".join(f"benchmarks.gpu.{part.name}" for part in PARTS)
    told = f"import {modules}, jaxdl.digits.task  # which digits imports in its runs"
    subprocess.run([sys.executable, "-c", told], env=bare, cwd=ROOT, check=True, timeout=300)

    command = [sys.executable, "-m", "benchmarks.gpu", "--quick", "--out", str(tmp_path)]
    done = subprocess.run(
        command, env=bare, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    found = read(tmp_path / "rows.jsonl")
    assert done.returncode == 0, done.stdout + (tmp_path / "log.txt").read_text()
    assert {row["part"] for row in found} == {part.name for part in PARTS}
    measured = {row["what"]: row for row in found if row["status"] == "measured"}
    for row in measured.values():
        assert row["measured"] >= 0
        assert row.get("low", row["measured"]) <= row["measured"] <= row.get("high", float("inf"))
        if row["planned"] is not None:
            assert row["ratio"] == pytest.approx(row["measured"] / row["planned"])
    assert rates(tmp_path / "rows.jsonl").keys() == {"bfloat16", "tf32", "float32", "copy"}
    assert measured["4 networks"]["planned"] > 0
    assert measured["4 networks: launches an epoch"]["measured"] > 1
    assert measured["digits killed and resumed"]["measured"] == 0  # the largest difference
    assert "What follows" in done.stdout
    assert done.stdout.count(summary.summary(found, True)) == 1
    assert (tmp_path / "table.txt").read_text() == summary.summary(found, True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "status", "note"),
    [
        ("import os; print('before', flush=True); os.abort()", -6, "by SIGABRT; the last line: be"),
        ("import sys; sys.exit('no memory')", 1, "status 1; the last line: no memory"),
        ("print('on it', flush=True); open(PIPE).read()", None, "on it"),
    ],
)
def test_how_a_part_ends_badly_is_a_row(tmp_path: Path, code: str, status, note: str):
    """The last one waits for ever: it is ended."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    rows, limit = tmp_path / "rows.jsonl", 2.0 if status is None else 60.0
    rows.write_text('{"part": "x", "what": "kept"}\n{"part": "x", "wh\n')  # a write cut short
    recorder = Recorder("x", rows, time.time() + limit)
    command = [sys.executable, "-S", "-c", code.replace("PIPE", repr(str(pipe)))]
    assert run_process(command, recorder, tmp_path / "log.txt", os.environ) == status
    kept, row = read(rows)
    assert kept["what"] == "kept"
    assert (row["status"], note in row["note"]) == ("failed", True)


def test_an_error_in_a_case_is_a_row_and_the_next_one_runs(tmp_path: Path):
    recorder = Recorder("x", tmp_path / "rows.jsonl", time.time() + 60)

    def one(case: int) -> None:
        recorder.row(str(case), "images/s", 1 / case, 2.0)

    recorder.run([0, 1], str, one)
    recorder.until = 0.0
    recorder.run([2, 3], str, one)
    failed, good, late = read(recorder.rows)
    assert (failed["what"], failed["status"]) == ("0", "failed")
    assert failed["note"].startswith("ZeroDivisionError")
    assert (good["what"], good["ratio"]) == ("1", 0.5)
    assert (late["what"], late["status"]) == ("2 more cases", "skipped")


def test_parts_share_the_time_that_is_left():
    assert sum(part.seconds for part in PARTS) <= 300
    three = [Part("a", 10, ""), Part("b", 20, ""), Part("c", 10, "")]
    assert share(three, 80.0) == 20
    assert share(three[1:], 75.0) == 50  # a took 5
    assert share(three[2:], 25.0) == 25


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("NVIDIA H200", "h200"),
        ("NVIDIA GB200", "gb200"),
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA A100-SXM4-40GB", "a100"),
        ("Tesla T4", "t4"),
        ("NVIDIA L4", "l4"),
        ("NVIDIA L40S", None),
    ],
)
def test_a_devices_name_gives_its_card(kind: str, name: str | None):
    card = planned.find_card(kind, {})
    assert card == (None if name is None else CARDS[name])
    measured = {"tf32": 1e14, "bfloat16": 2e14, "copy": 1e12}
    made = planned.find_card(kind, measured)
    assert made is not None
    if name is None:
        assert (made.float32, made.bfloat16, made.bandwidth) == (1e14, 2e14, 1e12)
    else:
        assert made == card


def test_the_table_lays_planned_beside_measured_and_says_what_follows(tmp_path: Path):
    assert (summary.PLANNER, summary.MARGIN) == (LAUNCH, plan.MARGIN)
    rows = tmp_path / "rows.jsonl"

    def at(part: str) -> Recorder:
        return Recorder(part, rows, time.time() + 60)

    def case(dtype: str) -> dict:
        keys = ("stride", "kind", "size", "dtype", "batch", "updates")
        return dict(zip(keys, (32, "train", "512x512", dtype, 8, 1), strict=True))

    at("machine").row("reduction check, cpu", "", 0.01, 1e-5, note="WRONG")
    half, whole = Timing(0.1, 0.08, 0.2), Timing(0.2, 0.2, 0.2)
    at("fcn").rate("one", "images/s", 8, half, 320.0, case=case("bfloat16"))
    at("fcn").rate("two", "images/s", 8, whole, 100.0, case=case("float32"))
    at("fcn").row("one: memory", "B", 2.1e9, 1e9)
    at("torch_fcn").rate("PyTorch one", "images/s", 8, whole, case=case("bfloat16"))
    at("lstm").rate(
        "4 networks", "network epochs/s", 400, half, networks=4, launches=50_000, seconds=0.1
    )
    at("buffers").rate("loops: 4 networks", "network epochs/s", 400, Timing(0.05, 0.05, 0.05))
    at("digits").skip("digits", "no Orbax")
    text = summary.summary(read(rows))
    (line,) = (line for line in text.splitlines() if line.startswith("one  "))
    assert line.split() == ["one", "320", "80", "images/s", "0.25", "40", "-", "100"]
    for sentence in (
        "The FCN reaches 25% to 40% of its planned rate",
        "margin of 1.4 is too small",
        "bfloat16 is 2.00 times as fast as float32",
        "fcn32s train 512x512 bfloat16 batch 8: 2.00 times as fast as PyTorch's best form",
        "A launch of the lstm step takes 2.00 us",
        "loops, 4 networks: 2.00 times the default's rate",
        "jaxlib adds up WRONG on the cpu",
    ):
        assert sentence in text
    assert "SKIPPED" in text
    assert "no Orbax" in text


@pytest.mark.slow
def test_flags_that_xla_does_not_know_are_passed_over():
    assert not buffers.known("--xla_gpu_no_such_flag=1")
    assert any(map(buffers.known, buffers.LOOPS))


@pytest.mark.slow
def test_without_a_gpu_it_is_one_line(tmp_path: Path):
    command = [sys.executable, "-m", "benchmarks.gpu", "--parts", "lstm", "--out", str(tmp_path)]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("no GPU: jax ")
    assert "--quick" in line
