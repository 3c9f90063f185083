"""Imports point one way, and files stay short."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# A file may import from its own room and from those above its own; no subject imports another.
ORDER = (
    ("errors", "lazy", "signals"),
    ("files", "devices"),
    ("training",),
    ("report", "planner"),
    ("cli",),
    ("fcn", "word2vec", "lstm", "digits"),
    ("demo",),
    ("__init__", "__main__"),
    ("experiments", "benchmarks"),
)
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for top in ("jaxdl", "experiments", "benchmarks")
    for path in sorted((ROOT / top).rglob("*.py"))
}


def imported(tree: ast.AST) -> set[str]:
    """Dotted names that some code imports, of names in modules too (a.b.name)."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports are not followed here"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def at_top(tree: ast.Module) -> set[str]:
    """What is imported with the module: not within its functions and classes."""
    inner = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return set().union(*(imported(node) for node in tree.body if not isinstance(node, inner)))


def may_import(own: str, other: str) -> bool:
    """Whether a file of one room of jaxdl may import from another."""
    if own == "doctor":
        return other in ("doctor", "errors", "files")
    if other == "doctor":
        return own in ("__main__", "benchmarks")
    return own == other or RANK[other] < RANK[own]


def upward(names: set[str], module: str) -> set[str]:
    """Of the names that `module` imports, those that it may not."""

    def room(name: str) -> str:
        top, *rest = name.split(".")
        return rest[0] if top == "jaxdl" and rest else top

    ours = {name for name in names if name.split(".")[0] in ("jaxdl", "experiments", "benchmarks")}
    return {name for name in ours if not may_import(room(module), room(name))}


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.Module]:
    return {module: ast.parse(path.read_text()) for module, path in FILES.items()}


def test_imports_point_one_way(trees: dict[str, ast.Module]):
    found = {module: upward(imported(tree), module) for module, tree in trees.items()}
    assert not {module: names for module, names in found.items() if names}


def test_no_file_is_part_of_a_circle(trees: dict[str, ast.Module]):
    """Python would let a circle pass if the import order happens to suit it."""
    found = {module: imported(tree) for module, tree in trees.items()}
    waiting = {
        name: {m for m in FILES if m != name and any(f"{n}.".startswith(f"{m}.") for n in names)}
        for name, names in found.items()
    }
    while free := [name for name, needs in waiting.items() if not needs & set(waiting)]:
        for name in free:
            del waiting[name]
    assert not waiting


def test_one_place_chooses_the_forms_for_cpus(trees: dict[str, ast.Module]):
    """A reader can skip `models/cpu`, and delete it with one `if`."""
    folder = "jaxdl.fcn.models.cpu"
    users = {
        module
        for module, tree in trees.items()
        if any(f"{name}.".startswith(f"{folder}.") for name in imported(tree))
        and not module.startswith(folder)
    }
    assert users == {"jaxdl.fcn.models.fcn", "benchmarks.fcn.layers"}
    assert not any(name.startswith(folder) for name in at_top(trees["jaxdl.fcn.models.fcn"]))


def test_no_other_framework_is_needed(trees: dict[str, ast.Module]):
    """torch is imported where a .pth is read, and nowhere else; TensorFlow never."""
    for module, tree in trees.items():
        if not module.startswith("benchmarks"):
            assert "tensorflow" not in {name.split(".")[0] for name in imported(tree)}, module
            assert "torch" not in {name.split(".")[0] for name in at_top(tree)}, module


def test_files_are_short():
    assert not [str(p) for p in FILES.values() if len(p.read_text().splitlines()) > 300]


def test_functions_are_short(trees: dict[str, ast.Module]):
    long = [
        f"{path}: {node.name}"
        for module, path in FILES.items()
        if not module.startswith("tests")
        for node in ast.walk(trees[module])
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= 80
    ]
    assert not long


def test_the_places_that_the_house_names_are_there():
    text = (ROOT / "jaxdl" / "README.md").read_text()
    named = re.findall(r"`((?:jaxdl|tests|benchmarks|experiments)/[^`]*)`", text)
    assert len(named) > 20
    assert not [name for name in named if not (ROOT / name).exists()]


@pytest.mark.parametrize(
    ("module", "code", "found"),
    [
        (
            "jaxdl.training.loop",
            "from jaxdl.fcn.metrics import Metrics",
            {"jaxdl.fcn.metrics.Metrics"},
        ),
        ("jaxdl.cli.plan", "def f():\n    from jaxdl import fcn", {"jaxdl.fcn"}),
        ("jaxdl.fcn.task", "if x:\n    import jaxdl.word2vec.step as s", {"jaxdl.word2vec.step"}),
        ("jaxdl.doctor.facts", "from jaxdl.devices import mesh", {"jaxdl.devices.mesh"}),
        ("jaxdl.fcn.data.voc", "from jaxdl.fcn.data import archives\nimport jax", set()),
        ("jaxdl.demo", "from jaxdl.fcn.report import fcn_section", set()),
        ("jaxdl.__main__", "from jaxdl.doctor import command", set()),
    ],
)
def test_the_check_sees_every_form_of_import(module: str, code: str, found: set[str]):
    assert upward(imported(ast.parse(code)), module) == found


def test_top_level_leaves_out_functions():
    code = "try:\n    import torch\nexcept ImportError:\n    pass\ndef f():\n    import onnx"
    assert at_top(ast.parse(code)) == {"torch"}
