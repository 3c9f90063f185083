"""Compile the project's steps for NVIDIA cards on a machine without one.

`jaxdl compile-check` (`make cuda-check` makes its environment) compiles each step for each card by
XLA's CUDA compiler from a description of the card (`jaxdl.planner.cards`), and tells what the
program needs there. Nothing runs: all times are roofs or estimates. What is not seen here: cuDNN's
workspace and its choice of algorithms, which XLA makes on the card, and memory lost to fragments.
"""

import importlib.util
import itertools
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import NamedTuple

import jax
from jax.experimental import topologies
from jax.sharding import Mesh
from rich.console import Console

from jaxdl.devices.mesh import AXES
from jaxdl.errors import InputError
from jaxdl.files.results import Results
from jaxdl.planner.cards import CARDS, FRACTION, LAUNCH, Card, Dtype, target_config
from jaxdl.planner.choices import CompileCheck, Kind, Stride
from jaxdl.planner.compile_table import Row, show
from jaxdl.planner.hlo_cost import read_program
from jaxdl.planner.jaxpr_cost import count_flops
from jaxdl.planner.steps import Step, on_mesh

_MOST = 4096  # images; no larger batch is looked for


class Subjects(NamedTuple):
    """What makes the steps to compile; the planner knows no subject, so they come from above."""

    fcn: Callable[..., Step]
    word2vec: Callable[..., Step]
    lstm: Callable[..., Step]


def require_compiler() -> None:
    """InputError unless the CUDA plugin and ptxas are installed."""
    for module, package in (
        ("jax_cuda12_plugin", "jax-cuda12-plugin and jax-cuda12-pjrt"),
        ("nvidia.cuda_nvcc", "nvidia-cuda-nvcc-cu12"),
    ):
        try:
            found = importlib.util.find_spec(module)
        except ModuleNotFoundError:
            found = None
        if found is None:
            raise InputError(
                f"{package}: not installed, so nothing can be compiled for CUDA; "
                "run `make cuda-check`, or pip install -e '.[compile-check]'"
            )


@contextmanager
def _silence() -> Iterator[None]:
    """Without the plugin's remarks that there is no GPU; its errors are exceptions."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def mesh_of(card: Card, gpus: int) -> Mesh:
    """A mesh of so many cards that are not there, with the axes of `jaxdl.devices.mesh`."""
    with _silence():
        topology = topologies.get_topology_desc(
            platform="cuda", target_config=target_config(card), topology=f"1x1x{gpus}"
        )
    return topologies.make_mesh(topology, (gpus, 1), AXES)


def compile_step(step: Step, card: Card, dtype: Dtype = "float32", gpus: int = 1) -> Row:
    """Compile a step whose arguments lie on a mesh of `mesh_of`; an error becomes a row too."""
    about = {"device": card.name, "gpus": gpus, "step": step.name}
    try:
        traced = step.call.trace(*step.args)
        compiled = traced.lower().compile()
    except Exception as error:  # whatever the compiler says is the finding
        return Row(**about, error=f"{type(error).__name__}: {str(error).splitlines()[0][:200]}")
    memory, program = compiled.memory_analysis(), read_program(compiled.as_text())
    flops = count_flops(traced.jaxpr) / gpus
    return Row(
        **about,
        items=step.items,
        unit=step.unit,
        peak=memory.peak_memory_in_bytes,
        memory=card.memory,
        flops=flops,
        bytes=program.bytes,
        roof_s=max(flops / card.flops(dtype), program.bytes / card.bandwidth),
        launches=program.launches,
        launch_s=program.launches * LAUNCH,
        collectives=program.collectives,
    )


def largest_batch(peak: Callable[[int], float], limit: float) -> int:
    """The largest batch whose peak stays below `limit`, at most 4096; 0 if not even one image does.

    Peaks are nearly a line over the batch: each guess lies on the line through the two batches
    whose peaks came nearest.
    """
    low, high, guess = 0, _MOST + 1, 1  # low fits, high does not
    known: dict[int, float] = {}
    while high - low > 1:
        known[guess] = peak(guess)
        low, high = (guess, high) if known[guess] <= limit else (low, guess)
        finite = [n for n in known if math.isfinite(known[n])]
        guess = 2 * low + 1 if high > _MOST else (low + high) // 2
        if len(finite) > 1:
            a, b = sorted(finite, key=lambda n: abs(known[n] - limit))[:2]
            slope = (known[a] - known[b]) / (a - b)
            line = int(a + (limit - known[a]) / slope) if slope > 0 else 0
            # Beyond a batch that does not even compile, the line leads nowhere.
            guess = max(line, low + 1) if low <= line < high else guess
        guess = min(guess, high - 1)
    return low


def fcn_row(
    fcn: Callable[..., Step],
    cfg: CompileCheck,
    card: Card,
    of: tuple[Stride, Kind, tuple[int, int]],
    dtype: Dtype,
    mesh: Mesh,
) -> Row:
    """An FCN's row on one card, with the largest batch where it is asked for."""

    def compiled(batch: int) -> Row:
        return compile_step(fcn(*of, batch, dtype, mesh), card, dtype)

    def peak(batch: int) -> float:
        row = compiled(batch)
        return math.inf if row.error else row.peak

    row = compiled(cfg.batch)
    if row.error or not cfg.largest or of[2] != max(cfg.canvas, key=math.prod):
        return row
    return replace(row, largest_batch=largest_batch(peak, FRACTION * card.memory))


