"""``python -m experiments.NAME plan``: memory, exchange and step time on 1 to 1024 devices.

    python -m experiments.fcn plan --card h100 --fsdp --batch-size 16
    python -m experiments.word2vec plan --devices 8 --card a100 --words 1000000 --block 1024
    python -m experiments.lstm_sine plan --json plan.json

The experiment's own options are taken too (``--preset``, ``--batch-size``, ``--width`` ...): put
`plan` into the command that is to run. Nothing is compiled or allocated; see `jaxdl.plan`.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import tyro
from jax.sharding import AbstractMesh
from rich.console import Console
from rich.table import Table

from experiments.command import check_least, parse
from experiments.fcn_stages import optimizer_of as fcn_optimizer
from experiments.lstm_train import optimizer_of as lstm_optimizer
from experiments.word2vec_data import DISPATCH
from jaxdl import plan, projectsteps, report
from jaxdl.atomic import check_output
from jaxdl.cards import CARDS, Dtype
from jaxdl.compilecheck import FRACTION, CardName
from jaxdl.errors import InputError
from jaxdl.mesh import AXES
from jaxdl.objectives import Objective


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What training would need on many devices, and gain. Nothing is compiled, run or timed.

    The experiment's own options are taken as well: those that change shapes change the plan.
    """

    devices: tuple[int, ...] = plan.COUNTS
    """Numbers of devices; above 8 they are hosts of 8."""
    card: CardName = "h100"
    """What each device is."""
    network: float | None = None
    """Gbit/s of each device to other hosts, one way; by default a usual host's of the card."""
    json: Path | None = None
    """Write the rows and the assumptions here."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FcnOptions(Options):
    __doc__ = Options.__doc__

    stride: Literal[32, 16, 8] = 32
    """Of the FCN."""
    canvas: tuple[int, int] = (512, 512)
    """Height and width of the padded images."""
    classes: int = projectsteps.VOC_CLASSES
    """Their number."""
    fsdp: bool = False
    """Split parameters and optimiser state over the devices too."""
    strong: bool = False
    """--batch-size is that of all devices together; otherwise each device has as many images."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WordOptions(Options):
    __doc__ = Options.__doc__

    words: int = projectsteps.WORDS
    """Size of the vocabulary."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SweepOptions(Options):
    __doc__ = Options.__doc__

    columns: int = 1
    """Of the series."""


def read(
    options_type: type, config_type: type, presets: dict[str, Any], argv: Sequence[str], name: str
) -> tuple[Any, Any]:
    """The planner's options and the experiment's config."""
    prog = f"python -m experiments.{name} plan"
    options, rest = tyro.cli(options_type, args=list(argv), prog=prog, return_unknown_args=True)
    config = parse(config_type, presets, rest, prog)
    plan.check_devices(options.devices)
    if not options.devices:
        raise InputError("--devices: name at least one number")
    if options.network is not None and not options.network > 0:
        raise InputError(f"--network {options.network}: must be above 0")
    # A GPU that is here has no part in this.
    jax.config.update("jax_platforms", "cpu")
    return options, config


def fcn(argv: Sequence[str], config_type: type, presets: dict[str, Any]) -> None:
    """The FCN's plan: data parallel, the parameters whole on each device or split."""
    options, cfg = read(FcnOptions, config_type, presets, argv, "fcn")
    check_least(cfg, 1, ("batch_size", "accumulate", "width"))
    check_least(options, 1, ("classes",))
    height, width = options.canvas
    if min(height, width) < 32 or height % 32 or width % 32:
        raise InputError(f"--canvas {height} {width}: give multiples of 32")
    dtype: Dtype = "bfloat16" if cfg.bfloat16 else "float32"
    shape = {"classes": options.classes, "width": cfg.width, "remat": cfg.remat}
    loss, _, _ = projectsteps.fcn_loss(options.stride, dtype, **shape)
    gradient = jax.value_and_grad(loss, has_aux=True)

    @functools.cache
    def single(batch: int) -> plan.Work:
        step = projectsteps.fcn(
            *(options.stride, "train", options.canvas, batch, dtype),
            **shape,
            optimizer=fcn_optimizer(cfg),
        )
        return plan.dense(step, gradient)

    def work(devices: int) -> plan.Work:
        images = cfg.batch_size if options.strong else cfg.batch_size * devices
        one = single(-(-images // devices))
        return plan.data_parallel(one, devices, images, dtype=dtype, fsdp=options.fsdp)

    each = "all devices together" if options.strong else "each device"
    told = [
        f"Images of {each}: {cfg.batch_size}, {height} x {width}, {options.classes} classes.",
        "Data parallel: one all-reduce of the gradients, in the dtype of the arithmetic. Sums of "
        "the loss and of the confusion matrix (a few kB) are left out.",
    ]
    if options.fsdp:
        told[1] = (
            "FSDP: parameters, optimiser state and gradients are split over all devices; the "
            "parameters are gathered once a step (float32) and kept until the gradient is done, "
            "the gradients reduced and scattered once."
        )
    title = f"fcn{options.stride}s, {dtype}, {'FSDP' if options.fsdp else 'data parallel'}"
    finish(title, options, work, dtype, told)


def word2vec(argv: Sequence[str], config_type: type, presets: dict[str, Any]) -> None:
    """word2vec's plan: tables split by rows and blocks by groups, over all devices."""
    options, cfg = read(WordOptions, config_type, presets, argv, "word2vec")
    check_least(options, 1, ("words",))
    check_least(cfg, 1, ("width", "window", "negatives", "group", "shared"))
    if cfg.block < cfg.group or cfg.block % cfg.group:
        raise InputError(f"--block {cfg.block}: must be a multiple of --group {cfg.group}")
    if cfg.loss != "negative-sampling":
        raise InputError(f"--loss {cfg.loss}: only negative-sampling is planned")
    if cfg.optimizer != "sgd":
        raise InputError(
            f"--optimizer {cfg.optimizer}: moves whole tables, which are not split; use sgd"
        )
    objective = Objective(
        architecture=cfg.architecture,
        orientation=cfg.orientation,
        window=cfg.window,
        group=cfg.group,
        shared=cfg.shared,
        negatives=cfg.negatives,
        masked=cfg.masked,
    )

    def work(devices: int) -> plan.Work:
        mesh = None if devices == 1 else AbstractMesh((devices, 1), AXES)
        step = projectsteps.word2vec(
            *(cfg.block * devices, DISPATCH, mesh),
            words=options.words,
            width=cfg.width,
            objective=objective,
        )
        return plan.word2vec(step, devices)

    told = [
        f"{options.words:,} words of {cfg.width} numbers; a step is {DISPATCH} blocks of "
        f"{cfg.block} words a device, so blocks grow with the devices, which costs quality.",
        "Both tables are split by rows. For each block the ids are gathered, the rows that it "
        "reads reduced and scattered, and the changed rows gathered: O(block), never a table.",
        "Preparing the blocks (subsampling, windows, negatives) is left out.",
    ]
    finish("word2vec", options, work, "float32", told)


def lstm_sine(argv: Sequence[str], config_type: type, presets: dict[str, Any]) -> None:
    """The LSTM sweep's plan: its members spread over the devices."""
    options, cfg = read(SweepOptions, config_type, presets, argv, "lstm_sine")
    check_least(options, 1, ("columns",))
    check_least(cfg, 1, ("seeds", "layers", "window", "batch", "every", "hidden"))
    members = len(cfg.hidden) * cfg.seeds

    @functools.cache
    def share(most: int) -> projectsteps.Step:
        return projectsteps.lstm(
            *(cfg.hidden, cfg.seeds, cfg.every, cfg.batch),
            window=cfg.window,
            columns=options.columns,
            layers=cfg.layers,
            most=most,
            optimizer=lstm_optimizer(cfg),
        )

    def work(devices: int) -> plan.Work:
        return plan.sweep(share(-(-members // devices)), members, devices)

    told = [
        f"{members} networks, spread over the devices: a device beyond them has nothing to do. A "
        f"step is {cfg.every} epochs; only the mean loss is exchanged.",
    ]
    finish("LSTM sweep", options, work, "float32", told)


def finish(
    title: str,
    options: Options,
    work: Callable[[int], plan.Work],
    dtype: Dtype,
    told: Sequence[str],
) -> None:
    """Compute, print, write."""
    if options.json is not None:
        check_output(options.json)
    card = CARDS[options.card]
    network = card.network if options.network is None else options.network * 1e9 / 8
    found = plan.rows(work, options.devices, card, dtype, network)
    said = plan.assumptions(card, network, told)
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    show(f"{title} on {options.card}: planned, not measured", found, console)
    for line in said:
        console.print(f"- {line}", soft_wrap=True, markup=False, highlight=False)
    if options.json is not None:
        lines = [
            dataclasses.asdict(row)
            | {"total": row.memory.total}
            | {"exchanges": {kind: each._asdict() for kind, each in row.exchanges.items()}}
            for row in found
        ]
        whole = {"card": options.card, "rows": lines, "assumptions": said}
        report.write_json(options.json, whole)


def number(value: float) -> str:
    """Three digits or more, and no exponents."""
    if value and value < 0.001:
        return "<0.001"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def show(title: str, found: Sequence[plan.Row], console: Console) -> None:
    """Print a table of the memory of each device, and one of exchange and time."""
    memory = Table(title=f"{title}\nMemory of each device, MB", title_justify="left")
    split = any(row.memory.gathered for row in found)
    parts = ("parameters", "optimizer", *(["gathered"] if split else []))
    parts = (*parts, "gradients", "activations", "inputs")
    for name in ("devices", "hosts", *parts, "all", "of"):
        memory.add_column(name, justify="right")
    times = Table(title="A step: exchange and time", title_justify="left")
    columns = ("devices", "collectives MB", "roof ms", "launches ms", "links ms", "step ms")
    for name in (*columns, f"{found[0].unit}/s", "efficiency"):
        times.add_column(name, justify="right")
    for row in found:
        over = " !" if plan.MARGIN * row.memory.total > FRACTION * row.of else ""
        memory.add_row(
            *(f"{row.devices:,}", f"{row.hosts:,}"),
            *(number(getattr(row.memory, part) / 1e6) for part in parts),
            *(number(row.memory.total / 1e6) + over, number(row.of / 1e6)),
        )
        moved = (f"{kind} {number(e.bytes / 1e6)}" for kind, e in row.exchanges.items())
        seconds = (row.roof_s, row.launch_s, row.link_s, row.step_s)
        times.add_row(
            *(f"{row.devices:,}", "\n".join(moved)),
            *(number(one * 1e3) for one in seconds),
            *(number(row.per_s), f"{row.efficiency:.1%}"),
        )
    console.print(memory)
    console.print(times)
