"""Options of the commands that use or plan FCNs; no jax is imported here."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from jaxdl.cli import plan_options
from jaxdl.cli.compiling import Compiling
from jaxdl.cli.options import Command, Range
from jaxdl.errors import InputError
from jaxdl.fcn.choices import ExportFormat, Layout, Output, Platform, Probabilities, Split
from jaxdl.fcn.config import DATA, OLD, PRESETS, RENAMED_VALUES, Config, DataOptions


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Predict:
    """What `predict` reads and writes."""

    run: Annotated[Path, tyro.conf.Positional]
    """A run folder (its last stage is used) or a stage folder."""
    images: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Pictures of any size (JPEG, PNG, WebP, GIF, BMP, TIFF or PPM, told by their content), folders
    of them, quoted patterns such as 'photos/**/*.jpg', and lists (.txt, a path a line)."""
    which: Literal["latest", "best"] = "best"
    """The last checkpoint is used, or that of the best test mean IU."""
    out: Path = Path("predictions")
    """NAME_classes.png and NAME_overlay.png are written into this folder. Of earlier files only
    this command's own are replaced."""
    probabilities: Probabilities = "none"
    """The probability of each class is written too. npz: NAME_probabilities.npz, float16 (h, w, c).
    png: NAME_CLASS.png of each class, grey; 255 is certain."""
    tile: Annotated[int | None, Range(64, multiple=32)] = None
    """Images are computed in tiles of this side, in bounded memory; 1024 is usual. Without it they
    are computed whole."""
    overlap: Annotated[int | None, Range(0, multiple=32)] = None
    """Tiles overlap by so many pixels. By default by what makes the result that of the whole image
    (288 to 384), or by half a tile if that is less: they are then blended."""
    compiling: Annotated[Compiling, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=Compiling
    )
    """Compiled programs."""


