"""The checks of `jaxdl doctor`: each judges the facts of a machine and names what mends it.

Pure functions of `jaxdl.hostfacts.Facts`. Where the row of a symptom is known from reports of
users, its number in `containers/README.md` stands beside the check.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from jaxdl.hostfacts import Facts

Level = Literal["ok", "warning", "error"]

# CUDA's major version of the wheels -> the least driver, the least compute capability.
FLOORS = {12: (525, (5, 2)), 13: (580, (7, 5))}
CUDNN, CUDNN_BROKEN = 90800, 91000  # major * 10000 + minor * 100 + patch
FRACTIONS = ("XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION")
SHM = 1 << 30
CORE = ("jax", "jaxlib")
RECREATE = "docker compose -f containers/compose.yaml up --force-recreate train"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a check saw; `remedy` is a command or a line to do, empty where all is well."""

    name: str
    level: Level
    seen: str
    remedy: str = ""


def _ok(name: str, seen: str) -> Finding:
    return Finding(name=name, level="ok", seen=seen)


def _error(name: str, seen: str, remedy: str) -> Finding:
    return Finding(name=name, level="error", seen=seen, remedy=remedy)


def _warning(name: str, seen: str, remedy: str) -> Finding:
    return Finding(name=name, level="warning", seen=seen, remedy=remedy)


def _major(version: str) -> int:
    first = version.split(".")[0]
    return int(first) if first.isdecimal() else 0


def _cuda_for(facts: Facts) -> int:
    """CUDA's major version of the wheels to install: the newest that the driver carries."""
    return 13 if _major(facts.driver or _smi_driver(facts)) >= FLOORS[13][0] else 12


def _smi_driver(facts: Facts) -> str:
    return facts.gpus[0].driver if facts.gpus else ""


def check_python(facts: Facts) -> Finding:
    """The interpreter is one that the project allows."""
    if facts.requires_python and facts.python not in SpecifierSet(facts.requires_python):
        seen = f"Python {facts.python}; the project needs {facts.requires_python}"
        return _error("python", seen, "make clean && make run PYTHON=python3.11")
    return _ok("python", f"Python {facts.python}")


def check_packages(facts: Facts) -> Finding:
    """jax and jaxlib are there, of one version, and all packages in the project's ranges (8)."""
    install = "pip install -c constraints.txt -e ."
    for name in CORE:
        if name not in facts.packages:
            return _error("packages", f"{name} is not installed", install)
    jax, jaxlib = (facts.packages[name] for name in CORE)
    if jax != jaxlib:
        return _error("packages", f"jax {jax} with jaxlib {jaxlib}: they must be equal", install)
    for text in facts.requires:
        need = Requirement(text)
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        have = facts.packages.get(need.name.lower().replace("_", "-").replace(".", "-"))
        if have is None:
            return _error("packages", f"{need.name} is not installed", install)
        if not need.specifier.contains(have, prereleases=True):
            return _error("packages", f"{need.name} {have}; needed {need.specifier}", install)
    return _ok("packages", f"jax {jax}, jaxlib {jaxlib}")


def check_plugin(facts: Facts) -> Finding:
    """One CUDA plugin, of jax's version, where there is a GPU (1, 8)."""
    plugins, jax = facts.plugins, facts.packages.get("jax", "")
    if len(plugins) > 1:
        other = 12 if _cuda_for(facts) == 13 else 13
        remedy = f"pip uninstall -y jax-cuda{other}-plugin jax-cuda{other}-pjrt"
        return _error("cuda plugin", "those of CUDA 12 and of CUDA 13 are both installed", remedy)
    for cuda, version in plugins.items():
        pjrt = facts.packages.get(f"jax-cuda{cuda}-pjrt", "none")
        remedy = f'pip install "jax[cuda{cuda}]=={jax}"'
        if version != jax or pjrt != jax:
            seen = f"plugin {version} and pjrt {pjrt} with jax {jax}: they must be equal"
            return _error("cuda plugin", seen, remedy)
        return _ok("cuda plugin", f"CUDA {cuda}, {version}")
    if facts.gpu and not facts.cpu_wanted:
        seen = "an NVIDIA GPU, but no CUDA plugin: jax falls back to the CPU"
        return _error("cuda plugin", seen, f"make cuda{_cuda_for(facts)}")
    return _ok("cuda plugin", "none, and no NVIDIA GPU to use")


