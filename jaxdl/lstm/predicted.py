"""What `jaxdl lstm predict` writes: a table and a picture of the predicted steps."""

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxdl.files.text import clip
from jaxdl.lstm.data.calendar import next_times, show_time
from jaxdl.lstm.series import Series


def table(
    names: Sequence[str], columns: Sequence[Float[np.ndarray, "l f"]], series: Series
) -> bytes:
    """Predicted steps as CSV: the time or number of each, and values that read back exactly.

    Args:
        columns: the prediction, and perhaps the lower and the upper end of its 80 % band.
    """
    values = np.stack(columns, axis=2).reshape(len(columns[0]), -1)
    names = [f"{name}{end}" for name in names for end in ("", "_p10", "_p90")[: len(columns)]]
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    if series.times is None or series.step is None:
        steps = list(map(str, range(len(series.values) + 1, len(series.values) + len(values) + 1)))
    else:
        steps = [show_time(t) for t in next_times(series.times, series.step, len(values))]
    lines.writerow(["step" if series.times is None else "time", *names])
    lines.writerows([at, *map(repr, line)] for at, line in zip(steps, values.tolist(), strict=True))
    return text.getvalue().encode()


def draw(
    series: Series,
    values: Float[np.ndarray, "l f"],
    shown: int,
    bands: Sequence[Float[np.ndarray, "l f"]] = (),
) -> bytes:
    """The last `shown` rows and what is predicted, a panel for each column, as PNG; `bands` are the
    lower and the upper end of one.
    """
    from matplotlib.figure import Figure  # takes long to import

    from jaxdl.report.plots import INK, TEST, style_axes

    names, steps = series.names, len(series.values)
    at = np.arange(1, steps + len(values) + 1)
    label = "step"
    if series.times is not None and series.step is not None:
        at = np.concatenate([series.times, next_times(series.times, series.step, len(values))])
        label = "time"
        if at.dtype.kind == "M":
            at = at.astype("datetime64[D]" if np.datetime_data(at.dtype)[0] in "YM" else at.dtype)
    figure = Figure(figsize=(9, 1.2 + 2.2 * len(names)), layout="constrained")
    panels: Any = figure.subplots(len(names), 1, squeeze=False, sharex=True)[:, 0]
    for n, (axes, name) in enumerate(zip(panels, names, strict=True)):
        own, predicted = series.values[:, n], values[:, n]
        given = own[-shown:]
        if bands:
            axes.fill_between(
                at[steps:], *(end[:, n] for end in bands), color=TEST, alpha=0.2, lw=0
            )
        axes.plot(at[steps - len(given) : steps], given, color=INK, lw=1.4)
        # From the last given value, so that the line has no gap.
        axes.plot(at[steps - 1 :], np.r_[given[-1:], predicted], "--", color=TEST, lw=1.8)
        style_axes(axes)
        text = clip(name).encode("ascii", "replace").decode()
        axes.set_ylabel(text, color=INK, parse_math=False)
    panels[-1].set_xlabel(
        f"{label} (dashed: predicted{', with a band for 80 %' if bands else ''})", color=INK
    )
    file = io.BytesIO()
    figure.savefig(file, dpi=120)
    return file.getvalue()
