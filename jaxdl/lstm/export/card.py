"""The card (README.md) of an exported forecaster, and the example beside it."""

from collections.abc import Sequence
from pathlib import Path

from jaxdl.cli.exporting import File, code, file_table, table
from jaxdl.lstm.backtest import COVERED
from jaxdl.lstm.export.program import Program
from jaxdl.lstm.transform import Transform

EXAMPLE = '''\
"""The next steps of a series: python example.py series.csv (pip install onnxruntime)"""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

model = onnxruntime.InferenceSession(Path(__file__).with_name("model.onnx"))
about = {k: json.loads(v) for k, v in model.get_modelmeta().custom_metadata_map.items()}
with open(sys.argv[1], newline="", encoding="utf-8") as file:  # the run's columns, by name
    rows = [[float(row[name]) for name in about["columns"]] for row in csv.DictReader(file)]
given = {"values": np.array(rows), "horizon": np.array(about["horizon"])}
found = np.stack(model.run(None, given), axis=2)  # predicted; with a band low and high too
ends = ["", "_p10", "_p90"][: found.shape[2]]
print(",".join(name + end for name in about["columns"] for end in ends))
for row in found.reshape(len(found), -1):
    print(",".join(map(repr, row.tolist())))
'''


def card(run: Path, program: Program, files: Sequence[File], opset: int) -> str:
    """The page, as Markdown."""
    rows = [
        ("forecasts", program.who),
        ("networks", program.kind),
        ("run", code(str(run))),
        ("columns, in order", ", ".join(map(code, program.columns))),
        ("input 1", f"`values`: float64 (rows, columns), at least the last {program.given} rows"),
        ("input 2", f"`horizon`: int64, steps to predict; the run measured {program.length}"),
        ("output", "`predicted`: float64 (horizon, columns)"),
    ]
    if program.bands is not None:
        covered = f"a band for {100 * COVERED:.0f} %, calibrated on rows that were not learnt from"
        rows.append(("outputs 2 and 3", f"`low` and `high`: {covered}"))
    rows += [
        ("inside", inside(program)),
        ("precision", "the networks compute in float32, the rest in float64"),
        ("opset", f"{opset}; the metadata hold columns, rows and steps as JSON"),
    ]
    if program.transform.log:
        rows.append(("values", "positive: others give NaN"))
    lines = ["---", "library_name: jaxdl", "pipeline_tag: time-series-forecasting", "---", ""]
    lines += ["# A forecaster, as ONNX", "", "Written by `jaxdl lstm export`.", ""]
    lines += [f"`python example.py series.csv` predicts {program.length} steps.", ""]
    lines += [*file_table(files), "", *table("", "", rows), ""]
    lines.append(
        "What it was trained on and how well it does are in the run's own report: add them here "
        "before you pass it on."
    )
    return "\n".join(lines) + "\n"


def inside(program: Program) -> str:
    """What is done to the values, in words."""
    if program.params is None:
        return f"the last {program.period} rows, again and again"
    told = [differences(program.transform), "the scaling"]
    if program.by_window:
        told.append(f"the scale of each window of {program.window} steps")
    told.append("the closed loop" + ("s and their median" if program.networks > 1 else ""))
    return "; ".join(part for part in told if part)


def differences(transform: Transform) -> str:
    """A transform in words; "" of none."""
    of = "logarithms" if transform.log else "values"
    if not transform.lag:
        return "logarithms" if transform.log else ""
    if transform.seasons > 1:
        rows = ", ".join(str(k * transform.lag) for k in range(1, transform.seasons + 1))
        return f"differences of {of} from the mean of those {rows} rows before"
    return f"differences of {of} {transform.lag} row{'s'[: transform.lag > 1]} apart"
