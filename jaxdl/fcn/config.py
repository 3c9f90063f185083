"""Options of FCN training, and their presets."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from jaxdl.cli.compiling import Compiling
from jaxdl.cli.devices import Devices
from jaxdl.cli.options import Range
from jaxdl.errors import InputError
from jaxdl.fcn.choices import VOC2012_MD5, Align, Cache, Reduction, SkipRates, Split, WeightsFormat
from jaxdl.training.schedules import Schedule

# What a run's results do not depend on: may differ when a run is resumed.
RESUMABLE = ("out", "overwrite", "resume", "cache", "data_dir", "devices", "compiling", "fsdp")
# Names of 0.1 -> today's.
RENAMED = {
    "voc": "data",
    "learning_rates": "learning_rate",
    "updates": "steps_per_dispatch",
    "width": "width_divisor",
}
GONE = ("width",)  # refused as a flag: elsewhere it was a length
RENAMED_VALUES = {"split": {"seed": "random-4-to-1"}}
OLD: dict[str, Any] = {"renamed": RENAMED, "gone": GONE, "renamed_values": RENAMED_VALUES}
# Options of one group of --help.
DATA = (
    *("data", "images", "masks", "class_names", "colours", "mask_values", "void"),
    *("split", "test_share", "split_by_prefix", "train_list", "test_list", "overfit"),
    *("sbd", "scenes", "voc_md5"),
)
STRIDES = (32, 16, 8)
AUGMENTATION = ("flip", "scale", "crop")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DataOptions:
    """What is trained or evaluated on."""

    data: Path | None = None
    """Images and masks: a folder of both, the VOCdevkit folder or tar, Cityscapes, COCO's
    annotations, labelme's or CVAT's export. The demo draws its own scenes."""
    images: Path | None = None
    """The images are in this folder, if its name does not tell."""
    masks: Path | None = None
    """The masks are in this folder, if its name does not tell."""
    class_names: tuple[str, ...] = ()
    """Class names in the order of the masks' values, the background first; by default those of
    class_names.txt or labelmap.txt in the data."""
    colours: Path | None = None
    """The masks are pictures in colours, which this file names: r g b name, one a line."""
    mask_values: Annotated[tuple[int, ...], Range(0, 255)] = ()
    """The masks' grey value of each class, such as 0 255 for masks in black and white."""
    void: Annotated[int | None, Range(0, 255)] = None
    """Pixels of this value count for nothing; by default 255, if it is no class."""
    voc_md5: str = VOC2012_MD5
    """A tar must have this md5."""
    sbd: Path | None = None
    """SBD's labels are added: its benchmark_RELEASE folder, or benchmark.tgz."""
    split: Split = "random-4-to-1"
    """auto: the data's own lists train and val, or else random: --test-share of the images is
    tested on. random-4-to-1 is the 2016 posts'. official: train and val. seg11valid: SBD's train
    and the papers' test list."""
    test_share: Annotated[float, Range(0.01, 0.99)] = 0.2
    """A random split tests on this share of the images."""
    split_by_prefix: bool = False
    """Frames of one film stay on one side of a random split: names that differ in a number."""
    overfit: Annotated[int | None, Range(1)] = None
    """Train and test on so many images, the same: the first check of a network."""
    train_list: Path | None = None
    """A file of training ids, one a line, replaces the split's."""
    test_list: Path | None = None
    """A file of test ids, one a line, replaces the split's."""
    data_dir: Path = Path("data")
    """Prepared data is kept in this folder."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config(DataOptions):
    """Train fcn32s, fcn16s and fcn8s, each from the checkpoint of the one before."""

    preset: Literal["demo", "voc", "paper", "own", "finetune"] = "voc"
    """The preset chooses the defaults of all other options; without it, --data that is not PASCAL
    VOC means own. finetune is that of jaxdl fcn finetune."""
    out: Path = Path("runs/voc")
    """The run folder gets checkpoints, metrics, pictures and report.html."""
    resume: bool = True
    """A run that stopped is resumed; --no-resume refuses a folder that holds a run."""
    overwrite: bool = False
    """It trains again from the start; a killed command resumes its own run."""
    scenes: Annotated[tuple[int, int], Range(1)] = (800, 100)
    """The demo draws so many training and test scenes."""
    cache: Cache = "host"
    """Decoded images are kept in the host's memory, on the device, or nowhere (each is decoded
    again each time)."""
    canvases: Annotated[int, Range(1)] = 3
    """Images are padded to so many sizes at most, each a compiled program."""
    weights: Path | None = None
    """The trunk starts from VGG-16's ImageNet weights (.safetensors, .npz, .h5, .onnx, .pth)."""
    weights_format: WeightsFormat | None = None
    """The weights' format, if the file does not tell it."""
    start_from: Path | None = None
    """The first stage starts from this checkpoint: a run (its last stage), a stage, one step; of
    several steps the one of the best test mean IU. Scores are passed on by class name."""
    optimizer: Literal["fresh", "kept"] = "fresh"
    """kept: the momentum of --start-from is kept; stride, classes and optimiser stay the same."""
    stages: tuple[Literal[32, 16, 8], ...] = (32, 16, 8)
    """Strides to train, in this order. By default own leaves out those that are too coarse for the
    images, and finetune trains that of its checkpoint."""
    epochs: Annotated[tuple[int, ...], Range(0, 100_000)] = (60,)
    """Epochs of each stage: one number for all stages, or one for each. 0 lets the data decide."""
    early_stop: Annotated[int | None, Range(1)] = None
    """A stage ends when its test mean IU has not become better for so many epochs."""
    learning_rate: Annotated[tuple[float, ...], Range(0, above=True)] = (1e-4,)
    """Peak learning rate: one number for all stages, or one for each."""
    head_learning_rate: Annotated[tuple[float, ...], Range(0, above=True)] = ()
    """Peak learning rate of the score layers: one number for all stages, or one for each. By
    default it is that of the trunk."""
    skip_rates: SkipRates = "measured"
    """measured: the scores of pool4 and pool3 learn as much slower as these are larger than pool5;
    same: at the rate of the rest, for learning rates that fall from stage to stage."""
    schedule: Schedule = "constant"
    """The learning rate's course after its warm-up; poly is the rate times (1 - step / steps)
    ** 0.9."""
    warmup: Annotated[int, Range(0)] = 0
    """The learning rate rises linearly for so many steps of each stage."""
    momentum: Annotated[float, Range(0, 1)] = 0.9
    """Momentum of the SGD."""
    weight_decay: Annotated[float, Range(0)] = 5e-4
    """L2 decay, added to the gradient before the momentum."""
    bias_rule: bool = False
    """Biases learn at twice the rate, without decay, as in the papers."""
    clip_norm: Annotated[float | None, Range(0, above=True)] = None
    """The gradient's global norm is clipped to this; by default it is not clipped."""
    reduction: Reduction = "mean"
    """The loss is the mean or the sum over a batch's valid pixels; a sum's rate is the mean's
    divided by their number."""
    class_weights: tuple[str, ...] = ()
    """Weight of each class in the training loss: one number for each class, or auto, by median
    frequency balancing over the training labels. By default all pixels count alike."""
    dice: Annotated[float, Range(0)] = 0.0
    """The training loss is the cross-entropy plus this many times the soft Dice loss."""
    batch_size: Annotated[int, Range(0)] = 1
    """Images in a batch; 0 lets the data decide. They share a canvas; sizes may differ. With --mesh
    all devices together have so many."""
    steps_per_dispatch: Annotated[int, Range(1)] = 1
    """So many batches are trained on in one dispatch, one after another. This helps GPUs; XLA's
    convolutions are slow in a loop on a CPU."""
    accumulate: Annotated[int, Range(1)] = 1
    """An update uses the exact gradient of so many batches together."""
    width_divisor: Annotated[int, Range(1, 512)] = 1
    """The trunk's channel counts are VGG-16's divided by this."""
    flip: bool = False
    """Half of the training images are mirrored."""
    scale: Annotated[tuple[float, float], Range(0.01, 100)] = (1.0, 1.0)
    """Training images are scaled by a random factor between these two; 0.5 2 is usual."""
    crop: Annotated[int | None, Range(32)] = None
    """A random square of this side is cut from larger training images."""
    freeze: Literal["none", "trunk"] = "none"
    """trunk: the convolutions keep their weights, and the scores alone learn: minutes on a CPU."""
    align: Align = "exact"
    """Alignment of the upsampling: exact, or center as in the Chainer of 2016."""
    remat: bool = False
    """The trunk's activations are computed again for the gradient, which saves memory."""
    bfloat16: bool = False
    """Activations are bfloat16; parameters and loss stay float32."""
    samples: Annotated[int, Range(1)] = 8
    """The report shows so many test images."""
    seed: Annotated[int, Range(0)] = 0
    """Random seed of the start, the order of images, the random split and the demo's scenes."""
    fsdp: bool = False
    """Parameters and optimiser state are split over the devices too (with --mesh)."""
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
        learning_rate=(0.1, 0.05, 0.05),
        schedule="cosine",
        warmup=40,
        weight_decay=1e-4,
        clip_norm=1.0,
        batch_size=8,
        width_divisor=8,
    ),
    "voc": Config(),
    # Stages, epochs and batch are what `jaxdl.fcn.own` makes of the data.
    "own": Config(
        preset="own",
        out=Path("runs/own"),
        split="auto",
        stages=(),
        epochs=(0,),
        batch_size=0,
        learning_rate=(0.05, 0.05, 0.02),
        warmup=40,
        schedule="cosine",
        weight_decay=1e-4,
        clip_norm=1.0,
        width_divisor=8,
    ),
    # Stages, width, alignment and rate are those of the checkpoint (`jaxdl.fcn.settle`); epochs and
    # batch are what `jaxdl.fcn.own` makes of the data.
    "finetune": Config(
        preset="finetune",
        out=Path("runs/finetune"),
        split="auto",
        stages=(),
        epochs=(0,),
        batch_size=0,
        learning_rate=(),
        warmup=10,
        schedule="cosine",
        weight_decay=1e-4,
        clip_norm=1.0,
    ),
    "paper": Config(
        preset="paper",
        out=Path("runs/paper"),
        split="seg11valid",
        epochs=(12,),  # 100,000 iterations of one image are 11.8 epochs of 8,498
        learning_rate=(1.9e-5, 1.9e-7, 1.9e-9),
        skip_rates="same",  # these rates are the papers' cure for the same
        momentum=0.99,
        weight_decay=5e-4 / 187_500,
        bias_rule=True,
    ),
}


