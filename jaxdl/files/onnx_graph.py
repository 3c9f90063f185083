"""A graph of ONNX, written node by node, and checked. It needs the library onnx."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

OPSET, IR_VERSION = 17, 8  # of 2022: older runtimes read it too; Shape has an end since 15


class Graph:
    """Nodes and constants as they are added; a value is its name.

    Args:
        outer: of the body of a loop, the graph around it: it holds the constants of both.
    """

    def __init__(self, outer: "Graph | None" = None) -> None:
        self.nodes: list[Any] = []
        self.own: dict[str, np.ndarray] = {}
        self.constants = self.own if outer is None else outer.constants

    def add(self, kind: str, inputs: Sequence[str], *names: str, **attributes: Any) -> str:
        """A node that gives values of these names; the first of them."""
        self.nodes.append(helper.make_node(kind, list(inputs), list(names), names[0], **attributes))
        return names[0]

    def constant(self, name: str, value: np.ndarray) -> str:
        """A value that is always the same."""
        self.constants[name] = np.array(value, order="C")  # a number stays one
        return name

    def integers(self, *values: int) -> str:
        """int64 (n,)."""
        return self.constant("_".join(["int", *map(str, values)]), np.array(values, np.int64))

    def part(self, name: str, inputs: Sequence[Any], outputs: Sequence[Any]) -> Any:
        """The graph, as a node of another takes it; inputs and outputs are of `value`."""
        constants = [numpy_helper.from_array(v, own) for own, v in self.own.items()]
        return helper.make_graph(self.nodes, name, inputs, outputs, constants)

    def to_bytes(
        self,
        name: str,
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        metadata: Mapping[str, Any],
    ) -> bytes:
        """A whole model, checked by ``onnx.checker``; each entry of the metadata as JSON."""
        opset = [helper.make_opsetid("", OPSET)]
        part = self.part(name, inputs, outputs)
        model = helper.make_model(part, opset_imports=opset, producer_name="jaxdl")
        model.ir_version = IR_VERSION
        helper.set_model_props(model, {key: json.dumps(value) for key, value in metadata.items()})
        onnx.checker.check_model(model, full_check=True)
        return model.SerializeToString()


def value(name: str, dtype: Any, shape: Sequence[int | str] | None) -> Any:
    """An input or output; a side of the shape that is a name is of any size."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, kind, shape)
