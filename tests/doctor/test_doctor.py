"""`jaxdl doctor`: every fault that users meet is seen, and its remedy named.

The machine is made up (`tests/helpers/machine.py`).
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from jaxdl.__main__ import main
from jaxdl.devices import arithmetic
from jaxdl.doctor import command, package_checks
from jaxdl.doctor.facts import shutil
from tests.helpers.machine import CUDA12, CUDA13, SMI, Machine


def test_a_healthy_gpu_host_has_no_fault(machine):
    machine.docker(Runtimes={"nvidia": {}, "runc": {}})
    machine.program("nvidia-ctk", "true")
    facts = machine.facts()
    assert {f.level for f in command.examine(facts)} == {"ok"}
    assert command.device(facts) == "NVIDIA A10G (cuda:0)"


def test_a_cpu_machine_is_refused_nothing(machine):
    machine.no_gpu()
    facts = machine.facts()
    assert {f.level for f in command.examine(facts)} == {"ok"}
    assert command.device(facts).startswith("the CPU (")


# Each row: how the machine is broken, the check, level, what is seen, the remedy.
def no_plugin(m):
    m.remove(*CUDA13)
    m.jax("cpu", [["cpu:0", "cpu"]])


def no_plugin_old_driver(m):
    no_plugin(m)
    m.write("proc/driver/nvidia/version", "Kernel Module  550.54.15  x")


def no_module(m):
    (m.root / "proc/driver/nvidia/version").unlink()
    m.program("nvidia-smi", "echo failed to communicate with the driver; exit 9")


def no_module_in_a_container(m):
    no_module(m)
    m.write(".dockerenv")


def smi_fails(m):
    m.program("nvidia-smi", "echo Unable to determine the device handle; exit 15")


def mismatch(m):
    m.program("nvidia-smi", "echo Failed: Driver/library version mismatch; exit 18")


def smi_hangs(m):
    m.timeout = 0.5
    m.program("nvidia-smi", "exec /bin/sleep 60")


def other_library(m):
    m.smi(SMI.replace("580.95.05", "580.65.06"))


def old_driver(m):
    m.write("proc/driver/nvidia/version", "Kernel Module  550.54.15  x")
    m.smi(SMI.replace("580.95.05", "550.54.15"))


def ancient_driver(m):
    m.remove(*CUDA13)
    m.install(**CUDA12)
    m.write("proc/driver/nvidia/version", "Kernel Module  470.256  x")
    m.smi(SMI.replace("580.95.05", "470.256"))


def volta(m):
    m.smi(SMI.replace("A10G", "V100").replace("8.6", "7.0"))


def no_nodes_in_a_container(m):
    m.write(".dockerenv")
    for name in ("nvidia0", "nvidiactl", "nvidia-uvm"):
        (m.root / "dev" / name).unlink()


def graphics_alone(m):
    m.write(".dockerenv")
    m.environ["NVIDIA_DRIVER_CAPABILITIES"] = "graphics,utility"


def refuse(m, error):
    def opener(path, flags):
        if path.name == "nvidiactl":
            raise OSError(error, os.strerror(error))
        return os.open(path, flags)

    m.opener = opener


def lost_devices(m):
    m.write(".dockerenv")
    refuse(m, 1)


def forbidden_devices(m):
    refuse(m, 13)


def shadowed(m):
    m.write("usr/local/cuda/lib64/libcudnn.so.9")
    m.environ["LD_LIBRARY_PATH"] = "/usr/lib:/usr/local/cuda/lib64"


def nothing_of_cuda(m):
    for name in ("libcurl.so.4", "libcups.so.2", "libcurses.so.6", "libnvme.so.1", "libcuda.so.1"):
        m.write(f"opt/conda/lib/{name}")
    for name in ("libnvidia-ml.so.1", "libnccl-net.so", "libcudadebugger.so.1", "libcue.so.2"):
        m.write(f"opt/conda/lib/{name}")
    m.environ["LD_LIBRARY_PATH"] = "/opt/conda/lib"


def no_uvm(m):
    (m.root / "dev/nvidia-uvm").unlink()


def no_uvm_in_a_container(m):
    no_uvm(m)
    m.write(".dockerenv")


def nvswitch(m):
    """8 A100 with NVSwitches, as on a p4d."""
    m.write("sys/bus/pci/devices/1/vendor", "0x10de\n")
    m.write("sys/bus/pci/devices/1/class", "0x068000\n")
    m.smi(SMI, xml=XML.format(mig="Disabled", fabric="N/A"))
    m.jax("cpu", [["cpu:0", "cpu"]])
    script = (m.bin / "python").read_text()
    said = "INTERNAL: cuInit failed: CUDA_ERROR_SYSTEM_NOT_READY: system not yet initialized"
    m.program("python", script.replace("echo '' >&2", f"echo '{said}' >&2"))


def nvswitch_stopped(m):
    nvswitch(m)
    m.write(
        "var/lib/dpkg/status",
        "Package: nvidia-fabricmanager-580\nStatus: hold ok installed\n",
    )


def nvswitch_in_a_container(m):
    nvswitch(m)
    m.write(".dockerenv")


def fabric_waits(m):
    """B200: its NVSwitches are no PCI devices of NVIDIA's."""
    m.smi(SMI, xml=XML.format(mig="Disabled", fabric="In Progress"))
    m.jax("cpu", [["cpu:0", "cpu"]])
    m.write("proc/77/comm", "nv-fabricmanage\n")


