"""The check of our own steps, and the script that runs the suite elsewhere, as far as is cheap."""

import shutil
import subprocess
from pathlib import Path

import jax
import numpy as np
import pytest

from benchmarks.check_numbers import check, difference, has_option
from benchmarks.real_steps import Case, Work

ROOT = Path(__file__).resolve().parents[1]


def off_by(error: float):
    """A step that is wrong by so much in float32 alone."""

    def make(dtype):
        wrong = error if dtype == np.float32 else 0.0
        return Work(jax.jit(lambda x: {"y": x + wrong, "n": x > 0}), (np.arange(4.0, dtype=dtype),))

    return Case("", make, True)


@pytest.mark.parametrize(("error", "seen"), [(0.0, 0.0), (3e-3, 1e-3)])
def test_a_wrong_step_is_seen(error: float, seen: float):
    known = has_option()
    arrays, without, double = check(off_by(error), known)
    assert arrays == 2
    assert double is not None
    assert double.worst == pytest.approx(seen, rel=1e-2)
    assert (without is None) == (not known)
    assert without is None or without.worst == 0


def test_differences_are_of_an_arrays_largest_value():
    want = {"a": np.array([2.0, -4.0]), "b": np.zeros(2), "n": np.arange(4)}
    got = {"a": np.array([2.0, -4.4]), "b": np.zeros(2), "n": np.array([0, 1, 2, 4])}
    assert difference(got, want) == pytest.approx((0.25, "n", 0.1))
    for worse in (np.array([1e-9, 0.0]), np.array([np.nan, 0.0])):
        assert difference(got | {"b": worse}, want)[:2] == (np.inf, "b")


def test_what_the_script_lacks_is_one_line(tmp_path: Path):
    for tool in ("bash", "dirname", "id", "realpath"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    script = str(ROOT / "tests" / "newest.sh")
    done = subprocess.run([script], env={"PATH": str(tmp_path), "HOME": "/x"}, capture_output=True)
    said = done.stderr.decode()
    assert done.returncode == 2
    assert said.count("\n") == 1
    assert "run it as root" in said or "apt-get install debootstrap" in said
