"""Where jaxdl is installed: it decides which commands repair its packages."""

import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

CODE = Path(__file__).resolve().parents[2]
Place = Literal["checkout", "image", "other"]


def place_of(code: Path, prefix: Path, environ: Mapping[str, str]) -> Place:
    """Where a package of this code and an environment with this prefix are."""
    if "JAXDL_IMAGE" in environ:  # the Dockerfile sets it
        return "image"
    checkout = (code / "Makefile").is_file() and (code / "pyproject.toml").is_file()
    return "checkout" if checkout and prefix == code / ".venv" else "other"


def pip_command(python: str, path: str) -> str:
    """``pip`` if a shell finds the one beside this interpreter, else in full."""
    found = shutil.which("pip", path=path)
    if found is not None and Path(found).parent == Path(python).parent:
        return "pip"
    return f"{shlex.quote(python)} -m pip"
