"""A GPU host that is made up: files under a folder, stub programs on PATH, package metadata.

What jax says comes from a stub interpreter. Nothing is mocked within the doctor.
"""

import json
import os
from pathlib import Path

from jaxdl.doctor import command
from jaxdl.doctor.facts import Facts, gather
from jaxdl.doctor.findings import Finding

SMI = "0, GPU-1, NVIDIA A10G, 580.95.05, 8.6, 23028, 22500"
VERSIONS = {"cuda_runtime": [13000, 13000], "cudnn": [91500, 90800]}
PACKAGES = {"jax": "0.10.2", "jaxlib": "0.10.2"}
CUDA13 = {"jax-cuda13-plugin": "0.10.2", "jax-cuda13-pjrt": "0.10.2"}
CUDA12 = {"jax-cuda12-plugin": "0.10.2", "jax-cuda12-pjrt": "0.10.2"}


class Machine:
    """A healthy GPU host, to be spoilt; `facts` looks at it."""

    def __init__(self, home: Path) -> None:
        self.root, self.bin, self.site = home / "root", home / "bin", home / "site"
        self.code = home / "code"
        for folder in (self.root / "dev/shm", self.bin, self.site, self.code):
            folder.mkdir(parents=True)
        for name in ("Makefile", "pyproject.toml"):
            (self.code / name).touch()
        self.prefix = self.code / ".venv"
        self.environ = {"PATH": str(self.bin)}
        self.write("proc/driver/nvidia/version", "NVRM version: x  Kernel Module  580.95.05  y\n")
        for name in ("nvidia0", "nvidiactl", "nvidia-uvm"):
            self.write(f"dev/{name}")
        self.smi(SMI)
        self.install(**PACKAGES | CUDA13)
        self.jax("gpu", [["cuda:0", "NVIDIA A10G"]], versions=VERSIONS)
        self.program("apt-get", "true")
        self.host, self.quick, self.timeout = False, False, 20.0
        self.opener = os.open

    def write(self, name: str, text: str = "") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def program(self, name: str, script: str) -> Path:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    def smi(
        self, *lines: str, code: int = 0, users: str = "", xml: str = "", listing: str = ""
    ) -> None:
        """An nvidia-smi that prints these lines, and the others when asked for them.

        Args:
            lines: its first answer.
            code: its exit status.
            users: programs on the GPUs.
            xml: of `-q -x`.
            listing: of `-L`.
        """
        said = "\n".join(lines)
        self.program(
            "nvidia-smi",
            f"case \"$1\" in *compute-apps*) echo '{users}';; -q) echo '{xml}';; "
            f"-L) echo '{listing}';; *) echo '{said}'; exit {code};; esac",
        )

    def docker(self, code: int = 0, err: str = "", **info: object) -> None:
        """A docker whose daemon tells this of itself, or refuses."""
        self.host = True
        known = {"ServerVersion": "29.1.2", "Runtimes": {"runc": {}}, "CDISpecDirs": []}
        told = json.dumps(known | info) if not code else ""
        self.program("docker", f"echo '{told}'\necho '{err}' >&2\nexit {code}")

    def install(self, **packages: str) -> None:
        for name, version in packages.items():
            for old in self.site.glob(f"{name}-*.dist-info"):
                (old / "METADATA").unlink()
                old.rmdir()
            info = self.site / f"{name}-{version}.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")

    def remove(self, *names: str) -> None:
        for name in names:
            for info in self.site.glob(f"{name}-*.dist-info"):
                (info / "METADATA").unlink()
                info.rmdir()

    def jax(
        self,
        platform: str,
        devices: list,
        versions: dict | None = None,
        err: str = "",
        wrong_rows: dict | str | None = None,
    ) -> None:
        """An interpreter in which jax answers so; an error ends it with status 1."""
        lines = [] if err else [json.dumps({"platform": platform, "devices": devices})]
        lines += [json.dumps({"versions": versions})] if versions else []
        lines += [json.dumps({"wrong_rows": wrong_rows})] if wrong_rows else []
        said = "".join(f"echo '{line}'\n" for line in lines)
        self.program("python", f"{said}echo '{err}' >&2\nexit {int(bool(err))}")

    def no_gpu(self) -> None:
        """A machine without NVIDIA's hardware, driver or wheels."""
        for path in (
            "proc/driver/nvidia/version",
            "dev/nvidia0",
            "dev/nvidiactl",
            "dev/nvidia-uvm",
        ):
            (self.root / path).unlink()
        (self.bin / "nvidia-smi").unlink()
        self.remove(*CUDA13)
        self.jax("cpu", [["cpu:0", "cpu"]])

    def facts(self) -> Facts:
        return gather(
            self.root,
            self.environ,
            host=self.host,
            quick=self.quick,
            timeout=self.timeout,
            python=str(self.bin / "python"),
            site=[str(self.site)],
            code=self.code,
            prefix=self.prefix,
            opener=self.opener,
        )

    def finding(self, name: str) -> Finding:
        (found,) = (f for f in command.examine(self.facts()) if f.name == name)
        return found

    def holds(self, name: str, level: str, seen: str, remedy: str) -> list[Finding]:
        """Assert that such a finding is there, and none points to errors in vain; all findings."""
        findings = command.examine(self.facts())
        (found,) = (f for f in findings if f.name == name)
        assert (found.level, seen in found.seen) == (level, True), found
        assert remedy in found.remedy
        assert bool(found.remedy) == (level != "ok")
        for i, other in enumerate(findings):
            assert "\n" not in other.seen + other.remedy
            if "errors above" in other.remedy:
                assert any(f.level == "error" for f in findings[:i]), other
        return findings
