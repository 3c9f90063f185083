"""Compile the project's steps for NVIDIA cards on a machine without one.

`jaxdl compile-check` (`make cuda-check` makes its environment) compiles each step for each card by
XLA's CUDA compiler from a description of the card (`jaxdl.cards`), and tells what the program needs
there. Nothing runs: all times are roofs or estimates. What is not seen here: cuDNN's workspace and
its choice of algorithms, which XLA makes on the card, and memory lost to fragments.
"""

import importlib.util
import itertools
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import jax
from jax.experimental import topologies
from jax.sharding import Mesh
from rich.console import Console
from rich.table import Table

from jaxdl import projectsteps, report
from jaxdl.atomic import check_output
from jaxdl.cards import CARDS, Card, Dtype, target_config
from jaxdl.errors import InputError
from jaxdl.mesh import AXES
from jaxdl.programs import count_flops, read_program
from jaxdl.projectsteps import Kind, Step, Stride

Name = Literal["fcn32s", "fcn16s", "fcn8s", "word2vec", "lstm"]
CardName = Literal["t4", "a10g", "l4", "a100", "h100", "h200", "b200"]

FRACTION = 0.85  # of the memory that XLA takes: XLA_CLIENT_MEM_FRACTION in containers/
LAUNCH = 3e-6  # seconds, assumed: what a kernel costs at least
SEED_IMAGES = 60 * 2330  # the seed's training: 60 epochs of its training part
SEED_DAYS = 3.5
_MOST = 4096  # images; no larger batch is looked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Compile the project's training and prediction steps for NVIDIA cards, without a GPU."""

    device: tuple[CardName, ...] = ("t4", "a10g", "l4", "a100", "h100", "b200")
    """Cards."""
    step: tuple[Name, ...] = ("fcn32s", "fcn16s", "fcn8s", "word2vec", "lstm")
    """Steps; an FCN's are training and prediction."""
    kind: tuple[Kind, ...] = ("train", "predict")
    """What of the FCNs."""
    dtype: tuple[Dtype, ...] = ("float32", "bfloat16")
    """Arithmetic of the FCNs; parameters and loss are float32."""
    canvas: tuple[tuple[int, int], ...] = projectsteps.VOC_CANVASES
    """Heights and widths of the FCNs' padded images."""
    batch: int = 1
    """Images of a card."""
    largest: bool = True
    """Look for the largest batch that fits, on the largest canvas."""
    gpus: tuple[Literal[1, 8], ...] = (1, 8)
    """8: also data-parallel training on eight cards (FCN, word2vec), on the largest canvas."""
    json: Path | None = None
    """Write the rows here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one step needs on one card (of several: on each).

    Sizes in bytes, times in seconds; `roof_s` is the larger of flops and bytes by the card's
    peaks, `launch_s` the launches at `LAUNCH` each, an assumption. `error` stands alone.
    """

    device: str
    gpus: int
    step: str
    items: int = 0
    unit: str = ""
    peak: int = 0
    memory: int = 0
    flops: float = 0
    bytes: int = 0
    roof_s: float = 0
    launches: int = 0
    launch_s: float = 0
    collectives: dict[str, int] | None = None
    largest_batch: int | None = None
    error: str | None = None


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
    """A mesh of so many cards that are not there, with the axes of `jaxdl.sharding`."""
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
    cfg: Config, card: Card, of: tuple[Stride, Kind, tuple[int, int]], dtype: Dtype, mesh: Mesh
) -> Row:
    """An FCN's row on one card, with the largest batch where it is asked for."""

    def compiled(batch: int) -> Row:
        return compile_step(projectsteps.fcn(*of, batch, dtype, mesh), card, dtype)

    def peak(batch: int) -> float:
        row = compiled(batch)
        return math.inf if row.error else row.peak

    row = compiled(cfg.batch)
    if row.error or not cfg.largest or of[2] != max(cfg.canvas, key=math.prod):
        return row
    return replace(row, largest_batch=largest_batch(peak, FRACTION * card.memory))