def for_each_stage(cfg: Config) -> Config:
    """The config with a number of epochs and learning rates for each of its stages.

    What the preset gives for its own stages goes to the same strides if there are fewer of them.
    Stages that the data is to choose are all three until then.

    Raises:
        InputError: neither one value for all stages nor one for each.
    """
    stages = cfg.stages or STRIDES
    count, values = len(stages), {}
    head = ("head_learning_rate",) if cfg.head_learning_rate else ()
    for name in ("epochs", "learning_rate", *head):
        given, own = getattr(cfg, name), getattr(PRESETS[cfg.preset], name)
        if given == own and len(given) not in (1, count):
            by_stride = dict(zip(PRESETS[cfg.preset].stages or STRIDES, own, strict=True))
            given = tuple(by_stride[stride] for stride in stages)
        if len(given) not in (1, count):
            flag, shown = "--" + name.replace("_", "-"), " ".join(map(str, given))
            raise InputError(
                f"{flag} {shown}: give one value, or {count}, one for each of --stages"
            )
        values[name] = given * count if len(given) == 1 else given
    return dataclasses.replace(cfg, **values)


def given_class_weights(cfg: Config) -> tuple[float, ...] | None:
    """The numbers of --class-weights; None if it is auto, or left out.

    Raises:
        InputError: neither auto nor numbers of 0 and more, some of them above 0.
    """
    if cfg.class_weights in ((), ("auto",)):
        return None
    try:
        numbers = tuple(map(float, cfg.class_weights))
    except ValueError:
        numbers = ()
    if not any(numbers) or not all(number in Range(0) for number in numbers):
        raise InputError(
            f"--class-weights {' '.join(cfg.class_weights)}: give auto, or a number for each "
            "class, 0 or more, not all of them 0"
        )
    return numbers
