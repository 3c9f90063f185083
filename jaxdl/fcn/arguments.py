"""What a Python program gives for the command's options."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from jaxdl.cli.keywords import values_of
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
    found = values_of(Config, given, "fit")
    values: dict[str, Any] = {}
    preset = PRESETS["finetune"]
    if not isinstance(start, FCN):
        preset = PRESETS["own"]
        values |= {**start, "class_names": tuple(classes)}
    if not classes and "data" not in given:
        raise InputError("Segmenter(classes=...): name the classes, the background first")
    cfg = dataclasses.replace(preset, **(values | found))
    cfg = settle_for(start, cfg) if isinstance(start, FCN) else settle(cfg)
    check_training(cfg)
    return for_each_stage(cfg)
