"""The containers' files: what they promise about users, ports and devices; missing tools."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from jaxdl.cli.checks import DOCTOR
from jaxdl.cli.command import parse

HOME = Path(__file__).parents[2] / "containers"


def compose(name: str) -> dict[str, dict]:
    """The services with what they extend."""
    services = yaml.safe_load((HOME / name).read_text())["services"]
    found = {}
    for service, own in services.items():
        base = yaml.safe_load((HOME / own["extends"]["file"]).read_text())["services"]
        found[service] = base[own["extends"]["service"]] | own
    return found


@pytest.mark.parametrize("name", ["compose.yaml", "compose.cpu.yaml"])
def test_ports_answer_on_the_host_alone(name):
    services = compose(name)
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert sorted(ports) == ["127.0.0.1:6006:6006", "127.0.0.1:8888:8888"]
    token = services["jupyter"]["environment"]["JUPYTER_TOKEN"]
    assert token.startswith("${JUPYTER_TOKEN:?")  # compose refuses to start without one


def test_the_gpus_are_reserved_where_something_is_trained_and_on_the_cpu_nowhere():
    reserved = {name for name, service in compose("compose.yaml").items() if "deploy" in service}
    assert reserved == {"train", "jupyter"}
    (device,) = compose("compose.yaml")["train"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    assert not any("deploy" in service for service in compose("compose.cpu.yaml").values())


def test_volumes_of_the_services_are_folders_that_the_image_gives_its_user():
    text = (HOME / "Dockerfile").read_text()
    (line,) = re.findall(r"^RUN mkdir -p (.*) && chown -R 1000:1000 (.*)$", text, re.MULTILINE)
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["1000:1000"]
    for service in compose("compose.yaml").values():
        for volume in service["volumes"]:
            folder = volume.split(":")[1]
            assert folder in line[0].split()
            assert any(folder.startswith(owned) for owned in line[1].split())


def test_every_extra_that_the_image_installs_is_one_of_the_project():
    project = tomllib.loads((HOME.parent / "pyproject.toml").read_text())["project"]
    text = (HOME / "Dockerfile").read_text()
    (cudas,) = re.findall(r"cpu\) extras=services ;; (\S+)\) extras=\"services,", text)
    assert {"services", *cudas.split("|")} <= set(project["optional-dependencies"])


def test_without_its_tools_the_image_test_says_what_to_install(tmp_path):
    for name in ("bash", "dirname", "mkdir"):  # and no buildah, no podman
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    environ = {**os.environ, "PATH": str(tmp_path), "WORK": str(tmp_path / "work")}
    for command in ("build", "test"):
        done = subprocess.run(
            ["/usr/bin/bash", str(HOME / "image-test.sh"), command],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert "is not installed; on Debian or Ubuntu: apt-get install buildah" in done.stderr


def image_test(tmp_path: Path, command: str, **tools: str) -> subprocess.CompletedProcess[str]:
    """The script, with stand-ins of these tools."""
    for name, body in tools.items():
        file = tmp_path / name.replace("_", "-")
        file.write_text(f"#!/bin/sh\n{body}\n")
        file.chmod(0o755)
    environ = {**os.environ, "PATH": f"{tmp_path}:/usr/bin:/bin", "WORK": str(tmp_path / "work")}
    return subprocess.run(
        ["bash", HOME / "image-test.sh", command],
        env={**environ, "BASE_IMAGE": "python:3.13-slim"},
        capture_output=True,
        text=True,
        check=False,
    )


OLD_COMPOSE = "echo using podman version: 4.3.1; echo podman-composer version 1.0.3"
TOOLS = dict.fromkeys(("buildah", "podman", "runc"), "true")


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (OLD_COMPOSE, 2),
        ("true", 2),
        ("echo podman-compose version 1.2.0", 0),
        ("echo podman-compose version 1.10.1; echo podman version 5.4.2", 0),
    ],
)
def test_an_old_podman_compose_is_refused_before_anything_is_built(tmp_path, said, status):
    done = image_test(tmp_path, "tools", podman_compose=said, **TOOLS)
    assert done.returncode == status, done.stderr
    assert ("pip install -c constraints.txt podman-compose" in done.stderr) == (status != 0)
    assert ("is 1.0.3, and 1.2 or later is needed" in done.stderr) == (said == OLD_COMPOSE)
    makefile = (HOME.parent / "Makefile").read_text()
    recipe = makefile[makefile.index("\nimage-test:") :]
    assert recipe.index("image-test.sh tools") < recipe.index("$(MAKE) image")


REFUSED = "ERROR: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed"


@pytest.mark.parametrize(("said", "named"), [(REFUSED, True), ("No space left", False)])
def test_a_refused_certificate_names_what_brings_it_in(tmp_path, said, named):
    done = image_test(tmp_path, "build", buildah=f"echo '{said}' >&2; exit 3")
    assert done.returncode == 3
    assert ("BUILD_FLAGS='--volume /etc/ssl/certs:/etc/ssl/certs:ro'" in done.stderr) == named
    assert image_test(tmp_path, "build", buildah="true").returncode == 0


def test_the_image_has_the_newest_pins_and_a_healthcheck_that_fits():
    text = (HOME / "Dockerfile").read_text()
    (base,) = re.findall(r"^ARG BASE_IMAGE=python:(3\.\d+)-slim$", text, re.MULTILINE)
    pins = (HOME.parent / "constraints.txt").read_text().splitlines()
    versions = [need for need in map(Requirement, pins) if need.name == "jax"]
    newest = max(versions, key=lambda need: Version(str(need.specifier).removeprefix("==")))
    assert newest.marker is None or newest.marker.evaluate({"python_version": base})
    (words,) = re.findall(r"^HEALTHCHECK .*CMD (\[.*\])$", text, re.MULTILINE)
    program, *options = json.loads(words)
    assert (program, options[0]) == ("jaxdl", "doctor")
    assert parse(DOCTOR, options[1:]).quick
    assert int(re.findall(r"--timeout=(\d+)s", text)[0]) <= 15


def test_nothing_bounds_the_gpus_memory_from_jax_0_12_on():
    """There a fraction that is set is a bound; unset, memory grows beyond 75 % as needed."""
    for path in (p for p in HOME.rglob("*") if p.is_file() and p.suffix not in (".md", ".pyc")):
        lines = [line for line in path.read_text().splitlines() if "_MEM_FRACTION" in line]
        code = [line for line in lines if not line.lstrip().startswith("#")]
        if path.name == "train.sbatch":  # for JAX 0.10 alone, see test_clusters
            continue
        assert not code, path


def test_without_boto3_the_launcher_says_how_to_install_it():
    code = (
        "import sys; sys.modules['boto3'] = None; "
        f"sys.path.insert(0, {str(HOME / 'ec2')!r}); "
        "import launch; sys.exit(launch.main(['terminate', 'i-00000000']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: boto3 is not installed; run: pip install -e '.[ec2]'\n"
