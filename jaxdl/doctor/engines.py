"""Containers: the kind that doctor runs in, and what a host has to start them."""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jaxdl.doctor.probe import Answer, answer

Kind = Literal["", "docker", "podman", "kubernetes", "apptainer", "enroot"]
Flavor = Literal["system", "rootless", "snap"]
# Paths of docker's configuration; the rootless daemon has its own below the home.
CONFIGS = {
    "system": "/etc/docker/daemon.json",
    "rootless": ".config/docker/daemon.json",
    "snap": "/var/snap/docker/current/config/daemon.json",
}
# Files of the driver, which its version is part of, in a CDI specification.
DRIVER_FILE = re.compile(r"lib(?:cuda|nvidia-ml)\.so\.(\d+\.\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What a host starts containers with, as seen on PATH and as docker's daemon says."""

    docker: bool
    podman: bool
    apptainer: bool
    enroot: bool
    toolkit: bool
    """nvidia-ctk is on PATH."""
    tools: bool
    """nvidia-container-cli is on PATH, which Enroot calls."""
    flavor: Flavor
    """Whose docker it is."""
    refusal: str
    """What docker said in place of an answer; empty: its daemon answers."""
    runtimes: tuple[str, ...]
    """Of docker's daemon."""
    knows_cdi: bool
    """Docker's daemon looks for CDI specifications."""
    no_cgroups: bool
    """The toolkit leaves cgroups alone, which a rootless daemon may not change."""
    config: str
    """Docker's configuration."""
    config_error: str
    """Why it cannot be read."""
    cdi: dict[str, str]
    """NVIDIA's CDI specification -> version of the driver that it was made for, or empty."""


def read(path: Path) -> str:
    """The text of a file, empty if it cannot be read."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def kind_of(root: Path, environ: Mapping[str, str]) -> Kind:
    """The container that this process runs in; empty: none."""
    if "APPTAINER_CONTAINER" in environ or "SINGULARITY_CONTAINER" in environ:
        return "apptainer"
    if (root / ".singularity.d").exists():
        return "apptainer"
    # Enroot mounts its lock over itself, and leaves nothing else behind.
    if " /.lock " in read(root / "proc/self/mountinfo"):
        return "enroot"
    if "KUBERNETES_SERVICE_HOST" in environ:
        return "kubernetes"
    if (root / "run/.containerenv").exists():
        return "podman"
    return "docker" if (root / ".dockerenv").exists() else ""


def specifications(root: Path) -> dict[str, str]:
    """NVIDIA's CDI specifications -> version of their driver."""
    found = {}
    for folder in ("etc/cdi", "var/run/cdi"):
        for file in sorted((root / folder).glob("*")):
            text = read(file)
            if "nvidia.com/gpu" in text:
                version = DRIVER_FILE.search(text)
                found[f"/{file.relative_to(root)}"] = version[1] if version else ""
    return found


def config_error(path: Path) -> str:
    """Why docker cannot read its configuration; empty if it can, or there is none."""
    text = read(path)
    try:
        return "" if not text.strip() or isinstance(json.loads(text), dict) else "no object"
    except ValueError as error:
        return str(error)


def daemon(said: Answer, timeout: float) -> tuple[dict, str]:
    """What ``docker info`` tells, or why it tells nothing."""
    try:
        told = json.loads(said.out or "null")
    except ValueError:
        told = None
    if isinstance(told, dict) and said.code == 0 and not told.get("ServerErrors"):
        return told, ""
    if said.code is None:
        return {}, f"docker info did not end in {timeout:g} s"
    errors = told.get("ServerErrors") if isinstance(told, dict) else None
    lines = errors or said.err.strip().splitlines() or ["docker info says nothing"]
    return {}, lines[-1]


def gather_engine(root: Path, environ: Mapping[str, str], timeout: float) -> Engine:
    """Look along PATH, and ask docker's daemon."""
    path = environ.get("PATH", "")
    at = {
        name: shutil.which(name, path=path)
        for name in ("docker", "podman", "apptainer", "singularity", "enroot", "nvidia-ctk")
    }
    told: dict = {}
    refusal = ""
    if at["docker"]:
        command = [at["docker"], "info", "--format", "{{json .}}"]
        told, refusal = daemon(answer(command, environ, timeout), timeout)
    podman_as_docker = "host" in told and "ServerVersion" not in told
    rootless = any("rootless" in text for text in told.get("SecurityOptions") or ())
    rootless = rootless or environ.get("DOCKER_HOST", "").startswith("unix:///run/user/")
    snap = "/snap/" in f"{at['docker']}" or Path(at["docker"] or "").resolve().name == "snap"
    flavor: Flavor = "rootless" if rootless else "snap" if snap else "system"
    home = environ.get("HOME", "").lstrip("/")
    config = CONFIGS[flavor] if flavor != "rootless" else f"/{home}/{CONFIGS[flavor]}"
    toolkit_config = read(root / "etc/nvidia-container-runtime/config.toml")
    return Engine(
        docker=at["docker"] is not None and not podman_as_docker,
        podman=at["podman"] is not None or podman_as_docker,
        apptainer=at["apptainer"] is not None or at["singularity"] is not None,
        enroot=at["enroot"] is not None,
        toolkit=at["nvidia-ctk"] is not None,
        tools=shutil.which("nvidia-container-cli", path=path) is not None,
        flavor=flavor,
        refusal=refusal,
        runtimes=tuple(told.get("Runtimes") or ()),
        knows_cdi=bool(told.get("CDISpecDirs")),
        no_cgroups=bool(re.search(r"^\s*no-cgroups\s*=\s*true", toolkit_config, re.MULTILINE)),
        config=config,
        config_error=config_error(root / config.lstrip("/")),
        cdi=specifications(root),
    )
