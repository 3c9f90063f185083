"""Checks of driver, devices, memory and container host: each judges the facts and names a remedy.

Pure functions of `jaxdl.doctor.facts.Facts`. The number in brackets is that of the symptom's row in
`jaxdl/doctor/README.md`.
"""

from jaxdl.doctor.facts import Facts
from jaxdl.doctor.findings import FLOORS, Finding, blocked, fault, major, ok, smi_driver, warning
from jaxdl.doctor.remedies import install_cuda, recreate_container

FRACTIONS = ("XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION")
SHM = 1 << 30


def check_driver(facts: Facts) -> Finding:
    """The kernel module is loaded and nvidia-smi answers (2, 10)."""
    if not facts.gpu:
        return ok("driver", "no NVIDIA GPU")
    smi = facts.smi
    said = "" if smi is None else (smi.out + smi.err).strip().splitlines()
    last = said[-1] if said else ""
    if smi is not None and any("version mismatch" in line for line in said):
        seen = f"nvidia-smi: {last}; kernel module {facts.driver or 'unknown'}"
        return blocked(facts, "driver", seen, "sudo reboot")
    if not facts.driver and not facts.gpus:
        if facts.container:
            return blocked(facts, "driver", "none in this container", "docker run --gpus all ...")
        remedy = "sudo modprobe nvidia || sudo apt-get install --reinstall nvidia-driver-580-server"
        return blocked(facts, "driver", "the kernel module is not loaded", remedy)
    if smi is None:
        seen = f"module {facts.driver}, but no nvidia-smi"
        return warning("driver", seen, "set NVIDIA_DRIVER_CAPABILITIES=compute,utility")
    if smi.code is None:
        seen = f"nvidia-smi did not end in {facts.timeout:g} s"
        return blocked(facts, "driver", seen, "sudo nvidia-smi --gpu-reset || sudo reboot")
    if "Unknown Error" in last and facts.container:
        seen = f"nvidia-smi: {last}: the container lost its devices"
        return blocked(facts, "driver", seen, recreate_container(facts))
    if smi.code:
        return blocked(facts, "driver", f"nvidia-smi ended with {smi.code}: {last}", "sudo reboot")
    if facts.driver and facts.gpus and facts.driver != smi_driver(facts):
        seen = f"kernel module {facts.driver}, library {smi_driver(facts)}"
        return blocked(facts, "driver", seen, "sudo reboot")
    return ok("driver", facts.driver or smi_driver(facts))


def check_floors(facts: Facts) -> Finding:
    """Driver and compute capability suffice for the wheels' CUDA (5)."""
    driver = facts.driver or smi_driver(facts)
    if not facts.gpu or not driver:
        return ok("cuda floors", "no driver to check")
    for cuda in facts.plugins:
        least, capability = FLOORS[cuda]
        if major(driver) < least:
            seen = f"driver {driver}; CUDA {cuda} needs {least} or later"
            older = 12 if cuda == 13 and major(driver) >= FLOORS[12][0] else 0
            newer = f"sudo apt-get install nvidia-driver-{FLOORS[13][0]}-server && sudo reboot"
            return fault("cuda floors", seen, install_cuda(facts, 12, old=13) if older else newer)
        for gpu in facts.visible:
            if gpu.capability is not None and gpu.capability < capability:
                has, needs = (".".join(map(str, c)) for c in (gpu.capability, capability))
                seen = f"{gpu.name} has compute capability {has}; CUDA {cuda} needs {needs}"
                remedy = (
                    install_cuda(facts, 12, old=13)
                    if cuda == 13
                    else "choose a newer GPU (g4dn or later)"
                )
                return fault("cuda floors", seen, remedy)
    return ok("cuda floors", f"driver {driver}")


