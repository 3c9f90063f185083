"""What the pictures of a run held when it began, so that it never resumes with others.

``run.json`` has names, sizes and times of all files as one hash, which is all that a second start
reads. ``splits/sha256.txt`` has the hash of each file, and so names one that has changed.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxdl.errors import InputError
from jaxdl.fcn.data.source import Source
from jaxdl.fcn.data.splits import Split
from jaxdl.files.atomic import write_bytes
from jaxdl.files.fingerprint import changed
from jaxdl.report import reading

_SUMS = Path("splits", "sha256.txt")


def record_pictures(
    out: Path, source: Source, split: Split, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """Write the lists of ids and the files' hashes into the run; what its record keeps of them.

    Args:
        out: the run's folder.
        source: the pictures.
        split: their ids.
        progress: gets (files done, all).
    """
    for side in ("train", "test"):
        ids = "".join(f"{id}\n" for id in getattr(split, side))
        write_bytes(out / "splits" / f"{side}.txt", ids.encode())
    stamp, sums = _stamp(source, split), _sums(source, split, progress)
    text = "".join(f"{sha256}  {name}\n" for name, sha256 in sums.items()).encode()
    write_bytes(out / _SUMS, text)
    return {"stamp": stamp, "sha256": hashlib.sha256(text).hexdigest(), "files": len(sums)}


def check_pictures(out: Path, record: dict[str, Any], source: Source, split: Split) -> None:
    """Refuse to go on with a run whose pictures, labels, lists or class names have changed.

    Raises:
        InputError: names what has changed.
    """
    was = reading.part(record, "pictures")
    if not was:  # a record of before they were kept vouches for nothing
        return
    if list(source.classes) != (classes := record.get("classes")):
        raise changed(out, f"the data has the classes {list(source.classes)}", f"{classes}")
    if was.get("stamp") == _stamp(source, split):
        return
    for side in ("train", "test"):
        file = out / "splits" / f"{side}.txt"
        now, before = getattr(split, side), tuple(_lines(file))
        if now != before:
            new = next((id for id in now if id not in before), None)
            more = "" if new is None else f", {new} among them"
            raise changed(out, f"the list {side} holds {len(now)} images{more}", f"{len(before)}")
    before = set(_lines(out / _SUMS))
    for name, sha256 in _sums(source, split, lambda done, all: None).items():
        if f"{sha256}  {name}" not in before:
            raise changed(out, f"{name} holds another content", "another one")


def _stamp(source: Source, split: Split) -> str:
    every = (*split.train, *split.test)
    text = json.dumps([len(split.train), *every, source.fingerprint(every)])
    return hashlib.sha256(text.encode()).hexdigest()


def _sums(source: Source, split: Split, progress: Callable[[int, int], None]) -> dict[str, str]:
    """The hash of each file, by its name."""
    ids = (*split.train, *split.test)
    found: dict[str, str] = {}
    for done, id in enumerate(ids):
        progress(2 * done, 2 * len(ids))
        found[source.image_name(id)] = hashlib.sha256(source.image(id)).hexdigest()
        found[source.label_name(id)] = hashlib.sha256(source.label(id)).hexdigest()
    return found


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read, so that nothing vouches for the run's pictures; restore it, "
            "name another folder with --out, or use --overwrite"
        ) from error
