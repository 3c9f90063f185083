"""Fully convolutional networks on PASCAL VOC: fcn32s, then fcn16s from its checkpoint, then fcn8s.

    jaxdl fcn train --preset demo                        embedded scenes, about 3 minutes
    jaxdl fcn train --data VOCtrainval_11-May-2012.tar --weights vgg16.safetensors
    jaxdl fcn predict runs/demo/fcn photo.jpg
    jaxdl fcn train --mesh data=8 --batch-size 16 --data ...      eight devices

Presets, and what to expect of them:

- demo: seven classes of drawn scenes, a trunk of 1/8 width from a random start. On 2 CPU cores:
  mean IU 41.0 (32s), 61.6 (16s), 81.5 % (8s), the mean of five seeds; 3 minutes each.
- voc: the 2016 posts' run: their 4:1 split of VOC2012's 2,913 images, one image at a time, from
  VGG-16's ImageNet weights. The posts report the mean per-image pixel accuracy: just under 92 %
  (32s), about 94 % (16s). They do not give their learning rate. Ours, 1e-4, took the loss on two
  VOC photos from 14 to 0.34 in 30 steps, where 1e-3 did not settle (Chainer's default is 1e-2).
- paper: SBD train, tested on seg11valid, the heavy-momentum recipe of the papers' code with its
  sum loss (rates 1e-10, 1e-12, 1e-14, decay 5e-4) as a mean loss over 187,500 pixels. The papers'
  code reports mean IU 63.63, 65.01, 65.51 % (with fc6 and fc7, which we and the posts leave out).
  voc and paper have not been run by us: they take days on a CPU.

Only options are read here; what a command does is imported when it does it.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxdl.cli.command import main, parse
from jaxdl.cli.compiling import started
from jaxdl.cli.devices import NAMES as DEVICES
from jaxdl.cli.options import Command
from jaxdl.cli.progress import Bar
from jaxdl.fcn.checks import check
from jaxdl.fcn.config import (
    AUGMENTATION,
    DATA,
    OLD,
    PRESETS,
    RESUMABLE,
    STRIDES,
    Config,
    for_each_stage,
)
from jaxdl.fcn.data.is_voc import is_voc
from jaxdl.fcn.finetune import FINETUNE, Finetune, config_of
from jaxdl.fcn.options import (
    COMPARE,
    EVALUATE,
    EXPORT,
    PLAN,
    PREDICT,
    Compare,
    Evaluate,
    Export,
    Plan,
    Predict,
    check_export,
    check_given,
    data_config,
)
from jaxdl.fcn.settle import settle

if TYPE_CHECKING:
    from jax.sharding import Mesh


def preset_of(words: Sequence[str]) -> str | None:
    """ "own" for --data that is not PASCAL VOC."""
    at = next((n for n, word in enumerate(words) if word.partition("=")[0] == "--data"), None)
    if at is None or "--sbd" in words:
        return None
    path = words[at].partition("=")[2] or "".join(words[at + 1 : at + 2])
    try:
        return "own" if Path(path).exists() and not is_voc(Path(path)) else None
    except (OSError, ValueError):  # refused with its option, when all paths are looked at
        return None


TRAIN = Command(
    prog="jaxdl fcn train",
    about="Train fcn32s, fcn16s and fcn8s, each from the checkpoint of the one before.",
    options=Config,
    presets=PRESETS,
    where=RESUMABLE,
    choose=preset_of,
    groups={
        "Data": ("preset", *DATA, "data_dir", "cache", "canvases", *AUGMENTATION),
        "Model": (
            *("stages", "width_divisor", "weights", "weights_format", "start_from", "optimizer"),
            *("freeze", "align"),
        ),
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
        ("jaxdl fcn train --preset demo", "Seven classes of drawn scenes; 3 minutes on 2 cores."),
        (
            "jaxdl fcn train --data VOCtrainval_11-May-2012.tar --weights vgg16.safetensors",
            "PASCAL VOC 2012 from ImageNet weights; days on a CPU.",
        ),
    ),
    **OLD,
)


CHECK = Command(
    prog="jaxdl fcn check",
    about="Look at a data set as training does, and write a page. It takes the options of train.",
    options=Config,
    presets=PRESETS,
    where=RESUMABLE,
    choose=preset_of,
    groups={"Data": DATA, "Output": ("out",)},
    examples=(
        ("jaxdl fcn check --data photos", "Images, masks, classes and splits of a folder."),
        (
            "jaxdl fcn check --data photos --mask-values 0 255",
            "Masks in black and white; exit status 2 if training would refuse the data.",
        ),
    ),
    **OLD,
)
COMMANDS = {
    "train": TRAIN,
    "finetune": FINETUNE,
    "predict": PREDICT,
    "evaluate": EVALUATE,
    "compare": COMPARE,
    "export": EXPORT,
    "check": CHECK,
    "plan": PLAN,
}


def run(cfg: Config, bar: Bar) -> dict:
    """Train the stages (or go on with them); returns and writes the summary (process 0 alone)."""
    cfg = settle(cfg)
    check(cfg)
    cfg = for_each_stage(cfg)
    from jaxdl.cli.launch import train_everywhere
    from jaxdl.devices import cpu_memory
    from jaxdl.fcn.data.unchanged import check_pictures
    from jaxdl.fcn.dataset import open_source
    from jaxdl.fcn.longer import check_epochs
    from jaxdl.fcn.start import input_files
    from jaxdl.fcn.train import run_stages
    from jaxdl.training.record import lengthen

    cpu_memory.start()

    def train(config: dict[str, Any], record: dict[str, Any] | None, mesh: "Mesh | None") -> dict:
        return run_stages(cfg, config, record, mesh, bar)

    def check_same(record: dict[str, Any]) -> None:
        check_epochs(cfg, record)
        if cfg.data is not None:  # drawn scenes are the configuration's
            check_pictures(cfg.out, record, *open_source(cfg, bar))

    summary = train_everywhere(
        *(cfg, bar, train),
        may_change=(*RESUMABLE, "epochs"),
        summary_keys=[f"fcn{(cfg.stages or STRIDES)[-1]}s"],  # each stage comes after the others
        inputs=input_files(cfg),
        check=check_same,
        lengthen=partial(lengthen, cfg.out, cfg.epochs),
    )
    if not summary:
        return {}
    line = "{}: mean IU {mean_iu:.1%}, pixel accuracy {pixel_accuracy:.1%}, mean image "
    line += "accuracy {mean_image_accuracy:.1%}, {seconds:.0f} s"
    for name in [key for key in summary if key != "warnings"]:
        bar.line(line.format(name, **summary[name]))
    bar.line(f"report: {cfg.out / 'report.html'}")
    bar.warn(summary.get("warnings", ()))
    return summary


def train(cfg: Config) -> None:
    """``jaxdl fcn train``."""
    check(settle(cfg))  # before jax is imported: a refusal is fast
    run(started(cfg), Bar())


def finetune(options: Finetune) -> None:
    """``jaxdl fcn finetune``."""
    train(config_of(options))


def check_data(cfg: Config) -> None:
    """``jaxdl fcn check``."""
    check(settle(cfg))
    from jaxdl.fcn import check_data

    check_data.check_data(cfg, Bar())


def predict(options: Predict) -> None:
    """``jaxdl fcn predict``."""
    from jaxdl.devices import cpu_memory
    from jaxdl.fcn import predict

    cpu_memory.start()
    started(options)
    predict.predict(
        *(options.run, options.images),
        which=options.which,
        probabilities=options.probabilities,
        tile=options.tile,
        overlap=options.overlap,
        out=options.out,
    )


def evaluate(options: Evaluate) -> None:
    """``jaxdl fcn evaluate``."""
    if options.data is None:
        check_given(options)
    from jaxdl.devices import cpu_memory
    from jaxdl.fcn import evaluate_command

    cpu_memory.start()
    started(options)
    cfg = None if options.data is None else data_config(options)
    evaluate_command.run(options, cfg, Bar())


def compare(options: Compare) -> None:
    """``jaxdl fcn compare``."""
    from jaxdl.fcn import compare_command

    compare_command.compare(options.runs, out=options.out)


def export(options: Export) -> None:
    """``jaxdl fcn export``."""
    check_export(options)
    from jaxdl.fcn.export import command

    command.export(options, Bar())


def plan(options: Plan) -> None:
    """``jaxdl fcn plan``."""
    from jaxdl.fcn import plan_command

    plan_command.run(
        options,
        options.config,
        stride=options.stride,
        canvas=options.canvas,
        classes=options.classes,
        strong=options.strong,
    )


def command(name: str, words: Sequence[str]) -> None:
    """``jaxdl fcn NAME WORDS``, such as train."""
    calls = {
        "train": train,
        "finetune": finetune,
        "predict": predict,
        "evaluate": evaluate,
        "compare": compare,
        "export": export,
        "check": check_data,
        "plan": plan,
    }
    main(lambda: calls[name](parse(COMMANDS[name], words)))