def divided(m):
    m.smi(SMI, xml=XML.format(mig="Enabled", fabric="N/A"), listing="GPU 0: A100 (UUID: GPU-1)")
    m.jax("cpu", [["cpu:0", "cpu"]])


def one_of_two_divided(m):
    m.smi(SMI, SMI.replace("0, GPU-1", "1, GPU-2"), xml=XML.format(mig="Enabled", fabric="N/A"))


def falls_back_in_silence(m):
    m.jax("cpu", [["cpu:0", "cpu"]])


def unloadable_jax(m):
    m.jax("", [], err="ImportError: libjax_common.so: file too short")


def hang_on_a_cpu(m):
    m.no_gpu()
    hang(m)


def no_smi(m):
    (m.bin / "nvidia-smi").unlink()


def old_cudnn(m):
    m.jax("gpu", [["cuda:0", "A10G"]], versions={"cudnn": [90100, 90800]})


def broken_cudnn(m):
    m.jax("gpu", [["cuda:0", "A10G"]], versions={"cudnn": [91000, 90800]})


def unloadable(m):
    m.jax("gpu", [["cuda:0", "A10G"]], versions={"cusparse": ["libcusparse.so.12: not found", 12]})


def skew(m):
    m.install(**{"jax-cuda13-plugin": "0.9.0"})


def pjrt_skew(m):
    m.install(**{"jax-cuda13-pjrt": "0.9.0"})


def both_plugins(m):
    m.install(**CUDA12)


def jaxlib_skew(m):
    m.install(jaxlib="0.9.1")


def no_jax(m):
    m.remove("jax")


def out_of_range(m):
    m.install(jaxdl_functional="0.1.0", optax="0.1.0")
    path = m.site / "jaxdl_functional-0.1.0.dist-info/METADATA"
    path.write_text(
        path.read_text() + "Requires-Dist: optax>=0.2.8\nRequires-Dist: boto3; extra == 'ec2'\n"
    )


def old_python(m):
    m.install(jaxdl_functional="0.1.0")
    path = m.site / "jaxdl_functional-0.1.0.dist-info/METADATA"
    path.write_text(path.read_text() + "Requires-Python: >=3.99\n")


def cuda_without_devices(m):
    m.environ["JAX_PLATFORMS"] = "cuda"
    m.jax("", [], err="AssertionError")


