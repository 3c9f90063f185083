"""`jaxdl doctor` in containers of each kind, and on hosts that start them."""

import pytest

RUNTIMES = {"nvidia": {}, "runc": {}}
MOUNT = "36 35 98:0 / /.lock ro,nosuid - ext4 /dev/root rw\n"


def inside(m, kind):
    """In such a container, whose libraries of the driver were not brought in."""
    if kind == "apptainer":
        m.environ["APPTAINER_CONTAINER"] = "/home/me/jaxdl.sif"
    elif kind == "enroot":
        m.write("proc/self/mountinfo", MOUNT)
    elif kind == "kubernetes":
        m.environ["KUBERNETES_SERVICE_HOST"] = "10.0.0.1"
    else:
        m.write({"podman": "run/.containerenv", "docker": ".dockerenv"}[kind])
    (m.bin / "nvidia-smi").unlink()
    m.jax("cpu", [["cpu:0", "cpu"]])


INSIDE = {
    "apptainer": "apptainer exec --nv ...",
    "enroot": "NVIDIA_VISIBLE_DEVICES=all",
    "podman": "podman run --device nvidia.com/gpu=all",
    "kubernetes": "nvidia.com/gpu: 1",
    "docker": "docker run --gpus all ...",
}


@pytest.mark.parametrize("kind", ["apptainer", "enroot"])
def test_the_hosts_devices_without_the_drivers_libraries(machine, kind):
    """Apptainer without --nv, Enroot without its hook: they share /dev and /proc."""
    inside(machine, kind)
    machine.holds("driver", "error", "libraries are not in this container", INSIDE[kind])


@pytest.mark.parametrize("kind", INSIDE)
def test_a_container_without_devices_is_started_with_them(machine, kind):
    inside(machine, kind)
    for name in ("nvidia0", "nvidiactl", "nvidia-uvm"):
        (machine.root / "dev" / name).unlink()
    machine.holds("device nodes", "error", "no nvidia device", INSIDE[kind])


def healthy(m):
    m.docker(Runtimes=RUNTIMES)
    m.program("nvidia-ctk", "true")


def no_docker(m):
    m.host = True


def no_docker_on_fedora(m):
    no_docker(m)
    (m.bin / "apt-get").unlink()
    m.program("dnf", "true")


def denied(m):
    at = "unix:///var/run/docker.sock"
    m.docker(1, f"permission denied while trying to connect to the docker API at {at}")


def down(m):
    m.docker(1, "Cannot connect to the Docker daemon. Is the docker daemon running?")


def down_with_status_0(m):
    """The error may be a part of the answer."""
    m.docker(ServerErrors=["Cannot connect to the Docker daemon. Is it running?"])


def elsewhere(m):
    down(m)
    m.environ["DOCKER_HOST"] = "tcp://127.0.0.1:2375"


def rootless_down(m):
    down(m)
    m.environ["DOCKER_HOST"] = "unix:///run/user/1000/docker.sock"


def snap_down(m):
    down(m)
    folder = m.bin.parent / "snap/bin"
    folder.mkdir(parents=True)
    (m.bin / "docker").rename(folder / "docker")
    m.environ["PATH"] += f":{folder}"


def hangs(m):
    m.docker()
    m.timeout = 0.5
    m.program("docker", "exec /bin/sleep 60")


def no_toolkit(m):
    m.docker()


def no_runtime(m):
    healthy(m)
    m.docker()


def rootless(m):
    m.environ["HOME"] = "/home/me"
    m.docker(SecurityOptions=["name=rootless"])
    m.program("nvidia-ctk", "true")


def rootless_cgroups(m):
    rootless(m)
    m.docker(SecurityOptions=["name=rootless"], Runtimes=RUNTIMES)


def rootless_complete(m):
    """Its own daemon.json, and none in /etc that could be read."""
    rootless_cgroups(m)
    m.write("etc/nvidia-container-runtime/config.toml", "no-cgroups = true\n")
    m.write("etc/docker/daemon.json", "not its own")


def snap(m):
    no_runtime(m)
    folder = m.bin.parent / "snap/bin"
    folder.mkdir(parents=True)
    (m.bin / "docker").rename(folder / "docker")
    m.environ["PATH"] += f":{folder}"


def broken_config(m):
    down(m)
    m.write("etc/docker/daemon.json", '{"runtimes": ')


