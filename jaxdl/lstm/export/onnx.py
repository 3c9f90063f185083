"""A forecaster as an ONNX graph: rows of the series in, the steps that follow out.

Transform, scaling, the scale of the window, the closed loops of all networks, their median and its
band are inside. So the graph's user needs no state and no loop. The networks compute in float32 and
the rest in float64, as here. The networks are one product of matrices with a leading axis, padded
to the largest as in `jaxdl.lstm.model`.
"""

from typing import Any

import numpy as np
from onnx import TensorProto

from jaxdl.files.onnx_graph import Graph, value
from jaxdl.lstm.backtest import COVERED
from jaxdl.lstm.export.program import Program
from jaxdl.lstm.model import CELLS, cell_of
from jaxdl.lstm.transform import FLOOR


def to_bytes(program: Program) -> bytes:
    """The graph, checked by ``onnx.checker``.

    Its inputs are ``values``, float64 (rows, columns), at least `Program.given` rows, of which the
    last ones are used, and ``horizon``, int64 (). Its outputs are float64 (horizon, columns):
    ``predicted``, and of programs with bands ``low`` and ``high``. Too few rows are an error of the
    node ``needs_N_rows``.
    """
    graph, count = Graph(), len(program.columns)
    levels = graph.add("Log", ["values"], "levels") if program.transform.log else "values"
    found = _naive(graph, program, levels)
    if program.params is not None:
        found = _median(graph, _closed_loops(graph, program, levels), program.networks)
    ends = {"predicted": found}
    if (half := program.half()) is not None and program.bands is not None:
        away = _away(graph, half, program.bands.growth)
        ends["low"] = graph.add("Sub", [found, away], "low.level")
        ends["high"] = graph.add("Add", [found, away], "high.level")
    for name, level in ends.items():
        if program.transform.log:
            most = graph.constant("most", np.array(700.0))  # as jaxdl.lstm.transform does
            graph.add("Exp", [graph.add("Min", [level, most], f"{name}.least")], name)
        else:
            graph.add("Identity", [level], name)
    about = {"columns": program.columns, "given": program.given, "horizon": program.length}
    return graph.to_bytes(
        "forecast",
        [value("values", np.float64, ["rows", count]), value("horizon", np.int64, ())],
        [value(name, np.float64, ["horizon", count]) for name in ends],
        about | ({} if program.bands is None else {"covered": COVERED}),
    )


def _last(graph: Graph, rows: str, count: int, name: str) -> str:
    """The last `count` rows; an error of this node if there are fewer."""
    last = [graph.integers(-count), graph.integers(1 << 40), graph.integers(0)]
    found = graph.add("Slice", [rows, *last], f"{name}.last")
    return graph.add("Reshape", [found, graph.integers(count, -1)], f"needs_{count}_rows.{name}")


def _naive(graph: Graph, program: Program, levels: str) -> str:
    """The levels of the last period again and again, (horizon, f)."""
    if program.params is not None:
        return ""
    zero, one = (graph.constant(name, np.array(n)) for name, n in (("zero", 0), ("one", 1)))
    steps = graph.add("Range", [zero, "horizon", one], "steps")
    period = graph.constant("period", np.array(program.period))
    rows = graph.add("Mod", [steps, period], "repeated")
    _last(graph, levels, program.given, "given")  # as many as `predict` asks for
    known = _last(graph, levels, program.period, "known")
    return graph.add("Gather", [known, rows], "naive", axis=0)


def _away(graph: Graph, half: np.ndarray, growth: np.ndarray) -> str:
    """Half of the band's height at each step, (horizon, f)."""
    ends = graph.add("Cast", ["horizon"], "horizon.double", to=TensorProto.DOUBLE)
    one = graph.constant("one.double", np.array(1.0))
    ends = graph.add("Add", [ends, one], "beyond")
    steps = graph.add("Range", [one, ends, one], "steps.double")
    steps = graph.add("Unsqueeze", [steps, graph.integers(1)], "steps.column")
    grown = graph.add("Pow", [steps, graph.constant("growth", np.asarray(growth))], "grown")
    return graph.add("Mul", [grown, graph.constant("half", np.asarray(half))], "away")


def _median(graph: Graph, levels: str, networks: int) -> str:
    """(horizon, m, 1, f) -> (horizon, f)."""
    middle = networks // 2
    found = levels
    if networks > 1:
        lowest = graph.integers(middle + 1)
        options = {"axis": 1, "largest": 0, "sorted": 1}
        graph.add("TopK", [levels, lowest], "lowest", "lowest.places", **options)
        picked = [middle] if networks % 2 else [middle - 1, middle]
        found = graph.add("Gather", ["lowest", graph.integers(*picked)], "middle", axis=1)
    return graph.add("ReduceMean", [found], "median", axes=[1, 2], keepdims=0)


