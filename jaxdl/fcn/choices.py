"""What the FCN's options choose from; no jax is imported here, so that --help is fast."""

from typing import Literal

Align = Literal["exact", "center"]
Cache = Literal["host", "device", "none"]
ExportFormat = Literal["safetensors", "onnx", "stablehlo", "page"]
Layout = Literal["jaxdl", "torchvision"]
Output = Literal["logits", "probabilities", "classes"]
Platform = Literal["cpu", "cuda", "rocm", "tpu"]
Probabilities = Literal["none", "npz", "png"]
Reduction = Literal["mean", "sum"]
SkipRates = Literal["measured", "same"]
Split = Literal["auto", "random", "random-4-to-1", "official", "seg11valid"]
# fmt: off
WeightsFormat = Literal[
    "jaxdl", "torchvision", "caffe-rgb", "caffe-bgr", "keras", "frossard", "chainer", "chainercv",
    "pytorch-fcn", "keras-onnx",
]
# fmt: on
VOC2012_MD5 = "6cd6e144f989b92b3379bac3b3de84fd"  # of VOCtrainval_11-May-2012.tar
