"""The check of a container host: what starts containers hands its GPUs on (3).

A pure function of `jaxdl.doctor.facts.Facts`.
"""

from jaxdl.doctor.engines import CONFIGS, Engine
from jaxdl.doctor.facts import Facts
from jaxdl.doctor.findings import Finding, fault, ok, warning
from jaxdl.doctor.remedies import install_system

ROW = "container host"
TOOLKIT = "docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/install-guide.html"
START = {
    "system": "sudo systemctl start docker",
    "rootless": "systemctl --user start docker",
    "snap": "sudo snap start docker",
}


def check_host(facts: Facts) -> Finding:
    """Docker, podman, Apptainer or Enroot is here, answers, and knows the GPUs."""
    engine = facts.engine
    if engine is None:
        return ok(ROW, "not asked")
    if engine.docker:
        return check_docker(facts, engine)
    if engine.podman:
        return check_podman(facts, engine)
    if engine.apptainer:
        return ok(ROW, "apptainer; its option --nv hands the driver on")
    if engine.enroot and facts.gpu and not engine.tools:
        remedy = install_toolkit(facts, "libnvidia-container-tools")
        return fault(ROW, "enroot, but no nvidia-container-cli, which it calls", remedy)
    if engine.enroot:
        return ok(ROW, "enroot; NVIDIA_VISIBLE_DEVICES hands the driver on")
    return fault(ROW, "docker is not on PATH", install_system(facts, "docker.io", "moby-engine"))


def check_docker(facts: Facts, engine: Engine) -> Finding:
    """Its daemon answers, and has NVIDIA's runtime or a CDI specification of this driver."""
    sudo = "" if engine.flavor == "rootless" else "sudo "
    if engine.config_error:
        check = f"dockerd --validate --config-file={engine.config}"
        seen = f"{engine.config}: {engine.config_error}"
        return fault(ROW, seen, f"correct that file until this is content: {sudo}{check}")
    if engine.refusal:
        return fault(ROW, f"docker: {engine.refusal}", answering(facts, engine))
    if not facts.gpu:
        return ok(ROW, "docker; no NVIDIA GPU to hand on")
    if not engine.toolkit:
        return fault(ROW, "nvidia-ctk is not on PATH", install_toolkit(facts))
    old, runtime = stale(facts, engine), "nvidia" in engine.runtimes
    if old is not None and not runtime:
        return old
    if engine.flavor == "rootless" and runtime and not engine.no_cgroups:
        seen = "docker is rootless, and NVIDIA's runtime would set cgroups, which it may not"
        remedy = "sudo nvidia-ctk config --set nvidia-container-cli.no-cgroups --in-place"
        return fault(ROW, seen, remedy)
    if runtime:
        return warning(ROW, old.seen, old.remedy) if old else ok(ROW, "docker, runtime nvidia")
    if engine.cdi and engine.knows_cdi:
        return ok(ROW, f"docker, {next(iter(engine.cdi))}")
    seen = "docker knows no nvidia runtime, and "
    seen += "looks for no CDI specification" if engine.cdi else "there is no CDI specification"
    return fault(ROW, seen, configure(engine))


def answering(facts: Facts, engine: Engine) -> str:
    """The command after which docker's daemon answers this user."""
    if "permission denied" in engine.refusal:
        return "sudo usermod -aG docker $USER && newgrp docker"
    host = facts.environ.get("DOCKER_HOST", "")
    if host and not host.startswith("unix:///run/user/"):
        return "unset DOCKER_HOST"
    return START[engine.flavor]


def configure(engine: Engine) -> str:
    """The command that makes NVIDIA's runtime known to docker."""
    command = "nvidia-ctk runtime configure --runtime=docker"
    if engine.flavor == "rootless":
        no_cgroups = "sudo nvidia-ctk config --set nvidia-container-cli.no-cgroups --in-place"
        again = "systemctl --user restart docker"
        return f"{command} --config={engine.config} && {no_cgroups} && {again}"
    if engine.flavor == "snap":
        return f"sudo {command} --config={CONFIGS['snap']} && sudo snap restart docker"
    return f"sudo {command} && sudo systemctl restart docker"


def check_podman(facts: Facts, engine: Engine) -> Finding:
    """It reads CDI specifications itself; there is no daemon."""
    if not facts.gpu:
        return ok(ROW, "podman; no NVIDIA GPU to hand on")
    if not engine.toolkit:
        return fault(ROW, "nvidia-ctk is not on PATH", install_toolkit(facts))
    if not engine.cdi:
        seen = "podman, but no CDI specification of NVIDIA's"
        return fault(ROW, seen, generate("/etc/cdi/nvidia.yaml"))
    return stale(facts, engine) or ok(ROW, f"podman, {next(iter(engine.cdi))}")


def install_toolkit(facts: Facts, package: str = "nvidia-container-toolkit") -> str:
    """NVIDIA has its own list of packages."""
    return f"{install_system(facts, package, package)} (its list of packages: {TOOLKIT})"


def generate(path: str) -> str:
    """The command that writes a CDI specification of this driver."""
    return f"sudo nvidia-ctk cdi generate --output={path}"


def stale(facts: Facts, engine: Engine) -> Finding | None:
    """A CDI specification that names files of another driver: containers do not start."""
    for path, version in engine.cdi.items():
        if version and facts.driver and version != facts.driver:
            seen = f"{path} is of driver {version}, and this is {facts.driver}: nothing starts"
            return fault(ROW, seen, generate(path))
    return None
