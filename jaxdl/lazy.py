"""Public names of a package, imported when they are used: ``import jaxdl`` takes no time."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazily(package: str, names: Mapping[str, str]) -> tuple[Callable[[str], Any], list[str]]:
    """``__getattr__`` and ``__all__`` of a package (PEP 562).

    Args:
        package: its ``__name__``.
        names: public name -> ``module:name``, the module within the package.
    """

    def find(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, own = names[name].partition(":")
        return getattr(importlib.import_module(f"{package}.{module}"), own)

    return find, sorted(names)
