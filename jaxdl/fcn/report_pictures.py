"""The pictures of a run's report: test images with each stage's classes, and the worst of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from jaxdl.errors import InputError
from jaxdl.fcn.data.archives import MOST
from jaxdl.fcn.data.decode import VOID, decode
from jaxdl.files.limits import read_bytes
from jaxdl.files.text import clip
from jaxdl.report.pictures import LARGE, Row, Tile, errors_uri, jpeg_uri, layer_uri
from jaxdl.report.plots import decimal
from jaxdl.report.reading import Notes

STAGES = {"fcn32s": "FCN-32s", "fcn16s": "FCN-16s", "fcn8s": "FCN-8s"}
Colours = UInt8[np.ndarray, "256 3"]


def tiles(
    id: str,
    name: str,
    photo: UInt8[np.ndarray, "h w 3"],
    predicted: Mapping[str, tuple[UInt8[np.ndarray, "h w"] | None, str]],
    truth: UInt8[np.ndarray, "h w"] | None,
    colours: Colours,
    best: Sequence[str] = (),
) -> Row:
    """A photo, the classes that were predicted, and the true ones.

    Args:
        id: of the row.
        name: of the photo.
        photo: RGB.
        predicted: title -> classes, and what to say of them.
        truth: classes, 255 is void.
        colours: of the classes.
        best: titles of the best.
    """
    shown = clip(name, 60)
    row = [Tile("photo", shown, f"Photo {shown}")]
    for title, (classes, text) in predicted.items():
        layer = wrong = None
        if classes is not None:
            layer = layer_uri(classes, colours)
            if truth is not None:
                wrong = errors_uri((classes != truth) & (truth != VOID))
        row.append(Tile(title, text, f"{title}, {shown}", layer, wrong, title in best))
    layer = None if truth is None else layer_uri(truth, colours)
    row.append(Tile("truth", "", f"Ground truth, {shown}", layer))
    height, width = photo.shape[:2]
    return Row(id, jpeg_uri(photo, LARGE), (width, height), row)


def samples(stages: Sequence[str], notes: Notes) -> tuple[list[Row], Colours]:
    """A row for each test image that the run shows; the classes' colours."""
    listed = notes.json("samples/samples.json", [{"id": str}], [])
    wanted = {str: (float, None)}
    scores = {s: notes.json(f"{s}/samples/accuracy.json", wanted, {}) for s in stages}
    rows, palettes = [], []
    for number, name in enumerate(sample["id"] for sample in listed):
        truth = notes.read(_labels, f"samples/{name}_truth.png", None)
        palettes += [] if truth is None else [_colours(truth)]
        known = {s: score[name] for s, score in scores.items() if score.get(name) is not None}
        top = max(known.values(), default=0.0) if len(known) > 1 else None
        layers = {
            STAGES[s]: (
                notes.read(_labels, f"{s}/samples/{name}.png", None),
                f"{decimal(known.get(s), 100)} %",
            )
            for s in stages
        }
        rows.append(
            _row(
                *(f"sample-{number}", "samples", name, layers, truth, palettes, notes),
                best=[STAGES[s] for s in stages if top is not None and known.get(s) == top],
            )
        )
    return rows, palettes[0] if palettes else _colours(None)


def worst(stage: str, notes: Notes) -> list[Row]:
    """A row for each of the test images of the lowest mean IU, if the run has looked."""
    folder = f"{stage}/worst"
    if not (notes.run / folder).is_dir():
        return []
    rows = []
    for number, each in enumerate(
        notes.json(f"{folder}/worst.json", [{"id": str, "mean_iu": (float, None)}], [])
    ):
        name = each["id"]
        truth = notes.read(_labels, f"{folder}/{name}_truth.png", None)
        text = f"mean IU {decimal(each['mean_iu'], 100)} %"
        layers = {STAGES[stage]: (notes.read(_labels, f"{folder}/{name}.png", None), text)}
        palettes = [] if truth is None else [_colours(truth)]
        rows.append(_row(f"worst-{number}", folder, name, layers, truth, palettes, notes))
    return rows


def _row(
    id: str,
    folder: str,
    name: str,
    layers: Mapping[str, tuple[Image.Image | None, str]],
    truth: Image.Image | None,
    palettes: Sequence[Colours],
    notes: Notes,
    best: Sequence[str] = (),
) -> Row:
    """A row of what could be read; what has another size than the photo is noted."""
    photo = notes.read(_photo, f"{folder}/{name}.jpg", None)
    shown = clip(name, 60)
    if photo is None:
        alone = [Tile(title, text, "") for title, (_, text) in layers.items()]
        return Row(id, None, (1, 1), [Tile("photo", shown, ""), *alone, Tile("truth", "", "")])

    def fitting(title: str, picture: Image.Image | None) -> np.ndarray | None:
        if picture is not None and picture.size != photo.shape[1::-1]:
            notes.append(f"{title} of {name}: its size is not that of the photo")
            return None
        return None if picture is None else np.array(picture)

    fitted = {title: (fitting(title, layer), text) for title, (layer, text) in layers.items()}
    colours = palettes[0] if palettes else _colours(None)
    return tiles(id, name, photo, fitted, fitting("Ground truth", truth), colours, best)


def _photo(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    return np.array(decode(read_bytes(path, MOST), str(path), ("JPEG",)).convert("RGB"))


def _labels(path: Path) -> Image.Image:
    """A label picture whose pixels are class numbers; InputError if it is a colour picture."""
    picture = decode(read_bytes(path, MOST), str(path), ("PNG",))
    if picture.mode not in ("P", "L"):
        raise InputError(f"{path}: is {picture.mode}, not a palette picture")
    return picture


def _colours(picture: Any) -> Colours:
    """The palette of a label picture, the rest of it grey."""
    palette = (picture.getpalette() if picture is not None else None) or []
    out = np.full((256, 3), 128, np.uint8)
    out.reshape(-1)[: len(palette)] = palette
    return out
