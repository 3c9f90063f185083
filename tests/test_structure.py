"""Imports point one way, and experiments stay short."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# A module may import from the lines above its own, and a package from itself.
ORDER = (
    ("errors", "arithmetic"),
    ("limits", "hosts", "memory", "mesh", "atomic", "fingerprint"),
    ("compile_cache", "cpu"),
    ("checksums", "tensorboard", "vectorfiles", "weightfiles"),
    ("data",),
    ("models",),
    ("sampling",),
    ("losses", "metrics"),
    ("objectives",),
    ("wordstream",),
    ("train",),
    ("classification", "embedding", "forecast", "prediction", "segmentation"),
    ("sharding",),
    ("checkpoint", "transplant", "vectors", "weights"),
    ("evaluation",),
    ("report",),
    ("notes", "sineresults"),
    ("figures",),
    ("digitfigures", "wordfigures", "sinefigures"),
    ("cards", "programs"),
    ("footprint",),
    ("projectsteps",),
    ("compilecheck",),
    ("plan",),
    ("probe",),
    ("hostfacts",),
    ("findings",),
    ("hostchecks", "softwarechecks"),
    ("doctor",),
    ("__main__",),
)
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}

LONGEST = 300
# Experiments that may be longer: file name -> why.
LONGER: dict[str, str] = {}


def modules() -> dict[str, Path]:
    """Dotted name -> file, of every module in jaxdl but the packages' own `__init__`."""
    files = sorted((ROOT / "jaxdl").rglob("*.py"))
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in files}
    return {name: path for name, path in names.items() if not name.endswith("__init__")}


def imported(tree: ast.AST, module: str) -> set[str]:
    """Dotted names that the code of `module` imports, of names in modules too (a.b.name)."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


def top_level(tree: ast.Module) -> ast.Module:
    """The code without its functions: what runs when the module is imported."""

    class Drop(ast.NodeTransformer):
        def visit_FunctionDef(self, node):
            return None

        visit_AsyncFunctionDef = visit_FunctionDef
        visit_Lambda = visit_FunctionDef

    return ast.fix_missing_locations(Drop().visit(tree))


def inside(names: set[str]) -> set[str]:
    """Second part (data, losses, ...) of the names that are in jaxdl."""
    return {name.split(".")[1] for name in names if name.startswith("jaxdl.")}


def upward(tree: ast.AST, module: str) -> set[str]:
    """What `module` imports from its own line of ORDER or from below."""
    own = module.split(".")[1]
    allowed = {name for name in RANK if RANK[name] < RANK[own]}
    if module.count(".") > 1:
        allowed.add(own)
    return inside(imported(tree, module)) - allowed


def heads(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


@pytest.mark.parametrize("module", modules())
def test_imports_point_one_way(module: str):
    assert module.split(".")[1] in RANK, f"give {module} a place in ORDER"
    tree = parse(modules()[module])
    assert not upward(tree, module)
    assert "experiments" not in heads(imported(tree, module))


@pytest.mark.parametrize("path", sorted((ROOT / "jaxdl").rglob("__init__.py")), ids=str)
def test_packages_import_nothing(path: Path):
    """Else importing one module would import others, in any direction."""
    assert not imported(parse(path), "jaxdl")


def test_no_cycle_within_a_package():
    """Python would let a cycle pass if the import order happens to suit it."""
    files = modules()
    found = {name: imported(parse(path), name) for name, path in files.items()}
    waiting = {
        name: {m for m in files if m != name and any(f"{n}.".startswith(f"{m}.") for n in names)}
        for name, names in found.items()
    }
    while free := [name for name, needs in waiting.items() if not needs & set(waiting)]:
        for name in free:
            del waiting[name]
    assert not waiting


def test_importing_the_library_sets_nothing_of_jax():
    """Commands do, by a call: a program that imports jaxdl keeps its own settings."""
    for module, path in modules().items():
        calls = [n for n in ast.walk(top_level(parse(path))) if isinstance(n, ast.Call)]
        assert not [n for n in calls if "jax.config" in ast.unparse(n)], module


@pytest.mark.parametrize("package", ["jaxdl", "experiments"])
def test_no_other_framework_is_needed(package: str):
    """torch is imported where a .pth is read, and nowhere else; TensorFlow never."""
    for path in sorted((ROOT / package).rglob("*.py")):
        tree, module = parse(path), ".".join(path.relative_to(ROOT).with_suffix("").parts)
        assert "tensorflow" not in heads(imported(tree, module)), path
        assert "torch" not in heads(imported(top_level(tree), module)), path


@pytest.mark.parametrize("path", sorted((ROOT / "experiments").glob("*.py")), ids=lambda p: p.name)
def test_experiments_are_short(path: Path):
    lines = len(path.read_text().splitlines())
    assert lines <= LONGEST or path.name in LONGER, f"{path.name} has {lines} lines"


@pytest.mark.parametrize(
    ("module", "code", "found"),
    [
        ("jaxdl.losses", "from jaxdl.metrics import Totals", {"metrics"}),
        ("jaxdl.losses", "def f():\n    from jaxdl import train", {"train"}),
        ("jaxdl.data.voc", "import jaxdl.report", {"report"}),
        ("jaxdl.data.voc", "from ..models import fcn", {"models"}),
        ("jaxdl.data.voc", "from . import archives\nfrom jaxdl.errors import X", set()),
        ("jaxdl.models.fcn", "from jaxdl.data import voc\nimport jax", set()),
    ],
)
def test_the_check_sees_every_form_of_import(module: str, code: str, found: set[str]):
    assert upward(ast.parse(code), module) == found


def test_top_level_leaves_out_functions():
    code = "try:\n    import torch\nexcept ImportError:\n    pass\ndef f():\n    import onnx"
    assert imported(top_level(ast.parse(code)), "jaxdl.weights") == {"torch"}
