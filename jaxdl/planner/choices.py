"""What the planner's options choose from; no jax is imported here, so that --help is fast."""

import dataclasses
from pathlib import Path
from typing import Literal

from jaxdl.planner.cards import CardName, Dtype

COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)  # of devices, in a plan
MOST = 1024
Kind = Literal["train", "predict"]
Name = Literal["fcn32s", "fcn16s", "fcn8s", "word2vec", "lstm"]
Stride = Literal[32, 16, 8]
VOC_CANVASES: tuple[tuple[int, int], ...] = ((384, 512), (512, 384), (512, 512))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CompileCheck:
    """Compile the project's training and prediction steps for NVIDIA cards, without a GPU."""

    device: tuple[CardName, ...] = ("t4", "a10g", "l4", "a100", "h100", "b200")
    """Cards to compile for."""
    step: tuple[Name, ...] = ("fcn32s", "fcn16s", "fcn8s", "word2vec", "lstm")
    """Steps to compile; an FCN's are training and prediction."""
    kind: tuple[Kind, ...] = ("train", "predict")
    """Which of the FCNs' steps are compiled."""
    dtype: tuple[Dtype, ...] = ("float32", "bfloat16")
    """Arithmetic of the FCNs; parameters and loss stay float32."""
    canvas: tuple[tuple[int, int], ...] = VOC_CANVASES
    """Heights and widths of the FCNs' padded images."""
    batch: int = 1
    """Images of a card."""
    largest: bool = True
    """The largest batch that fits is looked for, on the largest canvas."""
    gpus: tuple[Literal[1, 8], ...] = (1, 8)
    """Numbers of cards; 8 adds data-parallel training (FCN, word2vec), on the largest canvas."""
    json: Path | None = None
    """The rows are written to this file. Of earlier files only this command's own is replaced."""