def rows(cfg: Config, tell: Callable[[str], None]) -> Iterator[Row]:
    """Each card's rows, as they are compiled; `tell` hears what comes next."""
    strides: dict[str, Stride] = {"fcn32s": 32, "fcn16s": 16, "fcn8s": 8}
    chosen = [strides[name] for name in cfg.step if name in strides]
    biggest = max(cfg.canvas, key=math.prod)
    for card in map(CARDS.__getitem__, cfg.device):
        mesh = mesh_of(card, 1)
        for of in itertools.product(chosen, cfg.kind, cfg.canvas):
            for dtype in cfg.dtype:
                tell(f"{card.name}: fcn{of[0]}s {of[1]} {dtype}")
                yield fcn_row(cfg, card, of, dtype, mesh)
        small: list[Step] = []
        if "word2vec" in cfg.step:
            small += [projectsteps.word2vec(size) for size in (32, 1024)]
        if "lstm" in cfg.step:
            small += [projectsteps.lstm(seeds=seeds) for seeds in (1, 8)]
        for step in small:
            tell(f"{card.name}: {step.name}")
            yield compile_step(projectsteps.on_mesh(step, mesh), card)
        for gpus in (n for n in cfg.gpus if n > 1):
            mesh = mesh_of(card, gpus)
            for stride in chosen if "train" in cfg.kind else ():
                for dtype in cfg.dtype:
                    tell(f"{gpus} x {card.name}: fcn{stride}s train {dtype}")
                    images = gpus * cfg.batch
                    step = projectsteps.fcn(stride, "train", biggest, images, dtype, mesh)
                    yield compile_step(step, card, dtype, gpus)
            if "word2vec" in cfg.step:
                tell(f"{gpus} x {card.name}: word2vec")
                yield compile_step(projectsteps.word2vec(1024, mesh=mesh), card, gpus=gpus)


def seed_minutes(found: list[Row]) -> dict[str, float]:
    """Minutes of the seed's fcn32s training on each card, at the roof of its 512x512 step."""
    return {
        row.device: SEED_IMAGES / row.items * max(row.roof_s, row.launch_s) / 60
        for row in found
        if row.step == "fcn32s train 512x512 float32" and row.gpus == 1 and not row.error
    }


def show(found: list[Row], console: Console) -> None:
    """The table, and the estimates below it."""
    table = Table(title="Compiled, not timed", title_justify="left")
    for name in ("card", "step", "items"):
        table.add_column(name)
    for name in (
        *("peak GB", "of", "largest", "Gflop", "GB", "roof ms"),
        *("launches", "launch ms", "collectives MB"),
    ):
        table.add_column(name, justify="right")
    for row in found:
        card = row.device if row.gpus == 1 else f"{row.gpus} x {row.device}"
        if row.error:
            table.add_row(card, row.step, "error: " + row.error)
            continue
        over = " !" if row.peak > FRACTION * row.memory else ""
        table.add_row(
            *(card, row.step, f"{row.items:,} {row.unit}"),
            *(f"{row.peak / 1e9:.2f}{over}", f"{row.memory / 1e9:.0f}"),
            "" if row.largest_batch is None else str(row.largest_batch),
            *(f"{row.flops / 1e9:,.1f}", f"{row.bytes / 1e9:.2f}", f"{row.roof_s * 1e3:.2f}"),
            *(f"{row.launches:,}", f"{row.launch_s * 1e3:.2f}"),
            ", ".join(f"{k} {v / 1e6:.1f}" for k, v in (row.collectives or {}).items()),
        )
    console.print(table)
    console.print(
        f"! above {FRACTION:.0%} of the card's memory. roof: the larger of flops and bytes at the "
        f"card's peaks; launch: launches at an assumed {LAUNCH * 1e6:.0f} us each.",
        soft_wrap=True,
    )
    for name, minutes in seed_minutes(found).items():
        console.print(
            f"{name}: ESTIMATE: the seed's fcn32s training, 60 epochs of 2,330 images, takes "
            f"{minutes:.0f} minutes at the roof (the seed's card of 2016: {SEED_DAYS} days)",
            soft_wrap=True,
        )


def run(cfg: Config) -> int:
    """Compile, print, write; the exit status is 1 if a step did not compile.

    Raises:
        InputError: a bad option, or no compiler.
    """
    if cfg.batch < 1:
        raise InputError(f"--batch {cfg.batch}: give 1 or more")
    for height, width in cfg.canvas:
        if min(height, width) < 32 or height % 32 or width % 32:
            raise InputError(f"--canvas {height} {width}: give multiples of 32")
    if cfg.json is not None:
        check_output(cfg.json)
    require_compiler()
    console, found = Console(), []
    if not console.is_terminal:
        console = Console(width=180)
    with _silence():
        jax.devices()
    with console.status("compiling") as status:
        for row in rows(cfg, lambda text: status.update(f"compiling: {text}")):
            found.append(row)
            if cfg.json is not None:
                report.write_json(cfg.json, [asdict(row) for row in found])
    show(found, console)
    return int(any(row.error for row in found))
