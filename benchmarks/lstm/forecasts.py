"""Forecasts of seven series beside the seasonal naive forecast, ETS and Theta.

make bench-forecasts, or `python -m benchmarks.lstm.forecasts --help`. See the README beside it.
"""

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from jaxdl.cli.command import main
from jaxdl.cli.options import Range, check_ranges
from jaxdl.errors import InputError, TrainingError
from jaxdl.files.results import work_folder

SERIES = ("airline", "elnino", "co2", "sunspots", "nile", "demand", "realgdp")
PEERS = Path(__file__).with_name("forecast_peers.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """`jaxdl lstm train --data` with default options on seven series, beside ETS and Theta."""

    names: tuple[str, ...] = SERIES
    """Series: airline, elnino, co2, sunspots, nile, demand, realgdp."""
    seeds: Annotated[int, Range(1)] = 3
    """Networks of each size."""
    origins: Annotated[int, Range(1)] = 10
    """ETS and Theta forecast from so many origins."""
    peers_python: Path = Path(".venv-forecast/bin/python")
    """A Python that has statsmodels and statsforecast; `make bench-forecasts` makes it."""
    json: Path | None = None
    """Write the rows here."""
    out: Path = Path("runs/bench-forecasts")
    """Work folder, new or its own from before."""


def train(name: str, cfg: Config) -> dict[str, Any]:
    """The command, as a user types it; returns its summary and the values that it read."""
    data, run = cfg.out / f"{name}.csv", cfg.out / f"run-{name}"
    words = ["--data", str(data), "--out", str(run), "--seeds", str(cfg.seeds), "--overwrite"]
    if name == "co2":  # 59 weeks are missing
        words += ["--missing", "interpolate"]
    command = [sys.executable, "-m", "jaxdl", "lstm", "train", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise TrainingError(f"{name}: jaxdl lstm train failed: {done.stderr.strip()[-300:]}")
    summary = json.loads((run / "summary.json").read_text())["lstm_sine"]
    return summary["forecast"] | {"seconds": summary["seconds"]}


def peers(name: str, found: dict[str, Any], cfg: Config) -> dict[str, float | None]:
    """ETS and Theta over the naive forecast; None where they failed."""
    from jaxdl.lstm.data.read import read_series

    setup, missing = found["setup"], "interpolate" if name == "co2" else None
    values = read_series(cfg.out / f"{name}.csv", missing=missing).series.values
    plain = cfg.out / f"{name}.txt"
    np.savetxt(plain, values[:, 0])
    numbers = [setup["period"], setup["length"], setup["rows"][1], cfg.origins]
    command = [str(cfg.peers_python.absolute()), str(PEERS), "score", str(plain)]
    done = subprocess.run([*command, *map(str, numbers)], capture_output=True, text=True)
    if done.returncode:
        return {"ets": None, "theta": None}
    return json.loads(done.stdout.splitlines()[-1])


def row_of(name: str, found: dict[str, Any]) -> dict[str, Any]:
    """What the table shows of a run."""
    totals = {key: own["total"]["mase"] for key, own in found["test"]["methods"].items()}
    return {
        "series": name,
        "transform": list(found["setup"]["transform"].values()),
        "chosen": "naive" if found["naive"] else "mean change" if found["unlearnt"] else "",
        "mase": totals["forecast"],
        "ratio": totals["forecast"] / totals["naive"],
        "networks": totals["networks"] / totals["naive"],
        "drift": totals["drift"] / totals["naive"],
        "coverage": found["test"]["coverage"]["total"],
        "seconds": found["seconds"],
    }


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """A line for each series, and the geometric mean."""
    made = Table(title="mean absolute error over that of the seasonal naive forecast")
    names = ("series", "forecast", "networks", "drift", "ETS", "Theta", "80 % band", "MASE", "s")
    for name in names:
        made.add_column(name, justify="left" if name == "series" else "right")

    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    for row in rows:
        made.add_row(
            row["series"] + (f" ({row['chosen']})" if row["chosen"] else ""),
            *(shown(row.get(k)) for k in ("ratio", "networks", "drift", "ets", "theta")),
            *(f"{row['coverage']:.0%}", shown(row["mase"]), f"{row['seconds']:.0f}"),
        )
    mean = {}
    for key in ("ratio", "networks", "drift", "ets", "theta"):
        own = [row.get(key) for row in rows]
        known = [value for value in own if value]
        mean[key] = (
            math.exp(sum(map(math.log, known)) / len(own)) if len(known) == len(own) else None
        )
    made.add_row("geometric mean", *map(shown, mean.values()), "", "", "")
    return made


def run(cfg: Config) -> None:
    """All series in turn; prints the table."""
    check_ranges(cfg)
    if unknown := set(cfg.names) - set(SERIES):
        raise InputError(f"--names {min(unknown)}: choose from {', '.join(SERIES)}")
    if not cfg.peers_python.is_file():
        raise InputError(
            f"{cfg.peers_python}: no such Python; run make bench-forecasts, which makes it"
        )
    console = Console()
    console.width = max(console.width, 110)  # folded tables cannot be read
    work_folder(cfg.out, "benchmarks.lstm.forecasts")
    export = [cfg.peers_python.absolute(), PEERS, "export", cfg.out]
    if subprocess.run(export).returncode:
        raise TrainingError(f"{cfg.peers_python}: could not write the series")
    rows = []
    for name in cfg.names:
        found = train(name, cfg)
        rows.append(row_of(name, found) | peers(name, found, cfg))
        console.print(f"{name}: {rows[-1]}", highlight=False)
    console.print(table(rows))
    if cfg.json is not None:
        cfg.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main(lambda: run(tyro.cli(Config, prog="python -m benchmarks.lstm.forecasts")))
