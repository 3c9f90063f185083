"""The notebooks as they are committed: no outputs, one form, nothing of the machine they ran on."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.processes import ROOT

NOTEBOOKS = sorted((ROOT / "experiments" / "notebooks").glob("*.ipynb"))
# A home, a temporary folder, a drive, an address of a machine.
MACHINE = re.compile(r"(?<![\w.])/(home|root|tmp|work|Users|opt|mnt|var)/|[A-Z]:\\|\blocalhost\b")
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def normal(notebook: dict[str, Any]) -> str:
    """The text of a notebook as Jupyter's nbformat writes it."""
    return json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def faults(text: str) -> list[str]:
    """Why a notebook should not be committed."""
    notebook = json.loads(text)
    cells = notebook["cells"]
    found = [] if text == normal(notebook) else ["it is not in nbformat's form"]
    if notebook["metadata"] != {"kernelspec": KERNEL, "language_info": {"name": "python"}}:
        found.append("its metadata are not those of a python3 kernel alone")
    ids = [cell["id"] for cell in cells]
    if len(set(ids)) != len(ids) or not all(re.fullmatch(r"[a-z0-9-]+", id) for id in ids):
        found.append("its cells have no words as ids")
    for cell in cells:
        source = "".join(cell["source"])
        if cell.get("outputs") or cell.get("execution_count") is not None or cell["metadata"]:
            found.append(f"{cell['id']}: it has outputs, a count, or metadata")
        if MACHINE.search(source):
            found.append(f"{cell['id']}: it names a path of a machine")
        if any(len(line) > 100 for line in source.splitlines()):
            found.append(f"{cell['id']}: a line has more than 100 characters")
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_clean(path: Path):
    assert not faults(path.read_text())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_says_what_it_does_and_checks_what_it_claims(path: Path):
    cells = json.loads(path.read_text())["cells"]
    assert cells[0]["cell_type"] == "markdown"
    assert cells[0]["source"][0].startswith("# ")
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    trees = [ast.parse(source) for source in code if not source.startswith("%%")]
    checks = sum(isinstance(node, ast.Assert) for tree in trees for node in ast.walk(tree))
    assert checks >= 4


def test_there_are_five():
    assert len(NOTEBOOKS) == 5


def changed(change: Any) -> list[str]:
    """The faults of a notebook after a change of it."""
    notebook = json.loads(NOTEBOOKS[0].read_text())
    change(notebook, next(cell for cell in notebook["cells"] if cell["cell_type"] == "code"))
    return faults(normal(notebook))


def test_faults_are_seen():
    output = {"name": "stdout", "output_type": "stream", "text": ["1\n"]}
    assert changed(lambda notebook, cell: None) == []
    assert changed(lambda notebook, cell: cell["outputs"].append(output))
    assert changed(lambda notebook, cell: cell.update(execution_count=1))
    assert changed(lambda notebook, cell: cell.update(id="A7C0"))
    assert changed(lambda notebook, cell: cell["source"].append('\nopen("/home/me/photo.jpg")'))
    assert changed(lambda notebook, cell: notebook["metadata"]["kernelspec"].update(name="mine"))
    text = NOTEBOOKS[0].read_text()
    assert faults(json.dumps(json.loads(text)))
