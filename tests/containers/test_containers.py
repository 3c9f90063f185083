"""The containers' files: what they promise about users, ports and devices; missing tools."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

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


def test_without_boto3_the_launcher_says_how_to_install_it():
    code = (
        "import runpy, sys; sys.modules['boto3'] = None; "
        "sys.argv = ['launch.py', 'terminate', 'i-00000000']; "
        f"runpy.run_path({str(HOME / 'ec2/launch.py')!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: boto3 is not installed; run: pip install -e '.[ec2]'\n"
