"""`jaxdl doctor`: what stands between this machine and training on its GPU, and what mends it.

Exit status: 0 without errors (there may be warnings), 1 with an error, 2 for a bad option. jax is
never imported here, only in a process of its own with a time limit: a broken install can hang.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

from rich.console import Console

from jaxdl import hostchecks, softwarechecks
from jaxdl.errors import InputError
from jaxdl.findings import Finding
from jaxdl.hostfacts import Facts, gather

CHECKS: tuple[Callable[[Facts], Finding], ...] = (
    softwarechecks.check_python,
    softwarechecks.check_packages,
    softwarechecks.check_plugin,
    hostchecks.check_driver,
    hostchecks.check_floors,
    hostchecks.check_nodes,
    softwarechecks.check_libraries,
    softwarechecks.check_cuda_libraries,
    hostchecks.check_fraction,
    hostchecks.check_shm,
    softwarechecks.check_platforms,
    softwarechecks.check_jax,
    softwarechecks.check_arithmetic,
)
HOST_CHECKS = (hostchecks.check_host, hostchecks.check_held)
_STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Check versions, plugin, driver, devices, memory and variables; name what mends each fault."""

    json: bool = False
    """Print one JSON object: findings, device, exit."""
    host: bool = False
    """Also check that containers get the GPU: docker, NVIDIA Container Toolkit, held packages."""
    timeout: float = 60.0
    """Seconds that jax, and each other program that is asked, may take."""


def examine(facts: Facts) -> list[Finding]:
    """Every check's finding; those of a container host only where they were asked for."""
    return [check(facts) for check in (*CHECKS, *(HOST_CHECKS if facts.host else ()))]


def device(facts: Facts) -> str:
    """What training will use, as jax tells."""
    if not facts.probe.devices:
        return "nothing: jax does not start"
    if facts.probe.platform == "cpu":
        return f"the CPU ({facts.cores} cores)"
    return ", ".join(f"{kind} ({name})" for name, kind in facts.probe.devices)


def run(cfg: Config) -> int:
    """Gather, check, print; the exit status.

    Raises:
        InputError: a time limit that is not above 0.
    """
    if not cfg.timeout > 0:
        raise InputError(f"--timeout {cfg.timeout:g}: must be above 0")
    facts = gather(host=cfg.host, timeout=cfg.timeout)
    findings, uses = examine(facts), device(facts)
    status = int(any(finding.level == "error" for finding in findings))
    if cfg.json:
        found = [asdict(finding) for finding in findings]
        print(json.dumps({"findings": found, "device": uses, "exit": status}, indent=2))
        return status
    console = Console(soft_wrap=True, highlight=False, emoji=False)
    for finding in findings:
        level, style = finding.level, _STYLES[finding.level]
        console.print(f"[{style}]{level:<8}[/]{finding.name:<17}", end="")
        console.print(finding.seen, markup=False)
        if finding.remedy:
            console.print(f"        -> {finding.remedy}", markup=False)
    console.print(f"Training will use: {uses}", markup=False)
    return status
