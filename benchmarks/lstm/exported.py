"""An exported forecaster beside JAX: `python -m benchmarks.lstm.exported RUN`."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import onnxruntime
import tyro
from rich.table import Table

from benchmarks import shape
from benchmarks.process import own_peak_mb
from jaxdl.cli.command import main
from jaxdl.cli.options import Range
from jaxdl.lstm import fit, saved
from jaxdl.lstm.export.onnx import to_bytes
from jaxdl.lstm.export.program import read


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(shape.Options):
    """A forecast of a run's own series by the exported graph and by JAX, in turn."""

    run: Annotated[Path, tyro.conf.Positional]
    """A run of `jaxdl lstm train --data`."""
    repeats: Annotated[int, Range(1)] = 30
    """Forecasts of each; the median is shown."""


def run(cfg: Config) -> None:
    """Both in turn; prints the table."""
    cfg = shape.settled(cfg, repeats=3)
    program, fitted = read(cfg.run, None), saved.load(cfg.run).fitted
    values = saved.load_series(cfg.run).values
    versions = {"onnxruntime": onnxruntime.__version__, "jax": jax.__version__}
    bench = shape.begin(cfg, "benchmarks.lstm.exported", inputs=[cfg.run], versions=versions)
    session = onnxruntime.InferenceSession(to_bytes(program))
    given = {"values": values, "horizon": np.array(program.length)}
    calls: dict[str, Callable[[], np.ndarray]] = {
        "onnxruntime": lambda: np.asarray(session.run(None, given)[0]),
        "jax": lambda: fit.forecast(fitted, values, program.length).median,
    }
    begin = time.perf_counter()
    wanted = calls["jax"]()
    compiling = time.perf_counter() - begin
    difference = np.abs(calls["onnxruntime"]() - wanted).max() / np.abs(wanted).max()
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for _ in range(cfg.repeats):
        for name, call in calls.items():
            begin, cpu = time.perf_counter(), time.process_time()
            call()
            found[name].append((time.perf_counter() - begin, time.process_time() - cpu))
    what = {"networks": program.networks, "rows": len(values), "steps": program.length}
    shown = Table(title=", ".join(f"{count} {name}" for name, count in what.items()))
    for name in ("", "ms", "CPU ms", "first call, s"):
        shown.add_column(name, justify="right" if name else "left")
    rows: list[dict[str, Any]] = []
    for name, times in found.items():
        seconds, cpu = (statistics.median(own) for own in zip(*times, strict=True))
        rows.append({"system": name, "seconds": seconds, "cpu_s": cpu, **what})
        rows[-1] |= {"first_s": compiling if name == "jax" else None, "peak_mb": own_peak_mb()}
        rows[-1] |= {"difference": float(difference), "version": versions[name]}
        first = f"{compiling:.2f}" if name == "jax" else ""
        shown.add_row(name, f"{1e3 * seconds:.2f}", f"{1e3 * cpu:.2f}", first)
    bench.add(*rows)
    bench.console.print(shown)
    peak = f"peak of the process: {own_peak_mb():.0f} MB"
    bench.console.print(f"they differ by {difference:.1e} of the largest value; {peak}")
    bench.end()


if __name__ == "__main__":
    example = "python -m benchmarks.lstm.exported runs/lstm  # after jaxdl lstm train --data FILE"
    main(lambda: run(shape.options(Config, "benchmarks.lstm.exported", example)))
