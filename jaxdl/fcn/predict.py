"""``jaxdl fcn predict``: classes and overlays of a user's own images."""

import io
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from jaxdl.cli.progress import Bar
from jaxdl.devices.cpu_memory import reuse_temp_memory
from jaxdl.devices.memory import check_memory
from jaxdl.errors import InputError, Skipped
from jaxdl.fcn.choices import Probabilities
from jaxdl.fcn.data.decode import LARGEST, MOST_PIXELS, photo_size, read_photo
from jaxdl.fcn.inputs import name_classes, name_results
from jaxdl.fcn.models.fcn import FCN
from jaxdl.fcn.saved import Which, load
from jaxdl.fcn.task import make_predict, make_probabilities, probabilities_batch
from jaxdl.fcn.tiles import Tiling, exact_overlap, pieces, tiling
from jaxdl.files.results import Results
from jaxdl.report.pictures import overlay

_BAND = 512  # rows of an overlay that are drawn at once
_TILED = "use --tile 1024, which computes it in parts"
_PARTS = "cut it into parts"
_BYTES = 22  # of a pixel, measured: decoded, its classes, its overlay as it is written


def predict(
    run: Path,
    inputs: Sequence[Path],
    *,
    which: Which = "best",
    probabilities: Probabilities = "none",
    tile: int | None = None,
    overlap: int | None = None,
    out: Path,
) -> None:
    """Write NAME_classes.png and NAME_overlay.png of each image, and print its classes' shares.

    Args:
        run: run folder (its last stage) or stage folder.
        inputs: pictures of any size, and what else `jaxdl.fcn.inputs.name_results` takes.
        which: the last checkpoint, or that of the best test mean IU.
        probabilities: npz: NAME_probabilities.npz too, float16 (h, w, c) and the names; png:
            NAME_CLASS.png of each class, grey, 255 is certain.
        tile: side of the tiles that a larger image is computed in; None: images whole.
        overlap: of tiles; see `jaxdl.fcn.tiles.tiling`.
        out: folder of the results; earlier ones of this command are replaced, no other files.

    Raises:
        InputError: no picture could be read, or nothing may be written.
        Skipped: some could not be read; each was named.
    """
    if tile is None and overlap is not None:
        raise InputError(f"--overlap {overlap}: is of tiles; give --tile too")
    bar, named = Bar(), name_results(inputs)
    saved = load(run, which, bar.line)
    (model, params), (names, colours) = saved[:2], (saved.classes, saved.colours)
    mean = jnp.asarray(saved.mean, jnp.float32)
    tiles = None if tile is None else tiling(tile, overlap, model.stride, model.align)
    kinds = ["classes.png", "overlay.png"]
    if probabilities == "npz":
        kinds.append("probabilities.npz")
    elif probabilities == "png":
        kinds += [f"{name}.png" for name in name_classes(names, ("classes", "overlay"))]
    results = Results("jaxdl fcn predict", list(named.values()))
    check_places(out, named, kinds, results)
    call = _call(model, params, mean, tiles, probabilities != "none")
    bar.line(f"{saved.origin}: FCN-{model.stride}s, {model.num_classes} classes")
    if tiles is not None:
        bar.line(_about(tiles, model))
    bad: list[InputError] = []
    begin = time.monotonic()
    for name, path in named.items():
        try:
            check_room(path, model, tiles, probabilities)
            photo = (
                read_photo(path, MOST_PIXELS, _TILED) if tile is None else read_photo(path, LARGEST)
            )
        except InputError as error:
            bad.append(error)
            bar.line(f"skipped: {error}")
            continue
        classes, chances = _gather(call(photo), photo.shape[:2], model.num_classes, probabilities)
        for kind, content in _files(photo, classes, colours, chances, kinds, names):
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


def check_places(out: Path, named: dict[str, Path], kinds: Sequence[str], results: Results) -> None:
    """InputError if two results would be one file, or one may not be written."""
    seen: set[str] = set()
    for name in named:
        for kind in kinds:
            file = f"{name}_{kind}"
            if file in seen:
                raise InputError(f"{out / file}: two results would be this file; rename an image")
            seen.add(file)
            results.check(out / file)


