"""The options of `jaxdl doctor` and `jaxdl compile-check`; no jax is imported here."""

import dataclasses
from typing import Annotated

from jaxdl.cli.options import Command, Range
from jaxdl.planner import choices


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Doctor:
    """What `doctor` checks."""

    json: bool = False
    """One JSON object is printed: findings, device, exit."""
    host: bool = False
    """Containers are checked too: docker, NVIDIA Container Toolkit, held packages."""
    quick: bool = False
    """No program is started, nvidia-smi and jax neither: under a second, for health checks."""
    timeout: Annotated[float, Range(0, 86_400, above=True)] = 60.0
    """jax, and each other program that is asked, may take so many seconds."""


DOCTOR = Command(
    prog="jaxdl doctor",
    about="Check versions, plugin, driver, devices, memory and variables, and say how to repair "
    "each fault. The exit status is 0 without errors, 1 with one.",
    options=Doctor,
    groups={"Output": ("json",), "Devices": ("host", "quick", "timeout")},
    examples=(
        ("jaxdl doctor", "Whether this machine trains on its GPU, and what would help."),
        ("jaxdl doctor --host --json", "On the host of containers, for a script."),
    ),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CompileCheck(choices.CompileCheck):
    """What `compile-check` compiles, with the ranges of its numbers."""

    canvas: Annotated[tuple[tuple[int, int], ...], Range(32, multiple=32)] = choices.VOC_CANVASES
    """Heights and widths of the FCNs' padded images."""
    batch: Annotated[int, Range(1)] = 1
    """Images of a card."""


COMPILE_CHECK = Command(
    prog="jaxdl compile-check",
    about="Compile the project's training and prediction steps for NVIDIA cards, without a GPU. "
    "Nothing runs; all times are roofs or estimates.",
    options=CompileCheck,
    groups={
        "Data": ("canvas", "batch"),
        "Model": ("step", "kind", "dtype"),
        "Output": ("json", "largest"),
        "Devices": ("device", "gpus"),
    },
    examples=(
        ("jaxdl compile-check --device h100 --step fcn32s", "The FCN-32s for one card."),
        ("jaxdl compile-check --json rows.json", "All steps for all cards, the rows in a file."),
    ),
)
