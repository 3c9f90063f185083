"""How the pixels of a mask become classes: indices, chosen grey values, or colours."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int32, UInt8

from jaxdl.errors import InputError
from jaxdl.fcn.data.decode import IGNORE, VOID, check_values, decode, read_label
from jaxdl.files.text import show

Colour = tuple[int, int, int]

_MASKS = ("PNG", "BMP", "TIFF", "GIF")
_LOSSY = {b"\xff\xd8\xff": "JPEG", b"RIFF": "WebP"}


@dataclass(frozen=True, slots=True)
class MaskRule:
    """What a mask's pixels mean. Without colours or values they are class indices.

    Attributes:
        colours: of each class, in order; the first colour of a class counts if it has several.
        values: grey value of each class, in order; 0 255 for masks in black and white.
        classes: class of each colour or value; None: its position. -1 is void.
        void: value or index that counts for nothing; None: there is none.
    """

    colours: tuple[Colour, ...] = ()
    values: tuple[int, ...] = ()
    classes: tuple[int, ...] | None = None
    void: int | None = VOID

    def read(self, data: bytes, name: str, num_classes: int) -> Int32[np.ndarray, "h w"]:
        """Class of each pixel, -1 where void.

        Raises:
            InputError: a format or mode that no mask should have, or a pixel that is no class.
        """
        for sign, kind in _LOSSY.items():
            if data.startswith(sign):
                raise InputError(
                    f"{name}: is a {kind}, which changes the values of pixels; draw the mask again "
                    "and save it as PNG"
                )
        if not self.colours and not self.values and self.void == VOID:
            return read_label(data, name, num_classes)
        image = decode(data, name, _MASKS, "save the mask as PNG")
        if image.mode in ("RGBA", "LA", "PA"):
            raise InputError(f"{name}: has transparency (mode {image.mode}); save it without alpha")
        if image.mode.startswith(("I", "F")):
            raise InputError(f"{name}: has more than 8 bits (mode {image.mode}); save it in 8 bits")
        if self.colours:
            return self._by_colour(np.asarray(image.convert("RGB")), name)
        if image.mode == "P" and not self.values:
            grey = np.asarray(image)
        elif image.mode in ("1", "L"):
            grey = np.asarray(image.convert("L"))
        else:
            rgb = np.asarray(image.convert("RGB"))
            if (rgb != rgb[..., :1]).any():
                raise InputError(
                    f"{name}: has colours; name the colour of each class with --colours FILE"
                )
            grey = rgb[..., 0]
        return self._by_value(grey, name, num_classes)

    def _by_value(
        self, grey: UInt8[np.ndarray, "h w"], name: str, num_classes: int
    ) -> Int32[np.ndarray, "h w"]:
        if not self.values:  # indices, with another void
            if self.void is not None:
                return np.where(
                    grey == self.void,
                    IGNORE,
                    check_values(np.where(grey == self.void, VOID, grey), name, num_classes),
                ).astype(np.int32)
            return check_values(grey, name, num_classes)
        table = np.full(256, -2, np.int32)
        if self.void is not None:
            table[self.void] = IGNORE
        table[list(self.values)] = self._numbers(len(self.values))
        return self._known(table[grey], name, lambda at: f"value {grey[at]}", "--mask-values")

    def _by_colour(self, rgb: UInt8[np.ndarray, "h w 3"], name: str) -> Int32[np.ndarray, "h w"]:
        wide = rgb.astype(np.int32)
        code = (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
        keys = np.array([(r << 16) | (g << 8) | b for r, g, b in self.colours])
        order = np.argsort(keys, kind="stable")
        place = np.searchsorted(keys[order], code).clip(max=len(keys) - 1)
        hit = keys[order][place] == code
        found = np.where(hit, self._numbers(len(keys))[order][place], -2).astype(np.int32)
        return self._known(
            found, name, lambda at: "colour {} {} {}".format(*rgb[at].tolist()), "--colours"
        )

    def _numbers(self, count: int) -> np.ndarray:
        return np.array(range(count) if self.classes is None else self.classes, np.int32)

    def _known(self, found: np.ndarray, name: str, what, option: str) -> Int32[np.ndarray, "h w"]:
        wrong = np.argwhere(found == -2)
        if len(wrong):
            raise InputError(
                f"{name}: {what(tuple(wrong[0]))} ({len(wrong)} pixels) is no class; name it with "
                f"{option}, or correct the mask (a brush with soft edges mixes values)"
            )
        return found


def read_colours(path: Path) -> tuple[tuple[str, ...], MaskRule]:
    """Class names and the rule of a file of colours: CVAT's ``labelmap.txt``, or ``R G B name``.

    A line is ``name:r,g,b:parts:actions`` or ``r g b name``; # starts a comment. The background is
    put first; ``void`` and ``ignore`` are void.

    Raises:
        InputError: no such file, or a line that is neither.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a list of colours ({error})") from error
    found: dict[str, Colour] = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        if ":" in line:
            name, colour, *_ = (part.strip() for part in line.split(":"))
            words = colour.split(",")
        else:
            *words, name = line.replace(",", " ").split(None, 3)
        try:
            red, green, blue = (int(word) for word in words)
            if not all(0 <= value <= 255 for value in (red, green, blue)) or not name:
                raise ValueError
        except ValueError:
            raise InputError(
                f"{path}:{number}: {show(line)}: write 'name:r,g,b::' or 'r g b name', 0 to 255"
            ) from None
        if name in found:
            raise InputError(f"{path}:{number}: the class {show(name)} is there twice")
        if (red, green, blue) in found.values():
            raise InputError(f"{path}:{number}: two classes have the colour {red} {green} {blue}")
        found[name] = (red, green, blue)
    names = [name for name in found if not _is_void(name)]
    names.sort(key=lambda name: name.lower() not in ("background", "_background_"))
    if not names:
        raise InputError(f"{path}: has no class; write 'r g b name', one a line")
    colours = tuple(found.values())
    numbers = tuple(names.index(name) if name in names else IGNORE for name in found)
    return tuple(names), MaskRule(colours=colours, classes=numbers)


def _is_void(name: str) -> bool:
    return name.strip("_").lower() in ("void", "ignore")
