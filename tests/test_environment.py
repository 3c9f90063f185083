"""Environments that `make` makes: whole, whatever was left there, or a line that says why not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / ".ci" / "environment"
# Debian without python3-venv: venv leaves a folder that has a Python and no pip.
NO_ENSUREPIP = f"""#!/bin/sh
if [ "$1" != -m ]; then exec {sys.executable} "$@"; fi
{sys.executable} -m venv --without-pip "$3"
sed -i 's/ --without-pip//' "$3/pyvenv.cfg"
echo "The virtual environment was not created successfully because ensurepip is not available."
exit 1
"""


def environment(folder: Path, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    """The script, where nothing has to be downloaded."""
    for name in ("pyproject.toml", "constraints.txt"):
        if not (folder / name).exists():
            (folder / name).touch()
            os.utime(folder / name, (0, 0))
    return subprocess.run(
        [SCRIPT, "env", ".run", "pip"],
        cwd=folder,
        env=os.environ | {"PYTHON": python, "PIP_NO_INDEX": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a blank in its path."""
    path = tmp_path / "a folder"
    path.mkdir()
    return path


def no_ensurepip(folder: Path) -> str:
    path = folder / "python"
    path.write_text(NO_ENSUREPIP)
    path.chmod(0o755)
    return str(path)


def test_what_a_failed_venv_left_is_removed_and_the_package_named(folder: Path):
    for _ in range(2):
        done = environment(folder, no_ensurepip(folder))
        assert done.returncode == 1
        assert "apt install python3-venv" in done.stderr
        assert not (folder / "env").exists()


@pytest.mark.slow
def test_an_environment_is_made_once_and_again_when_its_python_is_gone(folder: Path):
    python = folder / "env" / "bin" / "python"
    subprocess.run([no_ensurepip(folder), "-m", "venv", folder / "env"], check=False)
    assert python.exists()  # left by an interrupted first call
    done = environment(folder)
    assert done.returncode == 0, done.stderr
    assert "made again" in done.stderr
    stamp = folder / "env" / ".run"
    made = stamp.stat().st_mtime_ns
    assert environment(folder, "no-python-needed").returncode == 0
    assert stamp.stat().st_mtime_ns == made
    python.unlink()
    python.symlink_to("/nowhere/python3")  # as after an upgrade of the system
    refused = environment(folder, no_ensurepip(folder))
    assert "python3-venv" in refused.stderr


def test_an_environment_of_another_tool_is_left_alone(folder: Path):
    (folder / "env").mkdir()
    (folder / "env" / "pyvenv.cfg").write_text("home = /usr/bin\nuv = 0.9\n")
    done = environment(folder)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "make VENV=FOLDER" in done.stderr
    assert (folder / "env" / "pyvenv.cfg").exists()


def test_a_python_that_is_too_old_or_missing_is_named_before_anything_is_removed(folder: Path):
    (folder / "env").mkdir()
    (folder / "env" / "pyvenv.cfg").write_text("command = python3 -m venv /x\n")
    done = environment(folder, "no-such-python")
    assert done.returncode == 1
    assert "make PYTHON=python3.11" in done.stderr
    assert (folder / "env" / "pyvenv.cfg").exists()