def check_nodes(facts: Facts) -> Finding:
    """The devices can be opened (4, 11)."""
    if not facts.gpu:
        return ok("device nodes", "no NVIDIA GPU")
    for name, error in facts.nodes.items():
        if error == "EPERM" and facts.container:
            seen = f"/dev/{name}: EPERM: the container lost it, as after systemctl daemon-reload"
            return blocked(facts, "device nodes", seen, recreate_container(facts))
        if error:
            remedy = f"sudo chmod a+rw /dev/{name}"
            return blocked(facts, "device nodes", f"/dev/{name} cannot be opened ({error})", remedy)
    cards = [n for n in facts.nodes if n.removeprefix("nvidia").isdecimal() or n == "dxg"]
    if not cards or ("nvidiactl" not in facts.nodes and "dxg" not in facts.nodes):
        seen = f"/dev has {', '.join(facts.nodes) or 'no nvidia device'}: cuInit fails"
        if facts.container:
            return blocked(facts, "device nodes", seen, "docker run --gpus all ...")
        return blocked(facts, "device nodes", seen, "sudo nvidia-modprobe -c 0 -u")
    capabilities = facts.environ.get("NVIDIA_DRIVER_CAPABILITIES", "all").split(",")
    if facts.container and not {"all", "compute"} & set(capabilities):
        seen = f"NVIDIA_DRIVER_CAPABILITIES={','.join(capabilities)}: without compute cuInit fails"
        return blocked(
            facts, "device nodes", seen, "set NVIDIA_DRIVER_CAPABILITIES=compute,utility"
        )
    return ok("device nodes", ", ".join(f"/dev/{name}" for name in facts.nodes))


def check_fraction(facts: Facts) -> Finding:
    """How much of the GPU's memory jax takes (9)."""
    given = {name: facts.environ[name] for name in FRACTIONS if name in facts.environ}
    if len(given) > 1:
        seen = "both variables are set, which jax refuses: " + ", ".join(given)
        return fault("memory fraction", seen, f"unset {FRACTIONS[1]}")
    for name, text in given.items():
        try:
            fraction = float(text)
        except ValueError:
            fraction = 0.0
        if not 0 < fraction < 1:
            seen = f"{name}={text}: must be above 0 and below 1"
            return fault("memory fraction", seen, f"export {FRACTIONS[0]}=.85")
        if name == FRACTIONS[1]:
            seen = f"{name}={text} is the old name"
            remedy = f"unset {name}; export {FRACTIONS[0]}={text}"
            return warning("memory fraction", seen, remedy)
    wanted = float(next(iter(given.values()), "0.75"))
    lazy = facts.environ.get("XLA_PYTHON_CLIENT_PREALLOCATE", "") in ("false", "False", "0")
    for gpu in () if lazy else facts.visible:
        if gpu.total and gpu.free is not None and gpu.free < wanted * gpu.total:
            seen = f"{gpu.name}: {gpu.free} of {gpu.total} MiB free, jax takes {wanted:.0%}"
            users = "; ".join(facts.processes) or "nvidia-smi lists no process"
            lower = f"export {FRACTIONS[0]}={max(0.05, 0.9 * gpu.free / gpu.total):.2f}"
            return warning("memory fraction", f"{seen} ({users})", lower)
    return ok("memory fraction", f"{wanted:g}")


def check_shm(facts: Facts) -> Finding:
    """NCCL, between several GPUs, needs shared memory (12)."""
    if len(facts.visible) > 1 and facts.shm is not None and facts.shm < SHM:
        seen = f"/dev/shm has {facts.shm >> 20} MiB for {len(facts.visible)} GPUs"
        return fault("shared memory", seen, "docker run --shm-size 1g ...")
    seen = "no /dev/shm" if facts.shm is None else f"/dev/shm {facts.shm >> 20} MiB"
    return ok("shared memory", seen)


def check_host(facts: Facts) -> Finding:
    """A container host hands its GPUs on: runtime or CDI specification (3)."""
    if not facts.docker:
        return fault("container host", "docker is not on PATH", "sudo apt-get install docker.io")
    if not facts.gpu:
        return ok("container host", "docker; no NVIDIA GPU to hand on")
    if not facts.toolkit:
        remedy = "sudo apt-get install nvidia-container-toolkit"
        return fault("container host", "nvidia-ctk is not on PATH", remedy)
    configure = (
        "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker"
    )
    if facts.daemon_error:
        seen = f"/etc/docker/daemon.json: {facts.daemon_error}"
        return fault("container host", seen, "sudo nano /etc/docker/daemon.json")
    if "nvidia" not in facts.runtimes and not facts.cdi:
        seen = "docker knows no nvidia runtime, and there is no CDI specification"
        return fault("container host", seen, configure)
    return ok("container host", "runtime nvidia" if facts.runtimes else facts.cdi[0])


def check_held(facts: Facts) -> Finding:
    """Upgrades leave the driver's packages alone (10)."""
    loose = [name for name, held in facts.driver_packages.items() if not held]
    if loose:
        seen = f"an unattended upgrade may change {', '.join(loose)} under the running driver"
        return warning("driver packages", seen, f"sudo apt-mark hold {' '.join(loose)}")
    return ok("driver packages", "held" if facts.driver_packages else "none of Debian's")