def _closed_loops(graph: Graph, program: Program, levels: str) -> str:
    """What each network says, as levels (horizon, m, 1, f)."""
    transform, count, networks = program.transform, len(program.columns), program.networks
    window = _window(graph, program, levels)
    _constants(graph, program)
    states = []
    for shape in _shapes(program):
        zeros = np.zeros(shape, np.float32)
        states.append(graph.constant(f"zeros.{len(states)}", zeros))
    body, given = Graph(graph), [f"before.{n}" for n in range(len(states))]
    ends = _step(body, program, "value", given)
    inputs = [value(n, np.float32, s) for n, s in zip(given, _shapes(program), strict=True)]
    inputs.append(value("value", np.float32, (1, 1, count)))
    outputs = [value(n, np.float32, s) for n, s in zip(ends, _shapes(program), strict=True)]
    read = [f"read.{n}" for n in range(len(states))]
    part = body.part("over the window", inputs, outputs)
    graph.add("Scan", [*states, window], *read, body=part, num_scan_inputs=1)
    first = _read_out(graph, program, read, "first")
    # Each turn gives the value that it was given, and computes the one after it.
    body, given = Graph(graph), ["value", *(f"before.{n}" for n in range(len(states)))]
    shapes = [(networks, 1, count), *_shapes(program)]
    inputs = [value("turn", np.int64, ()), value("continue", np.bool_, ())]
    inputs += [value(n, np.float32, s) for n, s in zip(given, shapes, strict=True)]
    ends = _step(body, program, "value", given[1:])
    following = _read_out(body, program, ends, "following")
    body.add("Identity", ["continue"], "continued")
    outputs = [value("continued", np.bool_, ())]
    outputs += [value(n, np.float32, s) for n, s in zip([following, *ends], shapes, strict=True)]
    level, start = _undo_scaling(body, program), [first, *read]
    if transform.lag:
        past = value("past", np.float64, (transform.reach, networks, 1, count))
        level, after = _undo_difference(body, program, level)
        shape = graph.integers(transform.reach, networks, 1, count)
        rows = _last(graph, levels, transform.reach, "past")
        rows = graph.add("Unsqueeze", [rows, graph.integers(1, 2)], "past.rows")
        start.append(graph.add("Expand", [rows, shape], "past.all"))
        inputs.append(past)
        outputs.append(value(after, np.float64, (transform.reach, networks, 1, count)))
    outputs.append(value(level, np.float64, (networks, 1, count)))
    loop = body.part("closed loop", inputs, outputs)
    going = graph.constant("going", np.array(True))
    last = [f"end.{n}" for n in range(len(start))]
    graph.add("Loop", ["horizon", going, *start], *last, "all", body=loop)
    return "all"


def _window(graph: Graph, program: Program, levels: str) -> str:
    """What the networks read, float32 (window, 1, 1, f), and ``scale`` and ``level`` of it."""
    transform, window = program.transform, program.window
    rows = _last(graph, levels, window + transform.reach, "given")
    if transform.lag:
        usual = ""
        for k in range(1, transform.seasons + 1):
            start = transform.reach - k * transform.lag
            cut = [graph.integers(start), graph.integers(start + window), graph.integers(0)]
            before = graph.add("Slice", [rows, *cut], f"lag.{k}")
            usual = graph.add("Add", [usual, before], f"sum.{k}") if usual else before
        seasons = graph.constant("seasons", np.array(float(transform.seasons)))
        usual = graph.add("Div", [usual, seasons], "usual")
        cut = [graph.integers(transform.reach), graph.integers(1 << 40), graph.integers(0)]
        rows = graph.add("Slice", [rows, *cut], "after")
        rows = graph.add("Sub", [rows, usual], "changes")
    mean = graph.constant("mean", np.asarray(program.scaling.mean, np.float64))
    deviation = graph.constant("deviation", np.asarray(program.scaling.deviation, np.float64))
    rows = graph.add("Div", [graph.add("Sub", [rows, mean], "centred"), deviation], "scaled")
    rows = graph.add("Cast", [rows], "floats", to=TensorProto.FLOAT)
    if program.by_window:
        if transform.lag:  # the mean of changes is what a trend is
            graph.constant("level", np.zeros((1, len(program.columns)), np.float32))
        else:
            graph.add("ReduceMean", [rows], "level", axes=[0], keepdims=1)
        away = graph.add("Sub", [rows, "level"], "away.window")
        square = graph.add("Mul", [away, away], "square")
        spread = graph.add("ReduceMean", [square], "spread", axes=[0], keepdims=1)
        floor = graph.constant("floor", np.array(FLOOR**2, np.float32))
        graph.add("Sqrt", [graph.add("Add", [spread, floor], "spread.floored")], "scale")
        rows = graph.add("Div", [away, "scale"], "window")
    return graph.add("Unsqueeze", [rows, graph.integers(1, 2)], "window.steps")


def _undo_scaling(body: Graph, program: Program) -> str:
    """The change that ``value`` means, float64 (m, 1, f)."""
    found = "value"
    if program.by_window:
        found = body.add("Mul", [found, "scale"], "unscaled")
        found = body.add("Add", [found, "level"], "moved")
    found = body.add("Cast", [found], "double", to=TensorProto.DOUBLE)
    return body.add("Add", [body.add("Mul", [found, "deviation"], "wide"), "mean"], "change")


