"""Checks of driver, devices and shared memory: each judges the facts and names a remedy.

Pure functions of `jaxdl.doctor.facts.Facts`. The number in brackets is that of the symptom's row in
`jaxdl/doctor/README.md`.
"""

from jaxdl.doctor.facts import Facts
from jaxdl.doctor.findings import FLOORS, Finding, blocked, fault, major, ok, smi_driver, warning
from jaxdl.doctor.remedies import (
    install_cuda,
    install_system,
    more_shared_memory,
    on_host,
    recreate_container,
    start_with_gpu,
)

SHM = 1 << 30


def check_driver(facts: Facts) -> Finding:
    """The kernel module is loaded and nvidia-smi answers (2, 10)."""
    if not facts.gpu:
        return ok("driver", "no NVIDIA GPU")
    smi = facts.smi
    said = (smi.out + smi.err).strip().splitlines() if smi else []
    last = said[-1] if said else ""
    reboot = on_host(facts, "sudo reboot")
    if any("version mismatch" in line for line in said):
        seen = f"nvidia-smi: {last}; kernel module {facts.driver or 'unknown'}"
        return blocked(facts, "driver", seen, reboot)
    if not facts.driver and not facts.gpus and not (facts.quick and "dxg" in facts.nodes):
        return no_driver(facts)
    if facts.quick:
        return ok("driver", facts.driver or "of Windows, not asked")
    if smi is None:
        return no_nvidia_smi(facts)
    if smi.code is None:
        seen = f"nvidia-smi did not end in {facts.timeout:g} s"
        reset = on_host(facts, "sudo nvidia-smi --gpu-reset || sudo reboot")
        return blocked(facts, "driver", seen, reset)
    if "Unknown Error" in last and facts.container:
        seen = f"nvidia-smi: {last}: the container lost its devices"
        return blocked(facts, "driver", seen, recreate_container(facts))
    if smi.code:
        return blocked(facts, "driver", f"nvidia-smi ended with {smi.code}: {last}", reboot)
    if facts.driver and facts.gpus and facts.driver != smi_driver(facts):
        seen = f"kernel module {facts.driver}, library {smi_driver(facts)}"
        return blocked(facts, "driver", seen, reboot)
    return ok("driver", facts.driver or smi_driver(facts))


def no_driver(facts: Facts) -> Finding:
    """Of a GPU without its driver."""
    if facts.container:
        return blocked(facts, "driver", "none in this container", start_with_gpu(facts))
    package = install_system(facts, "--reinstall nvidia-driver-580-server", "cuda-drivers")
    remedy = f"sudo modprobe nvidia || {package}"
    return blocked(facts, "driver", "the kernel module is not loaded", remedy)


def no_nvidia_smi(facts: Facts) -> Finding:
    """Of a driver without its programs: then its libraries lack, too, or that one package."""
    if facts.container in ("apptainer", "enroot"):
        seen = f"{facts.driver} on the host, but its libraries are not in this container"
        return blocked(facts, "driver", seen, start_with_gpu(facts))
    seen = f"module {facts.driver}, but no nvidia-smi"
    if facts.container == "docker":
        return warning(
            "driver", seen, "docker run -e NVIDIA_DRIVER_CAPABILITIES=compute,utility ..."
        )
    if facts.container:
        return warning("driver", seen, start_with_gpu(facts))
    branch = major(facts.driver)
    utilities = install_system(facts, f"nvidia-utils-{branch}-server", "nvidia-driver-cuda")
    return warning("driver", seen, utilities)


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
            package = install_system(facts, f"nvidia-driver-{FLOORS[13][0]}-server", "cuda-drivers")
            newer = on_host(facts, f"{package} && sudo reboot")
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
            remedy = on_host(facts, f"sudo chmod a+rw /dev/{name}")
            return blocked(facts, "device nodes", f"/dev/{name} cannot be opened ({error})", remedy)
    cards = [n for n in facts.nodes if n.removeprefix("nvidia").isdecimal() or n == "dxg"]
    if not cards or ("nvidiactl" not in facts.nodes and "dxg" not in facts.nodes):
        seen = f"/dev has {', '.join(facts.nodes) or 'no nvidia device'}: cuInit fails"
        if facts.container:
            return blocked(facts, "device nodes", seen, start_with_gpu(facts))
        return blocked(facts, "device nodes", seen, "sudo nvidia-modprobe -c 0 -u")
    # The first use of CUDA makes it on a host, so its lack is a fault only after that.
    if not {"nvidia-uvm", "dxg"} & set(facts.nodes) and (facts.container or not facts.quick):
        seen = "/dev/nvidia-uvm is missing: cuInit fails"
        if facts.container:
            return blocked(facts, "device nodes", seen, start_with_gpu(facts))
        return blocked(
            facts, "device nodes", seen, "sudo modprobe nvidia-uvm && sudo nvidia-modprobe -c 0 -u"
        )
    capabilities = facts.environ.get("NVIDIA_DRIVER_CAPABILITIES", "all").split(",")
    if facts.container and not {"all", "compute"} & set(capabilities):
        seen = f"NVIDIA_DRIVER_CAPABILITIES={','.join(capabilities)}: without compute cuInit fails"
        engine = "podman" if facts.container == "podman" else "docker"
        remedy = {
            "enroot": start_with_gpu(facts),
            "kubernetes": "set NVIDIA_DRIVER_CAPABILITIES=compute,utility in the pod's env",
        }.get(facts.container, f"{engine} run -e NVIDIA_DRIVER_CAPABILITIES=compute,utility ...")
        return blocked(facts, "device nodes", seen, remedy)
    return ok("device nodes", ", ".join(f"/dev/{name}" for name in facts.nodes))


