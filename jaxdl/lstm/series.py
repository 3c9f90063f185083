"""Series of numbers: the posts' sine, a user's CSV file; scaling, a held-out tail, windows.

A series is (n, f): n steps of f values, float64 on the host until `to_float32`.
"""

import csv
import math
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Float64, Int, Key

from jaxdl.errors import InputError
from jaxdl.files.text import show

LONGEST_ROW = 1 << 20  # characters
LARGEST = 1e100  # of a value: the square of a larger one may be infinite
_FEW = 20  # column names in a message


def sine(steps_per_cycle: int = 50, cycles: int = 100) -> Float64[np.ndarray, "n 1"]:
    """The training data of the 2016 posts: one cycle of a sine, repeated.

    Source: the LSTM post of 2016 (``make_data.py``: steps_per_cycle, number_of_cycles).

    Raises:
        InputError: less than two steps a cycle, or no cycle.
    """
    if steps_per_cycle < 2:
        raise InputError(f"{steps_per_cycle} steps a cycle hold no wave; give at least 2")
    if cycles < 1:
        raise InputError(f"a sine of {cycles} cycles is empty; give at least 1")
    cycle = np.sin(2 * np.pi * np.arange(steps_per_cycle) / steps_per_cycle)
    return np.tile(cycle, cycles)[:, None]


def to_float32(series: Float[np.ndarray, "n f"]) -> Float32[np.ndarray, "n f"]:
    """What the network is given; rounded once, here."""
    return np.ascontiguousarray(series, np.float32)


class Scaling(NamedTuple):
    """``scaled = (value - mean) / deviation``, column by column; float64, JSON by ``tolist``."""

    mean: Float64[np.ndarray, " f"]
    deviation: Float64[np.ndarray, " f"]

    def apply(self, series: Float[np.ndarray, "*n f"]) -> Float64[np.ndarray, "*n f"]:
        return (np.asarray(series, np.float64) - self.mean) / self.deviation

    def undo(self, series: Float[np.ndarray, "*n f"]) -> Float64[np.ndarray, "*n f"]:
        return np.asarray(series, np.float64) * self.deviation + self.mean


def learn_scaling(training: Float[np.ndarray, "n f"]) -> Scaling:
    """Mean and standard deviation of the training part (give it nothing else).

    A column that does not change has deviation 1, so that it becomes 0 and not NaN.
    """
    deviation = training.std(axis=0, dtype=np.float64)
    mean = training.mean(axis=0, dtype=np.float64)
    # Rounding alone gives a constant column a deviation of about 1e-16 of its size.
    flat = deviation <= 1e-12 * np.maximum(np.abs(mean), 1e-300)
    return Scaling(mean, np.where(flat, 1.0, deviation))


def check_window(steps: int, window: int, source: str) -> None:
    """A window takes `window` steps and the one after them, which is the last target.

    Args:
        steps: of the series or of the part that windows are cut from.
        window: steps that the network is given.
        source: what the series is, for the message (a file, "the sine", ...).

    Raises:
        InputError: a window below 1, or a series that is too short for it.
    """
    if window < 1:
        raise InputError(f"a window of {window} steps shows the network nothing; give at least 1")
    if steps < window + 1:
        raise InputError(
            f"{source}: {steps} steps are too few for a window of {window} and the step after it; "
            f"give at least {window + 1} steps, or a window of at most {max(1, steps - 1)}"
        )


def split_tail(
    series: Float[np.ndarray, "n f"], tail: int, window: int, source: str
) -> tuple[Float[np.ndarray, "m f"], Float[np.ndarray, "k f"]]:
    """(training part, the last `tail` steps); no step is in both.

    Args:
        series: in order of time.
        tail: steps held out; 0 holds out none.
        window: the training part must hold one, see `check_window`.
        source: what the series is, for the message.

    Raises:
        InputError: a negative tail, or nothing to train on beside it.
    """
    if tail < 0:
        raise InputError(f"a held-out tail of {tail} steps; give 0 or more")
    cut = max(0, len(series) - tail)
    check_window(cut, window, f"{source} without its tail of {tail}" if tail else source)
    return series[:cut], series[cut:]


