"""``jaxdl lstm export``: one network of a run as an ONNX graph that forecasts.

The graph takes the last known steps as they are in the table and gives the next ones: the scaling
is inside, and so is the closed loop (`jaxdl.lstm.forecast.carry_state`). So its user needs no state
and no loop; how many steps are known and how many are asked for is free.
"""

from pathlib import Path
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from onnx import TensorProto

from jaxdl.cli.exporting import File, check_folder, code, file_table, table, write_folder
from jaxdl.cli.progress import Bar
from jaxdl.files.onnx_graph import OPSET, Graph, value
from jaxdl.files.results import Results
from jaxdl.lstm.model import Params, with_units
from jaxdl.lstm.saved import Network, load_network
from jaxdl.lstm.series import Scaling

Form = Literal["onnx"]
FILE = "model.onnx"
EXAMPLE = '''\
"""The next 10 steps of a series: python example.py series.csv (pip install onnxruntime)"""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

model = onnxruntime.InferenceSession(Path(__file__).with_name("model.onnx"))
about = {k: json.loads(v) for k, v in model.get_modelmeta().custom_metadata_map.items()}
with open(sys.argv[1], newline="", encoding="utf-8") as file:  # the network's columns, by name
    rows = [[float(row[name]) for name in about["columns"]] for row in csv.DictReader(file)]
known = np.array(rows[-about["window"] :])  # float64 (steps, columns), the last ones
(found,) = model.run(None, {"values": known, "horizon": np.array(10)})
print(",".join(about["columns"]))
for row in found:
    print(",".join(map(repr, row.tolist())))
'''


def export(run: Path, *, network: str | None, out: Path) -> None:
    """Write the folder; earlier results of this command are replaced, no other files.

    Args:
        run: folder of a finished run.
        network: best, SIZE or SIZE:SEED; None for that of the lowest loss.
        out: the folder.

    Raises:
        InputError: no finished run, or the results have no place there.
        TrainingError: the disk is full.
    """
    results = Results("jaxdl lstm export")
    check_folder(results, out, [FILE], ())
    found = load_network(run, network)
    one = {
        name: {k: jnp.asarray(v[0]) for k, v in layer.items()}
        for name, layer in found.params.items()
    }
    content = to_bytes(with_units(one, found.size), found.scaling, _about(found))
    files = [File(FILE, content, "the graph")]
    write_folder(results, out, files, _card(run, found, files), EXAMPLE)
    Bar().line(f"{run}: {found.who} -> {out / FILE}")


def to_bytes(params: Params, scaling: Scaling, about: dict[str, Any]) -> bytes:
    """The graph, checked by ``onnx.checker``.

    Its inputs are ``values``, float64 (steps, columns), and ``horizon``, int64 (). Its output is
    ``predicted``, float64 (horizon, columns). The network computes in float32.

    Args:
        params: of one network (`jaxdl.lstm.model`), which reads out as many values as it is given.
        scaling: of the columns.
        about: its metadata.
    """
    graph, layers = Graph(), len(params) - 1
    outputs = params["readout"]["bias"].shape[0]
    mean = graph.constant("mean", np.asarray(scaling.mean, np.float64))
    deviation = graph.constant("deviation", np.asarray(scaling.deviation, np.float64))
    scaled = graph.add("Sub", ["values", mean], "centred")
    scaled = graph.add("Div", [scaled, deviation], "scaled")
    scaled = graph.add("Cast", [scaled], "floats", to=TensorProto.FLOAT)
    for n in range(1, layers + 1):
        _constants(graph, params[f"lstm_{n}"], f"lstm_{n}")
    graph.constant("readout.kernel", np.asarray(params["readout"]["kernel"], np.float32))
    graph.constant("readout.bias", np.asarray(params["readout"]["bias"], np.float32))
    graph.integers(0)
    batch = graph.add("Unsqueeze", [scaled, graph.integers(1)], "batch")
    first, states = _steps(graph, batch, params, "known", [])
    going = graph.constant("going", np.array(True))
    # Each turn gives the value that it was given, and computes the one after it.
    body, given = Graph(), ["value", *(f"before.{state}" for state in states)]
    body.add("Identity", ["continue"], "continued")
    body.add("Identity", ["value"], "emitted")
    again = body.add("Unsqueeze", ["value", "int_0"], "turn.batch")
    following, after = _steps(body, again, params, "turn", given[1:])
    shapes = [(1, outputs)]
    for n in range(1, layers + 1):
        units = params[f"lstm_{n}"]["recurrent"].shape[1]
        shapes += [(1, 1, units)] * 2
    inputs = [value("turn", np.int64, ()), value("continue", np.bool_, ())]
    inputs += [value(name, np.float32, s) for name, s in zip(given, shapes, strict=True)]
    ends = [value("continued", np.bool_, ())]
    ends += [value(n, np.float32, s) for n, s in zip([following, *after], shapes, strict=True)]
    ends.append(value("emitted", np.float32, (1, outputs)))
    loop = body.part("closed loop", inputs, ends)
    last = [f"last.{name}" for name in given]
    graph.add("Loop", ["horizon", going, first, *states], *last, "all", body=loop)
    rows = graph.add("Squeeze", ["all", graph.integers(1)], "rows")
    rows = graph.add("Cast", [rows], "doubles", to=TensorProto.DOUBLE)
    rows = graph.add("Mul", [rows, deviation], "spread")
    graph.add("Add", [rows, mean], "predicted")
    return graph.to_bytes(
        "LSTM",
        [value("values", np.float64, ["steps", outputs]), value("horizon", np.int64, ())],
        [value("predicted", np.float64, ["horizon", outputs])],
        about,
    )


