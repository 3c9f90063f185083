"""Checks of Python, packages and jax itself: each judges the facts and names a remedy.

Pure functions of `jaxdl.doctor.facts.Facts`. The number in brackets is that of the symptom's row in
`jaxdl/doctor/README.md`.
"""

from collections.abc import Sequence

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from jaxdl.doctor.facts import Facts
from jaxdl.doctor.findings import Finding, cuda_for, fault, ok, warning
from jaxdl.doctor.remedies import (
    build_image,
    exact,
    install,
    install_cuda,
    install_pins,
    on_host,
    uninstall_cuda,
)
from jaxdl.doctor.system_checks import check_driver, check_fabric, check_mig, check_nodes

CUDNN, CUDNN_BROKEN = 90800, 91000  # major * 10000 + minor * 100 + patch
# Less than this jax's plugin refuses; cuDNN is held to the version that jax was built with.
LEAST = {"cuda_runtime": 12010, "cublas": 120100, "cusparse": 12100, "cupti": 18}
# Where one of them has found a fault, CUPTI cannot even tell its version.
REACH = (check_driver, check_nodes, check_fabric, check_mig)
CORE = ("jax", "jaxlib")
RIGHT = {"3.11": "0.10.1", "": "0.12.0.1"}  # Python -> the jax of constraints.txt; "" is any other


def check_python(facts: Facts) -> Finding:
    """The interpreter is one that the project allows."""
    if facts.requires_python and facts.python not in SpecifierSet(facts.requires_python):
        seen = f"Python {facts.python}; the project needs {facts.requires_python}"
        new = f"install jaxdl in an environment of Python {facts.requires_python}"
        remedies = {
            "checkout": "make clean && make run PYTHON=python3.11",
            "image": build_image("cpu") + " --build-arg BASE_IMAGE=python:3.13-slim",
        }
        return fault("python", seen, remedies.get(facts.place, new))
    return ok("python", f"Python {facts.python}")


def check_packages(facts: Facts) -> Finding:
    """jax and jaxlib are there, of one version, and all packages in the project's ranges (8)."""
    version = right_jax(facts)
    core = install_pins(facts, *(exact(name, version) for name in CORE))
    for name in CORE:
        if name not in facts.packages:
            return fault("packages", f"{name} is not installed", core)
    jax, jaxlib = (facts.packages[name] for name in CORE)
    if jax != jaxlib:
        return fault("packages", f"jax {jax} with jaxlib {jaxlib}: they must be equal", core)
    for text in facts.requires:
        need = Requirement(text)
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        have = facts.packages.get(need.name.lower().replace("_", "-").replace(".", "-"))
        remedy = install_pins(facts, f"{need.name}{need.specifier}")
        if have is None:
            return fault("packages", f"{need.name} is not installed", remedy)
        if not need.specifier.contains(have, prereleases=True):
            return fault("packages", f"{need.name} {have}; needed {need.specifier}", remedy)
    return ok("packages", f"jax {jax}, jaxlib {jaxlib}")


def right_jax(facts: Facts) -> str:
    """The version of jax that computes right with this Python."""
    return RIGHT.get(facts.python.rpartition(".")[0], RIGHT[""])


def check_plugin(facts: Facts) -> Finding:
    """One CUDA plugin, of jax's version, where there is a GPU (1, 8)."""
    plugins, jax = facts.plugins, facts.packages.get("jax", "")
    if len(plugins) > 1:
        other = 12 if cuda_for(facts) == 13 else 13
        remedy = uninstall_cuda(facts, other)
        return fault("cuda plugin", "those of CUDA 12 and of CUDA 13 are both installed", remedy)
    for cuda, version in plugins.items():
        pjrt = facts.packages.get(f"jax-cuda{cuda}-pjrt", "none")
        remedy = install(facts, exact(f"jax[cuda{cuda}]", jax))
        if version != jax or pjrt != jax:
            seen = f"plugin {version} and pjrt {pjrt} with jax {jax}: they must be equal"
            return fault("cuda plugin", seen, remedy)
        return ok("cuda plugin", f"CUDA {cuda}, {version}")
    if facts.gpu and not facts.cpu_wanted:
        seen = "an NVIDIA GPU, but no CUDA plugin: jax falls back to the CPU"
        # A GPU whose devices are not here may be another's: the CPU image on a GPU host.
        judge = fault if facts.nodes else warning
        return judge("cuda plugin", seen, install_cuda(facts, cuda_for(facts)))
    return ok("cuda plugin", "none, and no NVIDIA GPU to use")


