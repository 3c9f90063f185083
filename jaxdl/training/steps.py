"""The steps of a checkpoint folder: which are sound, whose they are, what is said of the others."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxdl.errors import InputError
from jaxdl.files import checksums

Say = Callable[[str], object]

_REMEDY = "restore the folder from a copy, or train again with --overwrite"


def steps(folder: Path) -> list[int]:
    """The steps of a checkpoint folder, sound or not, without a manager (which may clean it up).

    Raises:
        InputError: the folder cannot be read.
    """
    try:
        if not folder.is_dir():
            return []
        names = (p.name for p in folder.iterdir() if re.fullmatch("[0-9]+", p.name) and p.is_dir())
        return sorted(int(name) for name in names)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be read ({error.strerror}); make it readable"
        ) from error


def newest_sums(folder: Path) -> list[Path]:
    """The file of the newest step that tells its whole content (`jaxdl.files.checksums`); none
    without a step."""
    return [folder / str(step) / checksums.NAME for step in steps(folder)[-1:]]


def read_meta(step: Path) -> dict[str, Any]:
    """The meta of a sound step."""
    return json.loads((step / "meta" / "metadata").read_text())


def _renamed(step: Path) -> str | None:
    """What to say of a sound step whose folder has the number of another; old ones do not tell."""
    file = step / "meta" / "metadata"
    number = read_meta(step).get("step") if file.is_file() else None
    if number is None or number == int(step.name):
        return None
    return f"{step}: is step {number} of its run under another name"


def _look(folder: Path) -> tuple[list[int], dict[int, str]]:
    """The steps whose files are what was saved, and what is wrong with each of the others.

    Raises:
        InputError: there are steps, and none is sound.
    """
    paths = {step: folder / str(step) for step in steps(folder)}
    found = {step: checksums.damage(path) or _renamed(path) for step, path in paths.items()}
    # Another process may have deleted a step while we read it.
    found = {step: why for step, why in found.items() if paths[step].is_dir()}
    sound = [step for step, why in found.items() if why is None]
    damaged = {step: why for step, why in found.items() if why is not None}
    if damaged and not sound:
        newest = damaged[max(damaged)]
        if newest.endswith(checksums.REMOVE):
            raise InputError(newest)
        raise InputError(
            f"{newest}; no step of {folder} is sound (there: {list(found)}); {_REMEDY}"
        )
    return sound, damaged


def _not_used(step: int, why: str, sound: list[int]) -> str:
    return f"{why}: step {step} is not used, the newest sound one is {sound[-1]}"


def sound_steps(folder: Path, say: Say = print) -> list[int]:
    """The steps whose files are as they were saved; `say` gets a line for each of the others.

    Raises:
        InputError: there are steps, and none is sound.
    """
    sound, damaged = _look(folder)
    for step, why in damaged.items():
        say(_not_used(step, why, sound))
    return sound


def look_before_training(folder: Path, run: str | None) -> dict[int, str]:
    """The damaged steps that are to be set aside, with what to say of each.

    Args:
        folder: of the steps.
        run: the run's id, which its steps have too; None if its record has none.

    Raises:
        InputError: `folder` is no folder, none of its steps is sound, a step is another run's, or
            nothing is wrong with one but a file that can be removed.
    """
    if os.path.lexists(folder) and not folder.is_dir():
        raise InputError(f"{folder}: is not a folder; {_REMEDY}")
    sound, damaged = _look(folder)
    for why in damaged.values():
        if why.endswith(checksums.REMOVE):
            raise InputError(why)
    for step in sound if run is not None else ():
        if (whose := read_meta(folder / str(step)).get("run")) != run:
            raise InputError(
                f"{folder / str(step)}: is a checkpoint of another run ({whose}, and this one is "
                f"{run}); remove it, or restore run.json from a copy"
            )
    return {step: _not_used(step, why, sound) for step, why in damaged.items()}


def set_aside(step: Path) -> Path:
    """Rename a damaged step to ``damaged-STEP``, or with a number if that is taken."""
    free, number = step.with_name(f"damaged-{step.name}"), 1
    while os.path.lexists(free):
        number += 1
        free = step.with_name(f"damaged-{step.name}-{number}")
    step.rename(free)
    return free