def window_starts(
    key: Key[Array, ""], count: int, steps: int, window: int
) -> Int[Array, " {count}"]:
    """First steps of `count` random windows in a series of `steps`, with replacement, uniform.

    Every window with its last target lies in the series. Can be traced. Some starts are likelier
    than others by one part in 2^32 / (steps - window); `jax.random.randint` draws twice against it,
    which took 5 % of a sweep's time.
    """
    drawn = jax.random.bits(key, (count,), jnp.uint32)
    return (drawn % jnp.uint32(steps - window)).astype(jnp.int32)


def gather_windows(
    series: Float[Array, "n f"], starts: Int[Array, " b"], window: int
) -> Float[Array, "{window}+1 b f"]:
    """Windows with the step after each, steps first: [:-1] are inputs and [1:] targets."""
    rows = starts[None, :] + jnp.arange(window + 1)[:, None]
    return series.at[rows].get(mode="promise_in_bounds")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


class _Lines:
    """The lines of a file; a row that has no end is found before it fills the memory."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self._path, self._file = path, file
        self.row = 0  # characters since it was set to 0; a quoted cell may hold lines

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._file.readline(LONGEST_ROW)
        self.row += len(line)
        if self.row >= LONGEST_ROW:
            text = f"a row of {LONGEST_ROW} characters or more"
            raise InputError(f"{self._path}: {text}; give a step a line, with commas")
        if not line:
            raise StopIteration
        return line


def _pick(path: Path, header: list[str], columns: Sequence[str] | None) -> list[int]:
    """Positions of the wanted columns in the header."""
    if columns is None:
        return list(range(len(header)))
    wanted = []
    for name in columns:
        if name not in header:
            there = ", ".join(map(show, header[:_FEW])) + (", ..." if len(header) > _FEW else "")
            raise InputError(f"{path}: no column {name!r}; its columns are {there}")
        if header.count(name) > 1:
            raise InputError(f"{path}: {header.count(name)} columns are called {name!r}; rename")
        wanted.append(header.index(name))
    if not wanted:
        there = ", ".join(map(show, header[:_FEW]))
        raise InputError(f"{path}: no column was asked for; name one of {there}")
    return wanted


def read_csv(
    path: Path, columns: Sequence[str] | None = None
) -> tuple[list[str], Float64[np.ndarray, "n f"]]:
    """A series from a CSV file (commas, UTF-8), one step a line.

    The first line names the columns; if it holds numbers alone, it is the first step and the
    columns are called "1", "2", ... Empty lines are skipped.

    Args:
        path: the file.
        columns: names of the values of a step, in their order; None takes every column.

    Returns:
        The columns' names and their values.

    Raises:
        InputError: the file can't be read, has no such column, or a value that is not a finite
            number; the message gives the line.
    """
    header: list[str] | None = None
    places: list[int] = []
    values = array("d")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            text = _Lines(path, file)
            lines = csv.reader(text, strict=True)
            for cells in lines:
                text.row = 0
                cells = [cell.strip() for cell in cells]
                if not any(cells):
                    continue
                if header is None:
                    named = any(_number(cell) is None for cell in cells)
                    header = cells if named else [str(n + 1) for n in range(len(cells))]
                    places = _pick(path, header, columns)
                    if named:
                        continue
                where = f"{path}: line {lines.line_num}"
                if len(cells) != len(header):
                    raise InputError(
                        f"{where}: {len(cells)} values, but there are {len(header)} columns; "
                        "put commas between the columns, and nowhere else"
                    )
                for place in places:
                    number = _number(cells[place])
                    if number is None or not abs(number) < LARGEST:
                        finite = number is not None and math.isfinite(number)
                        what = f"beyond {LARGEST:g}" if finite else "not a finite number"
                        cell = f"column {show(header[place])}: {show(cells[place])}"
                        raise InputError(
                            f"{where}, {cell} is {what}; fill it in, or take such lines out"
                        )
                    values.append(number)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        with path.open("rb") as file:
            if file.read(2) == b"\x1f\x8b":
                raise InputError(f"{path}: is packed by gzip; unpack it (gunzip -k)") from error
        raise InputError(f"{path}: is not UTF-8 text; save it as CSV in UTF-8") from error
    except csv.Error as error:
        raise InputError(f"{path}: is not CSV ({error}); save it as CSV with commas") from error
    if header is None or not values:
        raise InputError(f"{path}: holds no step; give a line of column names and lines of numbers")
    table = np.frombuffer(values).reshape(-1, len(places))
    return [header[place] for place in places], table