def rows(cfg: CompileCheck, subjects: Subjects, tell: Callable[[str], None]) -> Iterator[Row]:
    """Each card's rows, as they are compiled; `tell` hears what comes next."""
    strides: dict[str, Stride] = {"fcn32s": 32, "fcn16s": 16, "fcn8s": 8}
    chosen = [strides[name] for name in cfg.step if name in strides]
    biggest = max(cfg.canvas, key=math.prod)
    for card in map(CARDS.__getitem__, cfg.device):
        mesh = mesh_of(card, 1)
        for of in itertools.product(chosen, cfg.kind, cfg.canvas):
            for dtype in cfg.dtype:
                tell(f"{card.name}: fcn{of[0]}s {of[1]} {dtype}")
                yield fcn_row(subjects.fcn, cfg, card, of, dtype, mesh)
        small: list[Step] = []
        if "word2vec" in cfg.step:
            small += [subjects.word2vec(size) for size in (32, 1024)]
        if "lstm" in cfg.step:
            small += [subjects.lstm(seeds=seeds) for seeds in (1, 8)]
        for step in small:
            tell(f"{card.name}: {step.name}")
            yield compile_step(on_mesh(step, mesh), card)
        for gpus in (n for n in cfg.gpus if n > 1):
            mesh = mesh_of(card, gpus)
            for stride in chosen if "train" in cfg.kind else ():
                for dtype in cfg.dtype:
                    tell(f"{gpus} x {card.name}: fcn{stride}s train {dtype}")
                    images = gpus * cfg.batch
                    step = subjects.fcn(stride, "train", biggest, images, dtype, mesh)
                    yield compile_step(step, card, dtype, gpus)
            if "word2vec" in cfg.step:
                tell(f"{gpus} x {card.name}: word2vec")
                yield compile_step(subjects.word2vec(1024, mesh=mesh), card, gpus=gpus)


def run(cfg: CompileCheck, subjects: Subjects) -> int:
    """Compile, print, write; the exit status is 1 if a step did not compile.

    Raises:
        InputError: a bad option, or no compiler.
    """
    results = Results("jaxdl compile-check")
    if cfg.json is not None:
        results.check(cfg.json)
    require_compiler()
    console, found = Console(), []
    if not console.is_terminal:
        console = Console(width=180)
    with _silence():
        jax.devices()
    with console.status("compiling") as status:
        for row in rows(cfg, subjects, lambda text: status.update(f"compiling: {text}")):
            found.append(row)
            if cfg.json is not None:
                results.write_json(cfg.json, [asdict(row) for row in found])
    show(found, console)
    return int(any(row.error for row in found))
