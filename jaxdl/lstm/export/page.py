"""``forecast.html``: a run's networks on one page that forecasts with them, without a server.

The page holds the parameters as they are (float32), a script of our own and the last rows that were
trained on. It computes in doubles: its numbers are those of `jaxdl lstm predict` but for rounding.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxdl.errors import InputError
from jaxdl.lstm import saved
from jaxdl.lstm.backtest import COVERED
from jaxdl.lstm.export.card import inside
from jaxdl.lstm.export.program import Program
from jaxdl.lstm.model import CELLS, cell_of
from jaxdl.lstm.series import Series, sine
from jaxdl.lstm.transform import FLOOR
from jaxdl.report.reading import part
from jaxdl.report.scripted import base64_text, render_page
from jaxdl.training.record import read_record

FILE = "forecast.html"
ROWS = 600  # that are on the page, or as many as a forecast needs
_OWN = Path(__file__).parent
_SCRIPTS = ("network.js", "calendar.js", "series.js", "chart.js", "forecast.js")


def to_bytes(program: Program, series: Series | None) -> bytes:
    """The page: one file that needs no other.

    Args:
        program: what forecasts.
        series: what it was trained on; None: the page waits for one.
    """
    data = describe(program) | {"inside": None if series is None else _last(program, series)}
    return render_page(
        _OWN / "forecast.html.j2",
        [_OWN / name for name in _SCRIPTS],
        _OWN / "forecast.css",
        data,
        {},
        weights=base64_text(weights(program)),
    )


def series_of(run: Path, program: Program) -> Series | None:
    """What a run was trained on: its own series, or the post's sine; None of a run that kept none.

    Raises:
        InputError: it was changed.
    """
    if (run / saved.SERIES).is_file():
        return saved.load_series(run)
    if program.columns != ["sine"]:
        return None
    steps = 50
    with contextlib.suppress(InputError, TypeError, ValueError):
        steps = int(part(read_record(run), "config").get("steps_per_cycle", steps))
    return Series(values=sine(max(2, steps)), names=("sine",))


def _last(program: Program, series: Series) -> dict[str, Any]:
    """The last rows as CSV, and how many rows are before them."""
    before = max(0, len(series.values) - max(ROWS, program.given))
    times = None if series.times is None else series.times[before:]
    names = tuple(_names(series.names))
    last = Series(values=series.values[before:], names=names, times=times, step=series.step)
    return {"csv": saved.write_series(last).decode(), "before": before}


def _names(names: Sequence[str]) -> list[str]:
    """As ``series.js`` reads them: in one line, without spaces around."""
    return [" ".join(name.splitlines()).strip() for name in names]


def describe(program: Program) -> dict[str, Any]:
    """A program as ``network.js`` takes it, without its weights; JSON."""
    transform, scaling, bands = program.transform, program.scaling, program.bands
    half = program.half()
    found: dict[str, Any] = {
        "columns": _names(program.columns),
        "who": program.who,
        "inside_words": inside(program),
        "kind": program.kind,
        "window": program.window,
        "given": program.given,
        "length": program.length,
        "period": program.period,
        "transform": {**transform._asdict(), "reach": transform.reach},
        "scaling": {k: np.asarray(v).tolist() for k, v in scaling._asdict().items()},
        "floor": FLOOR if program.by_window else None,
        "bands": None,
        "covered": COVERED,
        "networks": None,
    }
    if bands is not None and half is not None:
        found["bands"] = {"half": half.tolist(), "growth": bands.growth.tolist()}
    if program.params is not None:
        cell = cell_of(program.params)
        found["networks"] = {
            "count": program.networks,
            "cell": cell,
            "gates": CELLS[cell].gates,
            "layers": len(program.params) - 1,
            "units": program.params[f"{cell}_1"]["recurrent"].shape[-1],
        }
    return found


def weights(program: Program) -> bytes:
    """All numbers, network by network, layer by layer, float32, in the order of ``network.js``."""
    if program.params is None:
        return b""
    numbers, cell = [], cell_of(program.params)
    names = [*(f"{cell}_{n + 1}" for n in range(len(program.params) - 1)), "readout"]
    for n in range(program.networks):
        for layer in map(program.params.__getitem__, names):
            numbers += [layer[k][n].ravel() for k in _ORDER if k in layer]
    return np.concatenate(numbers).astype("<f4").tobytes()


_ORDER = ("input", "recurrent", "kernel", "bias", "recurrent_bias")
