"""Forecasts of seven series beside the seasonal naive forecast, ETS and Theta.

make bench-forecasts, or `python -m benchmarks.lstm.forecasts --help`. See the README beside it.
"""

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from rich.table import Table

from benchmarks import shape
from benchmarks.process import measure
from jaxdl.cli.command import main
from jaxdl.cli.options import Range
from jaxdl.errors import InputError, TrainingError

SERIES = ("airline", "elnino", "co2", "sunspots", "nile", "demand", "realgdp")
PEERS = Path(__file__).with_name("forecast_peers.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(shape.Options):
    """`jaxdl lstm train --data` with default options on seven series, beside ETS and Theta."""

    names: tuple[str, ...] = SERIES
    """Series: airline, elnino, co2, sunspots, nile, demand, realgdp."""
    seeds: Annotated[int, Range(1)] = 3
    """Networks of each size."""
    origins: Annotated[int, Range(1)] = 10
    """ETS and Theta forecast from so many origins."""
    peers_python: Path = Path(".venv-forecast/bin/python")
    """A Python that has statsmodels and statsforecast; `make bench-forecasts` makes it."""
    out: Path = Path("runs/bench-forecasts")
    """Work folder, new or its own from before."""


def train(name: str, cfg: Config) -> dict[str, Any]:
    """The command, as a user types it; its summary, and the figures of its process."""
    data, run = (cfg.out.absolute() / part for part in (f"{name}.csv", f"run-{name}"))
    words = ["--data", str(data), "--out", str(run), "--seeds", str(cfg.seeds), "--overwrite"]
    if name == "co2":  # 59 weeks are missing
        words += ["--missing", "interpolate"]
    command, log = [sys.executable, "-m", "jaxdl", "lstm", "train", *words], cfg.out / "log.txt"
    done = measure(command, log, os.environ)
    if done.status:
        told = log.read_text(errors="replace").strip()[-300:]
        raise TrainingError(f"{name}: jaxdl lstm train failed: {told}; see {log}")
    summary = json.loads((run / "summary.json").read_text())["lstm_sine"]
    figures = {"seconds": summary["seconds"], "total_s": done.seconds, "cpu_s": done.cpu_s}
    return summary["forecast"] | figures | {"peak_mb": done.peak_mb}


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
        "transform": ", ".join(f"{k} {v}" for k, v in found["setup"]["transform"].items()),
        "chosen": "naive" if found["naive"] else "mean change" if found["unlearnt"] else "",
        "mase": totals["forecast"],
        "ratio": totals["forecast"] / totals["naive"],
        "networks": totals["networks"] / totals["naive"],
        "drift": totals["drift"] / totals["naive"],
        "coverage": found["test"]["coverage"]["total"],
    } | {name: found[name] for name in ("seconds", "total_s", "cpu_s", "peak_mb")}


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """A line for each series, and the geometric mean."""
    made = Table(title="mean absolute error over that of the seasonal naive forecast")
    names = ("series", "forecast", "networks", "drift", "ETS", "Theta", "80 % band", "MASE")
    for name in (*names, "s", "CPU s", "peak MB"):
        made.add_column(name, justify="left" if name == "series" else "right")

    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    for row in rows:
        made.add_row(
            row["series"] + (f" ({row['chosen']})" if row["chosen"] else ""),
            *(shown(row.get(k)) for k in ("ratio", "networks", "drift", "ets", "theta")),
            *(f"{row['coverage']:.0%}", shown(row["mase"])),
            *(f"{row[name]:.0f}" for name in ("seconds", "cpu_s", "peak_mb")),
        )
    mean = {}
    for key in ("ratio", "networks", "drift", "ets", "theta"):
        own = [row.get(key) for row in rows]
        known = [value for value in own if value]
        mean[key] = (
            math.exp(sum(map(math.log, known)) / len(own)) if len(known) == len(own) else None
        )
    made.add_row("geometric mean", *map(shown, mean.values()), *[""] * 5)
    return made


def run(cfg: Config) -> None:
    """All series in turn; prints the table."""
    cfg = shape.settled(cfg, names=("nile",), seeds=1, origins=1)
    if not cfg.names or len(set(cfg.names)) < len(cfg.names):
        raise InputError(f"--names {' '.join(cfg.names)}: name one or more, each once")
    if unknown := set(cfg.names) - set(SERIES):
        raise InputError(f"--names {min(unknown)}: choose from {', '.join(SERIES)}")
    needed = ("statsforecast", "statsmodels")
    versions = {
        name: shape.peer(cfg.peers_python, name, "bench-forecasts").version for name in needed
    }
    bench = shape.begin(cfg, "benchmarks.lstm.forecasts", work=cfg.out, versions=versions)
    export = [cfg.peers_python.absolute(), PEERS, "export", cfg.out]
    if subprocess.run(export).returncode:
        raise TrainingError(f"{cfg.peers_python}: could not write the series")
    rows = []
    for name in cfg.names:
        found = train(name, cfg)
        rows.append(row_of(name, found) | peers(name, found, cfg))
        bench.console.print(f"{name}: {rows[-1]}")
        bench.add(rows[-1] | versions)
    bench.console.print(table(rows))
    bench.end()


if __name__ == "__main__":
    example = "python -m benchmarks.lstm.forecasts --names nile realgdp  # two of the series"
    main(lambda: run(shape.options(Config, "benchmarks.lstm.forecasts", example)))
