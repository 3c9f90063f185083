"""Series for `benchmarks.lstm.forecasts`, and what ETS and Theta make of them.

Runs under a Python of its own that has statsmodels and statsforecast, nothing of ours:

    python forecast_peers.py export FOLDER            NAME.csv of each series
    python forecast_peers.py score CSV PERIOD LENGTH TRAINING ORIGINS     prints JSON
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd  # pyrefly: ignore[missing-import]

warnings.filterwarnings("ignore")


def export(folder: Path) -> None:
    """The seven series of the marks, from the two packages' own files."""
    import statsmodels  # pyrefly: ignore[missing-import]
    from statsforecast.utils import AirPassengersDF  # pyrefly: ignore[missing-import]
    from statsmodels.datasets import co2, elnino, macrodata, nile, sunspots  # pyrefly: ignore[missing-import]

    wide = elnino.load_pandas().data.set_index("YEAR")
    months = pd.date_range(f"{int(wide.index[0])}-01-01", periods=wide.size, freq="MS")
    real = macrodata.load_pandas().data
    weeks = co2.load_pandas().data["co2"]
    tables = {
        "airline": AirPassengersDF[["ds", "y"]],
        "elnino": pd.DataFrame({"ds": months, "y": wide.to_numpy().ravel()}),
        "co2": pd.DataFrame({"ds": weeks.index, "y": weeks.to_numpy()}),
        "sunspots": sunspots.load_pandas().data,
        "nile": nile.load_pandas().data,
        "realgdp": pd.DataFrame(
            {
                "ds": [
                    f"{year:.0f}Q{quarter:.0f}"
                    for year, quarter in zip(real.year, real.quarter, strict=True)
                ],
                "y": real.realgdp,
            }
        ),
    }
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    demand = Path(statsmodels.__file__).parent / "tsa/stl/tests/results/mstl_elec_vic.csv"
    (folder / "demand.csv").write_bytes(demand.read_bytes())


def score(path: Path, period: int, length: int, training: int, origins: int) -> dict[str, float]:
    """Mean absolute error over that of the seasonal naive forecast, at some of the origins.

    The rows before an origin are fitted afresh; what of the horizon lies in the file counts.
    """
    from statsforecast.models import AutoETS, AutoTheta  # pyrefly: ignore[missing-import]

    values = np.loadtxt(path)
    starts = np.unique(np.linspace(training, len(values) - 1, origins).round().astype(int))
    errors: dict[str, list[np.ndarray]] = {"naive": [], "ets": [], "theta": []}
    for start in starts:
        # A state of hundreds of seasons takes hours: 1,000 rows, and no season above 24 for ETS.
        known, truth = values[max(0, start - 1000) : start], values[start : start + length]
        steps = len(truth)
        naive = known[len(known) - period + np.arange(steps) % period]
        errors["naive"].append(np.abs(naive - truth))
        for name, model in (
            ("ets", AutoETS(season_length=period if period <= 24 else 1)),
            ("theta", AutoTheta(season_length=period)),
        ):
            found = model.forecast(y=known, h=steps)["mean"]
            errors[name].append(np.abs(found - truth))
    means = {name: float(np.concatenate(own).mean()) for name, own in errors.items()}
    return {name: means[name] / means["naive"] for name in ("ets", "theta")}


if __name__ == "__main__":
    if sys.argv[1] == "export":
        export(Path(sys.argv[2]))
    else:
        print(json.dumps(score(Path(sys.argv[2]), *map(int, sys.argv[3:]))))