def check_driver(facts: Facts) -> Finding:
    """The kernel module is loaded and nvidia-smi answers (2, 10)."""
    if not facts.gpu:
        return _ok("driver", "no NVIDIA GPU")
    smi = facts.smi
    said = "" if smi is None else (smi.out + smi.err).strip().splitlines()
    last = said[-1] if said else ""
    if smi is not None and any("version mismatch" in line for line in said):
        seen = f"nvidia-smi: {last}; kernel module {facts.driver or 'unknown'}"
        return _error("driver", seen, "sudo reboot")
    if not facts.driver and not facts.gpus:
        if facts.container:
            return _error("driver", "none in this container", "docker run --gpus all ...")
        remedy = "sudo modprobe nvidia || sudo apt-get install --reinstall nvidia-driver-580-server"
        return _error("driver", "the kernel module is not loaded", remedy)
    if smi is None:
        seen = f"module {facts.driver}, but no nvidia-smi"
        return _warning("driver", seen, "set NVIDIA_DRIVER_CAPABILITIES=compute,utility")
    if smi.code is None:
        seen = f"nvidia-smi did not end in {facts.timeout:g} s"
        return _error("driver", seen, "sudo nvidia-smi --gpu-reset || sudo reboot")
    if smi.code:
        return _error("driver", f"nvidia-smi ended with {smi.code}: {last}", "sudo reboot")
    if facts.driver and facts.gpus and facts.driver != _smi_driver(facts):
        seen = f"kernel module {facts.driver}, library {_smi_driver(facts)}"
        return _error("driver", seen, "sudo reboot")
    return _ok("driver", facts.driver or _smi_driver(facts))


def check_floors(facts: Facts) -> Finding:
    """Driver and compute capability suffice for the wheels' CUDA (5)."""
    driver = facts.driver or _smi_driver(facts)
    if not facts.gpu or not driver:
        return _ok("cuda floors", "no driver to check")
    for cuda in facts.plugins:
        least, capability = FLOORS[cuda]
        if _major(driver) < least:
            seen = f"driver {driver}; CUDA {cuda} needs {least} or later"
            older = 12 if cuda == 13 and _major(driver) >= FLOORS[12][0] else 0
            newer = f"sudo apt-get install nvidia-driver-{FLOORS[13][0]}-server && sudo reboot"
            return _error("cuda floors", seen, _switch(13, 12) if older else newer)
        for gpu in facts.visible:
            if gpu.capability is not None and gpu.capability < capability:
                has, needs = (".".join(map(str, c)) for c in (gpu.capability, capability))
                seen = f"{gpu.name} has compute capability {has}; CUDA {cuda} needs {needs}"
                remedy = _switch(13, 12) if cuda == 13 else "choose a newer GPU (g4dn or later)"
                return _error("cuda floors", seen, remedy)
    return _ok("cuda floors", f"driver {driver}")


def _switch(old: int, new: int) -> str:
    return f"pip uninstall -y jax-cuda{old}-plugin jax-cuda{old}-pjrt && make cuda{new}"


