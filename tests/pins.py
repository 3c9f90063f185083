"""Write constraints.txt from environments: `python -m tests.pins ENVIRONMENT [ENVIRONMENT ...]`.

An environment is an interpreter (`.venv/bin/python`), which is asked for what is installed, or the
output of `pip freeze` with the Python it is from in front (`3.13=freeze.txt`). Give one for each
Python whose versions differ; several of one Python are joined. What an environment lacks stays as
constraints.txt has it.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from packaging.requirements import Requirement

from jaxdl.errors import InputError

FILE = Path(__file__).resolve().parents[1] / "constraints.txt"
# Of no program of ours; and the project itself.
LEFT_OUT = {"pip", "setuptools", "wheel", "distribute", "jaxdl-functional"}
LIST = """
import json, sys
from importlib.metadata import distributions
versions = {found.name: found.version for found in reversed([*distributions()])}
print(json.dumps(["%d.%d" % sys.version_info[:2], versions]))
"""

Versions = Mapping[str, str]  # distribution, as it writes itself -> version


def canonical(name: str) -> str:
    """The name by which packages are compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_freeze(text: str) -> dict[str, str]:
    """Versions of `pip freeze`; a line without a version (editable, a file) is left out."""
    found = {}
    for line in text.splitlines():
        match = re.fullmatch(r"([\w.-]+)==([^\s;]+)", line.strip())
        if match:
            found[match[1]] = match[2]
    return found


def ask(interpreter: str) -> tuple[str, dict[str, str]]:
    """An interpreter's Python (3.11) and the versions of what is installed for it."""
    try:
        said = subprocess.run(
            [interpreter, "-P", "-c", LIST], check=True, capture_output=True, text=True
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        raise InputError(
            f"{interpreter}: {said.strip().splitlines()[-1]}; give a Python"
        ) from error
    python, versions = json.loads(said)
    return python, versions


def join(environments: Sequence[tuple[str, Versions]]) -> dict[str, dict[str, str]]:
    """Versions by Python, oldest first.

    Raises:
        InputError: two environments of one Python have different versions of a package.
    """
    joined: dict[str, dict[str, str]] = {}
    for python, versions in environments:
        own = joined.setdefault(python, {})
        have = {canonical(name): version for name, version in own.items()}
        for name, version in versions.items():
            if canonical(name) in LEFT_OUT:
                continue
            if have.get(canonical(name), version) != version:
                raise InputError(
                    f"Python {python}: {name} {have[canonical(name)]} and {version} in two "
                    "environments: install one version in both"
                )
            if canonical(name) not in have:
                own[name] = version
    return dict(sorted(joined.items(), key=lambda item: _number(item[0])))


def merge(environments: Sequence[tuple[str, Versions]], old: str) -> str:
    """The text of constraints.txt: one line for each package, or one for each Python's version.

    Args:
        environments: Python (3.11) and what is installed.
        old: the text so far; a package stays for each Python whose environments lack it.
    """
    joined = join(environments)
    spelled: dict[str, str] = {}
    table: dict[str, dict[str, str]] = {}  # package -> Python -> version
    needs = [Requirement(line) for line in old.splitlines() if line.strip()]
    for python, versions in joined.items():
        for need in needs:
            if need.marker is None or need.marker.evaluate({"python_version": python}):
                spelled[canonical(need.name)] = need.name
                (pin,) = need.specifier
                table.setdefault(canonical(need.name), {})[python] = pin.version
        for name, version in versions.items():
            spelled[canonical(name)] = name
            table.setdefault(canonical(name), {})[python] = version
    lines = []
    for name in sorted(table, key=lambda name: f"{spelled[name]}=".lower()):
        # Environments that agree, or where one does not have the package, share a line.
        runs = [(v, [p for p, _ in run]) for v, run in groupby(table[name].items(), lambda i: i[1])]
        for at, (version, pythons) in enumerate(runs):
            marker = []
            if at > 0:
                marker.append(f'python_version >= "{_after(runs[at - 1][1][-1])}"')
            if at < len(runs) - 1:
                marker.append(f'python_version < "{_after(pythons[-1])}"')
            lines.append(f"{spelled[name]}=={version}{'; ' * bool(marker)}{' and '.join(marker)}")
    return "".join(f"{line}\n" for line in lines)


def _number(python: str) -> tuple[int, ...]:
    return tuple(map(int, python.split(".")))


def _after(python: str) -> str:
    """The Python after 3.11: where the next version of a package begins."""
    major, minor = _number(python)
    return f"{major}.{minor + 1}"


def environment(word: str) -> tuple[str, dict[str, str]]:
    """What a word of the command line stands for."""
    match = re.fullmatch(r"(\d+\.\d+)=(.+)", word)
    if not match:
        return ask(word)
    try:
        return match[1], read_freeze(Path(match[2]).read_text())
    except OSError as error:
        raise InputError(f"{match[2]}: {error.strerror}; give the output of pip freeze") from error


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("environments", nargs="+", metavar="ENVIRONMENT")
    parser.add_argument("--file", type=Path, default=FILE, help="what is written")
    given = parser.parse_args(words)
    try:
        environments = [environment(word) for word in given.environments]
        given.file.write_text(merge(environments, given.file.read_text()))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
