"""Options of the digits run."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from jaxdl.cli.command import check_least
from jaxdl.cli.compiling import Compiling
from jaxdl.errors import InputError

# What a run's results do not depend on: may differ when a run is resumed.
FREE = ("out", "overwrite", "resume", "at_least", "compiling")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Train a LeNet on digits: the check of a new host."""

    out: Path = Path("runs/digits")
    """Run folder: checkpoints, metrics, samples.json, report.html."""
    resume: bool = True
    """Go on where the run folder stopped; --no-resume refuses a folder that holds a run."""
    overwrite: bool = False
    """Delete the run folder first."""
    data: Path | None = None
    """Folder of MNIST's or Fashion-MNIST's IDX files, or a prepared TFDS set; none: 8x8 digits."""
    epochs: int | None = None
    """Passes over the training part; by default 15 of the 8x8 digits, 2 of --data."""
    batch_size: int = 64
    """Pictures in a step."""
    learning_rate: float = 0.05
    """At its highest; it falls to 0 along a cosine."""
    momentum: float = 0.9
    """Of the SGD."""
    weight_decay: float = 5e-4
    """L2, as in Caffe's example."""
    at_least: float = 0.0
    """Fail below this test accuracy, in percent."""
    seed: int = 0
    """Of the start and the order of the pictures."""
    compiling: Annotated[Compiling, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=Compiling
    )
    """Compiled programs."""


def check(cfg: Config) -> None:
    """Refuse what cannot be trained, in one line, before anything else is done."""
    check_least(cfg, 1, ("batch_size",))
    check_least(cfg, 0, ("seed", "momentum", "weight_decay", "at_least"))
    if cfg.epochs is not None:
        check_least(cfg, 1, ("epochs",))
    if not cfg.learning_rate > 0:
        raise InputError(f"--learning-rate {cfg.learning_rate}: must be above 0")
    if cfg.at_least > 100:
        raise InputError(f"--at-least {cfg.at_least}: is in percent, at most 100")