def check_fabric(facts: Facts) -> Finding:
    """Fabric manager has prepared the NVSwitches: CUDA waits for it (15)."""
    name = "fabric manager"
    refused = "SYSTEM_NOT_READY" in facts.probe.err
    waits = [gpu.index for gpu in facts.gpus if gpu.fabric in ("In Progress", "Not Started")]
    if not facts.gpu or not (facts.switches or refused or waits):
        return ok(name, "no NVSwitch")
    if facts.probe.platform == "gpu":
        return ok(name, "CUDA starts")
    idle = facts.switches and not facts.container and not facts.fabric_manager
    if not (refused or waits or idle):
        return ok(name, "runs" if facts.fabric_manager else "not asked")
    who = f"GPU {', '.join(waits)} waits" if waits else "CUDA cannot start"
    code = "CUDA_ERROR_SYSTEM_NOT_READY: " if refused else ""
    seen = f"{code}{who}: it has not prepared the NVSwitches"
    branch = major(facts.driver or smi_driver(facts))
    start = "sudo systemctl enable --now nvidia-fabricmanager"
    if facts.fabric_manager:
        start = "sudo systemctl restart nvidia-fabricmanager"
    elif not any("fabricmanager" in package for package in facts.driver_packages):
        package = install_system(facts, f"nvidia-fabricmanager-{branch}", "nvidia-fabricmanager")
        start = f"{package} && {start}"
    return blocked(facts, name, seen, on_host(facts, start))


def check_mig(facts: Facts) -> Finding:
    """A card that is divided has an instance to compute on (16)."""
    divided = [gpu for gpu in facts.gpus if gpu.mig]
    empty = [gpu for gpu in divided if not gpu.instances]
    if not empty:
        return ok(
            "MIG", f"{sum(len(g.instances) for g in divided)} instances" if divided else "off"
        )
    gpu = empty[0]
    seen = f"GPU {gpu.index} ({gpu.name}) is divided, but has no instance: CUDA does not see it"
    remedy = on_host(facts, f"sudo nvidia-smi mig -i {gpu.index} -cgi 0 -C")
    if len(empty) == len(facts.gpus):
        return blocked(facts, "MIG", seen, remedy)
    return warning("MIG", seen, remedy)


def check_shm(facts: Facts) -> Finding:
    """NCCL, between several GPUs, needs shared memory (12)."""
    if len(facts.visible) > 1 and facts.shm is not None and facts.shm < SHM:
        seen = f"/dev/shm has {facts.shm >> 20} MiB for {len(facts.visible)} GPUs"
        return fault("shared memory", seen, more_shared_memory(facts))
    seen = "no /dev/shm" if facts.shm is None else f"/dev/shm {facts.shm >> 20} MiB"
    return ok("shared memory", seen)


def check_held(facts: Facts) -> Finding:
    """Upgrades leave the driver's packages alone (10)."""
    loose = [name for name, held in facts.driver_packages.items() if not held]
    if loose:
        seen = f"an unattended upgrade may change {', '.join(loose)} under the running driver"
        return warning("driver packages", seen, f"sudo apt-mark hold {' '.join(loose)}")
    return ok("driver packages", "held" if facts.driver_packages else "none of Debian's")
