"""``jaxdl fcn predict``: classes and overlays of a user's own images."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError
from jaxdl.fcn.data import voc
from jaxdl.fcn.data.decode import read_photo
from jaxdl.fcn.models.fcn import FCN
from jaxdl.fcn.stages import find
from jaxdl.fcn.task import make_predict
from jaxdl.files.results import Results
from jaxdl.files.text import clip, reason
from jaxdl.report.pictures import overlay
from jaxdl.training.checkpoint import best_step, load_params


def read_meta(meta: Any, folder: Path) -> tuple[FCN, jax.Array, np.ndarray, list[str]]:
    """Network, mean colour, colours (256, 3) and class names, as a checkpoint may claim them."""
    try:
        model, mean = FCN(**meta["model"]), jnp.asarray(meta["mean"], jnp.float32)
        names = [clip(str(name), 100) for name in meta["classes"]]
        colours = np.full((256, 3), 255, np.uint8)
        colours[: len(meta["palette"])] = meta["palette"]
        if mean.shape != (3,) or model.num_classes != len(names) or len(names) > voc.VOID:
            raise ValueError(f"{model.num_classes} classes, {len(names)} names, mean {mean}")
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        text = f"its meta is not that of an FCN ({reason(error)}); name another checkpoint"
        raise InputError(f"{folder}: {text}") from error
    return model, mean, colours, names


def predict(
    run: Path, images: Sequence[Path], *, which: Literal["latest", "best"], out: Path
) -> None:
    """Write NAME_classes.png and NAME_overlay.png of each image, and print its classes' shares.

    Every image is read first, so that a bad one stops it before any work.

    Args:
        run: run folder (its last stage) or stage folder.
        images: pictures of any size.
        which: the last checkpoint, or that of the best test mean IU.
        out: folder of the results; earlier ones of this command are replaced, no other files.
    """
    bar = Bar()
    if not images:
        raise InputError("name at least one image")
    stems = [path.stem for path in images]
    if len(set(stems)) < len(stems):
        twice = next(s for s in stems if stems.count(s) > 1)
        raise InputError(f"two images are called {twice}: their results would be one file")
    results = Results("jaxdl fcn predict", images)
    for stem in stems:
        for kind in ("classes", "overlay"):
            results.check(out / f"{stem}_{kind}.png")
    photos = [read_photo(path) for path in images]
    folder = find(run)
    step = best_step(folder) if which == "best" else None
    params, meta, step = load_params(folder, step)
    model, mean, colours, names = read_meta(meta, folder)
    classify = make_predict(model, mean)
    bar.line(f"{folder} step {step}: FCN-{model.stride}s, {model.num_classes} classes")
    for path, photo in zip(images, photos, strict=True):
        classes = classify(params, photo)
        indexed = Image.fromarray(classes)
        indexed.putpalette(colours.ravel().tolist())
        pictures = {
            "classes": indexed,
            "overlay": Image.fromarray(overlay(photo, classes, colours)),
        }
        for kind, picture in pictures.items():
            file = io.BytesIO()  # Pillow, writing to a file, does not say that a disk is full
            picture.save(file, "PNG")
            results.write(out / f"{path.stem}_{kind}.png", file.getvalue())
        shares = np.bincount(classes.ravel(), minlength=model.num_classes) / classes.size
        found = [f"{names[c]} {shares[c]:.1%}" for c in np.argsort(-shares) if shares[c] > 0]
        size = f"{photo.shape[1]}x{photo.shape[0]}"
        bar.line(f"{path} ({size}): {', '.join(found)} -> {out}/{path.stem}_overlay.png")
