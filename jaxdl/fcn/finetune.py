"""``jaxdl fcn finetune``: training on other data from a checkpoint, which tells what it can."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from jaxdl.cli.devices import NAMES as DEVICES
from jaxdl.cli.options import Command
from jaxdl.errors import InputError
from jaxdl.fcn.config import AUGMENTATION, DATA, OLD, PRESETS, Config


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finetune:
    """What `finetune` starts from, and the options of its training."""

    run: Annotated[Path, tyro.conf.Positional]
    """A run (its last stage is used), a stage, or one step; of several steps the one of the best
    test mean IU. Or an Orbax checkpoint with network.json beside it."""
    config: Annotated[Config, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=lambda: PRESETS["finetune"]
    )
    """The training."""


FINETUNE = Command(
    prog="jaxdl fcn finetune",
    about=(
        "Train on other data from a checkpoint: its stride, width, alignment and mean colour are "
        "kept, and the scores of classes of the same name. The data decides epochs and batch."
    ),
    options=Finetune,
    groups={
        "Data": ("run", *DATA, "data_dir", "cache", "canvases", *AUGMENTATION),
        "Model": ("stages", "freeze", "optimizer"),
        "Training": (
            *("epochs", "early_stop", "learning_rate", "head_learning_rate"),
            *("skip_rates", "schedule", "warmup"),
            *("batch_size", "accumulate"),
            *("momentum", "weight_decay", "bias_rule", "clip_norm", "reduction"),
            *("class_weights", "dice", "bfloat16"),
            *("remat", "steps_per_dispatch", "seed"),
        ),
        "Output": ("out", "resume", "overwrite", "samples"),
        "Devices": (*DEVICES, "fsdp", "compile_cache"),
    },
    examples=(
        (
            "jaxdl fcn finetune runs/demo/fcn --data photos --mask-values 0 255",
            "FCN-8s of the demo, on photos of other classes.",
        ),
        (
            "jaxdl fcn finetune runs/voc/fcn32s --data photos --stages 16 8 --freeze trunk",
            "FCN-16s and then 8s from an FCN-32s, the scores alone.",
        ),
    ),
    **OLD,
)


def config_of(options: Finetune) -> Config:
    """The config of the training.

    Raises:
        InputError: an option that the checkpoint decides.
    """
    if options.config.preset != "finetune":
        raise InputError(f"--preset {options.config.preset}: finetune has its own; leave it out")
    for name in ("start_from", "weights"):
        if (given := getattr(options.config, name)) is not None:
            flag = "--" + name.replace("_", "-")
            raise InputError(f"{flag} {given}: finetune starts from RUN; leave it out")
    return dataclasses.replace(options.config, start_from=options.run)
