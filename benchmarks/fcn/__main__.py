"""FCN-32s and 8s beside PyTorch, in one run: images a second, memory, share of the roof.

make bench-fcn, or `python -m benchmarks.fcn --help`. See benchmarks/fcn/README.md.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Literal, NamedTuple

from benchmarks import shape
from benchmarks.fcn import workload
from benchmarks.fcn.table import Row, table
from benchmarks.process import ROOT, own_choice
from benchmarks.roof import measure_rates
from jaxdl.cli.command import main
from jaxdl.cli.options import Range
from jaxdl.errors import InputError, TrainingError

What = Literal["step", "predict"]
System = Literal["ours", "ours remat", "torch", "torch channels_last", "torch dense"]
QUICK = {"strides": (32,), "sizes": ("64",), "batches": (1,), "images": 4, "runs": 1, "width": 16}
QUICK |= {"systems": ("ours", "torch")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(shape.Options):
    """The FCN's training step and prediction beside PyTorch: 224x224, and a stream of VOC's sizes.

    All programs wait in processes of their own and work in turn, a part of the work at a time, so
    that what else the machine does falls on all.
    """

    strides: tuple[Literal[32, 16, 8], ...] = (32, 8)
    """Networks."""
    whats: tuple[What, ...] = ("step", "predict")
    """Training step and prediction."""
    sizes: tuple[str, ...] = ("224", "voc")
    """Side of square images, or voc: a stream of images of VOC's sizes."""
    batches: Annotated[tuple[int, ...], Range(1)] = (1, 4)
    """Images in a batch."""
    systems: tuple[System, ...] = ("ours", "torch", "torch channels_last")
    """ours; ours with remat; PyTorch in contiguous memory, or with the channels last; the dense
    upsampling of PyTorch's FCNs."""
    images: Annotated[int, Range(1)] = 40
    """Images of the stream."""
    runs: Annotated[int, Range(1)] = 3
    """Times over; a figure is the median, with the lowest and highest."""
    width: Annotated[int, shape.WIDTH] = 1
    """Divides the channels; 1 is VGG-16."""
    threads: Annotated[int, Range(1)] = 2
    """Threads of PyTorch. (Ours takes the cores it may run on.)"""
    form: Literal["depthwise", "separable"] = "separable"
    """PyTorch's fixed bilinear upsampling."""
    keep_memory: bool = True
    """PyTorch too keeps freed memory (`jaxdl.devices.heap`)."""
    compile: bool = False
    """PyTorch's torch.compile (needs a C++ compiler)."""
    torch_python: Path = Path(".venv-torch/bin/python")
    """A Python that has PyTorch; `make bench-fcn` makes it."""
    out: Path = Path("runs/bench-fcn")
    """Work folder, new or its own from before."""


class Task(NamedTuple):
    """What is timed: the network, step or prediction, images and how they are batched."""

    stride: int
    what: What
    size: str
    batch: int


class Program(NamedTuple):
    """A worker that has warmed up."""

    system: System
    process: subprocess.Popen
    head: dict[str, Any]
    batches: int
    log: Path

    def ask(self, first: int, last: int) -> dict[str, Any]:
        """Run these batches."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{first} {last}\n")
            self.process.stdin.flush()
        return answer(self.process, self.log)


def answer(process: subprocess.Popen, log: Path) -> dict[str, Any]:
    """A worker's next line."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        status = process.wait()
        lines = log.read_text(errors="replace").strip().splitlines()
        last = lines[-1] if lines else "it printed nothing"
        raise TrainingError(f"a worker ended with status {status}: {last}; see {log}")
    return json.loads(line)


def check(cfg: Config) -> dict[str, str]:
    """Refuse what cannot run, in one line; PyTorch's version if it takes part."""
    for name in ("strides", "whats", "sizes", "batches", "systems"):
        values = getattr(cfg, name)
        if not values or len(set(values)) != len(values):
            raise InputError(f"--{name}: name at least one, each once")
    for size in cfg.sizes:
        if size != "voc" and not (size.isdecimal() and int(size) >= 1):
            raise InputError(f"--sizes {size}: give the side of a square image, or voc")
    if any("torch" in system for system in cfg.systems):
        return {"torch": shape.peer(cfg.torch_python, "torch", "bench-fcn").version}
    return {}


def tasks(cfg: Config) -> list[Task]:
    """All of them."""
    return [
        Task(stride, what, size, batch)
        for size in cfg.sizes
        for stride in cfg.strides
        for what in cfg.whats
        for batch in cfg.batches
    ]


def write_batches(
    cfg: Config, task: Task, sizes: list[tuple[int, int]]
) -> dict[str, tuple[Path, int]]:
    """The work of a task: padded to canvases, and each image alone; files and their lengths."""
    pictures = workload.draw(sizes)
    made = {"padded": workload.on_canvases(pictures, task.batch)}
    made["alone"] = workload.single(pictures) if task.batch == 1 else made["padded"]
    found = {}
    for name, batches in made.items():
        path = cfg.out.absolute() / f"{name}.npz"
        workload.write_work(path, batches)
        found[name] = path, len(batches)
    return found


