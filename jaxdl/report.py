"""What a run leaves behind: its record (JSON), metrics (JSON lines, TensorBoard), and the page.

All files but the growing metrics are written whole: under a temporary name, then renamed.
"""

import contextlib
import json
import math
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from jaxdl.atomic import write_bytes
from jaxdl.errors import InputError, TrainingError, writing
from jaxdl.limits import visible
from jaxdl.tensorboard import Board

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "tensorflow-datasets")


def plain(value: Any) -> Any:
    """A value as JSON knows it: arrays and tuples to lists, NaN and infinities to None.

    Paths become strings; anything else that JSON lacks is left for `json` to refuse (TypeError).
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy and jax arrays and scalars
        return plain(value.tolist())
    return value


def write_json(path: Path, obj: Any) -> None:
    """Write `plain(obj)` as indented JSON, atomically."""
    text = json.dumps(plain(obj), indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, f"{text}\n".encode())


def read_json(path: Path) -> Any:
    """The content of a JSON file; InputError if there is none, or if it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON ({error})") from error


def _git_state() -> dict[str, Any]:
    """Commit of the checkout that this package runs from, and whether files in it are changed."""
    unknown = {"commit": None, "changed": None}
    root = Path(__file__).resolve().parents[1]

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
        """Open a stage's folder, made if missing, to go on after ``start_step`` (0: afresh).

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


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,  # not Markup
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(macro: str, **values: Any) -> str:
    """HTML of one macro of the report's template; text in the values is escaped, Markup is not."""
    # A plain string: adding to Markup would escape what is added.
    return str(getattr(_templates().get_template("report.html.j2").module, macro)(**values))


def write_page(
    path: Path, title: str, sections: Sequence[tuple[str, str]], record: Mapping[str, Any]
) -> None:
    """Write the report: one HTML file that needs no other, atomically.

    Args:
        path: where to.
        title: plain text.
        sections: title (plain text) and HTML (trusted as it is) of each.
        record: what `run_record` made; shown at the end, as far as it is there.
    """
    names = ("config", "versions", "device", "git")
    html = render(
        "page",
        title=title,
        sections=[(name, Markup(text)) for name, text in sections],
        started=record.get("started"),
        command=shlex.join(record.get("argv") or []),
        **{name: flatten(record.get(name) or {}) for name in names},
    )
    write_bytes(path, f"{html.strip()}\n".encode())