def cuda_on_a_cpu(m):
    m.no_gpu()
    cuda_without_devices(m)


def gpu_platform(m):
    m.environ["JAX_PLATFORMS"] = "gpu"


def falls_back(m):
    m.jax("cpu", [["cpu:0", "cpu"]])
    script = (m.bin / "python").read_text()
    m.program("python", script.replace("echo '' >&2", "echo cuInit failed: error 303 >&2"))


def crash(m):
    m.program("python", "kill -SEGV $$")


def hang(m):
    m.timeout = 0.5
    m.program("python", "exec /bin/sleep 60")


def wrong_sums(m):
    m.no_gpu()
    m.jax("cpu", [["cpu:0", "cpu"]], wrong_rows={"32769": 1, "40000": 7232, "65537": 0})


def wrong_sums_beside_a_gpu(m):
    m.jax("gpu", [["cuda:0", "A10G"]], wrong_rows={"32769": 1})


def no_sums(m):
    m.no_gpu()
    m.jax("cpu", [["cpu:0", "cpu"]], wrong_rows="YNNPACK operation failed")


def sums_crash(m):
    m.no_gpu()
    script = (m.bin / "python").read_text()
    m.program("python", script.replace("exit 0", "kill -SEGV $$"))


def loose_driver(m):
    m.host = True
    m.write(
        "var/lib/dpkg/status",
        "Package: nvidia-headless-580-server-open\nStatus: install ok installed\n\n"
        "Package: nvidia-utils-580-server\nStatus: hold ok installed\n",
    )


