"""The LSTM sweep beside PyTorch's `nn.LSTM`, in one run: seconds, memory, and that both agree.

make bench-lstm, or `python -m benchmarks.lstm --help`. See benchmarks/lstm/README.md.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median_high
from typing import Annotated, Any, Literal, NamedTuple

from rich.table import Table

from benchmarks import shape
from benchmarks.lstm.jax_runner import INTERVAL, series_file, write_example
from benchmarks.process import Measured, measure, own_choice
from jaxdl.cli.command import main
from jaxdl.cli.options import Range
from jaxdl.errors import InputError, TrainingError

QUICK = {"hidden": (2, 3), "seeds": 2, "steps": 20, "runs": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(shape.Options):
    """The sweep of hidden sizes beside PyTorch training each size in turn, on the post's sine."""

    hidden: Annotated[tuple[int, ...], Range(1)] = (2, 3, 4, 5)
    """Hidden sizes."""
    seeds: Annotated[int, Range(1)] = 8
    """Seeds of our large sweep; PyTorch trains one."""
    steps: Annotated[int, Range(1)] = 1000
    """Mini-batches."""
    batch: Annotated[int, Range(1)] = 32
    """Windows in a mini-batch."""
    window: Annotated[int, Range(1)] = 50
    """Steps of a window."""
    optimizer: Literal["momentum", "adam"] = "momentum"
    """Momentum 0.9 and rate 0.1, or Adam and rate 0.01."""
    runs: Annotated[int, Range(1)] = 3
    """Every program so many times, in turn; the median is shown."""
    threads: Annotated[int, Range(1)] = 2
    """Threads of PyTorch."""
    torch_python: Path = Path(".venv-torch/bin/python")
    """A Python that has PyTorch; `make bench-lstm` makes it."""
    out: Path = Path("runs/bench-lstm")
    """Work folder, new or its own from before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A program that ran; `seconds` are of training, ours with its compilation.

    `total_s` and `cpu_s` are of the process. Ours also trains once compiled, and runs empty scans,
    where it says these figures: such a process is not compared with PyTorch's.
    """

    tool: str
    run: int
    networks: int
    hidden: str
    seeds: int
    version: str
    seconds: float
    compiled_s: float | None  # of the same work, compiled already
    roof_s: float | None  # of empty scans of the same length
    total_s: float
    cpu_s: float
    peak_mb: float


class Program(NamedTuple):
    """What runs: its name, seeds and command, and what it adds to the environment."""

    tool: str
    seeds: int
    command: list[str | Path]
    environment: dict[str, str]


def check(cfg: Config) -> str:
    """Refuse what cannot run, in one line; PyTorch's version."""
    if not cfg.hidden:
        raise InputError("--hidden: name at least one size")
    if cfg.steps > INTERVAL and cfg.steps % INTERVAL:
        raise InputError(f"--steps {cfg.steps}: must be a multiple of {INTERVAL}, or less")
    return shape.peer(cfg.torch_python, "torch", "bench-lstm").version


def call(
    command: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], Measured]:
    """What a runner printed in the end, and its process."""
    done = measure(command, log, own_choice(os.environ) | dict(environment or {}))
    lines = log.read_text(errors="replace").strip().splitlines()
    if done.status:
        last = lines[-1] if lines else "it printed nothing"
        raise TrainingError(f"{command[0]} ended with status {done.status}: {last}; see {log}")
    return json.loads(lines[-1]), done


