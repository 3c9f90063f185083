"""``jaxdl fcn check``: what training would find in a data set, and a page to look at."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int32

from jaxdl.cli.progress import Bar
from jaxdl.errors import InputError
from jaxdl.fcn.config import Config
from jaxdl.fcn.data import splits, voc
from jaxdl.fcn.data.decode import VOID, is_turned, read_image
from jaxdl.fcn.data.records import count_pixels, read_pair
from jaxdl.fcn.data.source import Source
from jaxdl.fcn.dataset import class_weights, data_warnings, open_source
from jaxdl.files.text import clip, visible
from jaxdl.report import page
from jaxdl.report.pictures import jpeg_uri, overlay

PICTURES, COLUMNS = 24, 4
_ERRORS = 20  # shown


class Looked(NamedTuple):
    """One image and its label."""

    id: str
    size: tuple[int, int]  # height, width
    pixels: Int32[np.ndarray, " 256"]
    sha256: str
    turned: bool  # by its EXIF tag


def check_data(cfg: Config, bar: Bar) -> Path:
    """Look at every pair, print what was found, and write ``check.html``; returns its path.

    Raises:
        InputError: training would refuse the data; after the page is written, if one can be made.
    """
    source, split = open_source(cfg, bar)
    found: dict[str, list[Looked]] = {"train": [], "test": []}
    errors: list[str] = []
    every = [(side, id) for side in found for id in getattr(split, side)]
    with bar.task("looking at images") as progress:
        for done, (side, id) in enumerate(every):
            try:
                found[side].append(_look(source, id))
            except InputError as error:
                errors.append(str(error))
            progress(done + 1, len(every))
    counts = {side: _pixels(looked) for side, looked in found.items()}
    warnings: list[str] = []
    if not errors:
        hashes = {one.id: one.sha256 for looked in found.values() for one in looked}
        try:
            class_weights(cfg, tuple(source.classes), counts["train"])
            warnings = data_warnings(
                *(cfg, source.classes, split, counts["train"], counts["test"], hashes),
                source.label_name,
            )
        except InputError as error:
            errors.append(str(error))
    rows = _class_rows(source.classes, counts)
    facts = _facts(cfg, source, split, found, counts)
    for name, value in facts.items():
        bar.line(f"{name}: {value}")
    for value, name, *cells in rows:
        bar.line(f"  {value:>3} {name}: {' | '.join(cells)}")
    path = cfg.out / "check.html"
    section = page.render(
        "fcn_check",
        facts=facts,
        classes=rows,
        pictures=_pictures(source, [*found["train"], *found["test"]][:PICTURES]),
        legend_of=[
            (clip(name, 60), f"#{bytes(voc.palette()[n]).hex()}")
            for n, name in enumerate(source.classes)
        ],
        errors=[clip(text, 500) for text in errors[:_ERRORS]],
        notes=[clip(text, 500) for text in warnings],
    )
    page.write_page(path, "jaxdl: the data", [page.Section("Images and masks", section)], {})
    bar.warn(warnings)
    bar.line(f"page: {path}")
    if errors:
        more = f" (and {len(errors) - 1} more, on the page)" if len(errors) > 1 else ""
        raise InputError(f"{errors[0]}{more}")
    return path


def _look(source: Source, id: str) -> Looked:
    image, label = read_pair(source, id, len(source.classes))
    height, width = label.shape
    turned = is_turned(image, source.image_name(id))
    digest = hashlib.sha256(image).hexdigest()
    return Looked(id, (height, width), count_pixels(label), digest, turned)


def _pixels(looked: Sequence[Looked]) -> Int32[np.ndarray, "n 256"]:
    return np.array([one.pixels for one in looked], np.int32).reshape(-1, VOID + 1)


def _facts(
    cfg: Config,
    source: Source,
    split: splits.Split,
    found: dict[str, list[Looked]],
    counts: dict[str, np.ndarray],
) -> dict[str, str]:
    """What is known of the whole, in words."""
    looked = [one for side in found.values() for one in side]
    sizes = sorted({one.size for one in looked}, key=lambda size: size[0] * size[1])
    pixels = np.concatenate(list(counts.values())).sum(0)
    facts = {
        "data": visible(str(cfg.data or "drawn scenes")),
        "images": f"{len(split.train)} to train on, {len(split.test)} to test on",
        "classes": str(len(source.classes)),
    }
    if looked:
        smallest, largest = ("{} x {}".format(*size) for size in (sizes[0], sizes[-1]))
        facts["sizes"] = f"{smallest} to {largest} (height x width), {len(sizes)} different"
        facts["void"] = f"{pixels[VOID] / max(1, pixels.sum()):.1%} of the pixels"
        facts["turned by EXIF"] = f"{sum(one.turned for one in looked)} images"
        first: dict[str, str] = {}
        twice = [
            (first[one.sha256], one.id)
            for one in looked
            if first.setdefault(one.sha256, one.id) != one.id
        ]
        shown = f", such as {visible(twice[0][0])} and {visible(twice[0][1])}" if twice else ""
        facts["the same file twice"] = f"{len(twice)} images{shown}"
    return facts


def _class_rows(classes: Sequence[str], counts: dict[str, np.ndarray]) -> list[list[str]]:
    """Value, name, and of each side the images with the class and its share of the pixels."""
    rows = []
    for number, name in [*enumerate(classes), (VOID, "void")]:
        cells = []
        for pixels in counts.values():
            share = pixels[:, number].sum() / max(1, pixels.sum())
            cells += [f"{np.count_nonzero(pixels[:, number])}", f"{100 * share:.2f}"]
        rows.append([str(number), visible(clip(name, 60)), *cells])
    return rows


def _pictures(source: Source, looked: Sequence[Looked]) -> list[list[dict[str, Any]]]:
    """Rows of cells: the mask over the image."""
    cells = []
    for one in looked:
        pair = read_pair(source, one.id, len(source.classes))
        image = read_image(pair.image, source.image_name(one.id))
        uri = jpeg_uri(overlay(image, pair.label, voc.palette()))
        cells.append({"uri": uri, "text": clip(one.id, 60)})
    return [cells[n : n + COLUMNS] for n in range(0, len(cells), COLUMNS)]