@contextlib.contextmanager
def started(
    cfg: Config, task: Task, system: System, work: dict[str, tuple[Path, int]], example: Path | None
) -> Iterator[Program]:
    """A system's worker at this task, warmed up; ended afterwards."""
    path, count = work["padded" if system.startswith("ours") else "alone"]
    given: list[str | Path] = ["--what", task.what, "--stride", str(task.stride), "--work", path]
    given += ["--width", str(cfg.width)]
    if system.startswith("ours"):
        command = [sys.executable, "-m", "benchmarks.fcn.jax_runner", *given]
        command += ["--remat"] if system == "ours remat" else []
    else:
        form = "dense" if system == "torch dense" else cfg.form
        memory = "channels_last" if system == "torch channels_last" else "contiguous"
        command = [cfg.torch_python.absolute(), "benchmarks/fcn/torch_runner.py", *given]
        command += ["--threads", str(cfg.threads), "--classes", str(workload.CLASSES)]
        command += ["--form", form, "--memory", memory]
        command += ["--keep-memory"] if cfg.keep_memory else []
        command += ["--compile"] if cfg.compile and system != "torch dense" else []
        command += [] if example is None else ["--compare", example]
    log = cfg.out.absolute() / f"{system.replace(' ', '-')}.txt"
    with log.open("wb") as errors:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors}
        process = subprocess.Popen(
            list(map(str, command)), cwd=ROOT, env=own_choice(os.environ), text=True, **pipes
        )
    try:
        yield Program(system, process, answer(process, log), count, log)
    finally:
        with contextlib.suppress(BrokenPipeError):
            process.communicate()


def measure(cfg: Config, task: Task, example: Path, roof: float) -> list[Row]:
    """A task by all systems in turn."""
    if task.size == "voc":
        sizes = workload.stream_sizes(cfg.images)
    else:
        sizes = [(int(task.size), int(task.size))] * task.batch
    work, images = write_batches(cfg, task, sizes), len(sizes)
    flops = workload.flops(task.stride, cfg.width, task.what == "step", sizes)
    systems = [s for s in cfg.systems if task.batch == 1 or s != "torch dense"]
    systems = [s for s in systems if task.what == "step" or s != "ours remat"]
    with contextlib.ExitStack() as stack:
        programs = [
            stack.enter_context(started(cfg, task, system, work, example)) for system in systems
        ]
        for program in programs:
            difference = program.head.get("difference")
            if difference is not None and not difference < 1e-3:
                raise TrainingError(f"{program.system}: differs from ours by {difference:.1e}")
        seconds: dict[str, list[float]] = {system: [0.0] * cfg.runs for system in systems}
        cpu = dict.fromkeys(systems, 0.0)
        last: dict[str, dict[str, Any]] = {}
        parts = min(program.batches for program in programs)
        repeat = 1 if task.size == "voc" else 3  # short work, thrice
        for run in range(cfg.runs):
            for part in list(range(parts)) * repeat:
                for program in programs:
                    first, end = (program.batches * (part + i) // parts for i in (0, 1))
                    last[program.system] = program.ask(first, end)
                    seconds[program.system][run] += last[program.system]["seconds"]
                    cpu[program.system] += last[program.system]["cpu_s"]
    rows = []
    for program in programs:
        done = program.head.get("flops_done")
        rates = sorted(repeat * images / s for s in seconds[program.system])
        rows.append(
            Row(
                system=program.system,
                what=f"fcn{task.stride}s {task.what}",
                size=task.size,
                batch=task.batch,
                images=images,
                images_per_s=median(rates),
                peak_mb=last[program.system]["peak_mb"],
                seconds=sum(seconds[program.system]),
                cpu_s=cpu[program.system],
                share_of_roof=median(rates) * flops / images / roof,
                share_done=None if done is None else median(rates) * done / images / roof,
                low=rates[0],
                high=rates[-1],
                start_s=program.head["start_s"],
                start_peak_mb=program.head["start_peak_mb"],
                compiled_mb=program.head.get("compiled_mb"),
                compilations=last[program.system].get("compilations"),
                version=program.head["version"],
            )
        )
    return rows


def run(cfg: Config) -> list[Row]:
    """All tasks in turn; prints the table."""
    cfg = shape.settled(cfg, **QUICK)
    bench = shape.begin(cfg, "benchmarks.fcn", work=cfg.out, versions=check(cfg))
    for size in cfg.sizes:
        for batch in cfg.batches:
            if small := workload.too_small(size, batch, cfg.width):
                bench.console.print(small)
    rates = measure_rates(cfg.threads)
    roof = rates.flops
    bench.console.print(f"roof: {rates.described()}, {cfg.threads} threads")
    rows: list[Row] = []
    examples: dict[int, Path] = {
        stride: cfg.out.absolute() / f"example-{stride}.npz" for stride in cfg.strides
    }
    for stride, path in examples.items():
        workload.write_example(path, stride, cfg.width, (75, 50))
    for task in tasks(cfg):
        found = measure(cfg, task, examples[task.stride], roof)
        bench.add(*map(asdict, found))
        bench.console.print(table(found))
        rows += found
    bench.console.print(table(rows))
    bench.end()
    return rows


if __name__ == "__main__":
    example = "python -m benchmarks.fcn --sizes 224 --runs 3  # full width, square images alone"
    main(lambda: run(shape.options(Config, "benchmarks.fcn", example)))
