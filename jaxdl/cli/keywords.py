"""A command's options as the keyword arguments of a Python call."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxdl.cli.options import Option, options_of
from jaxdl.errors import InputError


def values_of(config: type, given: Mapping[str, Any], call: str) -> dict[str, Any]:
    """The values as the config holds them; None leaves out, and one value stands for several.

    Args:
        config: the dataclass of the command's options.
        given: values by name.
        call: what was called, for messages.

    Raises:
        InputError: an option that there is not.
    """
    known = {option.name: option for option in options_of(config)}
    for name in given.keys() - known.keys():
        near = difflib.get_close_matches(name, sorted(known), 1)
        raise InputError(f"{call} has no option {name!r}" + (f": is it {near[0]}?" if near else ""))
    return {
        name: _of_kind(value, known[name]) for name, value in given.items() if value is not None
    }


def _of_kind(value: Any, option: Option) -> Any:
    """A tuple of what may be several; floats, paths, texts."""
    if option.kind is bool:
        return value
    plain = isinstance(value, (int, float, str, Path))
    values = tuple(option.kind(each) for each in ((value,) if plain else value))
    return values[0] if option.count == 1 and len(values) == 1 else values
