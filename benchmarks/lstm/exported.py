"""An exported forecaster beside JAX: `python -m benchmarks.lstm.exported RUN`."""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

from jaxdl.cli.command import main
from jaxdl.lstm import fit, saved
from jaxdl.lstm.export.onnx import to_bytes
from jaxdl.lstm.export.program import read


def bench(run: Path, repeats: int = 30) -> str:
    """Milliseconds of a forecast of a run's own series, each system in turn, as a line."""
    program, fitted = read(run, None), saved.load(run).fitted
    values = saved.load_series(run).values
    session = onnxruntime.InferenceSession(to_bytes(program))
    given = {"values": values, "horizon": np.array(program.length)}
    calls: dict[str, Callable[[], np.ndarray]] = {
        "ONNX Runtime": lambda: np.asarray(session.run(None, given)[0]),
        "JAX": lambda: fit.forecast(fitted, values, program.length).median,
    }
    start = time.perf_counter()
    wanted = calls["JAX"]()
    compiling = time.perf_counter() - start
    difference = np.abs(calls["ONNX Runtime"]() - wanted).max() / np.abs(wanted).max()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    shown = ", ".join(f"{k} {1e3 * statistics.median(v):.2f} ms" for k, v in seconds.items())
    what = f"{program.networks} networks, {len(values)} rows, {program.length} steps"
    return f"{what}: {shown} (first call {compiling:.2f} s); they differ by {difference:.1e}"


if __name__ == "__main__":
    main(lambda: print(bench(Path(sys.argv[1]))))