XML = (
    "<nvidia_smi_log><gpu><uuid>GPU-1</uuid><mig_mode><current_mig>{mig}</current_mig></mig_mode>"
    "<fabric><state>{fabric}</state></fabric></gpu></nvidia_smi_log>"
)
ENABLE = "systemctl enable --now nvidia-fabricmanager"
FAULTS = [
    (no_plugin, "cuda plugin", "error", "falls back to the CPU", "make cuda13"),
    (no_plugin_old_driver, "cuda plugin", "error", "falls back", "make cuda12"),
    (no_module, "driver", "error", "is not loaded", "modprobe nvidia"),
    (no_module_in_a_container, "driver", "error", "in this container", "--gpus all"),
    (smi_fails, "driver", "error", "ended with 15: Unable to determine", "reboot"),
    (mismatch, "driver", "error", "version mismatch; kernel module 580.95.05", "reboot"),
    (smi_hangs, "driver", "error", "did not end in 0.5 s", "reboot"),
    (other_library, "driver", "error", "module 580.95.05, library 580.65.06", "reboot"),
    (old_driver, "cuda floors", "error", "550.54.15; CUDA 13 needs 580", "make cuda12"),
    (ancient_driver, "cuda floors", "error", "470.256; CUDA 12 needs 525", "nvidia-driver-580"),
    (volta, "cuda floors", "error", "V100 has compute capability 7.0", "make cuda12"),
    (no_nodes_in_a_container, "device nodes", "error", "no nvidia device", "--gpus all"),
    (graphics_alone, "device nodes", "error", "graphics,utility", "=compute,utility"),
    (lost_devices, "device nodes", "error", "nvidiactl: EPERM", "--force-recreate"),
    (forbidden_devices, "device nodes", "error", "(EACCES)", "chmod a+rw /dev/nvidiactl"),
    (shadowed, "library path", "error", "lib64 (libcudnn.so.9)", "unset LD_LIBRARY_PATH"),
    (nothing_of_cuda, "library path", "ok", "nothing before", ""),
    (no_uvm, "device nodes", "error", "nvidia-uvm is missing", "sudo modprobe nvidia-uvm"),
    (no_uvm_in_a_container, "device nodes", "error", "nvidia-uvm", "docker run --gpus all"),
    (
        nvswitch,
        "fabric manager",
        "error",
        "SYSTEM_NOT_READY",
        f"nvidia-fabricmanager-580 && sudo {ENABLE}",
    ),
    (nvswitch_stopped, "fabric manager", "error", "SYSTEM_NOT_READY", f"sudo {ENABLE}"),
    (nvswitch_in_a_container, "fabric manager", "error", "NOT_READY", "on the host: sudo apt-get"),
    (fabric_waits, "fabric manager", "error", "GPU 0 waits", "restart nvidia-fabricmanager"),
    (divided, "MIG", "error", "GPU 0 (NVIDIA A10G) is divided", "mig -i 0 -cgi 0 -C"),
    (one_of_two_divided, "MIG", "warning", "has no instance", "mig -i 0 -cgi 0 -C"),
    (falls_back_in_silence, "jax", "error", "uses the CPU", "JAX_PLATFORMS=cuda"),
    (unloadable_jax, "jax", "error", "file too short", "make clean"),
    (hang_on_a_cpu, "jax", "error", "did not start in 0.5 s", "jaxdl doctor --timeout 300"),
    (no_smi, "driver", "warning", "no nvidia-smi", "apt-get install nvidia-utils-580-server"),
    (old_cudnn, "cuda libraries", "error", "cudnn 90100", "--force-reinstall"),
    (broken_cudnn, "cuda libraries", "error", "cudnn 91000", 'jax[cuda13]==0.10.2"'),
    (unloadable, "cuda libraries", "error", "cusparse does not load", "--force-reinstall"),
    (skew, "cuda plugin", "error", "plugin 0.9.0 and pjrt 0.10.2 with jax 0.10.2", "pip install"),
    (pjrt_skew, "cuda plugin", "error", "pjrt 0.9.0", 'pip install "jax[cuda13]==0.10.2"'),
    (both_plugins, "cuda plugin", "error", "both installed", "uninstall -y jax-cuda12-plugin"),
    (jaxlib_skew, "packages", "error", "jax 0.10.2 with jaxlib 0.9.1", "pip install -c"),
    (no_jax, "packages", "error", "jax is not installed", "pip install -c"),
    (out_of_range, "packages", "error", "optax 0.1.0; needed >=0.2.8", "pip install -c"),
    (old_python, "python", "error", "needs >=3.99", "make run PYTHON="),
    (cuda_without_devices, "JAX_PLATFORMS", "error", "AssertionError", "=cuda,cpu"),
    (cuda_on_a_cpu, "JAX_PLATFORMS", "error", "finds no GPU", "unset JAX_PLATFORMS"),
    (gpu_platform, "JAX_PLATFORMS", "warning", "JAX_PLATFORMS=gpu", "=cuda,cpu"),
    (falls_back, "jax", "error", "uses the CPU: cuInit failed: error 303", "JAX_PLATFORMS=cpu"),
    (crash, "jax", "error", "ended by signal 11", "make clean"),
    (hang, "jax", "error", "did not start in 0.5 s", "nvidia-smi"),
    (wrong_sums, "arithmetic", "error", "0.10.2 adds up wrong on the CPU", '"jaxlib==0.1'),
    (wrong_sums_beside_a_gpu, "arithmetic", "warning", "1 of 32769 rows", '"jax[cuda13]==0.1'),
    (no_sums, "arithmetic", "error", "cannot add up on the CPU: YNNPACK", '"jax==0.1'),
    (sums_crash, "arithmetic", "error", "ended the process", '"jaxlib==0.1'),
    (loose_driver, "driver packages", "warning", "headless-580", "apt-mark hold nvidia-headless"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "name", "level", "seen", "remedy"), FAULTS, ids=[f[0].__name__ for f in FAULTS]
)
def test_a_fault_is_seen_and_its_remedy_named(machine, spoil, name, level, seen, remedy):
    spoil(machine)
    machine.holds(name, level, seen, remedy)


def wheel(m):
    (m.code / "Makefile").unlink()