def _constants(graph: Graph, layer: dict[str, Any], name: str) -> None:
    """A layer's weights as ONNX orders the gates: i, o, f, g; ours are g, i, f, o."""

    def ordered(array: Any) -> np.ndarray:
        blocks = np.split(np.asarray(array, np.float32), 4)
        return np.concatenate([blocks[n] for n in (1, 3, 2, 0)])[None]

    bias = ordered(layer["bias"])
    graph.constant(f"{name}.input", ordered(layer["input"]))
    graph.constant(f"{name}.recurrent", ordered(layer["recurrent"]))
    graph.constant(f"{name}.bias", np.concatenate([bias, np.zeros_like(bias)], 1))


def _steps(
    graph: Graph, x: str, params: Params, name: str, before: list[str]
) -> tuple[str, list[str]]:
    """All layers over the steps of x, (t, 1, f): the value after the last one, (1, f), and the
    states, h and c of each layer; `before` are those that it begins with, none: zeros.
    """
    states = []
    for n in range(1, len(params)):
        own, layer = f"{name}.lstm_{n}", f"lstm_{n}"
        units = params[layer]["recurrent"].shape[1]
        given = [x, *(f"{layer}.{kind}" for kind in ("input", "recurrent", "bias"))]
        given += ["", *before[2 * n - 2 : 2 * n]] if before else []
        ends = f"{own}.h", f"{own}.c"
        y = graph.add("LSTM", given, f"{own}.y", *ends, hidden_size=units)
        x = graph.add("Squeeze", [y, "int_1"], f"{own}.steps")  # (t, 1 direction, 1, h)
        states += ends
    # The last layer's h after the last step is what is read out.
    last = graph.add("Squeeze", [states[-2], "int_0"], f"{name}.last")
    read = graph.add("MatMul", [last, "readout.kernel"], f"{name}.read")
    return graph.add("Add", [read, "readout.bias"], f"{name}.value"), states


def _about(network: Network) -> dict[str, Any]:
    return {"columns": network.columns, "window": network.window, "hidden": network.size}


def _card(run: Path, network: Network, files: list[File]) -> str:
    rows = [
        ("network", f"LSTM of {network.size} hidden units, seed {network.seed}"),
        ("run", code(str(run))),
        ("columns, in order", ", ".join(map(code, network.columns))),
        ("input 1", "`values`: float64 (steps, columns), the last known rows, oldest first"),
        ("steps as in training", str(network.window)),
        ("input 2", "`horizon`: int64, how many steps to predict"),
        ("output", "`predicted`: float64 (horizon, columns)"),
        ("scaling", "inside: values are as in the table"),
        ("opset", f"{OPSET}; the metadata hold columns and steps as JSON"),
    ]
    lines = ["---", "library_name: jaxdl", "pipeline_tag: time-series-forecasting", "---", ""]
    lines += ["# A forecaster, as ONNX", "", "Written by `jaxdl lstm export`.", ""]
    lines += ["`python example.py series.csv` predicts 10 steps.", ""]
    return "\n".join([*lines, *file_table(files), "", *table("", "", rows)]) + "\n"