def programs(cfg: Config) -> Iterator[Program]:
    """All of them, in the order in which they run: the second start uses what the first kept."""
    out = cfg.out.absolute()
    rate = 0.01 if cfg.optimizer == "adam" else 0.1
    given: list[str | Path] = ["--hidden", *map(str, cfg.hidden), "--steps", str(cfg.steps)]
    given += ["--batch", str(cfg.batch), "--window", str(cfg.window), "--series", series_file(out)]
    given += ["--optimizer", cfg.optimizer, "--learning-rate", str(rate), "--seed", "0"]
    peer = [cfg.torch_python.absolute(), "benchmarks/lstm/torch_runner.py", *given]
    peer += ["--threads", str(cfg.threads), "--compare", out / "example.npz"]
    ours = [sys.executable, "-m", "benchmarks.lstm.jax_runner", *given, "--seeds"]
    kept = {"JAX_COMPILATION_CACHE_DIR": str(out / "compiled")}
    kept |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    kept |= {"JAX_ENABLE_COMPILATION_CACHE": "true"}
    yield Program("PyTorch, 1 seed", 1, peer, {})
    yield Program("ours, 1 seed", 1, [*ours, "1", "--again"], kept)
    yield Program("ours, second start", 1, [*ours, "1"], kept)
    none = {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    yield Program(f"ours, {cfg.seeds} seeds", cfg.seeds, [*ours, str(cfg.seeds), "--again"], none)


def run(cfg: Config) -> list[Row]:
    """All programs in turn; prints the table."""
    cfg = shape.settled(cfg, **QUICK)
    given = {"work": cfg.out, "versions": {"torch": check(cfg)}}
    bench = shape.begin(cfg, "benchmarks.lstm", **given)
    write_example(cfg.out.absolute() / "example.npz")
    rows: list[Row] = []
    for number in range(cfg.runs):
        shutil.rmtree(cfg.out / "compiled", ignore_errors=True)
        for tool, seeds, command, environment in programs(cfg):
            found, done = call(command, cfg.out / "log.txt", environment)
            seconds = found.get("seconds") or sum(size["seconds"] for size in found["runs"])
            row = Row(
                tool=tool,
                run=number,
                networks=seeds * len(cfg.hidden),
                hidden=" ".join(map(str, cfg.hidden)),
                seeds=seeds,
                version=found["version"],
                seconds=seconds,
                compiled_s=found.get("compiled_seconds"),
                roof_s=found.get("roof_seconds"),
                total_s=done.seconds,
                cpu_s=done.cpu_s,
                peak_mb=done.peak_mb,
            )
            if "difference" in found and not found["difference"] < 1e-6:
                raise TrainingError(f"outputs or gradients differ by {found['difference']:.1e}")
            if "difference" in found and not number:
                bench.console.print(
                    f"PyTorch {found['version']}: outputs, states and gradients in float64 differ "
                    f"by at most {found['difference']:.0e}"
                )
            bench.console.print(f"{tool}: {seconds:.2f} s")
            bench.add(asdict(row))
            rows.append(row)
    bench.console.print(table(rows, f"{cfg.steps} steps, batch {cfg.batch}, window {cfg.window}"))
    bench.end()
    return rows


def middle(rows: list[Row], tool: str, name: str) -> float | None:
    """The median of a program's runs; None for a figure that it does not have."""
    found = [value for row in rows if row.tool == tool if (value := getattr(row, name)) is not None]
    return median_high(found) if found else None


def table(rows: list[Row], title: str) -> Table:
    """Medians, and how many times as fast as PyTorch each program is."""
    shown = Table(title=f"{title}; medians", title_justify="left")
    names = ("networks", "seconds", "PyTorch's / these", "once compiled", "empty scan")
    names += ("process s", "PyTorch's / these", "CPU s", "peak MB")
    for name in ("", *names):
        shown.add_column(name, justify="right" if name else "left")
    peer = rows[0].tool
    for tool in dict.fromkeys(row.tool for row in rows):
        found = {name: middle(rows, tool, name) for name in Row.__slots__ if name.endswith("_s")}
        seconds, total = middle(rows, tool, "seconds"), found["total_s"]
        comparable = found["compiled_s"] is None  # the process trained once, as PyTorch's
        networks = next(row.networks for row in rows if row.tool == tool)
        cells = [seconds, ratio(middle(rows, peer, "seconds"), seconds)]
        cells += [found["compiled_s"], found["roof_s"], total]
        cells += [ratio(middle(rows, peer, "total_s"), total) if comparable else None]
        shown.add_row(
            *(tool, str(networks)),
            *("-" if cell is None else f"{cell:.2f}" for cell in (*cells, found["cpu_s"])),
            f"{middle(rows, tool, 'peak_mb'):.0f}",
        )
    return shown


def ratio(peer: float | None, ours: float | None) -> float | None:
    """How many times as long the peer takes; None if either is not known."""
    return peer / ours if peer and ours else None


if __name__ == "__main__":
    example = "python -m benchmarks.lstm --runs 1 --json rows.json  # once, the rows in a file"
    main(lambda: run(shape.options(Config, "benchmarks.lstm", example)))
