"""An FCN as an ONNX graph, written node by node: any batch, height and width.

The graph takes RGB bytes and subtracts the mean itself. Ceil-mode pooling is MaxPool's own. The
fixed bilinear upsampling is a transposed convolution with a group for each class, whose full result
is cut to the size of what it is added to, or of the image, by a Slice on shapes: the same crop as
`jaxdl.fcn.models.bilinear.crop_start`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto

from jaxdl.fcn.choices import Align, Output
from jaxdl.fcn.models.bilinear import bilinear_taps
from jaxdl.fcn.models.fcn import FCN
from jaxdl.fcn.models.vgg import BLOCKS
from jaxdl.files.onnx_graph import Graph, value

FILE = "model.onnx"


def to_bytes(
    model: FCN, params: Any, mean: Sequence[float], classes: Sequence[str], output: Output
) -> bytes:
    """The graph, checked by ``onnx.checker``.

    Its input is ``images``, uint8 (batch, height, width, 3), RGB. Its output is named as `output`:
    float32 (batch, height, width, classes), or uint8 (batch, height, width) if classes. It computes
    in float32. Names of the classes are in its metadata, as JSON.

    Args:
        model: the network.
        params: its parameters.
        mean: colour that is subtracted, RGB 0..255.
        classes: names.
        output: logits, probabilities or classes.
    """
    graph = Graph()
    pools = _trunk(graph, params["trunk"], mean)
    fused, level = _score(graph, params, pools, 5), 5
    while 2**level > model.stride:
        level -= 1
        skip = _score(graph, params, pools, level)
        size = graph.add("Shape", [skip], f"size{level}", start=2, end=4)
        up = _upsample(graph, fused, 2, model.num_classes, size, model.align, f"up{level}")
        fused = graph.add("Add", [skip, up], f"fuse{level}")
    size = graph.add("Shape", ["images"], "size", start=1, end=3)
    logits = _upsample(graph, fused, model.stride, model.num_classes, size, model.align, "scores")
    _ending(graph, logits, output)
    sides = ["batch", "height", "width"]
    found = value(output, np.float32, [*sides, model.num_classes])
    if output == "classes":
        found = value(output, np.uint8, sides)
    return graph.to_bytes(
        f"FCN-{model.stride}s",
        [value("images", np.uint8, [*sides, 3])],
        [found],
        {"classes": [*classes], "mean": [*mean]},
    )


def _trunk(graph: Graph, trunk: Any, mean: Sequence[float]) -> list[str]:
    """[pool1, ..., pool5], channels first."""
    x = graph.add("Cast", ["images"], "floats", to=TensorProto.FLOAT)
    x = graph.add("Sub", [x, graph.constant("mean", np.array(mean, np.float32))], "centred")
    x = graph.add("Transpose", [x], "planes", perm=[0, 3, 1, 2])
    pools = []
    for block, (_, count) in enumerate(BLOCKS, 1):
        for n in range(1, count + 1):
            name = f"conv{block}_{n}"
            x = _convolution(graph, x, trunk[name], name)
            x = graph.add("Relu", [x], f"relu{block}_{n}")
        sides = {"kernel_shape": [2, 2], "strides": [2, 2]}
        x = graph.add("MaxPool", [x], f"pool{block}", ceil_mode=1, **sides)
        pools.append(x)
    return pools


def _convolution(graph: Graph, x: str, layer: Any, name: str) -> str:
    """A convolution that keeps the size."""
    kernel = np.asarray(layer["kernel"], np.float32).transpose(3, 2, 0, 1)
    weight = graph.constant(f"{name}.kernel", kernel)
    bias = graph.constant(f"{name}.bias", np.asarray(layer["bias"], np.float32))
    side = kernel.shape[2]
    attributes = {"kernel_shape": [side, side], "pads": [side // 2] * 4}
    return graph.add("Conv", [x, weight, bias], name, **attributes)


def _score(graph: Graph, params: Any, pools: Sequence[str], level: int) -> str:
    name = f"score_pool{level}"
    return _convolution(graph, pools[level - 1], params[name], name)


def _upsample(
    graph: Graph, x: str, stride: int, classes: int, size: str, align: Align, name: str
) -> str:
    """x upsampled by `stride` and cut to `size`, the name of int64 (2,): height and width."""
    taps = bilinear_taps(stride)
    kernel = np.tile(np.outer(taps, taps).astype(np.float32), (classes, 1, 1, 1))
    weight = graph.constant(f"{name}.kernel", kernel)
    attributes = {"group": classes, "kernel_shape": [2 * stride] * 2, "strides": [stride] * 2}
    full = graph.add("ConvTranspose", [x, weight], f"{name}.full", **attributes)
    if align == "exact":
        start = graph.integers(stride // 2, stride // 2)
    else:  # (full - size + 1) // 2
        sides = graph.add("Shape", [full], f"{name}.sides", start=2, end=4)
        rest = graph.add("Sub", [sides, size], f"{name}.rest")
        more = graph.add("Add", [rest, graph.integers(1)], f"{name}.more")
        start = graph.add("Div", [more, graph.integers(2)], f"{name}.start")
    end = graph.add("Add", [start, size], f"{name}.end")
    return graph.add("Slice", [full, start, end, graph.integers(2, 3)], name)


def _ending(graph: Graph, logits: str, output: Output) -> None:
    """From logits, channels first, to the output of that name."""
    if output == "classes":
        best = graph.add("ArgMax", [logits], "best", axis=1, keepdims=0)
        graph.add("Cast", [best], "classes", to=TensorProto.UINT8)
        return
    if output == "probabilities":
        logits = graph.add("Softmax", [logits], "softmax", axis=1)
    graph.add("Transpose", [logits], output, perm=[0, 2, 3, 1])
