"""What the presets own and finetune take from the weights or the checkpoint they start from."""

import dataclasses
from typing import Any

from jaxdl.errors import InputError
from jaxdl.fcn.config import PRESETS, Config

# Learning rates of a fine-tuning, of a trunk of VGG-16's width and of a narrower one.
RATES = {"full": 1e-4, "narrow": 0.05}


def settle(cfg: Config) -> Config:
    """The config with what its preset takes from its start.

    Raises:
        InputError: the preset finetune has no checkpoint of an FCN, or one of another width.
    """
    if cfg.preset == "finetune":
        return _from_checkpoint(cfg)
    return _from_weights(cfg) if cfg.preset == "own" and cfg.weights is not None else cfg


def _from_weights(cfg: Config) -> Config:
    """Full width, small rates and a frozen trunk, if they were not chosen."""
    own, changed = PRESETS["own"], dict[str, Any]()
    if cfg.width_divisor == own.width_divisor:
        changed["width_divisor"] = 1
    if cfg.learning_rate == own.learning_rate:
        changed["learning_rate"] = PRESETS["voc"].learning_rate
    if cfg.freeze == own.freeze and not (cfg.flip or cfg.crop or cfg.scale != own.scale):
        changed["freeze"] = "trunk"
    return dataclasses.replace(cfg, **changed)


def _from_checkpoint(cfg: Config) -> Config:
    """Stride, width and alignment of the checkpoint, and a rate for its width, if not chosen."""
    if cfg.start_from is None:
        raise InputError("--preset finetune: name the run to start from with --start-from")
    from jaxdl.fcn.saved import network_of  # which imports jax

    network, own, changed = network_of(cfg.start_from), PRESETS["finetune"], dict[str, Any]()
    if not cfg.stages:
        changed["stages"] = (network.stride,)
    if cfg.width_divisor == own.width_divisor:
        changed["width_divisor"] = network.width
    if cfg.align == own.align:
        changed["align"] = network.align
    if not cfg.learning_rate:
        changed["learning_rate"] = (RATES["full" if network.width == 1 else "narrow"],)
    return dataclasses.replace(cfg, **changed)