def _undo_difference(body: Graph, program: Program, change: str) -> tuple[str, str]:
    """The level, and ``past`` with it and without its first row."""
    transform = program.transform
    places = [transform.reach - k * transform.lag for k in range(1, transform.seasons + 1)]
    usual = body.add("Gather", ["past", body.integers(*places)], "usual.rows", axis=0)
    usual = body.add("ReduceMean", [usual], "usual.level", axes=[0], keepdims=0)
    level = body.add("Add", [change, usual], "emitted")
    last = [body.integers(1), body.integers(1 << 40), body.integers(0)]
    rest = body.add("Slice", ["past", *last], "past.rest")
    row = body.add("Unsqueeze", [level, body.integers(0)], "past.row")
    return level, body.add("Concat", [rest, row], "past.after", axis=0)


def _shapes(program: Program) -> list[tuple[int, int, int]]:
    """Of the states: all arrays of the first layer, then of the second, ..."""
    name = cell_of(program.params)
    units = program.params[f"{name}_1"]["recurrent"].shape[-1]
    arrays = (len(program.params) - 1) * len(CELLS[name].state._fields)
    return [(program.networks, 1, units)] * arrays


def _constants(graph: Graph, program: Program) -> None:
    """All weights: kernels (m, in, out), biases (m, 1, out)."""
    for layer, arrays in program.params.items():
        for name, array in arrays.items():
            turned = layer != "readout" and array.ndim == 3
            shaped = array.swapaxes(1, 2) if turned else array
            shaped = shaped[:, None] if array.ndim == 2 else shaped
            graph.constant(f"{layer}.{name}", np.asarray(shaped, np.float32))


def _read_out(graph: Graph, program: Program, states: list[str], name: str) -> str:
    """The value after the last step, (m, 1, f), of the last layer's h."""
    fields = len(CELLS[cell_of(program.params)].state._fields)
    read = graph.add("MatMul", [states[-fields], "readout.kernel"], f"{name}.read")
    return graph.add("Add", [read, "readout.bias"], f"{name}.value")


def _step(graph: Graph, program: Program, x: str, before: list[str]) -> list[str]:
    """All layers at one step: the states after it."""
    kind = cell_of(program.params)
    fields, cell = len(CELLS[kind].state._fields), {"lstm": _lstm, "gru": _gru}[kind]
    after = []
    for n in range(len(program.params) - 1):
        after += cell(graph, f"{kind}_{n + 1}", x, *before[n * fields : (n + 1) * fields])
        x = after[-fields]
    return after


def _affine(graph: Graph, layer: str, x: str, kernel: str, bias: str, name: str) -> str:
    product = graph.add("MatMul", [x, f"{layer}.{kernel}"], f"{layer}.{name}.product")
    return graph.add("Add", [product, f"{layer}.{bias}"], f"{layer}.{name}")


def _gates(graph: Graph, layer: str, of: str, names: str) -> list[str]:
    """(m, 1, gates h) cut into its gates."""
    found = [f"{of}.{name}" for name in names]
    graph.add("Split", [of], *found, axis=2)
    return found


def _lstm(graph: Graph, layer: str, x: str, h: str, c: str) -> list[str]:
    """`jaxdl.lstm.model.lstm_cell`."""

    def add(kind: str, inputs: list[str], name: str) -> str:
        return graph.add(kind, inputs, f"{layer}.{name}")

    into: Any = _affine(graph, layer, x, "input", "bias", "into")
    again = add("MatMul", [h, f"{layer}.recurrent"], "again")
    g, i, f, o = _gates(graph, layer, add("Add", [into, again], "z"), "gifo")
    i, f, o = (add("Sigmoid", [of], f"open.{n}") for of, n in ((i, "i"), (f, "f"), (o, "o")))
    new = add("Mul", [i, add("Tanh", [g], "g")], "new")
    c = add("Add", [add("Mul", [f, c], "kept"), new], "c")
    return [add("Mul", [o, add("Tanh", [c], "bent")], "h"), c]


def _gru(graph: Graph, layer: str, x: str, h: str) -> list[str]:
    """`jaxdl.lstm.gru.gru_cell`."""

    def add(kind: str, inputs: list[str], name: str) -> str:
        return graph.add(kind, inputs, f"{layer}.{name}")

    into = _affine(graph, layer, x, "input", "bias", "into")
    again = _affine(graph, layer, h, "recurrent", "recurrent_bias", "again")
    of_x, of_h = (_gates(graph, layer, of, "rzn") for of in (into, again))
    r, z = (
        add("Sigmoid", [add("Add", [of_x[k], of_h[k]], f"both.{n}")], n) for k, n in enumerate("rz")
    )
    new = add("Tanh", [add("Add", [of_x[2], add("Mul", [r, of_h[2]], "reset")], "sum")], "n")
    # h' = (1 - z) n + z h
    away = add("Mul", [z, add("Sub", [h, new], "difference")], "moved")
    return [add("Add", [new, away], "h")]