def own_environment(m):
    """A checkout, used from an environment that `make` does not know."""
    m.prefix = m.code.parent / "env"


def image(m):
    m.write(".dockerenv")
    m.environ["JAXDL_IMAGE"] = "1"


def many_places(*rows):
    return [
        pytest.param(place, *row, id=f"{place.__name__}-{row[0].__name__}")
        for row in rows
        for place in (wheel, own_environment)
    ]


REMEDIES = [
    *many_places(
        (no_plugin, "cuda plugin", '"jax[cuda13]==0.10.2"'),
        (no_plugin_old_driver, "cuda plugin", '"jax[cuda12]==0.10.2"'),
        (volta, "cuda floors", 'jax-cuda13-pjrt && pip install "jax[cuda12]==0.10.2"'),
        (no_jax, "packages", '"jax=='),
        (jaxlib_skew, "packages", '"jaxlib=='),
        (out_of_range, "packages", '"optax>=0.2.8"'),
        (old_python, "python", "environment of Python >=3.99"),
        (crash, "jax", 'install --force-reinstall "jax=='),
        (lost_devices, "device nodes", "docker run --gpus all ..."),
    ),
    (image, no_plugin, "cuda plugin", "--build-arg JAX_EXTRA=cuda13 -t jaxdl:cuda13 ."),
    (image, volta, "cuda floors", "--build-arg JAX_EXTRA=cuda12 -t jaxdl:cuda12 ."),
    (image, skew, "cuda plugin", "docker build -f containers/Dockerfile"),
    (image, both_plugins, "cuda plugin", "docker build -f containers/Dockerfile"),
    (image, jaxlib_skew, "packages", "docker build -f containers/Dockerfile"),
    (image, old_python, "python", "BASE_IMAGE=python:3.13"),
    (image, crash, "jax", "docker build -f containers/Dockerfile"),
    (image, lost_devices, "device nodes", "--force-recreate"),
]


@pytest.mark.parametrize(("place", "spoil", "name", "remedy"), REMEDIES)
def test_a_remedy_fits_where_the_package_is(machine, place, spoil, name, remedy):
    """`make` is of a checkout; the image's user cannot install into the image."""
    machine.program("pip", "true")
    place(machine)
    spoil(machine)
    found = machine.finding(name).remedy
    assert remedy in found
    assert "make " not in found
    assert ("pip" in found) <= (place is not image)


IN_IMAGE = [no_module, mismatch, smi_hangs, other_library, old_driver, volta, lost_devices]
IN_IMAGE += [forbidden_devices, no_uvm, nvswitch, divided, no_smi, falls_back, crash, hang, no_jax]


@pytest.mark.slow
def test_the_images_user_is_not_told_to_be_root_or_to_install(tmp_path):
    """It has no sudo, no systemd, no make and no writable environment."""
    for spoil in IN_IMAGE:
        machine = Machine(tmp_path / spoil.__name__)
        image(machine)
        spoil(machine)
        remedies = [f.remedy for f in command.examine(machine.facts()) if f.remedy]
        assert remedies, spoil
        for remedy in remedies:
            before = remedy.partition("on the host:")[0]
            assert not re.search(r"\b(sudo|make|pip)\b", before), (spoil.__name__, remedy)


def test_pip_is_that_of_the_environment(machine):
    """Another environment's would repair that one."""
    wheel(machine)
    no_plugin(machine)
    assert machine.finding("cuda plugin").remedy.startswith(f"{machine.bin}/python -m pip install")
    machine.program("pip", "true")
    assert machine.finding("cuda plugin").remedy.startswith("pip install")


