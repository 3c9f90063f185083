"""What a Python program gives for the command's options."""

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxdl.cli.options import Option, options_of
from jaxdl.errors import InputError
from jaxdl.fcn.checks import check_training
from jaxdl.fcn.config import PRESETS, Config, for_each_stage
from jaxdl.fcn.models.fcn import FCN
from jaxdl.fcn.settle import settle, settle_for


def config_of(
    classes: Sequence[str], start: Mapping[str, Any] | FCN, given: Mapping[str, Any]
) -> Config:
    """The config of a training: that of the preset own; from a network's parameters, of finetune.

    Args:
        classes: their names.
        start: options of a new network, or the network that is trained further.
        given: options by name; None leaves the preset's. One value stands for several.

    Raises:
        InputError: an option that there is not, or a value that it does not take.
    """
    known = {option.name: option for option in options_of(Config)}
    for name in given.keys() - known.keys():
        near = difflib.get_close_matches(name, sorted(known), 1)
        raise InputError(f"fit has no option {name!r}" + (f": is it {near[0]}?" if near else ""))
    values: dict[str, Any] = {}
    preset = PRESETS["finetune"]
    if not isinstance(start, FCN):
        preset = PRESETS["own"]
        values |= {**start, "class_names": tuple(classes)}
    if not classes and "data" not in given:
        raise InputError("Segmenter(classes=...): name the classes, the background first")
    for name, value in given.items():
        if value is not None:
            values[name] = _of_kind(value, known[name])
    cfg = dataclasses.replace(preset, **values)
    cfg = settle_for(start, cfg) if isinstance(start, FCN) else settle(cfg)
    check_training(cfg)
    return for_each_stage(cfg)


def _of_kind(value: Any, option: Option) -> Any:
    """A value as the config holds it: a tuple of what may be several; floats, paths, texts."""
    if option.kind is bool or value is None:
        return value
    plain = isinstance(value, (int, float, str, Path))
    values = tuple(option.kind(each) for each in ((value,) if plain else value))
    return values[0] if option.count == 1 and len(values) == 1 else values
