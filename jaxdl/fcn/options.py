"""Options of the commands that use trained FCNs; no jax is imported here."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from jaxdl.cli.compiling import Compiling
from jaxdl.cli.options import Command, Range
from jaxdl.errors import InputError
from jaxdl.fcn.choices import Probabilities, Split
from jaxdl.fcn.config import DATA, PRESETS, RENAMED_VALUES, Config, DataOptions


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
