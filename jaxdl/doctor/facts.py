"""What `jaxdl doctor` knows of the machine: gathered once, judged by its checks.

It is looked for under a root folder and along an environment's PATH, so that both may be made up.
"""

import errno
import json
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from jaxdl.doctor.place import CODE, Place, pip_command, place_of
from jaxdl.doctor.probe import Answer, Probe, answer, probe

PROJECT = "jaxdl-functional"
CUDAS = (12, 13)
# CUDA's own libraries. The driver's (libcuda.so, libnvidia-*) may lie in LD_LIBRARY_PATH.
SHADOW = re.compile(r"lib(cu(?!da\.so|dadebugger)|nv(?!idia-|cuvid|optix)|nccl).*\.so")
QUERY = "index,uuid,name,driver_version,compute_cap,memory.total,memory.free"
FORMAT = "--format=csv,noheader,nounits"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A line of nvidia-smi; None for what it does not say."""

    index: str
    uuid: str
    name: str
    driver: str
    capability: tuple[int, int] | None
    total: int | None
    """MiB, as is `free`."""
    free: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Seen on the machine; names of files are as the machine has them, without `root`."""

    timeout: float
    host: bool
    """The checks of a container host are wanted."""
    environ: dict[str, str]
    cores: int
    python: str
    requires_python: str
    """Of the project, as are `requires`; both empty where it is not installed."""
    requires: tuple[str, ...]
    place: Place
    """A checkout with the environment that `make` makes; containers' image; any environment."""
    pip: str
    """The command of that environment's pip."""
    packages: dict[str, str]
    """Installed distribution -> version."""
    container: bool
    pci: tuple[str, ...]
    """Addresses of NVIDIA's display controllers."""
    nodes: dict[str, str]
    """Name in /dev -> empty, or the error's name (EPERM) if it cannot be opened."""
    driver: str
    """Version of the kernel module, or empty."""
    smi: Answer | None
    """None: nvidia-smi is not on PATH."""
    gpus: tuple[Gpu, ...]
    processes: tuple[str, ...]
    """That use a GPU."""
    shadows: tuple[str, ...]
    """Folders of LD_LIBRARY_PATH with CUDA's libraries."""
    shm: int | None
    """Bytes of /dev/shm."""
    docker: bool
    toolkit: bool
    """nvidia-ctk is on PATH."""
    runtimes: tuple[str, ...]
    """Of docker's daemon.json."""
    daemon_error: str
    """Why that file could not be read."""
    cdi: tuple[str, ...]
    """Device specifications of NVIDIA's."""
    driver_packages: dict[str, bool]
    """Debian package of the driver -> is held."""
    probe: Probe

    @property
    def gpu(self) -> bool:
        """There is NVIDIA hardware, whether or not it can be used."""
        return bool(self.pci or self.nodes or self.driver or self.gpus)

    @property
    def cpu_wanted(self) -> bool:
        """The user has asked for the CPU."""
        return self.environ.get("JAX_PLATFORMS", "").strip().lower() == "cpu"

    @property
    def plugins(self) -> dict[int, str]:
        """CUDA's major version -> version of jax's plugin for it."""
        names = {cuda: f"jax-cuda{cuda}-plugin" for cuda in CUDAS}
        return {c: self.packages[name] for c, name in names.items() if name in self.packages}

    @property
    def visible(self) -> tuple[Gpu, ...]:
        """The GPUs that CUDA_VISIBLE_DEVICES leaves."""
        if "CUDA_VISIBLE_DEVICES" not in self.environ:
            return self.gpus
        names = [name.strip() for name in self.environ["CUDA_VISIBLE_DEVICES"].split(",")]
        names = [name for name in names if name]
        return tuple(
            gpu
            for gpu in self.gpus
            if any(name == gpu.index or gpu.uuid.startswith(name) for name in names)
        )


def read(path: Path) -> str:
    """The text of a file, empty if it cannot be read."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def open_error(path: Path, opener: Callable[[Path, int], int]) -> str:
    """Empty if a device can be opened, else the name of the error."""
    try:
        os.close(opener(path, os.O_RDWR))
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return ""


def whole(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def parse_gpu(line: str) -> Gpu:
    index, uuid, name, driver, capability, total, free = (part.strip() for part in line.split(","))
    numbers = re.fullmatch(r"(\d+)\.(\d+)", capability)
    return Gpu(
        index=index,
        uuid=uuid,
        name=name,
        driver=driver,
        capability=(int(numbers[1]), int(numbers[2])) if numbers else None,
        total=whole(total),
        free=whole(free),
    )


def shadow(folder: str, root: Path) -> str:
    """The folder and the first of CUDA's libraries in it, or empty."""
    try:
        names = sorted(os.listdir(root / folder.lstrip("/")))
    except OSError:
        return ""
    found = [name for name in names if SHADOW.match(name)]
    return f"{folder} ({found[0]})" if found else ""


def docker_runtimes(path: Path) -> tuple[tuple[str, ...], str]:
    """The runtimes in docker's configuration, and why they could not be read."""
    text = read(path)
    try:
        return (tuple(json.loads(text).get("runtimes", {})) if text.strip() else ()), ""
    except (ValueError, AttributeError) as error:
        return (), f"{error}"


