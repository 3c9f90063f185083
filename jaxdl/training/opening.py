"""Opening a run folder: to resume, to refuse, or to overwrite.

With ``--overwrite`` the run that was there is kept aside until the new one has a checkpoint. The
names in the folder alone tell its state. Each change is one rename within the folder, so a kill at
any moment leaves one of these states, and `settle`, with which every command begins and ends, leads
each of them to the first:

=========================  =====================================  ================================
in the folder              what it means                          `settle`
=========================  =====================================  ================================
none of the names below    the run in the folder is the only one  nothing
``.overwritten-moving``    the old run is moving in, or back      moves what is in it back
``.overwritten``           the old run, whole; what is beside it
                           is the new run:
                           - without a checkpoint                 deletes the new run; renames it
                                                                  to the one above, and so on
                           - with one                             renames it to the one below
``.overwritten-deleted``   the old run, given up                  deletes it
=========================  =====================================  ================================

So a killed command that holds ``--overwrite`` finds either the old run, and begins as it did, or
its own new run: the record's configuration says ``overwrite``, and it is not finished. That one it
resumes (`open_run`). Two runs are never lost.
"""

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jaxdl.errors import InputError, writing
from jaxdl.files import locks
from jaxdl.training.record import read_record
from jaxdl.training.run_folder import FORMAT, config_diff
from jaxdl.training.steps import steps

# What runs leave in their folders: all that --overwrite moves aside and deletes.
MADE = re.compile(
    r"run\.json|summary\.json|report\.html|overview\.png|metrics\.jsonl|predictions\.json"
    r"|samples\.json|trained_on\.csv|vectors\.bin|vocabulary\.txt|neighbours\.json|map\.json"
    r"|\.saved|checkpoints|tensorboard|samples|splits|fcn[0-9]+s|\..*\.[0-9]+\.tmp"
)
# Files that runs leave before their record is written.
_EARLY = re.compile(r"splits|vocabulary\.txt|\..*\.tmp")
_TEMPORARY = ".*.[0-9]*.tmp"
ASIDE, MOVING, DELETED = ".overwritten", ".overwritten-moving", ".overwritten-deleted"


def made(out: Path) -> list[Path]:
    """What a run left in the folder, sorted."""
    return sorted(p for p in out.iterdir() if MADE.fullmatch(p.name)) if out.is_dir() else []


def set_aside(out: Path) -> None:
    """Move the run in the folder, settled, to ``.overwritten``.

    Raises:
        InputError, TrainingError: the folder cannot be written.
    """
    with writing(out):
        (out / MOVING).mkdir()
        for path in made(out):
            path.rename(out / MOVING / path.name)
        (out / MOVING).rename(out / ASIDE)


def settle(out: Path) -> bool:
    """One run is left in the folder: the new one if it has a checkpoint, or else the old one.

    Hold the folder's lock.

    Returns:
        Whether the old run was put back.

    Raises:
        InputError: what is in the way is not ours; or the folder cannot be written.
        TrainingError: the disk is full.
    """
    back = False
    for name in (ASIDE, MOVING, DELETED):
        path = out / name
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise InputError(f"{path}: is not the folder that --overwrite makes; remove it")
    with writing(out):
        if (out / ASIDE).is_dir():
            if has_checkpoint(out):
                give_up(out)
            else:
                for path in made(out):
                    _delete(path)
                (out / ASIDE).rename(out / MOVING)
        if (out / MOVING).is_dir():
            back = True
            for path in sorted((out / MOVING).iterdir()):
                # Orbax's threads write a little longer than the new run that failed.
                if (late := out / path.name).is_dir() and not steps(_checkpoints(late)):
                    _delete(late)
                if late.exists():
                    raise InputError(f"{out / path.name}: is in {MOVING} too; remove one of them")
                path.rename(out / path.name)
            (out / MOVING).rmdir()
        if (out / DELETED).is_dir():
            shutil.rmtree(out / DELETED)
    return back


def give_up(out: Path) -> None:
    """Delete the old run, if there is one aside: the new one has a checkpoint."""
    with writing(out):
        if (out / ASIDE).is_dir():
            shutil.rmtree(out / DELETED, ignore_errors=True)
            (out / ASIDE).rename(out / DELETED)
            shutil.rmtree(out / DELETED)


