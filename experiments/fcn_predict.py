"""``python -m experiments.fcn predict``: classes and overlays of a user's own images."""

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import jax.numpy as jnp
import numpy as np
import tyro
from PIL import Image, ImageOps, UnidentifiedImageError

from experiments.command import Bar
from jaxdl import checkpoint, report
from jaxdl.errors import InputError
from jaxdl.figures import overlay
from jaxdl.models.fcn import FCN
from jaxdl.segmentation import make_predict


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Predict:
    """Write a palette PNG of the classes and an overlay for each image, of any size."""

    images: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Pictures that Pillow reads."""
    checkpoint: Path = Path("runs/demo/fcn")
    """Run folder (its last stage) or stage folder."""
    which: Literal["latest", "best"] = "latest"
    """The last checkpoint, or that of the best test mean IU."""
    out: Path = Path("predictions")
    """Where NAME_classes.png and NAME_overlay.png go."""


def read_photo(path: Path) -> np.ndarray:
    """uint8 RGB (h, w, 3), turned upright as its camera recorded."""
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            return np.asarray(upright.convert("RGB"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: cannot be read as an image ({error})") from error


def predict(argv: Sequence[str]) -> None:
    """The command: reads every image first, so that a bad one stops it before any work."""
    options = tyro.cli(Predict, args=list(argv), prog="python -m experiments.fcn predict")
    bar = Bar()
    if not options.images:
        raise InputError("name at least one image")
    stems = [path.stem for path in options.images]
    if len(set(stems)) < len(stems):
        twice = next(s for s in stems if stems.count(s) > 1)
        raise InputError(f"two images are called {twice}: their results would be one file")
    photos = [read_photo(path) for path in options.images]
    folder = checkpoint.find(options.checkpoint)
    step = checkpoint.best_step(folder) if options.which == "best" else None
    params, meta, step = checkpoint.load_params(folder, step)
    model = FCN(**meta["model"])
    colours = np.full((256, 3), 255, np.uint8)
    colours[: len(meta["palette"])] = meta["palette"]
    run = make_predict(model, jnp.asarray(meta["mean"], jnp.float32))
    bar.line(f"{folder} step {step}: FCN-{model.stride}s, {model.num_classes} classes")
    for path, photo in zip(options.images, photos, strict=True):
        classes = run(params, photo)
        indexed = Image.fromarray(classes)
        indexed.putpalette(colours.ravel().tolist())
        pictures = {
            "classes": indexed,
            "overlay": Image.fromarray(overlay(photo, classes, colours)),
        }
        for kind, picture in pictures.items():
            file = io.BytesIO()
            picture.save(file, "PNG")
            report.write_bytes(options.out / f"{path.stem}_{kind}.png", file.getvalue())
        shares = np.bincount(classes.ravel(), minlength=model.num_classes) / classes.size
        found = [
            f"{meta['classes'][c]} {shares[c]:.1%}" for c in np.argsort(-shares) if shares[c] > 0
        ]
        size = f"{photo.shape[1]}x{photo.shape[0]}"
        bar.line(f"{path} ({size}): {', '.join(found)} -> {options.out}/{path.stem}_overlay.png")