def check_room(path: Path, model: FCN, tiles: Tiling | None, probabilities: Probabilities) -> None:
    """InputError if an image, by its header, cannot be computed in this machine's memory."""
    height, width = photo_size(path)
    if tiles is not None and height * width > LARGEST:
        raise InputError(f"{path} ({width}x{height}): at most {LARGEST} pixels are read; {_PARTS}")
    classes = model.num_classes
    each = _BYTES + {"none": 0, "npz": 2, "png": 1}[probabilities] * classes
    band = 0
    if tiles is None:
        each += 4 * (64 // model.width + classes)  # the first convolution, and the scores
    elif not tiles.exact:
        band = 4 * classes * tiles.side * width
    remedy = _TILED if tiles is None else f"{_PARTS}, or leave out --probabilities"
    check_memory(f"{path} ({width}x{height})", height * width * each + band, remedy)


def _about(tiles: Tiling, model: FCN) -> str:
    """What the tiles of larger images mean for the result."""
    begin = f"tiles of {tiles.side}, overlap {tiles.overlap}: "
    if tiles.exact:
        return begin + "exact, cut in the middle of the overlap (the result of the whole image)"
    needed = exact_overlap(model.stride, model.align)
    return begin + (
        "blended, near seams not the result of the whole image; exact is --overlap "
        f"{needed} with a --tile above it"
    )


def _call(
    model: FCN, params: Any, mean: jax.Array, tiles: Tiling | None, probabilities: bool
) -> Callable[[np.ndarray], Iterator[tuple[slice, slice, np.ndarray]]]:
    """``call(photo)``: its parts, each as probabilities (h, w, c), or of whole images classes."""
    if tiles is not None:
        one = partial(reuse_temp_memory(jax.jit(probabilities_batch(model, mean))), params)
        return lambda photo: pieces(one, photo, tiles)
    whole = make_probabilities(model, mean) if probabilities else make_predict(model, mean)
    return lambda photo: iter([(slice(None), slice(None), whole(params, photo))])


def _gather(
    parts: Iterator[tuple[slice, slice, np.ndarray]],
    size: tuple[int, int],
    num_classes: int,
    probabilities: Probabilities,
) -> tuple[UInt8[np.ndarray, "h w"], np.ndarray | None]:
    """Classes, and probabilities as they are written: float16, or 0 to 255; None: they are not."""
    classes, chances = np.empty(size, np.uint8), None
    if probabilities != "none":
        kind = np.float16 if probabilities == "npz" else np.uint8
        chances = np.empty((*size, num_classes), kind)
    for rows, columns, found in parts:
        classes[rows, columns] = found if found.ndim == 2 else found.argmax(-1)
        if chances is not None:
            scaled = found if probabilities == "npz" else np.rint(255 * found)
            chances[rows, columns] = scaled
    return classes, chances


def _files(
    photo: UInt8[np.ndarray, "h w 3"],
    classes: UInt8[np.ndarray, "h w"],
    colours: UInt8[np.ndarray, "256 3"],
    chances: Float[np.ndarray, "h w c"] | UInt8[np.ndarray, "h w c"] | None,
    kinds: Sequence[str],
    names: Sequence[str],
) -> Iterator[tuple[str, bytes]]:
    """The results of an image, of each its kind and its file."""
    indexed = Image.fromarray(classes)
    indexed.putpalette(colours.ravel().tolist())
    yield kinds[0], _encoded(indexed)
    drawn = np.empty_like(photo)
    for top in range(0, len(photo), _BAND):
        rows = slice(top, top + _BAND)
        drawn[rows] = overlay(photo[rows], classes[rows], colours)
    yield kinds[1], _encoded(Image.fromarray(drawn))
    if chances is not None and chances.dtype == np.uint8:
        for number, kind in enumerate(kinds[2:]):
            yield kind, _encoded(Image.fromarray(np.ascontiguousarray(chances[..., number])))
    elif chances is not None:
        file = io.BytesIO()
        np.savez_compressed(file, probabilities=chances, names=names)
        yield kinds[2], file.getvalue()


def _encoded(picture: Image.Image) -> bytes:
    file = io.BytesIO()  # Pillow, writing to a file, does not say that a disk is full
    picture.save(file, "PNG")
    return file.getvalue()
