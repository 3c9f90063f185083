"""Commands that repair a fault, each for the place that it is printed in.

Packages: a checkout, the image, any environment. Devices: the container, or none.
"""

from jaxdl.doctor.facts import Facts


def build_image(extra: str) -> str:
    """Its user cannot write to its environment: the image is built again, in a checkout."""
    return f"docker build -f containers/Dockerfile --build-arg JAX_EXTRA={extra} -t jaxdl:{extra} ."


def exact(name: str, version: str) -> str:
    """``name==version``, or the name alone if there is no version."""
    return f"{name}=={version}" if version else name


def install(facts: Facts, *needs: str, again: bool = False) -> str:
    """Install these distributions, and what they need; `again` even if they are installed."""
    if facts.place == "image":
        return build_image(next((f"cuda{cuda}" for cuda in facts.plugins), "cpu"))
    force = "--force-reinstall " if again else ""
    return f"{facts.pip} install {force}" + " ".join(f'"{need}"' for need in needs)


def install_pins(facts: Facts, *needs: str) -> str:
    """Install these at versions that fit the project: a checkout has all of its pins."""
    if facts.place == "checkout":
        return f"{facts.pip} install -c constraints.txt -e ."
    return install(facts, *needs)


def install_cuda(facts: Facts, cuda: int, old: int | None = None) -> str:
    """Add jax's plugin for a CUDA, in place of the `old` one."""
    if facts.place == "image":
        return build_image(f"cuda{cuda}")
    jax = exact(f"jax[cuda{cuda}]", facts.packages.get("jax", ""))
    add = f"make cuda{cuda}" if facts.place == "checkout" else install(facts, jax)
    return add if old is None else f"{uninstall_cuda(facts, old)} && {add}"


def uninstall_cuda(facts: Facts, cuda: int) -> str:
    """Remove jax's plugin for a CUDA."""
    if facts.place == "image":
        return install(facts)
    return f"{facts.pip} uninstall -y jax-cuda{cuda}-plugin jax-cuda{cuda}-pjrt"


def on_host(facts: Facts, command: str) -> str:
    """A command of the host: a container has neither its systemd nor its packages."""
    return f"on the host: {command}" if facts.container else command


def install_system(facts: Facts, apt: str, dnf: str) -> str:
    """Install a package of the system, by its name there."""
    if facts.installer == "dnf":
        return f"sudo dnf install {dnf}"
    if facts.installer == "apt-get" or facts.container:
        return f"sudo apt-get install {apt}"
    return f"install {apt} with this system's package manager"


WITH_GPU = {
    "apptainer": "apptainer exec --nv ...",
    "enroot": "NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility "
    "enroot start ...",
    "kubernetes": "add nvidia.com/gpu: 1 to resources.limits of the pod's container",
    "podman": "podman run --device nvidia.com/gpu=all ...",
}


def start_with_gpu(facts: Facts) -> str:
    """Start such a container again, this time with the host's GPUs."""
    return WITH_GPU.get(facts.container, "docker run --gpus all ...")


def recreate_container(facts: Facts) -> str:
    """Start the container again: it gets the host's devices."""
    if facts.place == "other" or facts.container != "docker":
        return start_with_gpu(facts)
    return "docker compose -f containers/compose.yaml up --force-recreate train"


def more_shared_memory(facts: Facts) -> str:
    """A /dev/shm of a GiB."""
    if facts.container in ("docker", "podman"):
        return f"{facts.container} run --shm-size 1g ..."
    if facts.container == "kubernetes":
        return "mount an emptyDir with medium: Memory at /dev/shm, as in containers/k8s/jobset.yaml"
    return on_host(facts, "sudo mount -o remount,size=1g /dev/shm")
