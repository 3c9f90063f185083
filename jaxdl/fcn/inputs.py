"""The pictures that `jaxdl fcn predict` is given, and what their results are called."""

import glob
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path, PurePath

from jaxdl.errors import InputError
from jaxdl.fcn.data.layouts.given import IMAGES, files_of
from jaxdl.fcn.data.voc import LONGEST_LIST
from jaxdl.files.limits import read_bytes
from jaxdl.files.text import reason, show

_LONGEST = 60  # characters of a class name in a file's name
_Found = tuple[Path, Path]  # a picture, and the path that names its results


def name_results(inputs: Sequence[Path]) -> dict[str, Path]:
    """The images, each by the name of its results.

    Args:
        inputs: pictures, folders of them, patterns (``photos/**/*.jpg``), and lists of pictures
            (.txt).

    An image that is named is called by its stem; one of a folder, a pattern or a list by its path
    from there. If two would be called alike, they keep their suffixes, and then the names of their
    folders.

    Raises:
        InputError: there is no image, or one file is named twice.
    """
    found = [one for given in inputs for one in _pictures(given)]
    if not found:
        raise InputError("name at least one image, or a folder of images")
    tries = (
        [rel.with_suffix("").as_posix() for _, rel in found],
        [rel.as_posix() for _, rel in found],
        ["_".join(path.resolve().parts[-2:]) for path, _ in found],
    )
    for names in tries:
        if len(set(names)) == len(names):
            return dict(zip(names, (path for path, _ in found), strict=True))
    names = tries[-1]
    twice = next(name for n, name in enumerate(names) if name in names[:n])
    raise InputError(f"two images are called {twice}: their results would be one file")


def _pictures(given: Path) -> list[_Found]:
    if given.is_dir():
        inside = files_of(given, IMAGES)
        if not inside:
            raise InputError(f"{given}: holds no picture; name a folder of JPEG or PNG files")
        return [(path, path.relative_to(given)) for path in inside]
    if given.suffix.lower() == ".txt" and given.is_file():
        return list(_listed(given))
    if glob.has_magic(str(given)) and not given.exists():
        return _matching(given)
    return [(given, Path(given.name))]


def _matching(pattern: Path) -> list[_Found]:
    """The pictures that a pattern matches, called by their paths from its first folder without."""
    parts = pattern.parts
    top = Path(*parts[: next(n for n, part in enumerate(parts) if glob.has_magic(part))])
    paths = sorted(Path(name) for name in glob.glob(str(pattern), recursive=True))
    found = [path for path in paths if path.suffix.lower() in IMAGES and path.is_file()]
    if not found:
        raise InputError(f"{pattern}: matches no picture; name JPEG or PNG files")
    return [(path, path.relative_to(top)) for path in found]


def _listed(file: Path) -> Iterable[_Found]:
    """The pictures of a list, one a line; blank lines and lines that start with # are skipped."""
    try:
        text = read_bytes(file, LONGEST_LIST).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not a text file ({error}); write one path a line") from error
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({reason(error)})") from error
    lines = [(n, line.strip()) for n, line in enumerate(text.splitlines(), 1)]
    lines = [(n, line) for n, line in lines if line and not line.startswith("#")]
    if not lines:
        raise InputError(f"{file}: names no picture; write one path a line")
    for number, line in lines:
        if not line.isprintable():
            raise InputError(f"{file}:{number}: {show(line)} is no path; write one path a line")
        rel = PurePath(line)
        inside = not rel.is_absolute() and ".." not in rel.parts
        yield file.parent / rel, Path(rel if inside else rel.name)


def name_classes(names: Sequence[str], taken: Collection[str] = ()) -> list[str]:
    """Class names as parts of file names: without odd characters, no two alike in any case.

    Args:
        names: of the classes.
        taken: what other results are called.
    """
    found: list[str] = []
    used = {name.lower() for name in taken}
    for number, name in enumerate(names):
        fit = re.sub(r"[^\w-]+", "_", name)[:_LONGEST].strip("_") or "class"
        if fit.lower() in used:
            fit = f"{fit}_{number}"
        while fit.lower() in used:
            fit += "_"
        used.add(fit.lower())
        found.append(fit)
    return found