def specification(m, version="580.95.05", folder="etc/cdi"):
    m.write(f"{folder}/nvidia.yaml", f"kind: nvidia.com/gpu\npath: /lib/libcuda.so.{version}\n")


def runsc_and_cdi(m):
    healthy(m)
    m.docker(Runtimes={"runsc": {}}, CDISpecDirs=["/etc/cdi"])
    specification(m)


def cdi_is_off(m):
    no_runtime(m)
    specification(m)


def old_cdi(m):
    runsc_and_cdi(m)
    specification(m, "570.86.15")


def old_cdi_beside_the_runtime(m):
    healthy(m)
    specification(m, "570.86.15")


def podman(m):
    m.host = True
    m.program("podman", "true")
    m.program("nvidia-ctk", "true")


def podman_with_cdi(m):
    podman(m)
    specification(m, folder="var/run/cdi")


def podman_old_cdi(m):
    podman(m)
    specification(m, "570.86.15")


def podman_as_docker(m):
    """Of the package podman-docker."""
    podman_with_cdi(m)
    m.program("docker", """echo '{"host": {"os": "linux"}}'""")


def apptainer(m):
    m.host = True
    m.program("apptainer", "true")


def enroot(m):
    m.host = True
    m.program("enroot", "true")


HOSTS = [
    (healthy, "ok", "runtime nvidia", ""),
    (no_docker, "error", "docker is not on PATH", "sudo apt-get install docker.io"),
    (no_docker_on_fedora, "error", "docker is not on PATH", "sudo dnf install moby-engine"),
    (denied, "error", "permission denied", "usermod -aG docker $USER"),
    (down, "error", "Cannot connect", "sudo systemctl start docker"),
    (down_with_status_0, "error", "Cannot connect", "sudo systemctl start docker"),
    (elsewhere, "error", "Cannot connect", "unset DOCKER_HOST"),
    (rootless_down, "error", "Cannot connect", "systemctl --user start docker"),
    (snap_down, "error", "Cannot connect", "sudo snap start docker"),
    (hangs, "error", "did not end in 0.5 s", "sudo systemctl start docker"),
    (no_toolkit, "error", "nvidia-ctk", "sudo apt-get install nvidia-container-toolkit"),
    (no_runtime, "error", "no nvidia runtime", "sudo nvidia-ctk runtime configure"),
    (rootless, "error", "no nvidia runtime", "--config=/home/me/.config/docker/daemon.json"),
    (rootless_cgroups, "error", "cgroups", "nvidia-container-cli.no-cgroups --in-place"),
    (rootless_complete, "ok", "runtime nvidia", ""),
    (snap, "error", "no nvidia runtime", "/var/snap/docker/current/config/daemon.json"),
    (broken_config, "error", "/etc/docker/daemon.json: Expecting", "dockerd --validate"),
    (runsc_and_cdi, "ok", "/etc/cdi/nvidia.yaml", ""),
    (cdi_is_off, "error", "looks for no CDI", "nvidia-ctk runtime configure"),
    (old_cdi, "error", "is of driver 570.86.15, and this is 580.95.05", "cdi generate"),
    (old_cdi_beside_the_runtime, "warning", "570.86.15", "--output=/etc/cdi/nvidia.yaml"),
    (podman, "error", "no CDI specification", "cdi generate --output=/etc/cdi/nvidia.yaml"),
    (podman_with_cdi, "ok", "podman, /var/run/cdi/nvidia.yaml", ""),
    (podman_old_cdi, "error", "570.86.15", "cdi generate --output=/etc/cdi/nvidia.yaml"),
    (podman_as_docker, "ok", "podman, /var/run/cdi/nvidia.yaml", ""),
    (apptainer, "ok", "--nv", ""),
    (enroot, "error", "nvidia-container-cli", "install libnvidia-container-tools"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "level", "seen", "remedy"), HOSTS, ids=[row[0].__name__ for row in HOSTS]
)
def test_a_host_is_judged_by_what_starts_its_containers(machine, spoil, level, seen, remedy):
    spoil(machine)
    machine.holds("container host", level, seen, remedy)


def test_docker_without_a_gpu_has_to_answer_too(machine):
    machine.no_gpu()
    machine.docker()
    machine.holds("container host", "ok", "no NVIDIA GPU", "")
    denied(machine)
    machine.holds("container host", "error", "permission denied", "usermod")