def driver_packages(root: Path) -> dict[str, bool]:
    """Installed packages of the driver -> whether apt or unattended upgrades leave them be."""
    settings = "\n".join(read(path) for path in sorted((root / "etc/apt/apt.conf.d").glob("*")))
    listed = re.search(r'^\s*"[^"]*nvidia', settings, re.MULTILINE)
    found = {}
    for entry in read(root / "var/lib/dpkg/status").split("\n\n"):
        name = re.search(r"^Package: ((?:lib|linux-modules-)?nvidia-\S+)", entry, re.MULTILINE)
        state = re.search(r"^Status: (\w+) ok installed", entry, re.MULTILINE)
        if name and state:
            found[name[1]] = state[1] == "hold" or bool(listed)
    return found


def distributions(site: Sequence[str]) -> tuple[dict[str, str], str, tuple[str, ...]]:
    """Versions of all packages, and what the project asks for: its Python, its requirements."""
    packages: dict[str, str] = {}
    python, requires = "", ()
    for found in metadata.distributions(path=list(site)):
        name = re.sub(r"[-_.]+", "-", found.name or "").lower()
        if not name or name in packages:
            continue  # the first on the path is the one that is imported
        packages[name] = found.version
        if name == PROJECT:
            requires = found.requires or ()
            if "Requires-Python" in found.metadata:
                python = found.metadata["Requires-Python"]
    return packages, python, tuple(requires)


def pci_addresses(root: Path) -> tuple[str, ...]:
    """Of NVIDIA's display controllers."""
    return tuple(
        folder.name
        for folder in sorted((root / "sys/bus/pci/devices").glob("*"))
        if read(folder / "vendor").strip() == "0x10de" and read(folder / "class").startswith("0x03")
    )


def gather(
    root: Path = Path("/"),
    environ: Mapping[str, str] = os.environ,
    *,
    host: bool = False,
    timeout: float = 60,
    python: str = sys.executable,
    site: Sequence[str] = sys.path,
    code: Path = CODE,
    prefix: Path = Path(sys.prefix),
    opener: Callable[[Path, int], int] = os.open,
) -> Facts:
    """Look at the machine.

    Args:
        root: folder that holds /dev, /proc, /sys, /etc.
        environ: programs are found along its PATH, and run with it.
        host: wanted by the user; see `Facts`.
        timeout: seconds that each program may take.
        python: interpreter that imports jax.
        site: folders of installed packages.
        code: folder that holds the package jaxdl.
        prefix: of the environment.
        opener: opens a device.
    """
    path = environ.get("PATH", "")
    smi_path = shutil.which("nvidia-smi", path=path)
    smi, gpus, processes = None, (), ()
    if smi_path:
        smi = answer([smi_path, f"--query-gpu={QUERY}", FORMAT], environ, timeout)
    if smi_path and smi and smi.code == 0:
        gpus = tuple(parse_gpu(line) for line in smi.out.splitlines() if line.count(",") == 6)
        query = "--query-compute-apps=pid,process_name,used_memory"
        used = answer([smi_path, query, FORMAT], environ, timeout)
        processes = tuple(used.out.splitlines()) if used.code == 0 else ()
    nodes = [
        node
        for form in ("nvidia[0-9]*", "nvidiactl", "nvidia-uvm", "dxg")
        for node in sorted((root / "dev").glob(form))
    ]
    version = read(root / "proc/driver/nvidia/version")
    driver = re.search(r"Module\s+(?:for \S+\s+)?(\d+\.\d+(?:\.\d+)?)", version)
    shared = root / "dev/shm"
    folders = [f for f in environ.get("LD_LIBRARY_PATH", "").split(":") if f]
    runtimes, daemon_error = docker_runtimes(root / "etc/docker/daemon.json")
    packages, requires_python, requires = distributions(site)
    return Facts(
        timeout=timeout,
        host=host,
        environ=dict(environ),
        cores=len(os.sched_getaffinity(0)),
        python=platform.python_version(),
        requires_python=requires_python,
        requires=requires,
        place=place_of(code, prefix, environ),
        pip=pip_command(python, path),
        packages=packages,
        container=any((root / name).exists() for name in (".dockerenv", "run/.containerenv"))
        or "KUBERNETES_SERVICE_HOST" in environ,
        pci=pci_addresses(root),
        nodes={node.name: open_error(node, opener) for node in nodes},
        driver=driver[1] if driver else "",
        smi=smi,
        gpus=gpus,
        processes=processes,
        shadows=tuple(found for folder in folders if (found := shadow(folder, root))),
        shm=shutil.disk_usage(shared).total if shared.is_dir() else None,
        docker=shutil.which("docker", path=path) is not None,
        toolkit=shutil.which("nvidia-ctk", path=path) is not None,
        runtimes=runtimes,
        daemon_error=daemon_error,
        cdi=tuple(
            f"/{file.relative_to(root)}"
            for folder in ("etc/cdi", "var/run/cdi")
            for file in sorted((root / folder).glob("*"))
            if "nvidia.com/gpu" in read(file)
        ),
        driver_packages=driver_packages(root),
        probe=probe(python, environ, timeout),
    )
