"""Bytes of pictures and of SBD's .mat files -> arrays, in bounded memory and time.

The content tells what a file is, never its name, and only the formats asked for are tried: of
Pillow's many readers, some start other programs. Every bad input is an `InputError`.
"""

import contextlib
import io
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Int32, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from jaxdl.errors import InputError
from jaxdl.fcn.data.archives import MOST, RESTORE
from jaxdl.files.limits import read_bytes
from jaxdl.files.text import reason

VOID = 255
IGNORE = -1
MOST_PIXELS = 89_478_485  # Pillow's own limit: a quarter of a GiB in RGB
LARGEST = 1 << 30  # pixels of a picture that is read for tiles: 3 GiB in RGB
# Pixels times scans: a progressive JPEG of 1 MB can ask for hours.
_MOST_SCANNED = 1 << 31
_MOST_EXIF = 256  # blocks of a JPEG's EXIF: Pillow joins them in the square of time
_PHOTOS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
_SIGNS = {b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"GIF8": "GIF", b"RIFF": "WebP"}
_HEIC = (b"ftyphei", b"ftyphev", b"ftypmif", b"ftypmsf", b"ftypavi")  # from byte 4 on
_TURN = 0x0112  # EXIF's tag of the camera's orientation; 1 is upright
_PALETTE = "save it as a palette PNG"
_ADVICE = "restore the file, or save it as JPEG or PNG"
_LOCK = threading.Lock()


class _TooLargeError(Exception):
    """More pixels than are read."""


@contextlib.contextmanager
def _pillow_limit(most: int) -> Iterator[None]:
    """Pillow's own limit, which is the process', raised for one picture at a time."""
    if most <= MOST_PIXELS:
        yield
        return
    with _LOCK:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, most
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _scans(image: Image.Image, data: bytes) -> int:
    """How often a decoder goes through the pixels; other formats have no scans."""
    if image.format in ("JPEG", "MPO") or "jpeg" in str(image.info.get("compression", "")):
        return max(1, data.count(b"\xff\xda"))
    return 1


def decode(
    data: bytes,
    name: str,
    formats: tuple[str, ...],
    advice: str = RESTORE,
    most: int = MOST_PIXELS,
    larger: str | None = None,
) -> Image.Image:
    """The decoded picture, of one of Pillow's `formats`.

    Args:
        data: the file.
        name: of the file, for messages.
        formats: others are refused.
        advice: what to do about a file that is none.
        most: pixels.
        larger: what to do about a picture of more; None: the same as about a file that is none.

    Raises:
        InputError: another format, damage, or a picture that is too large to be one.
    """
    try:
        with warnings.catch_warnings(), _pillow_limit(most):
            warnings.simplefilter("ignore")  # remarks on odd metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            if data.count(b"Exif\0\0") > _MOST_EXIF:
                raise InputError("its blocks of EXIF are too many")
            image = Image.open(io.BytesIO(data), formats=formats)
            pixels, scans = image.width * image.height, _scans(image, data)
            if pixels > most:
                raise _TooLargeError(
                    f"{image.width}x{image.height} pixels are too many, at most {most} are read"
                )
            if pixels * scans > _MOST_SCANNED:
                advice = "save it as a JPEG that is not progressive, or as PNG"
                raise InputError(f"{scans} scans of {image.width}x{image.height} pixels: too many")
            image.load()
    # Broken bytes reach Pillow's decoders, which raise nearly every type of exception.
    except Exception as error:
        why = reason(error)
        if isinstance(error, UnidentifiedImageError):
            found = next((kind for sign, kind in _SIGNS.items() if data.startswith(sign)), None)
            wanted = " or ".join(formats)
            why = f"damaged {wanted}" if found in formats else f"it is {found}, not {wanted}"
            why = why if found else f"not {wanted}"
        if isinstance(
            error,
            _TooLargeError | Image.DecompressionBombWarning | Image.DecompressionBombError,
        ):
            advice = larger or advice
        raise InputError(f"{name}: not a readable image ({why}); {advice}") from error
    return image