def check_libraries(facts: Facts) -> Finding:
    """LD_LIBRARY_PATH leaves the wheels' CUDA libraries alone (6)."""
    if facts.shadows:
        seen = f"LD_LIBRARY_PATH has CUDA's libraries: {', '.join(facts.shadows)}"
        if facts.plugins:
            return fault("library path", seen, "unset LD_LIBRARY_PATH")
        return warning("library path", seen, "unset LD_LIBRARY_PATH")
    return ok("library path", "nothing before the wheels' libraries")


def check_cuda_libraries(facts: Facts) -> Finding:
    """cuDNN and the others are those that jax was built with, or newer (7)."""
    cuda = next(iter(facts.plugins), None)
    if cuda is None:
        return ok("cuda libraries", "no CUDA plugin")
    jax = exact(f"jax[cuda{cuda}]", facts.packages.get("jax", ""))
    remedy = install(facts, jax, again=True)
    reached = all(check(facts).level == "ok" for check in REACH)
    for name, (found, built) in facts.probe.versions.items():
        if isinstance(found, str):
            if facts.gpu and (reached or name != "cupti"):
                return fault("cuda libraries", f"{name} does not load: {found}", remedy)
            continue
        least = max(CUDNN, built // 100 * 100) if name == "cudnn" else LEAST.get(name, 0)
        if found < least or (name == "cudnn" and found == CUDNN_BROKEN):
            seen = f"{name} {found}; jax was built with {built}, and needs {least} or later"
            return fault("cuda libraries", seen, remedy)
    told = (f"{name} {v}" for name, (v, _) in facts.probe.versions.items() if isinstance(v, int))
    return ok("cuda libraries", ", ".join(told) or "not told")


def check_jax(facts: Facts, above: Sequence[Finding] = ()) -> Finding:
    """jax starts, in a process of its own, and finds the GPU that is there.

    Args:
        facts: of the machine.
        above: the findings so far; an error among them is the likely reason.
    """
    probe = facts.probe
    last = probe.err.splitlines()[-1] if probe.err else "no message"
    errors = ", ".join(finding.name for finding in above if finding.level == "error")
    if probe.code is None:
        again = f"jaxdl doctor --timeout {max(300, 5 * facts.timeout):g}"
        reboot = f"nvidia-smi (if it hangs too: {on_host(facts, 'sudo reboot')})"
        hangs = reboot if facts.gpu else again
        return fault("jax", f"did not start in {facts.timeout:g} s", hangs)
    if not probe.platform:
        end = f"was ended by signal {-probe.code}" if probe.code < 0 else "did not start"
        core = install(facts, *(exact(name, right_jax(facts)) for name in CORE), again=True)
        new = "make clean && make run" if facts.place == "checkout" else core
        repair = f"repair the errors above ({errors}), or: " if errors else ""
        return fault("jax", f"{end}: {last}", repair + new)
    names = ", ".join(f"{device} {kind}" for device, kind in probe.devices)
    if facts.gpu and facts.plugins and probe.platform == "cpu" and not facts.cpu_wanted:
        seen = f"an NVIDIA GPU is here, but jax uses the CPU: {last}"
        python = facts.pip.removesuffix(" -m pip") if facts.pip != "pip" else "python"
        ask = f'JAX_PLATFORMS=cuda {python} -c "import jax; jax.devices()" (it says why)'
        repair = f"repair the errors above ({errors})" if errors else ask
        return fault("jax", seen, f"{repair}, or train on the CPU: export JAX_PLATFORMS=cpu")
    return ok("jax", names)


def check_arithmetic(facts: Facts) -> Finding:
    """A compiled sum on the CPU is what NumPy says, as it is not in jaxlib 0.10.2 (14)."""
    wrong, jaxlib = facts.probe.wrong_rows, facts.packages.get("jaxlib", "")
    version = right_jax(facts)
    cuda = next((f"[cuda{cuda}]" for cuda in facts.plugins), "")
    remedy = install(facts, exact(f"jax{cuda}", version), exact("jaxlib", version))
    judge = fault if facts.probe.platform == "cpu" else warning
    if wrong is None and facts.probe.platform and facts.probe.code:
        return judge("arithmetic", f"jaxlib {jaxlib}: a sum on the CPU ended the process", remedy)
    if wrong is None:
        return ok("arithmetic", "not told")
    if isinstance(wrong, str):
        if facts.probe.platform != "cpu" and facts.environ.get("JAX_PLATFORMS"):
            return ok("arithmetic", "JAX_PLATFORMS leaves the CPU out")
        return judge("arithmetic", f"jaxlib {jaxlib} cannot add up on the CPU: {wrong}", remedy)
    if any(wrong.values()):
        rows = ", ".join(f"{bad} of {count}" for count, bad in wrong.items() if bad)
        seen = f"jaxlib {jaxlib} adds up wrong on the CPU, without an error: {rows} rows"
        return judge("arithmetic", seen, remedy)
    return ok("arithmetic", f"sums of {', '.join(wrong)} rows on the CPU are right")
