"""Fully convolutional networks on PASCAL VOC: fcn32s, then fcn16s from its checkpoint, then fcn8s.

    python -m experiments.fcn --preset demo                        embedded scenes, about 4 minutes
    python -m experiments.fcn --voc VOCtrainval_11-May-2012.tar --weights vgg16.safetensors
    python -m experiments.fcn predict --checkpoint runs/demo/fcn photo.jpg
    python -m experiments.fcn --mesh data=8 --batch-size 16 --voc ...   eight devices; README, hosts

Presets, and what to expect of them:

- demo: seven classes of drawn scenes, a trunk of 1/8 width from a random start. On 2 CPU cores:
  mean IU 40.7 (32s), 60.4 (16s), 81.1 % (8s), the mean of seeds 0, 1, 2; 3.5 minutes each.
- voc: the seed's run: its 4:1 split of VOC2012's 2,913 images, one image at a time, from VGG-16's
  ImageNet weights. The seed reports the mean per-image pixel accuracy: just under 92 % (32s), about
  94 % (16s). It does not give its learning rate. Ours, 1e-4, took the loss on two VOC photos from
  14 to 0.34 in 30 steps, where 1e-3 did not settle (Chainer's default is 1e-2).
- paper: SBD train, tested on seg11valid, the heavy-momentum recipe of the papers' code with its
  sum loss (rates 1e-10, 1e-12, 1e-14, decay 5e-4) as a mean loss over 187,500 pixels. The papers'
  code reports mean IU 63.63, 65.01, 65.51 % (with fc6 and fc7, which we leave out as the seed).
  voc and paper have not been run by us: they take days on a CPU.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from jax.sharding import Mesh

from experiments import fcn_stages
from experiments.command import Bar, check_least, main, parse
from experiments.compiling import Compiling, started
from experiments.devices import Devices, train_everywhere
from jaxdl import cpu, train
from jaxdl.data import batches
from jaxdl.data.voc import VOC2012_MD5
from jaxdl.errors import InputError
from jaxdl.losses import Reduction
from jaxdl.models.bilinear import Align

# What a run's results do not depend on: may differ when a run is resumed.
FREE = ("out", "overwrite", "resume", "cache", "data_dir", "devices", "compiling", "fsdp")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Train fcn32s, fcn16s and fcn8s, each from the checkpoint of the one before.

    `predict --help` and `plan --help` tell about the other commands: classes of your own images;
    memory, exchange and speed on many devices.
    """

    preset: Literal["demo", "voc", "paper"] = "voc"
    """Where the other defaults come from."""
    out: Path = Path("runs/voc")
    """Run folder: checkpoints, metrics, pictures, report.html."""
    resume: bool = True
    """Go on where the run folder stopped; --no-resume refuses a folder that holds a run."""
    overwrite: bool = False
    """Delete the run folder first."""
    voc: Path | None = None
    """VOCdevkit folder, or the tar VOCtrainval_11-May-2012.tar (the demo writes its own)."""
    voc_md5: str = VOC2012_MD5
    """The md5 that a tar must have."""
    sbd: Path | None = None
    """SBD (benchmark_RELEASE folder, or benchmark.tgz), whose labels are added."""
    split: Literal["seed", "official", "seg11valid"] = "seed"
    """seed: 4:1 of trainval; official: train, val; seg11valid: SBD train, the papers' test list."""
    train_list: Path | None = None
    """File of training ids, one a line, in place of the split's."""
    test_list: Path | None = None
    """File of test ids, one a line, in place of the split's."""
    data_dir: Path = Path("data")
    """Where prepared data is kept."""
    scenes: tuple[int, int] = (800, 100)
    """Training and test scenes of the demo."""
    cache: batches.Cache = "host"
    """Where decoded bytes are kept: host memory, the device, or none (decode each time)."""
    canvases: int = 3
    """Padded sizes, and so compiled programs, at most."""
    weights: Path | None = None
    """VGG-16 ImageNet weights (.safetensors, .npz, .h5, .onnx, .pth)."""
    weights_format: str | None = None
    """Their format, where it cannot be told from the file."""
    start_from: Path | None = None
    """Run or stage folder whose parameters the first stage starts from."""
    stages: tuple[Literal[32, 16, 8], ...] = (32, 16, 8)
    """Strides to train, in this order."""
    epochs: tuple[int, ...] = (60, 60, 60)
    """Epochs of each stage."""
    learning_rates: tuple[float, ...] = (1e-4, 1e-4, 1e-4)
    """Peak learning rate of each stage."""
    schedule: train.Schedule = "constant"
    """What the learning rate does after its warm-up."""
    warmup: int = 0
    """Steps of linear warm-up of each stage."""
    momentum: float = 0.9
    """Of momentum SGD."""
    weight_decay: float = 5e-4
    """L2, added to the gradient before the momentum."""
    bias_rule: bool = False
    """The papers' rule: biases at twice the rate, without decay."""
    clip_norm: float | None = None
    """Largest global norm of the gradient."""
    reduction: Reduction = "mean"
    """Loss over the batch's valid pixels; a sum's rate is the mean's divided by their number."""
    batch_size: int = 1
    """Images in a batch (of one canvas, sizes mixed)."""
    updates: int = 1
    """Batches trained on in one dispatch, one after another: for GPUs (in a loop XLA's convolutions
    on a CPU are slow)."""
    accumulate: int = 1
    """Batches to an update, with the exact gradient of their union."""
    width: int = 1
    """Divides the trunk's channel counts; 1 is VGG-16."""
    flip: bool = False
    """Mirror half of the training images."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Scale training images by a random factor between these two; 0.5 2 is usual."""
    crop: int | None = None
    """Cut a random square of this side from larger training images."""
    align: Align = "exact"
    """Alignment of the upsampling; center is that of the Chainer of 2016."""
    remat: bool = False
    """Less memory: compute the trunk's activations again in the gradient."""
    bfloat16: bool = False
    """Activations in bfloat16; parameters and loss stay float32."""
    samples: int = 8
    """Test images drawn in the report."""
    seed: int = 0
    """Of the start, the order of images, the 4:1 split and the demo's scenes."""
    fsdp: bool = False
    """With --mesh: split parameters and optimiser over the devices too, not the batches alone."""
    devices: Annotated[Devices, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Devices)
    """Many devices, many hosts."""
    compiling: Annotated[Compiling, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=Compiling
    )
    """Compiled programs."""


