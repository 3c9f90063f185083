"""The LSTM sweep beside PyTorch's `nn.LSTM`, in one run: seconds, memory, and that both agree.

make bench-lstm, or `python -m benchmarks.lstm --help`. See benchmarks/lstm/README.md.
"""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median_high
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.lstm.jax_runner import INTERVAL, series_file, write_example
from benchmarks.process import measure, own_choice
from jaxdl.cli.command import main
from jaxdl.cli.options import Range, check_ranges
from jaxdl.errors import InputError, TrainingError
from jaxdl.files.results import Results, work_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The sweep of hidden sizes beside PyTorch training each size in turn, on the post's sine."""

    hidden: Annotated[tuple[int, ...], Range(1)] = (2, 3, 4, 5)
    """Hidden sizes."""
    seeds: Annotated[int, Range(1)] = 8
    """Seeds of our large sweep; PyTorch trains one."""
    epochs: Annotated[int, Range(1)] = 1000
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
    json: Path | None = None
    """Write the rows here."""
    out: Path = Path("runs/bench-lstm")
    """Work folder, new or its own from before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A program that ran; `seconds` are of training, ours with its compilation."""

    tool: str
    run: int
    networks: int
    epochs: int
    batch: int
    window: int
    seconds: float
    compiled_s: float | None  # of the same work, compiled already
    roof_s: float | None  # of empty scans of the same length
    total_s: float  # of the process
    peak_mb: float


def check(cfg: Config) -> None:
    """Refuse what cannot run, in one line."""
    if not cfg.hidden:
        raise InputError("--hidden: name at least one size")
    check_ranges(cfg)
    if cfg.epochs > INTERVAL and cfg.epochs % INTERVAL:
        raise InputError(f"--epochs {cfg.epochs}: must be a multiple of {INTERVAL}, or less")
    if not cfg.torch_python.is_file():
        raise InputError(f"{cfg.torch_python}: no such Python; run make bench-lstm, which makes it")


def call(command: Sequence[str | Path], log: Path) -> tuple[dict[str, Any], float, float]:
    """What a runner printed in the end, its seconds and its peak memory."""
    done = measure(command, log, own_choice(os.environ))
    lines = log.read_text(errors="replace").strip().splitlines()
    if done.status:
        last = lines[-1] if lines else "it printed nothing"
        raise TrainingError(f"{command[0]} ended with status {done.status}: {last}; see {log}")
    return json.loads(lines[-1]), done.seconds, done.peak_mb


def run(cfg: Config) -> list[Row]:
    """All programs in turn; prints the table."""
    check(cfg)
    results = Results("benchmarks.lstm")
    if cfg.json is not None:
        results.check(cfg.json)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.width = max(console.width, 110)  # folded tables cannot be read
    work_folder(cfg.out, "benchmarks.lstm")
    example, series = cfg.out.absolute() / "example.npz", series_file(cfg.out.absolute())
    write_example(example)
    rate = 0.01 if cfg.optimizer == "adam" else 0.1
    given: list[str | Path] = ["--hidden", *map(str, cfg.hidden), "--epochs", str(cfg.epochs)]
    given += ["--batch", str(cfg.batch), "--window", str(cfg.window), "--series", series]
    given += ["--optimizer", cfg.optimizer, "--learning-rate", str(rate)]
    peer: list[str | Path] = [
        cfg.torch_python.absolute(),
        "benchmarks/lstm/torch_runner.py",
        *given,
    ]
    peer += ["--threads", str(cfg.threads), "--compare", example]
    ours = [sys.executable, "-m", "benchmarks.lstm.jax_runner", *given, "--seed", "0", "--roof"]
    one, all_of_them = len(cfg.hidden), len(cfg.hidden) * cfg.seeds
    programs: dict[str, tuple[int, list[str | Path]]] = {
        "PyTorch, 1 seed": (one, [*peer, "--seed", "0"]),
        "ours, 1 seed": (one, [*ours, "--seeds", "1"]),
        f"ours, {cfg.seeds} seeds": (all_of_them, [*ours, "--seeds", str(cfg.seeds)]),
    }
    rows: list[Row] = []
    for number in range(cfg.runs):
        for tool, (networks, command) in programs.items():
            found, total, peak = call(command, cfg.out / "log.txt")
            seconds = found.get("seconds") or sum(size["seconds"] for size in found["runs"])
            sizes = {"epochs": cfg.epochs, "batch": cfg.batch, "window": cfg.window}
            rows.append(
                Row(
                    tool=tool,
                    run=number,
                    networks=networks,
                    seconds=seconds,
                    compiled_s=found.get("compiled_seconds"),
                    roof_s=found.get("roof_seconds"),
                    total_s=total,
                    peak_mb=peak,
                    **sizes,
                )
            )
            if "difference" in found and not found["difference"] < 1e-6:
                raise TrainingError(f"outputs or gradients differ by {found['difference']:.1e}")
            if "difference" in found and not number:
                console.print(
                    f"PyTorch {found['version']}: outputs, states and gradients in float64 differ "
                    f"by at most {found['difference']:.0e}"
                )
            console.print(f"{tool}: {seconds:.2f} s")
            if cfg.json is not None:
                results.write_json(cfg.json, [asdict(row) for row in rows])
    console.print(table(rows))
    return rows


def middle(rows: list[Row], tool: str, name: str) -> float | None:
    """The median of a program's runs; None for a figure that it does not have."""
    found = [value for row in rows if row.tool == tool if (value := getattr(row, name)) is not None]
    return median_high(found) if found else None


def table(rows: list[Row]) -> Table:
    """Medians, and how many times as fast as PyTorch each program is."""
    first = rows[0]
    title = f"{first.epochs} epochs, batch {first.batch}, window {first.window}"
    shown = Table(title=f"{title}; medians", title_justify="left")
    names = ("networks", "seconds", "times PyTorch's speed", "once compiled", "empty scan")
    for name in ("", *names, "process s", "peak MB"):
        shown.add_column(name, justify="right" if name else "left")
    peer = middle(rows, first.tool, "seconds") or 0.0
    for tool in dict.fromkeys(row.tool for row in rows):
        seconds = middle(rows, tool, "seconds") or 0.0
        cells = [middle(rows, tool, name) for name in ("compiled_s", "roof_s", "total_s")]
        memory = middle(rows, tool, "peak_mb")
        networks = next(row.networks for row in rows if row.tool == tool)
        shown.add_row(
            *(tool, str(networks), f"{seconds:.2f}", f"{peer / seconds:.1f}"),
            *("-" if cell is None else f"{cell:.2f}" for cell in cells),
            f"{memory:.0f}",
        )
    return shown


if __name__ == "__main__":
    main(lambda: run(tyro.cli(Config, prog="python -m benchmarks.lstm")))