def check_nodes(facts: Facts) -> Finding:
    """The devices can be opened (4, 11)."""
    if not facts.gpu:
        return _ok("device nodes", "no NVIDIA GPU")
    for name, error in facts.nodes.items():
        if error == "EPERM" and facts.container:
            seen = f"/dev/{name}: EPERM: the container lost it, as after systemctl daemon-reload"
            return _error("device nodes", seen, RECREATE)
        if error:
            remedy = f"sudo chmod a+rw /dev/{name}"
            return _error("device nodes", f"/dev/{name} cannot be opened ({error})", remedy)
    cards = [n for n in facts.nodes if n.removeprefix("nvidia").isdecimal() or n == "dxg"]
    if not cards or ("nvidiactl" not in facts.nodes and "dxg" not in facts.nodes):
        seen = f"/dev has {', '.join(facts.nodes) or 'no nvidia device'}: cuInit fails"
        if facts.container:
            return _error("device nodes", seen, "docker run --gpus all ...")
        return _error("device nodes", seen, "sudo nvidia-modprobe -c 0 -u")
    capabilities = facts.environ.get("NVIDIA_DRIVER_CAPABILITIES", "all").split(",")
    if facts.container and not {"all", "compute"} & set(capabilities):
        seen = f"NVIDIA_DRIVER_CAPABILITIES={','.join(capabilities)}: without compute cuInit fails"
        return _error("device nodes", seen, "set NVIDIA_DRIVER_CAPABILITIES=compute,utility")
    return _ok("device nodes", ", ".join(f"/dev/{name}" for name in facts.nodes))


def check_libraries(facts: Facts) -> Finding:
    """LD_LIBRARY_PATH leaves the wheels' CUDA libraries alone (6)."""
    if facts.shadows:
        seen = f"LD_LIBRARY_PATH has CUDA's libraries: {', '.join(facts.shadows)}"
        if facts.plugins:
            return _error("library path", seen, "unset LD_LIBRARY_PATH")
        return _warning("library path", seen, "unset LD_LIBRARY_PATH")
    return _ok("library path", "nothing before the wheels' libraries")


def check_cuda_libraries(facts: Facts) -> Finding:
    """cuDNN and the others are those that jax was built with, or newer (7)."""
    cuda = next(iter(facts.plugins), None)
    if cuda is None:
        return _ok("cuda libraries", "no CUDA plugin")
    remedy = f'pip install --force-reinstall "jax[cuda{cuda}]=={facts.packages.get("jax", "")}"'
    for name, (found, built) in facts.probe.versions.items():
        if isinstance(found, str):
            if facts.gpu:
                return _error("cuda libraries", f"{name} does not load: {found}", remedy)
            continue
        broken = name == "cudnn" and (found < CUDNN or found == CUDNN_BROKEN)
        if broken or found < built:
            seen = f"{name} {found}; jax was built with {built}"
            return _error("cuda libraries", seen, remedy)
    told = (f"{name} {found}" for name, (found, _) in facts.probe.versions.items())
    return _ok("cuda libraries", ", ".join(told) or "not told")


def check_fraction(facts: Facts) -> Finding:
    """How much of the GPU's memory jax takes (9)."""
    given = {name: facts.environ[name] for name in FRACTIONS if name in facts.environ}
    if len(given) > 1:
        seen = "both variables are set, which jax refuses: " + ", ".join(given)
        return _error("memory fraction", seen, f"unset {FRACTIONS[1]}")
    for name, text in given.items():
        try:
            fraction = float(text)
        except ValueError:
            fraction = 0.0
        if not 0 < fraction < 1:
            seen = f"{name}={text}: must be above 0 and below 1"
            return _error("memory fraction", seen, f"export {FRACTIONS[0]}=.85")
        if name == FRACTIONS[1]:
            seen = f"{name}={text} is the old name"
            remedy = f"unset {name}; export {FRACTIONS[0]}={text}"
            return _warning("memory fraction", seen, remedy)
    wanted = float(next(iter(given.values()), "0.75"))
    for gpu in facts.visible:
        if gpu.total and gpu.free is not None and gpu.free < wanted * gpu.total:
            seen = f"{gpu.name}: {gpu.free} of {gpu.total} MiB free, jax takes {wanted:.0%}"
            users = "; ".join(facts.processes) or "nvidia-smi lists no process"
            lower = f"export {FRACTIONS[0]}={max(0.05, 0.9 * gpu.free / gpu.total):.2f}"
            return _warning("memory fraction", f"{seen} ({users})", lower)
    return _ok("memory fraction", f"{wanted:g}")


def check_shm(facts: Facts) -> Finding:
    """NCCL, between several GPUs, needs shared memory (12)."""
    if len(facts.visible) > 1 and facts.shm is not None and facts.shm < SHM:
        seen = f"/dev/shm has {facts.shm >> 20} MiB for {len(facts.visible)} GPUs"
        return _error("shared memory", seen, "docker run --shm-size 1g ...")
    seen = "no /dev/shm" if facts.shm is None else f"/dev/shm {facts.shm >> 20} MiB"
    return _ok("shared memory", seen)


