"""What a run leaves behind: its record (JSON) and metrics (JSON lines, TensorBoard)."""

import contextlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8

from jaxdl.errors import InputError, TrainingError, writing
from jaxdl.files import locks
from jaxdl.files.atomic import plain, read_json, write_bytes
from jaxdl.training.tensorboard import Board

FORMAT = 2  # of run.json and checkpoints: runs of another one are read, not resumed
_PACKAGES = (
    "jaxdl-functional",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "grain",
    "tensorflow-datasets",
)


def _git_state() -> dict[str, Any]:
    """Commit of the checkout that this package runs from, and whether files in it are changed."""
    unknown = {"commit": None, "changed": None}
    root = Path(__file__).resolve().parents[2]

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        return done.stdout.strip()

    try:
        # A package installed into some other project's folder must not report that one's commit.
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root:
            return unknown
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return unknown


def run_record(
    experiment: str, config: dict[str, Any], classes: Sequence[str] | None
) -> dict[str, Any]:
    """Everything needed to say how a run was made, ready for `write_json`.

    Args:
        experiment: its name, say "fcn".
        config: the resolved configuration.
        classes: class names in the order of the labels, if the task has any.
    """
    devices = jax.devices()
    device = {"platform": devices[0].platform, "kind": devices[0].device_kind}
    versions = {"python": platform.python_version()}
    for package in (*_PACKAGES, "numpy"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "format": FORMAT,
        "experiment": experiment,
        "config": plain(config),
        "classes": None if classes is None else list(classes),
        "versions": versions,
        "device": device | {"count": len(devices)},
        "git": _git_state(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "argv": list(sys.argv),
    }


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, the keys joined by dots; an empty mapping counts as a value."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def config_diff(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Lines such as ``learning_rate: 0.01 -> 0.02``, sorted by key; none if the configs agree.

    Both sides are compared as JSON would store them (a tuple equals a list).
    """
    before, after = flatten(plain(old)), flatten(plain(new))
    lines = []
    for key in sorted(before.keys() | after.keys()):
        sides = (before.get(key, "(absent)"), after.get(key, "(absent)"))
        same = sides[0] == sides[1] and isinstance(sides[0], bool) == isinstance(sides[1], bool)
        if not same or (key in before) != (key in after):
            lines.append(f"{key}: {sides[0]} -> {sides[1]}")
    return lines


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each complete line of a metrics file with its row; see `read_rows`."""
    if not path.exists():
        return
    lines = path.read_bytes().splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            if not line.endswith(b"\n"):
                raise ValueError("no end of line")
            if not isinstance(row, dict) or not isinstance(row.get("step"), int):
                raise ValueError("no step")
        except (ValueError, RecursionError) as error:
            if number == len(lines):  # cut off when the process or the machine died
                return
            raise InputError(f"{path}, line {number}: is not a row of metrics ({error})") from error
        yield line.decode(), row


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics.jsonl, in order; none if there is no file.

    A half-written last line, as a killed process leaves it, is left out.

    Raises:
        InputError: a line before the last is not a JSON object with an integer "step".
    """
    return [row for _, row in _lines(path)]


class Recorder:
    """The metrics of one stage: ``metrics.jsonl``, and the same in ``tensorboard/``.

    Opening it drops the rows after ``start_step``, so that a resumed run has each row once: write
    the row of a step before its checkpoint, and none is lost. TensorBoard hides the dropped points
    likewise (its files are flushed every few seconds; metrics.jsonl is the record).
    """

    def __init__(self, folder: Path, start_step: int) -> None:
        """Open a stage's folder, made if missing, to continue after ``start_step`` (0: new).

        Raises:
            InputError: the metrics.jsonl found there is not one.
        """
        self._path = folder / "metrics.jsonl"
        kept = [(line, row) for line, row in _lines(self._path) if row["step"] <= start_step]
        write_bytes(self._path, "".join(line for line, _ in kept).encode())
        self._last = kept[-1][1]["step"] if kept else None
        with writing(self._path):
            self._file = self._path.open("a", encoding="utf-8")
            self._board = Board(folder / "tensorboard", start_step + 1)

    def row(self, step: int, values: dict[str, Any]) -> None:
        """Append one row, safe on disk on return; its numbers go to TensorBoard as "train/loss".

        Args:
            step: above that of the row before, or ValueError.
            values: nested dicts and lists of what `plain` takes; NaN is stored as null.

        Raises:
            TrainingError: the disk is full; a part of a line may be left, which no reader takes.
        """
        if self._last is not None and step <= self._last:
            raise ValueError(f"row of step {step} after that of step {self._last}")
        numbers = {key: value for key, value in plain(values).items() if key != "step"}
        row = {"step": step, **numbers}
        line = json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
        with writing(self._path):
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())
            self._last = step
            self._board.scalars(step, numbers)

    def image(self, step: int, tag: str, picture: UInt8[np.ndarray, "h w 3"]) -> None:
        """Send one uint8 RGB picture (height, width, 3) to TensorBoard."""
        with writing(self._path):
            self._board.image(step, tag, picture)

    def close(self) -> None:
        """Write out what is pending; raises as `row` does."""
        with contextlib.closing(self._file), writing(self._path):
            self._board.close()

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, kind: type | None, *error: object) -> None:
        # An error that is on its way says more than that the rest could not be written either.
        with contextlib.suppress(*(() if kind is None else (InputError, TrainingError, OSError))):
            self.close()


# What runs leave in their folders: all that --overwrite deletes.
MADE = re.compile(
    r"run\.json|summary\.json|report\.html|overview\.png|metrics\.jsonl|predictions\.json"
    r"|samples\.json|vectors\.bin|vocabulary\.txt|neighbours\.json|map\.json"
    r"|checkpoints|tensorboard|samples|splits|fcn[0-9]+s|\..*\.[0-9]+\.tmp"
)


def open_run(
    out: Path,
    config: dict[str, Any],
    *,
    may_change: Sequence[str],
    resume: bool,
    overwrite: bool,
    inputs: Sequence[Path] = (),
) -> dict[str, Any] | None:
    """The record of the run in `out` if it can be resumed, after `overwrite`; otherwise None.

    Temporary files of a killed process are removed, so hold the lock (`one_run`).
    `overwrite` deletes what runs leave, nothing else.

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
    if overwrite and out.is_dir():
        old = [p for p in out.iterdir() if MADE.fullmatch(p.name)]
        if old and not path.is_file():
            names = ", ".join(sorted(p.name for p in old)[:3])
            raise InputError(
                f"{out}: holds no run.json, so --overwrite will not delete {names}; name another "
                "folder with --out"
            )
        # A killed deletion leaves a run that is not finished, and still may be overwritten.
        for p in sorted(old, key=lambda p: (p == path, p.name != "summary.json")):
            shutil.rmtree(p) if p.is_dir() and not p.is_symlink() else p.unlink()
    if not path.is_file():
        return None
    locks.sweep(out, "**/.*.[0-9]*.tmp")
    if not resume:
        raise InputError(f"{out}: holds a run; name another folder with --out, or use --overwrite")
    record = read_json(path)
    if record.get("format") != FORMAT:
        raise InputError(
            f"{path}: is the record of a run by jaxdl 0.1, which this version uses but does not "
            "resume; give the run to predict, query or --start-from, and name another folder with "
            "--out"
        )
    old, new = (
        {k: v for k, v in c.items() if k not in may_change} for c in (record["config"], config)
    )
    if difference := config_diff(old, new):
        raise InputError(
            f"{out}: holds a run of another configuration ({'; '.join(difference)}); "
            "name another folder with --out, or use --overwrite"
        )
    return record