def test_small_shared_memory_counts_with_several_gpus_alone(machine, monkeypatch):
    usage = type("Usage", (), {"total": 64 << 20})
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert machine.finding("shared memory").level == "ok"
    machine.smi(SMI, SMI.replace("0, GPU-1", "1, GPU-2"))
    found = machine.finding("shared memory")
    assert (found.level, found.seen) == ("error", "/dev/shm has 64 MiB for 2 GPUs")
    assert found.remedy == "sudo mount -o remount,size=1g /dev/shm"
    machine.write(".dockerenv")
    assert "docker run --shm-size 1g" in machine.finding("shared memory").remedy
    machine.environ["KUBERNETES_SERVICE_HOST"] = "10.0.0.1"
    assert "emptyDir" in machine.finding("shared memory").remedy
    machine.environ["CUDA_VISIBLE_DEVICES"] = "1"
    assert machine.finding("shared memory").level == "ok"


def test_the_cpu_may_be_asked_for_on_a_gpu_host(machine):
    no_plugin(machine)
    machine.environ["JAX_PLATFORMS"] = "cpu"
    assert {f.level for f in command.examine(machine.facts())} == {"ok"}


def cpu_image_on_a_gpu_host(m):
    m.no_gpu()
    m.write(".dockerenv")
    m.write("sys/bus/pci/devices/0/vendor", "0x10de\n")
    m.write("sys/bus/pci/devices/0/class", "0x030200\n")


def cpu_image_beside_a_loaded_driver(m):
    cpu_image_on_a_gpu_host(m)
    m.write("proc/driver/nvidia/version", "Kernel Module  580.95.05  x")


@pytest.mark.parametrize("spoil", [cpu_image_on_a_gpu_host, cpu_image_beside_a_loaded_driver])
def test_the_cpu_image_on_a_gpu_host_is_healthy(machine, spoil):
    """Otherwise its health check would fail; doctor mentions the GPU."""
    spoil(machine)
    found = command.examine(machine.facts())
    assert "error" not in {f.level for f in found}
    assert next(f for f in found if f.name == "device nodes").remedy == "docker run --gpus all ..."


def test_the_platforms_that_doctor_names_are_accepted_on_a_cpu_machine(machine):
    machine.no_gpu()
    machine.environ["JAX_PLATFORMS"] = "cuda,cpu"
    assert {f.level for f in command.examine(machine.facts())} == {"ok"}


def test_older_cuda_libraries_that_jax_accepts_are_no_fault(machine):
    versions = {"cuda_runtime": [12080, 12090], "cublas": [120803, 120901]}
    machine.jax("gpu", [["cuda:0", "A10G"]], versions=versions)
    assert machine.finding("cuda libraries").level == "ok"
    machine.jax("gpu", [["cuda:0", "A10G"]], versions={"cusparse": [12000, 12510]})
    assert "needs 12100" in machine.finding("cuda libraries").seen


def test_cupti_that_finds_no_driver_is_no_fault_of_the_packages(machine):
    """As JAX 0.12 has it, with all its wheels there."""
    said = "operation cuptiGetVersion(&version) failed: Unknown CUPTI error 999"
    machine.jax("cpu", [["cpu:0", "cpu"]], versions={"cupti": [said, 130000]})
    assert said in machine.finding("cuda libraries").seen
    (machine.root / "dev/nvidia-uvm").unlink()
    assert machine.finding("cuda libraries").level == "ok"
    assert machine.finding("device nodes").level == "error"


def test_a_container_that_lost_its_devices_is_not_told_to_reboot(machine):
    lost_devices(machine)
    said = "Failed to initialize NVML: Unknown Error"
    machine.program("nvidia-smi", f"echo {said}; exit 255")
    found = machine.finding("driver")
    assert said in found.seen
    assert "--force-recreate" in found.remedy


