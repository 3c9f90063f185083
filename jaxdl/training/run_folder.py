"""What a run leaves behind: its record (JSON) and metrics (JSON lines, TensorBoard)."""

import contextlib
import json
import os
import platform
import secrets
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
from jaxdl.files.atomic import plain, write_bytes
from jaxdl.files.schema import Schema, fault
from jaxdl.training.tensorboard import Board

_RESTORE = "restore it from a copy, or train again with --overwrite"
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
        "id": secrets.token_hex(8),  # each checkpoint of the run has it too
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


def _lines(path: Path, row_schema: Schema) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each complete line of a metrics file with its row; see `read_rows`."""
    if not os.path.lexists(path):
        return
    if not path.is_file():
        raise InputError(f"{path}: is not a file; {_RESTORE}")
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {_RESTORE}") from error
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            if not line.endswith(b"\n"):
                raise ValueError("no end of line")
            if text := fault(row, {"step": int}):
                raise ValueError(text)
        except (ValueError, RecursionError) as error:
            if number == len(lines):  # cut off when the process or the machine died
                return
            raise InputError(
                f"{path}, line {number}: is not a row of metrics ({error}); {_RESTORE}"
            ) from error
        if text := fault(row, row_schema):
            raise InputError(f"{path}, line {number}: is damaged ({text}); {_RESTORE}")
        yield line.decode(), row


def read_rows(path: Path, row: Schema = dict) -> list[dict[str, Any]]:
    """The rows of a metrics.jsonl, in order; none if there is no file.

    A half-written last line, as a killed process leaves it, is left out.

    Args:
        path: the file.
        row: what each row must hold.

    Raises:
        InputError: it is no file; a line before the last is not a JSON object with an integer
            "step"; a row lacks what it must hold.
    """
    return [found for _, found in _lines(path, row)]


def recorded_rows(path: Path, row: Schema = dict) -> list[dict[str, Any]]:
    """The rows of a run that has trained; InputError, as `read_rows`, also if there is none."""
    rows = read_rows(path, row)
    if not rows:
        raise InputError(f"{path}: has no row, though the run has trained; {_RESTORE}")
    return rows


class Recorder:
    """The metrics of one stage: ``metrics.jsonl`` (`rows` so far), and ``tensorboard/``.

    Opening it drops the rows after ``start_step``, so that a resumed run has each row once: write
    the row of a step before its checkpoint, and none is lost. TensorBoard hides the dropped points
    likewise (its files are flushed every few seconds; metrics.jsonl is the record).
    """

    def __init__(
        self, folder: Path, start_step: int, row: Schema = dict, rows: int | None = None
    ) -> None:
        """Open a stage's folder, made if missing, to continue after ``start_step`` (0: new).

        Args:
            folder: of the stage.
            start_step: the last step whose row stays.
            row: what each row must hold.
            rows: how many rows there must be up to ``start_step``; None if nobody knows.

        Raises:
            InputError: the metrics.jsonl found there is not one, or lacks rows.
        """
        self._path = folder / "metrics.jsonl"
        kept = [(line, r) for line, r in _lines(self._path, row) if r["step"] <= start_step]
        if rows is not None and len(kept) != rows:
            raise InputError(
                f"{self._path}: has {len(kept)} rows up to step {start_step}, and the run wrote "
                f"{rows}; {_RESTORE}"
            )
        self.rows = len(kept)
        write_bytes(self._path, "".join(line for line, _ in kept).encode())
        self._last = kept[-1][1]["step"] if kept else None
        self._board_path = folder / "tensorboard"
        with writing(self._board_path):
            self._board = Board(self._board_path, start_step + 1)
        with writing(self._path):
            self._file = self._path.open("a", encoding="utf-8")

    def row(self, step: int, values: dict[str, Any]) -> None:
        """Append one row, safe on disk on return; its numbers go to TensorBoard as "train/loss".

        Args:
            step: above that of the row before, or ValueError.
            values: nested dicts and lists of what `plain` takes; NaN is stored as null.

        Raises:
            TrainingError: the disk is full (a part of a line may be left, which no reader takes),
                or the file was removed.
        """
        if self._last is not None and step <= self._last:
            raise ValueError(f"row of step {step} after that of step {self._last}")
        numbers = {key: value for key, value in plain(values).items() if key != "step"}
        row = {"step": step, **numbers}
        if not self._path.exists():
            raise TrainingError(
                f"{self._path}: was removed while the run trained; if it cannot be restored, run "
                "the same command: it begins again"
            )
        line = json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
        with writing(self._path):
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())
            self._last = step
            self.rows += 1
        with writing(self._board_path):
            self._board.scalars(step, numbers)

    def image(self, step: int, tag: str, picture: UInt8[np.ndarray, "h w 3"]) -> None:
        """Send one uint8 RGB picture (height, width, 3) to TensorBoard."""
        with writing(self._board_path):
            self._board.image(step, tag, picture)

    def close(self) -> None:
        """Write out what is pending; raises as `row` does."""
        with contextlib.closing(self._file), writing(self._board_path):
            self._board.close()

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, kind: type | None, *error: object) -> None:
        # An error that is on its way says more than that the rest could not be written either.
        with contextlib.suppress(*(() if kind is None else (InputError, TrainingError, OSError))):
            self.close()
