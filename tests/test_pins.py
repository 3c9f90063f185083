"""constraints.txt: what it says to each Python, and how it is written from environments."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.helpers import pins

PYTHONS = ("3.11", "3.12", "3.13", "3.14")


def versions(text: str, python: str) -> dict[str, str]:
    """What pip takes from such a file; each package has one version."""
    needs = [Requirement(line) for line in text.splitlines()]
    place = {"python_version": python}
    needs = [need for need in needs if need.marker is None or need.marker.evaluate(place)]
    found = {pins.canonical(need.name): str(need.specifier) for need in needs}
    assert len(found) == len(needs)
    return found


def test_every_python_has_one_version_of_each_package_and_plugins_of_jaxs():
    text = pins.FILE.read_text()
    names = [set(versions(text, python)) for python in PYTHONS]
    assert names == [names[0]] * len(PYTHONS)
    for python in PYTHONS:
        pinned = versions(text, python)
        assert all(pin.startswith("==") for pin in pinned.values())
        of_jax = [name for name in pinned if name in ("jax", "jaxlib") or "jax-cuda" in name]
        assert len(of_jax) >= 4
        assert {pinned[name] for name in of_jax} == {pinned["jax"]}


def test_the_pins_are_in_the_projects_ranges():
    """Else `pip install -c constraints.txt` finds no solution."""
    text = pins.FILE.with_name("pyproject.toml").read_text()
    project = tomllib.loads(text)["project"]
    listed = project["dependencies"] + project["optional-dependencies"]["dev"]
    for python in PYTHONS:
        pinned = versions(pins.FILE.read_text(), python)
        for need in map(Requirement, listed):
            there = need.marker is None or need.marker.evaluate({"python_version": python})
            version = pinned[pins.canonical(need.name)].removeprefix("==")
            assert not there or need.specifier.contains(version), (python, need)


def test_pythons_that_differ_get_a_marker():
    environments = [
        ("3.13", {"jax": "0.12", "only-new": "3", "Pygments": "2"}),
        ("3.11", {"jax": "0.10", "only_old": "4", "pygments": "2"}),
    ]
    assert pins.merge(environments, "") == (
        'jax==0.10; python_version < "3.12"\n'
        'jax==0.12; python_version >= "3.12"\n'
        "only-new==3\nonly_old==4\nPygments==2\n"
    )


def test_three_pythons():
    environments = [("3.11", {"a": "1"}), ("3.12", {"a": "2"}), ("3.14", {"a": "3"})]
    text = pins.merge(environments, "")
    assert [versions(text, python)["a"] for python in PYTHONS] == ["==1", "==2", "==3", "==3"]


def test_what_no_environment_has_stays_as_it_was():
    old = 'a==1; python_version < "3.12"\na==2; python_version >= "3.12"\nplugin==5\n'
    assert pins.merge([("3.11", {}), ("3.13", {})], old) == old
    new = pins.merge([("3.11", {"A": "7"}), ("3.13", {"plugin": "6"})], old)
    assert versions(new, "3.11") == {"a": "==7", "plugin": "==5"}
    assert versions(new, "3.14") == {"a": "==2", "plugin": "==6"}
    assert pins.merge([("3.11", {"A": "7"}), ("3.13", {"plugin": "6"})], new) == new


def test_environments_of_one_python_are_joined_and_must_agree():
    text = pins.merge([("3.11", {"a": "1"}), ("3.11", {"A": "1", "b": "2"})], "")
    assert text == "a==1\nb==2\n"
    with pytest.raises(pins.InputError, match=r"Python 3.11: A 1 and 3 in two environments"):
        pins.merge([("3.11", {"a": "1"}), ("3.11", {"A": "3"})], "")


def test_the_project_and_its_installers_are_no_pins():
    freeze = "-e git+x@1#egg=jaxdl\njaxdl-functional==0.1\npip==26\nzipp==4 \nfrom @ file:///x\n"
    assert pins.merge([("3.11", pins.read_freeze(freeze))], "") == "zipp==4\n"


def test_files_and_interpreters_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """For real: this interpreter tells what the tests run on."""
    freeze, file = tmp_path / "freeze.txt", tmp_path / "constraints.txt"
    freeze.write_text("jax==99\n")
    file.write_text("kept==1\n")
    assert pins.main([f"3.99={freeze}", pins.sys.executable, "--file", str(file)]) == 0
    assert versions(file.read_text(), "3.99")["jax"] == "==99"
    assert versions(file.read_text(), "3.11")["kept"] == "==1"
    here = f"{pins.sys.version_info.major}.{pins.sys.version_info.minor}"
    assert versions(file.read_text(), here)["pytest"] == f"=={pytest.__version__}"
    before = file.read_text()
    for word in (f"3.11={tmp_path}/none", str(tmp_path / "no-python")):
        assert pins.main([word, "--file", str(file)]) == 2
        assert "error: " in (said := capsys.readouterr().err)
        assert said.count("\n") == 1
    assert file.read_text() == before