def test_the_plugins_own_error_is_shown(machine):
    """As jax 0.10.2 writes it: the cause comes before a line that gives none."""
    said = (
        "I0000 00:00:1795.1 1864 cudart_stub.cc:31] Could not find cuda drivers",
        "Jax plugin configuration error: Exception when calling jax_plugins.initialize()",
        "Traceback (most recent call last):",
        "  File, line 1",
        "RuntimeError: Unable to load cuSPARSE. Is it installed?",
        "An NVIDIA GPU may be present on this machine, but a CUDA-enabled jaxlib is not installed.",
    )
    machine.jax("cpu", [["cpu:0", "cpu"]])
    script = (machine.bin / "python").read_text()
    lines = "\n".join(f"echo '{line}' >&2" for line in said)
    machine.program("python", script.replace("echo '' >&2", lines))
    assert machine.finding("jax").seen.endswith(
        "RuntimeError: Unable to load cuSPARSE. Is it installed?"
    )


def test_the_cpu_may_be_left_out(machine):
    machine.environ["JAX_PLATFORMS"] = "cuda,"
    machine.jax("gpu", [["cuda:0", "A10G"]], wrong_rows="Unknown backend cpu")
    assert machine.finding("arithmetic").level == "ok"


def test_the_jax_that_doctor_recommends_is_the_one_that_is_pinned():
    lines = Path(__file__).resolve().parents[2].joinpath("constraints.txt").read_text().splitlines()
    for name in ("jax", "jaxlib"):
        pins = [need for need in map(Requirement, lines) if need.name == name]
        for python in ("3.11", "3.12", "3.13", "3.14"):
            place = {"python_version": python}
            (pin,) = (p for p in pins if p.marker is None or p.marker.evaluate(place))
            right = package_checks.RIGHT.get(python, package_checks.RIGHT[""])
            assert str(pin.specifier) == f"=={right}"


@pytest.mark.slow
def test_this_machine(capsys):
    """For real: jax answers from a process of its own, and the JSON says what the text does."""
    code = "import sys, jaxdl.doctor.command; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    status = main(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["exit"] == status
    (summed,) = (f for f in found["findings"] if f["name"] == "arithmetic")
    assert "sums of" in summed["seen"]
    assert summed["level"] == ("error" if any(arithmetic.wrong_rows().values()) else "ok")
    assert status == int(any(f["level"] == "error" for f in found["findings"]))
    assert all(bool(f["remedy"]) == (f["level"] != "ok") for f in found["findings"])
    assert main(["doctor"]) == status
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"Training will use: {found['device']}"
    assert len([line for line in lines if not line.startswith(" ")]) == len(found["findings"]) + 1


@pytest.mark.parametrize(
    "spoil", [no_plugin, skew, no_nodes_in_a_container, lost_devices, no_module, nvswitch, shadowed]
)
def test_quick_finds_faults_and_starts_no_program(machine, spoil):
    spoil(machine)
    machine.quick = True
    for file in machine.bin.iterdir():
        file.write_text(f"#!/bin/sh\n: > {machine.root}/started\n")
    facts = machine.facts()
    assert "error" in {f.level for f in command.examine(facts)}
    assert not (machine.root / "started").exists()
    assert command.device(facts).startswith("not asked")


def test_quick_finds_no_fault_in_a_healthy_host(machine):
    """Nor one of a host that has not used CUDA since it started, without /dev/nvidia-uvm."""
    machine.quick = True
    no_uvm(machine)
    machine.environ["JAX_PLATFORMS"] = "cuda,cpu"
    assert {f.level for f in command.examine(machine.facts())} == {"ok"}


def test_quick_imports_no_jax_and_its_reader_may_leave():
    """`jaxdl doctor --quick --json | head -1`."""
    code = (
        "import sys; from jaxdl.__main__ import main\n"
        "try: main()\n"
        "finally: sys.exit(9 if {'jax', 'numpy'} & set(sys.modules) else None)"
    )
    read, write = os.pipe()
    os.close(read)  # before it begins: head has gone
    command = [sys.executable, "-c", code, "doctor", "--quick", "--json"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_bad_options_are_one_line(capsys):
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["doctor", "--quick", "--host"])
    assert "--quick starts no program" in capsys.readouterr().err
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["doctor", "--timeout", "0"])
    assert "--timeout 0: must be above 0" in capsys.readouterr().err
