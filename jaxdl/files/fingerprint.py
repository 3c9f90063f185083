"""What input files held when a run began, so that it never resumes with other contents."""

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jaxdl.errors import InputError

Fingerprint = dict[str, Any]  # as run.json holds it: name, size (bytes), mtime_ns, sha256, holds


def fingerprint(path: Path, sha256: str | None = None, holds: str = "") -> Fingerprint:
    """Name, size, time and hash of a file's content.

    Args:
        path: the file.
        sha256: of its content, if somebody has read it already.
        holds: what was read from it, in words, such as "144 rows"; for messages.

    Raises:
        InputError: it cannot be read.
    """
    try:
        found = path.stat()
        if sha256 is None:
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    return {
        "name": path.name,
        "size": found.st_size,
        "mtime_ns": found.st_mtime_ns,
        "sha256": sha256,
        "holds": holds,
    }


def of_files(
    paths: Iterable[Path], known: Sequence[str] = (), holds: Sequence[str] = ()
) -> list[Fingerprint]:
    """The `fingerprint` of each, for a run's record; `known` hashes and `holds` of the first."""
    each = itertools.zip_longest(paths, known, holds)
    return [fingerprint(path, sha, held or "") for path, sha, held in each]


def check_unchanged(out: Path, recorded: Any, paths: Sequence[Path]) -> None:
    """Refuse to resume a run whose inputs have changed.

    A file of the same size and time counts as the same and is not read: a second start is cheap.

    Args:
        out: the run's folder, for the message.
        recorded: the `fingerprint` of each file, as the run's record has them; anything but a list
            (a record of before they were kept) vouches for nothing.
        paths: the same files today, in the same order.

    Raises:
        InputError: the content of one is another; or it cannot be read.
    """
    if not isinstance(recorded, list):
        return
    old = [each if isinstance(each, dict) else {} for each in recorded]
    if len(old) != len(paths):
        raise changed(out, f"{len(paths)} input files", f"{len(old)}")
    for was, path in zip(old, paths, strict=True):
        now = fingerprint(path, sha256="")
        if (now["size"], now["mtime_ns"]) == (was.get("size"), was.get("mtime_ns")):
            continue
        held = f" ({was['holds']})" if was.get("holds") else ""
        if now["size"] != was.get("size"):
            raise changed(out, f"{path} holds {now['size']} bytes", f"{was.get('size')}{held}")
        if fingerprint(path)["sha256"] != was.get("sha256"):
            raise changed(out, f"{path} holds another content", f"the same number of bytes{held}")


def changed(out: Path, now: str, was: str) -> InputError:
    """The refusal of a run whose input holds `now`, and held `was`."""
    return InputError(
        f"{out}: {now}, and held {was} when this run began; restore what it was, name another "
        "folder with --out, or use --overwrite"
    )
