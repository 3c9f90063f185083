"""What forecasts, as numbers alone: the formats are made of it, of either kind of run."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl.errors import InputError
from jaxdl.lstm import fit, forecast_run, saved
from jaxdl.lstm.backtest import COVERED, Bands
from jaxdl.lstm.model import cell_of, with_units
from jaxdl.lstm.series import Scaling
from jaxdl.lstm.transform import Transform
from jaxdl.report.reading import part


class Program(NamedTuple):
    """A forecast from the last rows of a series, as `jaxdl lstm predict` computes it.

    Attributes:
        columns: of the series.
        who: who forecasts, in words.
        window: changes that the networks read.
        length: steps to forecast if nothing is said.
        transform, scaling: applied in this order.
        by_window: whether each window is scaled too (`jaxdl.lstm.transform.window_scale`).
        params: of the networks whose median it is, with a leading axis, cut to the largest of them;
            None: the last `period` rows are repeated.
        period: of the seasonal naive forecast.
        bands: how far the values may be; None of a sine's network.
    """

    columns: list[str]
    who: str
    window: int
    length: int
    transform: Transform
    scaling: Scaling
    by_window: bool
    params: Any
    period: int
    bands: Bands | None

    @property
    def given(self) -> int:
        """Last rows that are needed."""
        return max(self.window + self.transform.reach, self.period)

    @property
    def networks(self) -> int:
        """How many there are."""
        return 0 if self.params is None else len(self.params["readout"]["bias"])

    @property
    def kind(self) -> str:
        """Networks in words: the cell, the layers and the units."""
        if self.params is None:
            return "none"
        name, layers = cell_of(self.params).upper(), len(self.params) - 1
        units = self.params[f"{name.lower()}_1"]["recurrent"].shape[-1]
        several = f"{self.networks} networks of at most" if self.networks > 1 else "one network of"
        return f"{name}, {layers} layer{'s'[: layers > 1]}, {several} {units} units"

    def half(self) -> np.ndarray | None:
        """The part of the bands that is the same at all steps: ``half * step ** growth``."""
        return None if self.bands is None else self.bands.half(1, COVERED)[0]


def read(run: Path, network: str | None) -> Program:
    """What `jaxdl lstm predict` uses of a run; `network` as there.

    Raises:
        InputError: no finished run, or it has no such network, or one that is not finite.
    """
    if part(saved.read_finished(run), "forecast"):
        found, meta, _ = saved.load(run)
        picked = forecast_run.pick(found, network, run)
        program = of_fitted(found, meta["columns"], picked)
    else:
        one = saved.load_network(run, network)
        program = Program(
            *(one.columns, one.who, one.window, saved.STEPS, Transform(log=False, lag=0)),
            *(one.scaling, False, _cut(one.params, one.size), 1, None),
        )
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(program.params)):
        raise InputError(f"{run}: holds numbers that are not finite; name another run")
    return program


def of_fitted(fitted: fit.Fitted, columns: list[str], picked: list[int] | None = None) -> Program:
    """Of an ensemble: what `jaxdl.lstm.fit.forecast` computes."""
    setup, naive = fitted.setup, fitted.naive and picked is None
    chosen = fit.kept(fitted) if picked is None else picked
    params = None
    if not naive:
        units = int(fitted.members.units[chosen].max())
        params = _cut(fit.part_of(fitted.params, 2, chosen), units)
    return Program(
        *(columns, forecast_run.who(fitted, picked), setup.window, setup.length),
        *(setup.transform, setup.scaling, True, params, setup.period),
        fitted.naive_bands if naive else fitted.bands,
    )


def _cut(params: Any, units: int) -> Any:
    """Networks without the padding that none of them needs; NumPy, float32."""
    arrays = jax.tree.map(jnp.asarray, params)
    cut = jax.vmap(lambda own: with_units(own, units))(arrays)
    return jax.tree.map(lambda a: np.asarray(a, np.float32), cut)