PRESETS = {
    "demo": Config(
        preset="demo",
        out=Path("runs/demo/fcn"),
        split="official",
        epochs=(14, 7, 8),
        learning_rates=(0.1, 0.05, 0.05),
        schedule="cosine",
        warmup=40,
        weight_decay=1e-4,
        clip_norm=1.0,
        batch_size=8,
        width=8,
    ),
    "voc": Config(),
    "paper": Config(
        preset="paper",
        out=Path("runs/paper"),
        split="seg11valid",
        epochs=(12, 12, 12),  # 100,000 iterations of one image are 11.8 epochs of 8,498
        learning_rates=(1.9e-5, 1.9e-7, 1.9e-9),
        momentum=0.99,
        weight_decay=5e-4 / 187_500,
        bias_rule=True,
    ),
}


def check(cfg: Config) -> None:
    """Refuse what cannot be trained, in one line, before anything else is done."""
    count = len(cfg.stages)
    for name in ("epochs", "learning_rates"):
        if len(getattr(cfg, name)) != count:
            flag = "--" + name.replace("_", "-")
            raise InputError(f"{flag} {getattr(cfg, name)}: give {count}, one for each of --stages")
    if not count or list(cfg.stages) != sorted(set(cfg.stages), reverse=True):
        raise InputError(f"--stages {cfg.stages}: give strides once each, the largest first")
    check_least(cfg, 1, ("batch_size", "updates", "accumulate", "width", "canvases", "samples"))
    check_least(cfg, 1, ("scenes", "epochs"))
    check_least(cfg, 0, ("seed",))
    if cfg.weights is not None and (cfg.width != 1 or cfg.start_from is not None):
        raise InputError(f"--weights {cfg.weights}: goes with --width 1, without --start-from")
    if cfg.crop is not None and cfg.crop < 32:
        raise InputError(f"--crop {cfg.crop}: must be at least 32")
    low, high = cfg.scale
    if not 0.01 <= low <= high <= 100:
        raise InputError(f"--scale {low} {high}: give the smaller factor first, 0.01 to 100")
    if cfg.devices.mesh is not None and cfg.updates > 1:
        raise InputError(f"--updates {cfg.updates}: one batch a dispatch with --mesh")
    if cfg.devices.mesh is None and cfg.fsdp:
        raise InputError("--fsdp splits parameters over devices: name them with --mesh data=N")
    if cfg.devices.mesh is not None and cfg.cache == "device":
        raise InputError("--cache device keeps images on one device: use host with --mesh")
    if cfg.voc is None and cfg.preset != "demo":
        raise InputError(
            "--voc is missing: name the VOCdevkit folder or VOCtrainval_11-May-2012.tar, "
            "or train on the embedded scenes with --preset demo"
        )


def run(cfg: Config, bar: Bar) -> dict:
    """Train the stages (or go on with them); returns and writes the summary (process 0 alone)."""
    check(cfg)
    names = [f"fcn{stride}s" for stride in cfg.stages]

    def train(config: dict[str, Any], record: dict[str, Any] | None, mesh: Mesh | None) -> dict:
        return fcn_stages.run_stages(cfg, config, record, mesh, bar)

    summary = train_everywhere(cfg, bar, train, free=FREE, parts=names)
    if not summary:
        return {}
    for name in names:
        bar.line(
            "{name}: mean IU {mean_iu:.1%}, pixel accuracy {pixel_accuracy:.1%}, mean image "
            "accuracy {mean_image_accuracy:.1%}, {seconds:.0f} s".format(name=name, **summary[name])
        )
    bar.line(f"report: {cfg.out / 'report.html'}")
    bar.warn(summary.get("warnings", ()))
    return summary


if __name__ == "__main__":
    cpu.start()
    if sys.argv[1:2] == ["predict"]:
        from experiments import fcn_predict

        main(lambda: fcn_predict.predict(sys.argv[2:]))
    elif sys.argv[1:2] == ["plan"]:
        from experiments import plan  # the other experiments', too

        main(lambda: plan.fcn(sys.argv[2:], Config, PRESETS))
    else:
        prog = "python -m experiments.fcn"
        main(lambda: run(started(parse(Config, PRESETS, sys.argv[1:], prog)), Bar()))