def read_image(
    data: bytes, name: str, most: int = MOST_PIXELS, larger: str | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """A picture as RGB, read-only, turned upright as its camera recorded.

    Args:
        data: the file.
        name: of the file, for messages.
        most: pixels.
        larger: what to do about a picture of more; None: the same as about a file that is none.

    Raises:
        InputError: not one of the formats, damaged, too large, or of more than 8 bits a channel.
    """
    if data[4:12].startswith(_HEIC):
        raise InputError(
            f"{name}: is a HEIC or AVIF picture, which is not read; save it as JPEG (a phone does "
            "so when set to 'most compatible'; heif-convert does so on a computer)"
        )
    image = decode(data, name, _PHOTOS, _ADVICE, most, larger)
    if image.mode.startswith(("I", "F")):  # Pillow would clip these to 255
        raise InputError(f"{name}: {image.mode} pixels are more than 8 bits; save it as 8-bit RGB")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ImageOps.exif_transpose(image, in_place=True)
            return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    except Exception as error:  # EXIF and palettes are read as late as here
        raise InputError(f"{name}: cannot be read as an image ({reason(error)})") from error


def is_turned(data: bytes, name: str) -> bool:
    """Whether the camera recorded that the picture is to be turned or mirrored."""
    try:
        return decode(data, name, _PHOTOS).getexif().get(_TURN, 1) not in (0, 1)
    except InputError:
        raise
    except Exception:  # a damaged EXIF block says nothing
        return False


def read_photo(
    path: Path, most: int = MOST_PIXELS, larger: str | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """A user's own picture; see `read_image`."""
    try:
        data = read_bytes(path, MOST if most <= MOST_PIXELS else 4 * most)
    except OSError as error:
        raise InputError(f"{path}: cannot be read as an image ({reason(error)})") from error
    return read_image(data, str(path), most, larger)


def photo_size(path: Path) -> tuple[int, int]:
    """Height and width that a picture's header claims; 0, 0 if `read_photo` cannot read it."""
    try:
        with warnings.catch_warnings(), _pillow_limit(1 << 62), path.open("rb") as file:
            warnings.simplefilter("ignore")
            image = Image.open(file, formats=_PHOTOS)
            return image.height, image.width
    except Exception:  # whatever Pillow's readers raise
        return 0, 0


def read_label(data: bytes, name: str, num_classes: int) -> Int32[np.ndarray, "h w"]:
    """Class indices of a palette or 8-bit grey PNG, IGNORE where it holds 255."""
    known = next((kind for sign, kind in _SIGNS.items() if data.startswith(sign)), "PNG")
    image = decode(data, name, ("PNG",), RESTORE if known == "PNG" else _PALETTE)
    if image.mode not in ("P", "L"):
        raise InputError(
            f"{name}: the label is {image.format} with mode {image.mode}, not class indices; "
            f"{_PALETTE} (mode P, one index per pixel)"
        )
    # IHDR's bit depth. Pillow stretches grey PNGs of 1-4 bits to 0..255: indices would be wrong.
    if image.mode == "L" and data[24] != 8:
        raise InputError(f"{name}: the label is a {data[24]}-bit grey PNG; {_PALETTE}")
    return check_values(np.asarray(image), name, num_classes)


def check_values(
    label: UInt8[np.ndarray, "h w"], name: str, num_classes: int
) -> Int32[np.ndarray, "h w"]:
    """The label as int32, void (255) as IGNORE; InputError for a value that is no class."""
    if not 1 <= num_classes <= VOID:
        raise InputError(f"{num_classes} classes: choose 1 to {VOID} ({VOID} in a label is void)")
    wrong = (label >= num_classes) & (label != VOID)
    if wrong.any():
        raise InputError(
            f"{name}: label value {label[wrong][0]} ({wrong.sum()} pixels) is outside "
            f"[0, {num_classes}) and not {VOID}; correct the label or set the number of classes"
        )
    return np.where(label == VOID, IGNORE, label.astype(np.int32)).astype(np.int32)
