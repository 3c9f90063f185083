"""What an LSTM run folder holds, read for its page: predictions.json, numbers of any quality."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

WAYS = ("window", "carry")


class Setting(NamedTuple):
    """So much given, so much predicted: a part of predictions.json."""

    given: Float[np.ndarray, "g f"]
    truth: Float[np.ndarray, "l f"]
    members: dict[int, dict[str, Float[np.ndarray, "l f"]]]  # by hidden size and way


class Errors(NamedTuple):
    """Mean squared error by distance; NaN where there is none."""

    sizes: dict[int, dict[str, Float[np.ndarray, "s l"]]]  # by hidden size and way; a row a seed
    naive: Float[np.ndarray, " l"] | None


def number(found: Any) -> float | None:
    """A finite number, or None."""
    try:
        value = float(found) if isinstance(found, (int, float)) else math.nan
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def log10_of(values: Any) -> list[float]:
    """log10 of the finite positive numbers of a list."""
    found = [number(value) for value in values] if isinstance(values, list) else []
    return [math.log10(value) for value in found if value is not None and value > 0]


def by_size(tree: Mapping[str, Any]) -> dict[int, Any]:
    """What is under the keys that are hidden sizes, from the smallest."""
    return {int(key): tree[key] for key in sorted(filter(str.isdecimal, tree), key=int)}


def _array(found: Any, rank: int) -> np.ndarray:
    """An array of numbers, NaN for a null or an infinity; ValueError if it is none."""
    array = np.array(found, np.float64)
    if array.ndim != rank or not array.size:
        raise ValueError(f"a list of rank {array.ndim} and {array.size} numbers")
    return np.where(np.isfinite(array), array, np.nan)


def _settings(found: Any) -> list[Setting]:
    """The settings of a predictions.json."""
    made = []
    for one in found["settings"]:
        given, truth = _array(one["input"], 2), _array(one["truth"], 2)
        members = by_size(one["members"])
        lines = {s: {way: _array(m[way], 2) for way in WAYS} for s, m in members.items()}
        arrays = [given, truth, *(line for ways in lines.values() for line in ways.values())]
        if not lines or len({array.shape[1] for array in arrays}) != 1:
            raise ValueError("no members, or arrays of different width")
        made.append(Setting(given, truth, lines))
    return made


def _errors(found: Any) -> Errors | None:
    """The errors of a predictions.json, if it has them."""
    errors = found.get("errors")
    if not errors:
        return None
    sizes = {
        size: {way: _array(ways[way], 2) for way in WAYS}
        for size, ways in by_size(errors["sizes"]).items()
    }
    naive = errors.get("naive")
    return Errors(sizes, None if naive is None else _array(naive, 1))


def predictions_of(found: Any) -> tuple[list[Setting], Errors | None]:
    """What a predictions.json holds.

    Raises:
        ArithmeticError, AttributeError, LookupError, TypeError, ValueError: it is not one.
    """
    return _settings(found), _errors(found)