def check_platforms(facts: Facts) -> Finding:
    """JAX_PLATFORMS names platforms that jax knows, and leaves a way out (13)."""
    text = facts.environ.get("JAX_PLATFORMS", "").strip()
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    usable = any(device.startswith("cuda") for device, _ in facts.probe.devices)
    if {"gpu", "cuda"} & set(names) and not usable:
        seen = f"JAX_PLATFORMS={text}, but jax finds no GPU (it says no more than AssertionError)"
        remedy = "export JAX_PLATFORMS=cuda,cpu" if facts.gpu else "unset JAX_PLATFORMS"
        return _error("JAX_PLATFORMS", seen, remedy)
    if "gpu" in names:
        seen = f"JAX_PLATFORMS={text}: gpu means CUDA or ROCm"
        return _warning("JAX_PLATFORMS", seen, "export JAX_PLATFORMS=cuda,cpu")
    return _ok("JAX_PLATFORMS", text or "not set")


def check_jax(facts: Facts) -> Finding:
    """jax starts, in a process of its own, and finds the GPU that is there."""
    probe = facts.probe
    last = probe.err.splitlines()[-1] if probe.err else "no message"
    if probe.code is None:
        seen = f"did not start in {facts.timeout:g} s"
        return _error("jax", seen, "nvidia-smi (if it hangs too: sudo reboot)")
    if not probe.platform:
        end = f"was ended by signal {-probe.code}" if probe.code < 0 else "did not start"
        return _error("jax", f"{end}: {last}", "mend the errors above, or: make clean && make run")
    names = ", ".join(f"{device} {kind}" for device, kind in probe.devices)
    if facts.gpu and facts.plugins and probe.platform == "cpu" and not facts.cpu_wanted:
        remedy = "mend the errors above, or set JAX_PLATFORMS=cpu to train on the CPU"
        return _error("jax", f"an NVIDIA GPU is here, but jax uses the CPU: {last}", remedy)
    return _ok("jax", names)


def check_host(facts: Facts) -> Finding:
    """A container host hands its GPUs on: runtime or CDI specification (3); `--host` alone."""
    if not facts.host:
        return _ok("container host", "not asked for (--host)")
    if not facts.docker:
        return _error("container host", "docker is not on PATH", "sudo apt-get install docker.io")
    if not facts.gpu:
        return _ok("container host", "docker; no NVIDIA GPU to hand on")
    if not facts.toolkit:
        remedy = "sudo apt-get install nvidia-container-toolkit"
        return _error("container host", "nvidia-ctk is not on PATH", remedy)
    configure = (
        "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker"
    )
    if facts.daemon_error:
        seen = f"/etc/docker/daemon.json: {facts.daemon_error}"
        return _error("container host", seen, "sudo nano /etc/docker/daemon.json")
    if "nvidia" not in facts.runtimes and not facts.cdi:
        seen = "docker knows no nvidia runtime, and there is no CDI specification"
        return _error("container host", seen, configure)
    return _ok("container host", "runtime nvidia" if facts.runtimes else facts.cdi[0])


def check_held(facts: Facts) -> Finding:
    """Upgrades leave the driver's packages alone (10); `--host` alone."""
    loose = [name for name, held in facts.driver_packages.items() if not held]
    if facts.host and loose:
        seen = f"an unattended upgrade may change {', '.join(loose)} under the running driver"
        return _warning("driver packages", seen, f"sudo apt-mark hold {' '.join(loose)}")
    return _ok("driver packages", "held" if facts.driver_packages else "none of Debian's")


CHECKS: tuple[Callable[[Facts], Finding], ...] = (
    *(check_python, check_packages, check_plugin, check_driver, check_floors, check_nodes),
    *(check_libraries, check_cuda_libraries, check_fraction, check_shm, check_platforms),
    *(check_jax, check_host, check_held),
)
