"""A series in a Python program: arrays, and pandas' Series and DataFrames with their index.

pandas is not imported unless the caller has given something of it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxdl.errors import InputError
from jaxdl.files.text import show


class Given(NamedTuple):
    """What `jaxdl.lstm.data.regular.make_series` takes, and what the caller gave it in.

    Attributes:
        values: a row a step, float64; NaN where one is missing.
        names: of the columns.
        times: of the rows; None of an array.
        kind: of `give_back`: JSON.
    """

    values: Float[np.ndarray, "n f"]
    names: tuple[str, ...]
    times: np.ndarray | None
    kind: dict[str, Any]


def take(series: Any) -> Given:
    """Read a series.

    Args:
        series: an array or list, (n,) or (n, f); or pandas' Series or DataFrame, whose index has
            the times: dates, periods or whole numbers.

    Raises:
        InputError: it holds something else than numbers, or an index that has no order in time.
    """
    index = getattr(series, "index", None)
    if index is not None and not callable(index):
        return _of_pandas(series, index)
    values = _numbers(series)
    if values.ndim not in (1, 2):
        raise InputError(f"a series of shape {values.shape}: give (steps,) or (steps, columns)")
    flat = values.ndim == 1
    values = values[:, None] if flat else values
    names = tuple(str(n + 1) for n in range(values.shape[1]))
    return Given(values, names, None, {"pandas": False, "flat": flat})


def give_back(
    found: Float[np.ndarray, "l f q"],
    quantiles: Sequence[float],
    times: np.ndarray | None,
    kind: Mapping[str, Any],
) -> Any:
    """A forecast in the form of the series: an array, or a DataFrame with the index continued.

    Args:
        found: a value for each step, column and quantile.
        quantiles: their names.
        times: of the steps.
        kind: see `Given`.
    """
    if not kind["pandas"]:
        return found[:, 0] if kind["flat"] else found
    import pandas as pd

    rows = _index(pd, times, kind)
    if kind["flat"]:
        return pd.DataFrame(found[:, 0], rows, pd.Index(quantiles, name="quantile"))
    both: Any = [kind["columns"], quantiles]
    columns = pd.MultiIndex.from_product(both, names=[kind["columns_name"], "quantile"])
    return pd.DataFrame(found.reshape(len(found), -1), rows, columns)


def _numbers(values: Any) -> np.ndarray:
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"the series holds something else than numbers ({error})") from error


def _of_pandas(series: Any, index: Any) -> Given:
    import pandas as pd

    flat = isinstance(series, pd.Series)
    frame = series.to_frame("value" if series.name is None else series.name) if flat else series
    names = tuple(map(str, frame.columns))
    for name, kind in zip(names, frame.dtypes, strict=True):
        if names.count(name) > 1:
            raise InputError(f"column {show(name)} is there twice; rename one")
        if not pd.api.types.is_numeric_dtype(kind):
            raise InputError(
                f"column {show(name)} holds {kind}, not numbers; leave it out, or make it the "
                "index if it has the times"
            )
    times, kind = _times(pd, index)
    kind |= {"pandas": True, "flat": flat, "index_name": _label(index.name)}
    kind |= {"columns": list(map(_label, frame.columns))}
    kind |= {"columns_name": _label(frame.columns.name)}
    return Given(_numbers(frame.to_numpy(np.float64, na_value=np.nan)), names, times, kind)


def _label(label: Any) -> Any:
    """A label as JSON keeps it: whole numbers stay numbers, all others are text."""
    return label if label is None or isinstance(label, (int, str)) else str(label)


def _times(pd: Any, index: Any) -> tuple[np.ndarray, dict[str, Any]]:
    """The times of an index as NumPy's, and what `_index` needs."""
    if isinstance(index, pd.PeriodIndex):
        return index.to_timestamp().to_numpy(), {"index": "periods", "freq": index.freqstr}
    if isinstance(index, pd.DatetimeIndex):
        if index.tz is None:
            return index.to_numpy(), {"index": "times", "zone": None}
        local, zone = index.tz_localize(None), str(index.tz)
        # Days begin by the clock of their zone; shorter steps have one length in UTC alone.
        if len({*(local - local.normalize())}) == 1:
            return local.to_numpy(), {"index": "times", "zone": zone, "clock": "local"}
        times = index.tz_convert("UTC").tz_localize(None).to_numpy()
        return times, {"index": "times", "zone": zone, "clock": "UTC"}
    if pd.api.types.is_integer_dtype(index.dtype):
        return index.to_numpy(np.int64), {"index": "numbers"}
    raise InputError(
        f"an index of {index.dtype} has no order in time; give dates (pandas.to_datetime), periods "
        "or whole numbers"
    )


def _index(pd: Any, times: np.ndarray | None, kind: Mapping[str, Any]) -> Any:
    """An index of the kind that was given, of later times."""
    name = kind["index_name"]
    if kind["index"] == "numbers":
        return pd.Index(times, name=name)
    found = pd.DatetimeIndex(times, name=name)
    if kind["index"] == "periods":
        return found.to_period(kind["freq"])
    if kind["zone"] is None:
        return found
    if kind["clock"] == "UTC":
        return found.tz_localize("UTC").tz_convert(kind["zone"])
    return found.tz_localize(kind["zone"], nonexistent="shift_forward", ambiguous=True)
