"""The options that a run saved in its run.json, read back as defaults."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxdl.cli.options import Command, Option, check_ranges, options_of
from jaxdl.errors import InputError
from jaxdl.files.atomic import read_json


def read(path: Path) -> dict[str, Any]:
    """The options in a run.json, or in a file of the options alone.

    Raises:
        InputError: it is another file.
    """
    record = read_json(path / "run.json" if path.is_dir() else path)
    config = record.get("config", record) if isinstance(record, dict) else None
    if not isinstance(config, dict) or not config:
        raise InputError(f"{path}: holds no saved options; name a run's run.json")
    return config


def new_names(config: Mapping[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    """A saved config under today's names; runs of 0.1 have older ones."""
    return {renamed.get(key, key): value for key, value in config.items()}


def apply(command: Command, default: Any, config: dict[str, Any]) -> Any:
    """`default` with the saved options in place of its own.

    Args:
        command: whose options; those in its `where` are left as they are.
        default: an instance of its options.
        config: as `read` returns it.

    Raises:
        InputError: it has an option that the command lacks, or a value that the option does not
            take.
    """
    changes: dict[str, Any] = {}
    options = {option.path: option for option in options_of(command.options)}
    for name, value in new_names(config, command.renamed).items():
        if name in (command.where or ()):
            continue
        if isinstance(value, str):
            value = command.renamed_values.get(name, {}).get(value, value)
        option = options.get((name,))
        if option is None:
            raise InputError(
                f"--config: {command.prog} has no option {name}; take a run of its own"
            )
        changes[name] = _value(option, value)
    found = dataclasses.replace(default, **changes)
    check_ranges(found)
    return found


def _value(option: Option, value: Any) -> Any:
    """A value of JSON as the option holds it."""
    if isinstance(value, list):
        return tuple(_value(option, each) for each in value)
    if value is None or (isinstance(value, str) and option.kind is Path):
        return None if value is None else Path(value)
    if option.kind is float and type(value) is int:
        return float(value)
    if type(value) is not option.kind or (option.choices and value not in option.choices):
        raise InputError(f"--config: {option.name} is {value!r}, and must be {option.takes()}")
    return value
