"""``jaxdl fcn predict``: classes and overlays of a user's own images."""

import io
import time
from collections.abc import Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from PIL import Image

from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError, Skipped
from jaxdl.fcn.data.decode import read_photo
from jaxdl.fcn.data.layouts.given import IMAGES, files_of
from jaxdl.fcn.saved import Which, load
from jaxdl.fcn.task import make_predict, make_probabilities
from jaxdl.files.results import Results
from jaxdl.report.pictures import overlay


def predict(
    run: Path,
    inputs: Sequence[Path],
    *,
    which: Which = "best",
    probabilities: bool = False,
    out: Path,
) -> None:
    """Write NAME_classes.png and NAME_overlay.png of each image, and print its classes' shares.

    Args:
        run: run folder (its last stage) or stage folder.
        inputs: pictures of any size, and folders of them, whose folders are kept below `out`.
        which: the last checkpoint, or that of the best test mean IU.
        probabilities: write NAME_probabilities.npz too: float16 (h, w, c) and the names.
        out: folder of the results; earlier ones of this command are replaced, no other files.

    Raises:
        InputError: no picture could be read, or nothing may be written.
        Skipped: some could not be read; each was named.
    """
    bar, named = Bar(), name_results(inputs)
    kinds = ("classes.png", "overlay.png", *(("probabilities.npz",) if probabilities else ()))
    results = Results("jaxdl fcn predict", list(named.values()))
    for name in named:
        for kind in kinds:
            results.check(out / f"{name}_{kind}")
    saved = load(run, which)
    (model, params), (names, colours) = saved[:2], (saved.classes, saved.colours)
    mean = jnp.asarray(saved.mean, jnp.float32)
    call = make_probabilities(model, mean) if probabilities else make_predict(model, mean)
    bar.line(f"{saved.origin}: FCN-{model.stride}s, {model.num_classes} classes")
    bad: list[InputError] = []
    begin = time.monotonic()
    for name, path in named.items():
        try:
            photo = read_photo(path)
        except InputError as error:
            bad.append(error)
            bar.line(f"skipped: {error}")
            continue
        found = call(params, photo)
        classes = found.argmax(-1).astype(np.uint8) if probabilities else found
        files = _pictures(photo, classes, colours)
        if probabilities:
            file = io.BytesIO()
            np.savez_compressed(file, probabilities=found.astype(np.float16), names=names)
            files["probabilities.npz"] = file.getvalue()
        for kind, content in files.items():
            results.write(out / f"{name}_{kind}", content)
        shares = np.bincount(classes.ravel(), minlength=model.num_classes) / classes.size
        shown = [f"{names[c]} {shares[c]:.1%}" for c in np.argsort(-shares) if shares[c] > 0]
        size = f"{photo.shape[1]}x{photo.shape[0]}"
        bar.line(f"{path} ({size}): {', '.join(shown)} -> {out / name}_overlay.png")
    if len(bad) == len(named):
        raise bad[0]
    done, seconds = len(named) - len(bad), time.monotonic() - begin
    if done > 1:
        bar.line(f"{done} images in {seconds:.1f} s, {done / seconds:.2g} images/s")
    if bad:
        raise Skipped(f"{len(bad)} of {len(named)} images were skipped")


def name_results(inputs: Sequence[Path]) -> dict[str, Path]:
    """The images, each by the name of its results.

    An image that is named is called by its stem; one in a folder by its path from there. If two
    would be called alike, they keep their suffixes, and then the names of their folders.

    Raises:
        InputError: there is no image, or one file is named twice.
    """
    found: list[tuple[Path, Path]] = []  # path, path that names it
    for given in inputs:
        if given.is_dir():
            inside = files_of(given, IMAGES)
            if not inside:
                raise InputError(f"{given}: holds no picture; name a folder of JPEG or PNG files")
            found += [(path, path.relative_to(given)) for path in inside]
        else:
            found.append((given, Path(given.name)))
    if not found:
        raise InputError("name at least one image, or a folder of images")
    tries = (
        [rel.with_suffix("").as_posix() for _, rel in found],
        [rel.as_posix() for _, rel in found],
        ["_".join(path.resolve().parts[-2:]) for path, _ in found],
    )
    for names in tries:
        if len(set(names)) == len(names):
            return dict(zip(names, (path for path, _ in found), strict=True))
    names = tries[-1]
    twice = next(name for n, name in enumerate(names) if name in names[:n])
    raise InputError(f"two images are called {twice}: their results would be one file")


def _pictures(photo: np.ndarray, classes: np.ndarray, colours: np.ndarray) -> dict[str, bytes]:
    """The classes as a palette PNG, and the overlay."""
    indexed = Image.fromarray(classes)
    indexed.putpalette(colours.ravel().tolist())
    drawn = {"classes": indexed, "overlay": Image.fromarray(overlay(photo, classes, colours))}
    files = {}
    for kind, picture in drawn.items():
        file = io.BytesIO()  # Pillow, writing to a file, does not say that a disk is full
        picture.save(file, "PNG")
        files[f"{kind}.png"] = file.getvalue()
    return files
