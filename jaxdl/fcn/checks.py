"""What an FCN's config cannot be, in one line, before anything else is done."""

from jaxdl.cli.options import check_ranges
from jaxdl.errors import InputError
from jaxdl.fcn.config import Config, for_each_stage, given_class_weights


def check(cfg: Config) -> None:
    """Refuse what cannot be trained, in one line, before anything else is done."""
    check_training(cfg)
    if cfg.data is None and cfg.preset != "demo":
        raise InputError(
            "--data is missing: name a folder of images and masks, or VOCtrainval_11-May-2012.tar, "
            "or train on the embedded scenes with --preset demo"
        )


def check_training(cfg: Config) -> None:
    """As `check`, wherever the data comes from."""
    check_ranges(cfg)
    ordered = list(cfg.stages) == sorted(set(cfg.stages), reverse=True)
    if not ordered or (not cfg.stages and cfg.preset != "own"):
        raise InputError(f"--stages {cfg.stages}: give strides once each, the largest first")
    for_each_stage(cfg)
    given_class_weights(cfg)
    if cfg.preset not in ("own", "finetune") and not (cfg.batch_size and all(cfg.epochs)):
        flag = "--epochs" if cfg.batch_size else "--batch-size"
        raise InputError(
            f"{flag} 0: the data decides with the presets own and finetune alone; give a number"
        )
    if cfg.weights is not None and (cfg.width_divisor != 1 or cfg.start_from is not None):
        raise InputError(
            f"--weights {cfg.weights}: goes with --width-divisor 1 and no --start-from"
        )
    if cfg.optimizer == "kept" and cfg.start_from is None:
        raise InputError("--optimizer kept: is that of a checkpoint; name it with --start-from")
    if cfg.freeze == "trunk":
        _check_freeze(cfg)
    if cfg.dice and cfg.accumulate > 1:
        raise InputError(
            f"--dice {cfg.dice:g}: Dice is no sum over pixels, so --accumulate {cfg.accumulate} "
            "cannot be exact; leave one of them out, or use a larger --batch-size"
        )
    if cfg.scale[0] > cfg.scale[1]:
        raise InputError(f"--scale {cfg.scale[0]} {cfg.scale[1]}: give the smaller factor first")
    if cfg.devices.mesh is not None and cfg.steps_per_dispatch > 1:
        given = f"--steps-per-dispatch {cfg.steps_per_dispatch}"
        raise InputError(f"{given}: a dispatch is one step with --mesh; leave it out")
    if cfg.devices.mesh is None and cfg.fsdp:
        raise InputError("--fsdp splits parameters over devices: name them with --mesh data=N")
    if cfg.devices.mesh is not None and cfg.cache == "device":
        raise InputError("--cache device keeps images on one device: use host with --mesh")


def _check_freeze(cfg: Config) -> None:
    if cfg.weights is None and cfg.start_from is None:
        raise InputError("--freeze trunk: keeps random weights; give --weights or --start-from")
    if cfg.devices.mesh is not None or cfg.cache == "device":
        raise InputError("--freeze trunk: is for one device, and keeps pools in the host's memory")
    if cfg.flip or cfg.crop is not None or cfg.scale != (1.0, 1.0):
        raise InputError(
            "--freeze trunk: each image's pools are computed once, so that --flip, --scale and "
            "--crop cannot change it; leave them out"
        )
