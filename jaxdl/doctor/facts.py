"""What `jaxdl doctor` knows of the machine: gathered once, judged by its checks.

It is looked for under a root folder and along an environment's PATH, so that both may be made up.
"""

import errno
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from jaxdl.doctor import gpus
from jaxdl.doctor.engines import Engine, Kind, gather_engine, kind_of, read
from jaxdl.doctor.gpus import Gpu, Seen
from jaxdl.doctor.place import CODE, Place, pip_command, place_of
from jaxdl.doctor.probe import NOT_ASKED, Answer, Probe, probe

PROJECT = "jaxdl-functional"
CUDAS = (12, 13)
# CUDA's libraries, which come as wheels. Others begin alike (libcurl, libcups, libnvme), the
# driver's may lie in LD_LIBRARY_PATH (libcuda.so, libnvidia-*), as may plugins of NCCL.
SHADOW = re.compile(
    r"lib(cudart|cudnn(_\w+)?|cublas(Lt)?|cufftw?|curand|cusolver(Mg)?|cusparse(Lt)?|cupti|nccl"
    r"|nvrtc(-builtins)?|nvJitLink|nvshmem\w*)\.so"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Seen on the machine; names of files are as the machine has them, without `root`."""

    timeout: float
    quick: bool
    """No program was started: nothing is known of nvidia-smi, `probe` and `engine`."""
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
    installer: str
    """apt-get or dnf, if it is on PATH."""
    container: Kind
    pci: tuple[str, ...]
    """Addresses of NVIDIA's display controllers."""
    switches: bool
    """NVSwitches join the GPUs."""
    fabric_manager: bool
    """It runs here: it prepares the switches, and CUDA waits for it."""
    nodes: dict[str, str]
    """Name in /dev -> empty, or the error's name (EPERM) if it cannot be opened."""
    driver: str
    """Version of the kernel module, or empty."""
    smi: Answer | None
    """None: nvidia-smi is not on PATH, or was not asked."""
    gpus: tuple[Gpu, ...]
    processes: tuple[str, ...]
    """That use a GPU."""
    shadows: tuple[str, ...]
    """Folders of LD_LIBRARY_PATH with CUDA's libraries."""
    shm: int | None
    """Bytes of /dev/shm."""
    driver_packages: dict[str, bool]
    """Debian package of the driver -> is held."""
    engine: Engine | None
    """Of a container host, if its checks are wanted."""
    probe: Probe

    @property
    def gpu(self) -> bool:
        """There is NVIDIA hardware, whether or not it can be used."""
        return bool(self.pci or self.nodes or self.driver or self.gpus)

    @property
    def cpu_wanted(self) -> bool:
        """The user has asked for the CPU."""
        names = (self.environ.get(name, "") for name in ("JAX_PLATFORMS", "JAX_PLATFORM_NAME"))
        return next((name for name in names if name), "").strip().lower() == "cpu"

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
        found = []
        for name in self.environ["CUDA_VISIBLE_DEVICES"].split(","):
            gpu = next((gpu for gpu in self.gpus if named(gpu, name.strip())), None)
            if gpu is None:
                break  # CUDA stops at the first name that it does not know
            found.append(gpu)
        return tuple(found)


def named(gpu: Gpu, name: str) -> bool:
    """Whether CUDA_VISIBLE_DEVICES means this GPU, or an instance of it, by such a name."""
    if name.startswith("MIG-"):
        return any(instance.startswith(name) for instance in gpu.instances)
    return name == gpu.index or (name.startswith("GPU-") and gpu.uuid.startswith(name))


def open_error(path: Path, opener: Callable[[Path, int], int]) -> str:
    """Empty if a device can be opened, else the name of the error."""
    try:
        os.close(opener(path, os.O_RDWR))
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return ""


def shadow(folder: str, root: Path) -> str:
    """The folder and the first of CUDA's libraries in it, or empty."""
    try:
        names = sorted(os.listdir(root / folder.lstrip("/")))
    except OSError:
        return ""
    found = [name for name in names if SHADOW.match(name)]
    return f"{folder} ({found[0]})" if found else ""


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


def pci_addresses(root: Path, kind: str) -> tuple[str, ...]:
    """Of NVIDIA's devices whose class begins so: 0x03 display controllers, 0x0680 NVSwitches."""
    return tuple(
        folder.name
        for folder in sorted((root / "sys/bus/pci/devices").glob("*"))
        if read(folder / "vendor").strip() == "0x10de" and read(folder / "class").startswith(kind)
    )


def fabric_manager_runs(root: Path) -> bool:
    """Whether a process has its name, of which the kernel keeps 15 letters."""
    return any(read(file).strip() == "nv-fabricmanage" for file in root.glob("proc/[0-9]*/comm"))


def gather(
    root: Path = Path("/"),
    environ: Mapping[str, str] = os.environ,
    *,
    host: bool = False,
    quick: bool = False,
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
        host: ask what starts containers.
        quick: start no program.
        timeout: seconds that each program may take.
        python: interpreter that imports jax.
        site: folders of installed packages.
        code: folder that holds the package jaxdl.
        prefix: of the environment.
        opener: opens a device.
    """
    path = environ.get("PATH", "")
    seen = Seen() if quick else gpus.ask(shutil.which("nvidia-smi", path=path), environ, timeout)
    # Before the devices are looked at: the first use of CUDA makes /dev/nvidia-uvm on a host.
    asked = NOT_ASKED if quick else probe(python, environ, timeout)
    nodes = [
        node
        for form in ("nvidia[0-9]*", "nvidiactl", "nvidia-uvm", "dxg")
        for node in sorted((root / "dev").glob(form))
    ]
    version = read(root / "proc/driver/nvidia/version")
    driver = re.search(r"Module\s+(?:for \S+\s+)?(\d+\.\d+(?:\.\d+)?)", version)
    shared = root / "dev/shm"
    folders = [f for f in environ.get("LD_LIBRARY_PATH", "").split(":") if f]
    packages, requires_python, requires = distributions(site)
    return Facts(
        timeout=timeout,
        quick=quick,
        environ=dict(environ),
        cores=len(os.sched_getaffinity(0)),
        python=platform.python_version(),
        requires_python=requires_python,
        requires=requires,
        place=place_of(code, prefix, environ),
        pip=pip_command(python, path),
        packages=packages,
        installer=next((n for n in ("apt-get", "dnf") if shutil.which(n, path=path)), ""),
        container=kind_of(root, environ),
        pci=pci_addresses(root, "0x03"),
        switches=bool(pci_addresses(root, "0x0680")) or (root / "dev/nvidia-nvswitchctl").exists(),
        fabric_manager=fabric_manager_runs(root),
        nodes={node.name: open_error(node, opener) for node in nodes},
        driver=driver[1] if driver else "",
        smi=seen.smi,
        gpus=seen.gpus,
        processes=seen.processes,
        shadows=tuple(found for folder in folders if (found := shadow(folder, root))),
        shm=shutil.disk_usage(shared).total if shared.is_dir() else None,
        driver_packages=driver_packages(root),
        engine=gather_engine(root, environ, timeout) if host else None,
        probe=asked,
    )
