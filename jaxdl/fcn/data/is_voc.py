"""Whether a data set is PASCAL VOC itself; nothing is imported that takes time."""

import re
from pathlib import Path

_ID = re.compile(r"\d{4}_\d{6}")


def is_voc(path: Path) -> bool:
    """A tar, or a tree of VOC's ids that brings no class names or colours of its own."""
    if path.is_file():
        return path.suffix.lower() != ".json"
    for below in ("", "VOC*/", "VOCdevkit/VOC*/", "TrainVal/VOCdevkit/VOC*/"):
        for file in sorted(path.glob(f"{below}ImageSets/Segmentation/*.txt")):
            own = (file.parents[2] / name for name in ("class_names.txt", "labelmap.txt"))
            if any(name.is_file() for name in own):
                return False
            with file.open(errors="replace") as lines:
                if any(_ID.fullmatch(line.strip()) for line in lines):
                    return True
    return False