def check_overwriting(path: Path) -> None:
    """For a run, a stage or a file of one that was not found: InputError if it lies aside."""
    for home in (path, *path.parents[:2]):
        for name in (ASIDE, MOVING):
            if (home / name).is_dir() and not has_checkpoint(home):
                raise InputError(
                    f"{home}: is being overwritten by a run that has no checkpoint yet; wait for "
                    f"it, or use the old run, {home / name}"
                )


def has_checkpoint(out: Path) -> bool:
    """Whether the run in the folder has saved; an FCN's stages have a folder each."""
    return any(steps(_checkpoints(path)) for path in made(out))


def _checkpoints(path: Path) -> Path:
    """The steps of what a run made: that folder itself, or a stage's."""
    return path if path.name == "checkpoints" else path / "checkpoints"


def _delete(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _sweep(out: Path) -> None:
    """Remove the temporary files of a killed process, in what runs leave and nowhere else."""
    for folder in (path for path in made(out) if path.is_dir() and not path.is_symlink()):
        locks.sweep(folder, f"**/{_TEMPORARY}")
    locks.sweep(out, _TEMPORARY)


def open_run(
    out: Path,
    config: dict[str, Any],
    *,
    may_change: Sequence[str],
    resume: bool,
    overwrite: bool,
    inputs: Sequence[Path] = (),
    same: Callable[[dict[str, Any]], object] = lambda record: None,
) -> dict[str, Any] | None:
    """The record of the run in `out` if it can be resumed, after `overwrite`; otherwise None.

    Temporary files of a killed process are removed, so hold the lock (`one_run`).
    `overwrite` moves aside what runs leave, nothing else, unless it has begun the run in `out`
    itself and that run is not finished (see the module).

    Args:
        out: the run folder.
        config: of the run that is to come.
        may_change: keys of the config that may differ from those of the run in `out`.
        resume: whether a run in `out` may be resumed.
        overwrite: whether it may be overwritten.
        inputs: files and folders that the run reads.
        same: ``same(record)`` raises InputError if the run in `out` had other inputs.

    Raises:
        InputError: the run would write over one of the `inputs`, or `overwrite` delete it.
        InputError: the folder holds a run of another configuration (the message is the
            difference), a run that may not be resumed, or files that are not a run.
    """
    path, home = out / "run.json", out.resolve()
    for given in inputs:
        real = given.resolve()
        below = real.relative_to(home).parts if real.is_relative_to(home) else None
        if (below and MADE.fullmatch(below[0])) or (below == () and overwrite):
            raise InputError(f"{given}: the run would write over this input; move it elsewhere")
    settle(out)
    if not path.is_file():
        if lost := ", ".join([p.name for p in made(out) if not _EARLY.fullmatch(p.name)][:3]):
            why = f", so --overwrite will not delete {lost}" if overwrite else f", but {lost}"
            remedy = "" if overwrite else "restore it from a copy, or "
            raise InputError(
                f"{out}: holds no run.json{why}; {remedy}name another folder with --out"
            )
        _sweep(out)
        return None
    _sweep(out)
    if not (resume or overwrite):
        raise InputError(f"{out}: holds a run; name another folder with --out, or use --overwrite")
    try:
        record = _record_of(out, config, may_change)
        same(record)
        own = record["config"].get("overwrite") and "finished" not in record and resume
    except InputError:
        if not overwrite:
            raise
        record, own = {}, False
    if overwrite and not own:
        set_aside(out)
        return None
    return record


def _record_of(out: Path, config: dict[str, Any], may_change: Sequence[str]) -> dict[str, Any]:
    """The record of a run of this configuration. InputError: it is another, or damaged."""
    record = read_record(out)
    if record.get("format") != FORMAT:
        raise InputError(
            f"{out / 'run.json'}: is the record of a run by jaxdl 0.1, which this version uses but "
            "does not resume; give the run to predict, query or --start-from, and name another "
            "folder with --out"
        )
    old, new = (
        {k: v for k, v in c.items() if k not in may_change} for c in (record["config"], config)
    )
    if difference := config_diff(old, new):
        newer = old.keys() < new.keys()
        where = "finish it with the jaxdl that began it, which lacks that option, " * newer
        raise InputError(
            f"{out}: holds a run of another configuration ({'; '.join(difference)}); "
            f"{where}name another folder with --out, or use --overwrite"
        )
    return record