PREDICT = Command(
    prog="jaxdl fcn predict",
    about="Write a palette PNG of the classes and an overlay for each image.",
    options=Predict,
    groups={
        "Data": ("run", "images"),
        "Model": ("which",),
        "Output": ("out", "probabilities"),
        "Devices": ("tile", "overlap", "compile_cache"),
    },
    examples=(
        (
            "jaxdl fcn predict runs/demo/fcn photo.jpg",
            "Classes of one photo, by the demo's FCN-8s.",
        ),
        (
            "jaxdl fcn predict runs/voc/fcn16s photos/ --probabilities png --tile 1024",
            "All photos of a folder, by one stage; large ones in parts.",
        ),
    ),
    renamed={"checkpoint": "run"},
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Evaluate(DataOptions):
    """What `evaluate` reads and writes."""

    run: Annotated[Path, tyro.conf.Positional]
    """A run folder (its last stage is used) or a stage folder."""
    data: Path | None = None
    """Images and masks, in any form that train takes; without it those of the run, and its split.
    Their classes are matched by name with the checkpoint's."""
    split: Split = "auto"
    """auto: the data's own lists train and val, or else random, as in train."""
    side: Literal["test", "train", "all"] = "test"
    """This side of the split is evaluated, or every image."""
    seed: Annotated[int, Range(0)] = 0
    """Random seed of a random split."""
    which: Literal["latest", "best"] = "best"
    """The last checkpoint is used, or that of the best test mean IU."""
    out: Path = Path("evaluation")
    """metrics.json, images.csv, evaluation.html, confusion.csv and .png go into this folder. Of
    earlier files only this command's own are replaced."""
    compiling: Annotated[Compiling, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=Compiling
    )
    """Compiled programs."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Compare:
    """What `compare` reads and writes."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders, or folders of stages."""
    out: Path = Path("compare.html")
    """The page. An earlier one is replaced if this command wrote it."""


COMPARE = Command(
    prog="jaxdl fcn compare",
    about="Show the stages of runs beside each other: a table, and a page with their curves.",
    options=Compare,
    groups={"Data": ("runs",), "Output": ("out",)},
    examples=(
        ("jaxdl fcn compare runs/a runs/b", "Two runs, all their stages."),
        ("jaxdl fcn compare runs/a/fcn8s runs/b/fcn8s --out ab.html", "Their FCN-8s alone."),
    ),
)
# What a run's record tells of its data.
EVALUATED = (*(field.name for field in dataclasses.fields(DataOptions)), "seed")
EVALUATE = Command(
    prog="jaxdl fcn evaluate",
    about="Compute every metric of a trained run on labelled images, and write a page.",
    options=Evaluate,
    groups={
        "Data": ("run", "side", *(n for n in DATA if n != "scenes"), "seed", "data_dir"),
        "Model": ("which",),
        "Output": ("out",),
        "Devices": ("compile_cache",),
    },
    examples=(
        ("jaxdl fcn evaluate runs/demo/fcn", "Its own test images, by its FCN-8s."),
        (
            "jaxdl fcn evaluate runs/voc/fcn16s --data photos --side all",
            "Every pair of a folder, by one stage.",
        ),
    ),
    renamed={"voc": "data"},
    renamed_values=RENAMED_VALUES,
)


def check_given(options: Evaluate) -> None:
    """InputError for options of data, but no data: the run's own split is used then."""
    for field in dataclasses.fields(Evaluate):
        value = getattr(options, field.name)
        if field.name in EVALUATED and field.name != "data_dir" and value != field.default:
            flag = "--" + field.name.replace("_", "-")
            raise InputError(f"{flag}: goes with --data; without it the run's own split is used")


def data_config(options: Evaluate) -> Config:
    """A training's config with this data."""
    return dataclasses.replace(PRESETS["own"], **{n: getattr(options, n) for n in EVALUATED})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What `export` reads and writes."""

    run: Annotated[Path, tyro.conf.Positional]
    """A run folder (its last stage is used; all of them by page) or a stage folder."""
    format: ExportFormat = "safetensors"
    """safetensors: parameters and metadata, which jaxdl reads again. onnx: a graph for any size of
    image (pip install 'jaxdl-functional[onnx]'). stablehlo: a program of jax.export for one size
    (pip install 'jaxdl-functional[stablehlo]'). page: predict.html, which runs the networks in a
    browser."""
    which: Literal["latest", "best"] = "best"
    """The last checkpoint is used, or that of the best test mean IU."""
    output: Output = "probabilities"
    """What the graph or program gives for each pixel."""
    size: Annotated[tuple[int, int], Range(1, 16384)] = (512, 512)
    """Largest height and width of an image of stablehlo's."""
    batch_size: Annotated[int, Range(1, 4096)] = 1
    """Images at once of stablehlo's."""
    platforms: tuple[Platform, ...] = ("cpu", "cuda")
    """That stablehlo's program runs on."""
    layout: Layout = "jaxdl"
    """Keys of safetensors: jaxdl's, or torchvision's of VGG-16's features, the trunk alone."""
    out: Path = Path("exported")
    """The model, README.md and example.py (of page: predict.html alone) are written into this
    folder. Of earlier files only this command's own are replaced."""


EXPORT = Command(
    prog="jaxdl fcn export",
    about="Write a trained network for other programs, with a card and an example that runs it.",
    options=Export,
    groups={
        "Data": ("run",),
        "Model": ("which",),
        "Output": ("format", "output", "size", "batch_size", "platforms", "layout", "out"),
    },
    examples=(
        ("jaxdl fcn export runs/demo/fcn --format onnx", "For ONNX Runtime, images of any size."),
        ("jaxdl fcn export runs/demo/fcn --format page", "A page that segments photos."),
    ),
)
# The formats that an option goes with.
_GOES_WITH: dict[str, tuple[ExportFormat, ...]] = {
    "output": ("onnx", "stablehlo"),
    "size": ("stablehlo",),
    "batch_size": ("stablehlo",),
    "platforms": ("stablehlo",),
    "layout": ("safetensors",),
}


def check_export(options: Export) -> None:
    """InputError for an option that the format does not have."""
    given = [f.name for f in dataclasses.fields(Export) if getattr(options, f.name) != f.default]
    for name, formats in _GOES_WITH.items():
        if name in given and options.format not in formats:
            flag, others = f"--{name.replace('_', '-')}", " or ".join(formats)
            raise InputError(f"{flag}: goes with --format {others}, not {options.format}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan(plan_options.Options):
    """What `plan` computes."""

    stride: Literal[32, 16, 8] = 32
    """Stride of the FCN."""
    canvas: Annotated[tuple[int, int], Range(32, multiple=32)] = (512, 512)
    """Height and width of the padded images."""
    classes: Annotated[int, Range(1, 255)] = 21
    """Number of classes."""
    strong: bool = False
    """All devices together have --batch-size images; without it, each device has."""
    config: Annotated[Config, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Config)
    """The run that is planned."""


PLAN = Command(
    prog="jaxdl fcn plan",
    about=plan_options.ABOUT,
    options=Plan,
    presets={name: Plan(config=config) for name, config in PRESETS.items()},
    groups={
        "Data": ("canvas", "classes"),
        "Model": ("preset", "stride", "width_divisor"),
        "Training": ("batch_size", "strong", "accumulate", "bfloat16", "remat", "fsdp"),
        **plan_options.GROUPS,
    },
    examples=(
        ("jaxdl fcn plan --card h100 --fsdp --batch-size 16", "FCN-32s on 1 to 1024 H100."),
        ("jaxdl fcn plan --stride 8 --devices 1 8 --bfloat16", "FCN-8s on one host of 8."),
    ),
    **OLD,
)
