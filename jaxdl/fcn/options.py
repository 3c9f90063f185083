"""Options of the commands that use trained FCNs; no jax is imported here."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from jaxdl.cli.compiling import Compiling
from jaxdl.cli.options import Range
from jaxdl.fcn.choices import Probabilities


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
