"""A folder's ``SHA256SUMS``, as ``sha256sum`` writes and checks them: ``sha256sum -c SHA256SUMS``.

The file lists every other file of the folder. So it shows a flipped byte, a file cut short, a
missing file and a file too many. Files that systems leave in folders do not count.
"""

import hashlib
import os
import re
from pathlib import Path

NAME = "SHA256SUMS"
REMOVE = "; remove it"
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_SYSTEMS = re.compile(r"\.DS_Store|\._.*|\.nfs.*|Thumbs\.db|desktop\.ini")  # macOS, NFS, Windows


def _sum(path: Path, safe: bool) -> str:
    """The file's sha256; with `safe` its content is on the disk on return."""
    with path.open("rb") as file:
        if safe:
            os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """The folder's list of names is on the disk on return."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _files(folder: Path) -> dict[str, Path]:
    """Every file below the folder but its sums and `_SYSTEMS`, by its name from there, sorted."""
    every = (path for path in folder.rglob("*") if not path.is_dir())
    found = (path for path in every if not _SYSTEMS.fullmatch(path.name))
    return {str(p.relative_to(folder)): p for p in sorted(found) if p != folder / NAME}


def seal(folder: Path) -> None:
    """Write the sums of all files below `folder`; everything in it is on the disk on return."""
    lines = [f"{_sum(path, safe=True)}  {name}\n" for name, path in _files(folder).items()]
    with (folder / NAME).open("w") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())
    for inner in (*(path for path in folder.rglob("*") if path.is_dir()), folder):
        sync_folder(inner)


def damage(folder: Path) -> str | None:
    """What is wrong with the folder, in words that begin with the file's path; None if it is sound.

    Nothing in the files is interpreted but `NAME`, and only names that are there are opened. If
    nothing is wrong but a file too many, the text ends in `REMOVE`.
    """
    sums = folder / NAME
    try:
        text = sums.read_text("utf-8")
        if not text.endswith("\n"):
            raise ValueError("cut short")
        found = [_LINE.fullmatch(line) for line in text[:-1].split("\n")]
        listed = {match[2]: match[1] for match in found if match}
        if len(listed) < len(found):
            raise ValueError("not a list of checksums")
    except FileNotFoundError:
        return f"{sums}: is missing, so that nothing vouches for its folder"
    except OSError as error:
        return f"{sums}: cannot be read ({error.strerror})"
    except ValueError:  # UnicodeDecodeError too
        return f"{sums}: is damaged"
    try:
        there = _files(folder)
    except OSError as error:  # such as a folder that another process is deleting
        return f"{folder}: cannot be read ({error.strerror})"
    for name in listed:
        if name not in there:
            return f"{folder / name}: is missing"
    for name, sha256 in listed.items():
        path = there[name]
        if not path.is_file():
            return f"{path}: is not a regular file"
        try:
            if _sum(path, safe=False) != sha256:
                return f"{path}: is damaged (its sha256 is another than in {NAME})"
        except OSError as error:
            return f"{path}: cannot be read ({error.strerror})"
    stranger = next((path for name, path in there.items() if name not in listed), None)
    if stranger is not None:
        return f"{stranger}: does not belong to its folder (it is not in {NAME}){REMOVE}"
    return None
