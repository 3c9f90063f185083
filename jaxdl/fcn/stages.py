"""The stages of an FCN's run: which of its folders holds the checkpoint that is asked for."""

import json
import re
from pathlib import Path
from typing import Any

from jaxdl.errors import InputError
from jaxdl.training import checkpoint
from jaxdl.training.opening import check_overwriting


def find(path: Path) -> Path:
    """The checkpoint folder of a run (its last stage), of a stage, or the folder itself.

    The last stage is that of the smallest stride (``fcn8s`` is after ``fcn16s``), of those that the
    run's record names; the times of folders say nothing, as a copy has others.

    Raises:
        InputError: none has a checkpoint, or several folders have that are no stages.
    """
    for folder in (path, path / "checkpoints"):
        if checkpoint.steps(folder):
            return folder
    stages = [p for p in sorted(path.glob("[!.]*/checkpoints")) if checkpoint.steps(p)]
    if not stages:
        check_overwriting(path)
        raise InputError(f"{path}: holds no checkpoint; name a run folder, such as runs/demo/fcn")
    if len(stages) == 1:
        return stages[0]
    named = [(re.fullmatch("fcn([0-9]+)s", p.parent.name), p) for p in stages]
    strides = {int(match[1]): p for match, p in named if match}
    if len(strides) < len(stages):
        names = ", ".join(p.parent.name for p in stages)
        raise InputError(f"{path}: holds several runs or stages ({names}); name one of them")
    recorded = [stride for stride in _recorded_strides(path / "run.json") if stride in strides]
    return strides[min(recorded or strides)]


def _recorded_strides(path: Path) -> list[Any]:
    """The strides of a run's record; none if it does not tell."""
    try:
        found = json.loads(path.read_bytes())["config"]["stages"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return []
    return [each for each in found if isinstance(each, int)] if isinstance(found, list) else []
