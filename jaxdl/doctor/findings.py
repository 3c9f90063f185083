"""What a check of `jaxdl doctor` finds, and what its checks share."""

from dataclasses import dataclass
from typing import Literal

from jaxdl.doctor.facts import Facts

Level = Literal["ok", "warning", "error"]

# CUDA's major version of the wheels -> the least driver, the least compute capability.
FLOORS = {12: (525, (5, 2)), 13: (580, (7, 5))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a check saw; `remedy` is a command or a line to do, empty where all is well."""

    name: str
    level: Level
    seen: str
    remedy: str = ""


def ok(name: str, seen: str) -> Finding:
    """Nothing needs repair."""
    return Finding(name=name, level="ok", seen=seen)


def fault(name: str, seen: str, remedy: str) -> Finding:
    """Training on the GPU cannot work."""
    return Finding(name=name, level="error", seen=seen, remedy=remedy)


def warning(name: str, seen: str, remedy: str) -> Finding:
    """It may work."""
    return Finding(name=name, level="warning", seen=seen, remedy=remedy)


def blocked(facts: Facts, name: str, seen: str, remedy: str) -> Finding:
    """A GPU that cannot be used: a fault only where jax is installed and set to use it."""
    wanted = facts.plugins and not facts.cpu_wanted
    return (fault if wanted else warning)(name, seen, remedy)


def major(version: str) -> int:
    """The first number of a version, 0 if there is none."""
    first = version.split(".")[0]
    return int(first) if first.isdecimal() else 0


def cuda_for(facts: Facts) -> int:
    """CUDA's major version of the wheels to install: the newest that the driver carries."""
    return 13 if major(facts.driver or smi_driver(facts)) >= FLOORS[13][0] else 12


def smi_driver(facts: Facts) -> str:
    """The driver's version as nvidia-smi has it, or empty."""
    return facts.gpus[0].driver if facts.gpus else ""
