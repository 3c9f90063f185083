"""Pictures for the page. (Figures are in `jaxdl.report.plots`: matplotlib takes long to import.)"""

import base64
import io

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image

THUMBNAIL = 320


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
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
