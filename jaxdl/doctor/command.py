"""`jaxdl doctor`: what stands between this machine and training on its GPU, and what mends it.

Exit status: 0 without errors (there may be warnings), 1 with an error, 2 for a bad option. jax is
never imported here, only in a process of its own with a time limit: a broken install can hang.
"""

from collections.abc import Callable
from dataclasses import asdict
from json import dumps

from rich.console import Console

from jaxdl.doctor import host_checks, package_checks, system_checks, variable_checks
from jaxdl.doctor.facts import Facts, gather
from jaxdl.doctor.findings import Finding
from jaxdl.errors import InputError

# What is looked at before jax; --quick ends with them.
BEFORE: tuple[Callable[[Facts], Finding], ...] = (
    package_checks.check_python,
    package_checks.check_packages,
    package_checks.check_plugin,
    system_checks.check_driver,
    system_checks.check_floors,
    system_checks.check_nodes,
    system_checks.check_fabric,
    system_checks.check_mig,
    system_checks.check_shm,
    package_checks.check_libraries,
    package_checks.check_cuda_libraries,
    variable_checks.check_fraction,
    variable_checks.check_allocator,
    variable_checks.check_visible,
    variable_checks.check_xla_flags,
    variable_checks.check_platforms,
    variable_checks.check_platform_name,
    variable_checks.check_x64,
)
# These judge what a program said.
ASKING = (
    system_checks.check_mig,
    package_checks.check_cuda_libraries,
    variable_checks.check_xla_flags,
)
_STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}


def examine(facts: Facts) -> list[Finding]:
    """Every check's finding; those of a container host only where they were asked for."""
    if facts.quick:
        return [check(facts) for check in BEFORE if check not in ASKING]
    found = [check(facts) for check in BEFORE]
    found.append(package_checks.check_jax(facts, found))
    found.append(package_checks.check_arithmetic(facts))
    if facts.engine is not None:
        found += [host_checks.check_host(facts), system_checks.check_held(facts)]
    return found


def device(facts: Facts) -> str:
    """What training will use, as jax tells."""
    if facts.quick:
        return "not asked (--quick)"
    if not facts.probe.devices:
        return "nothing: jax does not start"
    if facts.probe.platform == "cpu":
        return f"the CPU ({facts.cores} cores)"
    return ", ".join(f"{kind} ({name})" for name, kind in facts.probe.devices)


def run(
    *, json: bool = False, host: bool = False, quick: bool = False, timeout: float = 60.0
) -> int:
    """Gather, check, print; the exit status.

    Args:
        json: print one JSON object.
        host: also check that containers get the GPU.
        quick: start no program, jax neither: the image's healthcheck.
        timeout: seconds that each program that is asked may take.

    Raises:
        InputError: `host` needs programs, and `quick` starts none.
    """
    if host and quick:
        raise InputError("--host asks docker, and --quick starts no program: give one of them")
    facts = gather(host=host, quick=quick, timeout=timeout)
    findings, uses = examine(facts), device(facts)
    status = int(any(finding.level == "error" for finding in findings))
    if json:
        found = [asdict(finding) for finding in findings]
        print(dumps({"findings": found, "device": uses, "exit": status}, indent=2))
        return status
    console = Console(soft_wrap=True, highlight=False, emoji=False)
    for finding in findings:
        level, style = finding.level, _STYLES[finding.level]
        console.print(f"[{style}]{level:<8}[/]{finding.name:<21}", end="")
        console.print(finding.seen, markup=False)
        if finding.remedy:
            console.print(f"        -> {finding.remedy}", markup=False)
    console.print(f"Training will use: {uses}", markup=False)
    return status
