"""`jaxdl doctor`: what stands between this machine and training on its GPU, and what mends it.

Exit status: 0 without errors (there may be warnings), 1 with an error, 2 for a bad option. jax is
never imported here, only in a process of its own with a time limit: a broken install can hang.
"""

from collections.abc import Callable
from dataclasses import asdict
from json import dumps

from rich.console import Console

from jaxdl.doctor import package_checks, system_checks
from jaxdl.doctor.facts import Facts, gather
from jaxdl.doctor.findings import Finding

CHECKS: tuple[Callable[[Facts], Finding], ...] = (
    package_checks.check_python,
    package_checks.check_packages,
    package_checks.check_plugin,
    system_checks.check_driver,
    system_checks.check_floors,
    system_checks.check_nodes,
    package_checks.check_libraries,
    package_checks.check_cuda_libraries,
    system_checks.check_fraction,
    system_checks.check_shm,
    package_checks.check_platforms,
    package_checks.check_jax,
    package_checks.check_arithmetic,
)
HOST_CHECKS = (system_checks.check_host, system_checks.check_held)
_STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}


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


def run(*, json: bool = False, host: bool = False, timeout: float = 60.0) -> int:
    """Gather, check, print; the exit status.

    Args:
        json: print one JSON object.
        host: also check that containers get the GPU.
        timeout: seconds that each program that is asked may take.
    """
    facts = gather(host=host, timeout=timeout)
    findings, uses = examine(facts), device(facts)
    status = int(any(finding.level == "error" for finding in findings))
    if json:
        found = [asdict(finding) for finding in findings]
        print(dumps({"findings": found, "device": uses, "exit": status}, indent=2))
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
