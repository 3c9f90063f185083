"""Pictures for the page. (Figures are in `jaxdl.report.plots`: matplotlib takes long to import.)"""

import base64
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Integer, UInt8
from PIL import Image

THUMBNAIL = 320
LARGE = 480  # of a picture that enlarges
_WRONG = np.array([[0, 0, 0], [224, 16, 58]], np.uint8)  # of an error map: nothing, red


class Tile(NamedTuple):
    """One picture of a row.

    Attributes:
        title: whose it is; plain text, as are the others.
        text: below it.
        alt: what it shows.
        layer: over the photo, as a data URI; None of the photo, or if there is none.
        errors: the pixels that are wrong, likewise.
        best: whether it is the best of its row.
    """

    title: str
    text: str
    alt: str
    layer: str | None = None
    errors: str | None = None
    best: bool = False


class Row(NamedTuple):
    """A photo, and layers over it; the first tile is the photo alone.

    Attributes:
        id: of the photo's element, not twice on a page.
        photo: as a data URI; None if there is none.
        size: width and height in pixels.
        tiles: the pictures.
    """

    id: str
    photo: str | None
    size: tuple[int, int]
    tiles: Sequence[Tile]

    @property
    def tiny(self) -> bool:
        """Whether it is shown larger than it is: its pixels then stay square."""
        return max(self.size) < 200


def overlay(
    image: UInt8[np.ndarray, "h w 3"],
    label: Integer[np.ndarray, "h w"],
    colours: UInt8[np.ndarray, "256 3"],
    alpha: float = 0.6,
) -> UInt8[np.ndarray, "h w 3"]:
    """A photo with its labels painted over it.

    Args:
        image: RGB photo.
        label: class of each pixel; 0 (background) leaves the photo, -1 or 255 (void) gives white.
        colours: RGB of each class.
        alpha: weight of the colour against the photo.
    """
    paint = colours[np.where(label < 0, 255, label)].astype(np.float32)
    mixed = np.rint(alpha * paint + (1 - alpha) * image).astype(np.uint8)
    void = (label < 0) | (label == 255)
    out = np.where((label == 0)[..., None], image, mixed)
    return np.where(void[..., None], np.uint8(255), out)


def jpeg_uri(image: UInt8[np.ndarray, "h w 3"], longest: int = THUMBNAIL) -> str:
    """A picture as a JPEG data URI, scaled down until no side is over `longest` pixels."""
    picture = Image.fromarray(image)
    picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return _uri(picture, "JPEG", quality=85)


def layer_uri(label: UInt8[np.ndarray, "h w"], colours: UInt8[np.ndarray, "n 3"]) -> str:
    """Labels as a PNG data URI to lie over a photo: 0 is transparent, 255 (void) white.

    As `jpeg_uri`, no side is over `LARGE` pixels.
    """
    values, places = np.unique(label, return_inverse=True)
    picture = Image.fromarray(places.reshape(label.shape).astype(np.uint8))
    seen = np.where((values == 255)[:, None], 255, colours[np.minimum(values, len(colours) - 1)])
    picture.putpalette(seen.astype(np.uint8).ravel().tolist())
    if max(picture.size) > LARGE:
        width, height = (max(1, round(side * LARGE / max(picture.size))) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.NEAREST)
    return _uri(picture, "PNG", transparency=bytes(np.where(values == 0, 0, 255).tolist()))


def errors_uri(wrong: Bool[np.ndarray, "h w"]) -> str:
    """Pixels that are wrong in red, as `layer_uri`."""
    return layer_uri(wrong.astype(np.uint8), _WRONG)


def _uri(picture: Image.Image, kind: str, **options: object) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64," + base64.b64encode(buffer.getvalue()).decode()
