"""What the presets own and finetune take from the weights or the checkpoint they start from."""

import dataclasses
from typing import TYPE_CHECKING, Any

from jaxdl.errors import InputError
from jaxdl.fcn.config import PRESETS, Config

if TYPE_CHECKING:
    from jaxdl.fcn.models.fcn import FCN

# Learning rates of a fine-tuning, of a trunk of VGG-16's width and of a narrower one.
RATES = {"full": 1e-4, "narrow": 0.05}


def settle(cfg: Config) -> Config:
    """The config with what its preset takes from its start.

    Raises:
        InputError: the preset finetune has no checkpoint of an FCN, or one of another width.
    """
    if cfg.preset == "finetune":
        if cfg.start_from is None:
            raise InputError("--preset finetune: name the run to start from with --start-from")
        from jaxdl.fcn.saved import network_of  # which imports jax

        return settle_for(network_of(cfg.start_from), cfg)
    return _from_weights(cfg) if cfg.preset == "own" and cfg.weights is not None else cfg


def _from_weights(cfg: Config) -> Config:
    """Full width, small rates without clipping, and a frozen trunk, if they were not chosen.

    ImageNet's pools are large, and so are the gradients of their scores: clipped to the norm that
    suits a narrow network, they would hardly learn.
    """
    own, voc, changed = PRESETS["own"], PRESETS["voc"], dict[str, Any]()
    if cfg.width_divisor == own.width_divisor:
        changed["width_divisor"] = 1
    for name in ("learning_rate", "clip_norm"):
        if getattr(cfg, name) == getattr(own, name):
            changed[name] = getattr(voc, name)
    if cfg.freeze == own.freeze and not (cfg.flip or cfg.crop or cfg.scale != own.scale):
        changed["freeze"] = "trunk"
    return dataclasses.replace(cfg, **changed)


def settle_for(network: "FCN", cfg: Config) -> Config:
    """A fine-tuning's stride, width, alignment, rate and clipping, if not chosen."""
    own, full, changed = PRESETS["finetune"], network.width == 1, dict[str, Any]()
    if not cfg.stages:
        changed["stages"] = (network.stride,)
    if cfg.width_divisor == own.width_divisor:
        changed["width_divisor"] = network.width
    if cfg.align == own.align:
        changed["align"] = network.align
    if full and cfg.clip_norm == own.clip_norm:
        changed["clip_norm"] = PRESETS["voc"].clip_norm
    if not cfg.learning_rate:
        changed["learning_rate"] = (RATES["full" if full else "narrow"],)
    return dataclasses.replace(cfg, **changed)
