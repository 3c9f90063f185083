"""Which layout a data set has. Another one: a file in `jaxdl.fcn.data.layouts`, and a line here."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from jaxdl.errors import InputError
from jaxdl.fcn.data import voc
from jaxdl.fcn.data.decode import decode
from jaxdl.fcn.data.is_voc import is_voc
from jaxdl.fcn.data.layouts.cityscapes import open_cityscapes
from jaxdl.fcn.data.layouts.coco import open_coco
from jaxdl.fcn.data.layouts.folder import open_folder
from jaxdl.fcn.data.layouts.given import UNREAD, Given, files_of
from jaxdl.fcn.data.layouts.tree import open_tree
from jaxdl.fcn.data.source import Pairs, Source

LAYOUTS: tuple[tuple[str, Callable[[Path, Given], Source | None]], ...] = (
    ("Cityscapes", open_cityscapes),
    ("COCO annotations", open_coco),
    ("VOC folders", open_tree),
    ("a folder of images and masks", open_folder),
)
_LOOKED_AT = 20  # masks, to say what they hold


def open_data_set(
    path: Path, given: Given, *, md5: str | None, cache_dir: Path
) -> tuple[Source, str]:
    """The pairs of a data set, and its layout in words.

    Args:
        path: a folder, VOC's tar, or a file of COCO annotations.
        given: what the user says of it.
        md5: that a tar must have.
        cache_dir: keeps the checks of a tar.

    Raises:
        InputError: no layout is found; no class names; or what the layout's reader refuses.
    """
    if is_voc(path):
        return voc.open_voc(path, md5=md5, cache_dir=cache_dir), "PASCAL VOC"
    if not path.is_dir() and path.suffix.lower() != ".json":
        raise InputError(f"{path}: no such folder or archive; name a folder of images and masks")
    first = [("a folder of images and masks", open_folder)] if given.masks else []
    for name, opens in (*first, *LAYOUTS):
        source = opens(path, given)
        if source is not None:
            if not source.classes:
                raise _unnamed(path, source)
            return source, name
    phones = files_of(path, UNREAD) if path.is_dir() else []
    if phones:
        raise InputError(
            f"{phones[0]}: HEIC and AVIF pictures are not read; save them as JPEG (a phone does so "
            "when set to 'most compatible'; heif-convert does so on a computer)"
        )
    raise InputError(
        f"{path}: holds no images; give a folder with images/ and masks/, a VOC tree or tar, "
        "Cityscapes, or COCO's annotations"
    )


def _unnamed(path: Path, source: Source) -> InputError:
    """What to say where nothing tells the class names: first, what the masks hold."""
    ids = source.ids("trainval")
    values: set[int] = set()
    for id in ids[:_LOOKED_AT] if isinstance(source, Pairs) else ():
        image = decode(source.label(id), source.label_name(id), ("PNG", "BMP", "TIFF", "GIF"))
        array = np.asarray(image.convert("L") if image.mode == "1" else image)
        if array.ndim == 3 and (array != array[..., :1]).any():
            return InputError(
                f"{source.label_name(id)}: has colours, and nothing names them; write a file with "
                "'r g b name' on a line for each class, and give it with --colours FILE"
            )
        values |= set(np.unique(array).tolist())
    if values and values <= {0, 255}:
        return InputError(
            f"{path}: the masks hold 0 and 255 alone, black and white; say so with "
            "--mask-values 0 255"
        )
    found = ", ".join(map(str, sorted(values)[:8])) + (", ..." if len(values) > 8 else "")
    held = f"the masks hold the values {found}; " if values else ""
    return InputError(
        f"{path}: nothing names the classes; {held}write class_names.txt there, a name a line from "
        "value 0 on, or give --class-names background NAME ..."
    )
