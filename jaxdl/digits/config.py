"""Options of the digits run."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from jaxdl.cli.compiling import Compiling
from jaxdl.cli.devices import Devices
from jaxdl.cli.options import Range

# What a run's results do not depend on: may differ when a run is resumed.
RESUMABLE = ("out", "overwrite", "resume", "at_least", "devices", "compiling")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Train a LeNet on digits: the check of a new host."""

    out: Path = Path("runs/digits")
    """The run folder gets checkpoints, metrics, samples.json and report.html."""
    resume: bool = True
    """A run that stopped is resumed; --no-resume refuses a folder that holds a run."""
    overwrite: bool = False
    """It trains again from the start; a killed command resumes its own run."""
    data: Path | None = None
    """The folder of MNIST's or Fashion-MNIST's IDX files, or a prepared TFDS set. By default the
    digits are scikit-learn's, of 8x8 pixels."""
    epochs: Annotated[int | None, Range(1, 100_000)] = None
    """Passes over the training part; by default 15 of the 8x8 digits, 2 of --data."""
    batch_size: Annotated[int, Range(1)] = 64
    """Pictures in a step."""
    learning_rate: Annotated[float, Range(0, above=True)] = 0.05
    """Peak learning rate; it falls to 0 along a cosine."""
    momentum: Annotated[float, Range(0, 1)] = 0.9
    """Momentum of the SGD."""
    weight_decay: Annotated[float, Range(0)] = 5e-4
    """L2 decay, as in Caffe's example."""
    at_least: Annotated[float, Range(0, 100)] = 0.0
    """The command fails below this test accuracy, in percent."""
    seed: Annotated[int, Range(0)] = 0
    """Random seed of the start and the order of the pictures."""
    devices: Annotated[Devices, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Devices)
    """Many devices, many hosts."""
    compiling: Annotated[Compiling, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=Compiling
    )
    """Compiled programs."""
