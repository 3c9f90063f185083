"""The options of every subject's `plan`; no jax is imported here, so that --help is fast."""

import dataclasses
from pathlib import Path
from typing import Annotated

from jaxdl.cli.options import Range
from jaxdl.planner.cards import CardName
from jaxdl.planner.choices import COUNTS, MOST

ABOUT = (
    "Say what training would need on many devices, and gain: memory, exchange and step time. "
    "Nothing is compiled, run or timed. The options of `train` are taken too: those that change "
    "shapes change the plan."
)
GROUPS = {"Output": ("json",), "Devices": ("devices", "card", "network")}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is planned for."""

    devices: Annotated[tuple[int, ...], Range(1, MOST)] = COUNTS
    """Numbers of devices; above 8 they are hosts of 8."""
    card: CardName = "h100"
    """Each device is such a card."""
    network: Annotated[float | None, Range(0, above=True)] = None
    """Gbit/s of each device to other hosts, one way; by default a usual host's of the card."""
    json: Path | None = None
    """The rows and the assumptions are written to this file. Of earlier files only this command's
    own is replaced."""
