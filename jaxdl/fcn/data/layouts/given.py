"""What a user says of a data set, and what all layouts share: pairing by name, class names."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from jaxdl.errors import InputError
from jaxdl.fcn.data.masks import MaskRule, read_colours
from jaxdl.fcn.data.voc import parse_classes
from jaxdl.files.limits import read_bytes

IMAGES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm"))
MASKS = frozenset((".png", ".bmp", ".tif", ".tiff", ".gif"))
UNREAD = frozenset((".heic", ".heif", ".avif"))
_JUNK = re.compile(r"\.|Thumbs\.db$|desktop\.ini$|__MACOSX$", re.IGNORECASE)
CLASS_FILES = ("class_names.txt", "classes.txt", "labels.txt")
COLOUR_FILES = ("labelmap.txt",)


class Given(NamedTuple):
    """Options that say what the files do not.

    Attributes:
        images: folder of the images, if it is not found by its name.
        masks: folder of the masks, likewise.
        class_names: in the order of the labels' values.
        colours: file of the classes' colours.
        mask_values: grey value of each class.
        void: value that counts for nothing.
    """

    images: Path | None = None
    masks: Path | None = None
    class_names: tuple[str, ...] = ()
    colours: Path | None = None
    mask_values: tuple[int, ...] = ()
    void: int | None = None


def files_of(folder: Path, suffixes: Iterable[str], without: Path | None = None) -> list[Path]:
    """The files below a folder with one of the suffixes, in any case; what systems leave, not.

    Args:
        folder: searched with all its folders.
        suffixes: in lower case.
        without: a folder below it that is left out.
    """
    wanted, found = set(suffixes), []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        if path.suffix.lower() not in wanted or any(map(_JUNK.match, inside)):
            continue
        if path.is_file() and (without is None or without not in path.parents):
            found.append(path)
    return found


def by_name(folder: Path, files: Iterable[Path]) -> dict[str, Path]:
    """Files by their path below the folder, without suffix.

    Raises:
        InputError: two files have one name.
    """
    found: dict[str, Path] = {}
    for path in files:
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise InputError(f"{path}: {found[name].name} has the same name; rename one")
        found[name] = path
    return found


def pair_up(
    images: Mapping[str, Path], masks: Mapping[str, Path], where: Path
) -> dict[str, tuple[Path, Path]]:
    """Image and mask of each name.

    Raises:
        InputError: an image without a mask, or a mask without an image; or there is no pair.
    """
    for these, others, what in ((images, masks, "mask"), (masks, images, "image")):
        if alone := [name for name in these if name not in others]:
            if these is images and len(alone) == len(images):
                break
            more = f" (and {len(alone) - 1} more)" if len(alone) > 1 else ""
            raise InputError(
                f"{these[alone[0]]}: has no {what} of its name{more}; add it, or take the file out"
            )
    if not any(name in masks for name in images):
        raise InputError(
            f"{where}: no mask has the name of an image: {len(images)} images"
            f"{shown(images)}, {len(masks)} masks{shown(masks)}; name them alike"
        )
    return {name: (images[name], masks[name]) for name in images}


def shown(files: Mapping[str, Path]) -> str:
    """The first name, for a message."""
    return f" such as {next(iter(files.values())).name}" if files else ""


def rule_and_classes(
    given: Given, folders: Iterable[Path]
) -> tuple[tuple[str, ...], MaskRule, str]:
    """Class names (none if nothing tells them), the rule of the masks, and what told them.

    Args:
        given: the user's words come first.
        folders: where files of names or colours may lie.

    Raises:
        InputError: a file that cannot be read, or numbers of names and values that differ.
    """
    folders = tuple(folders)
    colours = given.colours or _first(folders, COLOUR_FILES)
    if colours is not None and not given.mask_values:
        names, rule = read_colours(colours)
        if given.void is not None:
            raise InputError("--void: goes with values; call a colour 'void' in the colours' file")
        return given.class_names or names, rule, f"colours of {colours}"
    if given.mask_values:
        if len(set(given.mask_values)) != len(given.mask_values):
            raise InputError(f"--mask-values {' '.join(map(str, given.mask_values))}: one is twice")
        void = given.void if given.void is not None else 255
        rule = MaskRule(values=given.mask_values, void=None if void in given.mask_values else void)
    else:
        rule = MaskRule(void=255 if given.void is None else given.void)
    file = _first(folders, CLASS_FILES)
    names, told = given.class_names, "--class-names"
    if not names and file is not None:
        names, told = parse_classes(read_bytes(file, 1 << 24), str(file)), str(file)
    if not names and len(given.mask_values) == 2:
        names, told = ("background", "object"), "--mask-values"
    if names and rule.values and len(names) != len(rule.values):
        raise InputError(
            f"--mask-values: {len(rule.values)} values for {len(names)} classes ({told}); give one "
            "for each class"
        )
    return names, rule, told


def _first(folders: Iterable[Path], names: Iterable[str]) -> Path | None:
    names = tuple(names)
    return next((f / name for f in folders for name in names if (f / name).is_file()), None)
