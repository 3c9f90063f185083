"""What training on many devices would need and gain, from shapes alone.

Nothing is compiled, allocated or timed: a step is traced with abstract arguments
(`jaxdl.planner.steps`), its jaxpr read (`jaxdl.planner.jaxpr_cost`, `jaxdl.planner.hlo_cost`), and
what it needs laid beside a card's data sheet (`jaxdl.planner.cards`). So every time is a bound
under assumptions, which `assumptions` lists.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax

from jaxdl.errors import InputError
from jaxdl.planner.cards import FRACTION, LAUNCH, Card, Dtype
from jaxdl.planner.choices import MOST
from jaxdl.planner.jaxpr_cost import Exchange, count_flops, footprint, size_of
from jaxdl.planner.steps import Step

HOST = 8  # devices
HOP = 5e-6  # seconds, assumed: what a collective takes at least to get from one device to another
# Compiled FCN steps held so much more at most: float32 at one image (tests/planner/test_plan.py).
MARGIN = 1.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes on each device; `gathered` are whole parameters, where a device keeps a share."""

    parameters: int
    optimizer: int
    gathered: int = 0
    gradients: int
    activations: int
    inputs: int

    @property
    def total(self) -> int:
        """All of it at once."""
        shares = (self.parameters, self.optimizer, self.gathered, self.gradients)
        return sum(shares) + self.activations + self.inputs


class Work(NamedTuple):
    """What one of several devices holds and does in one step.

    Attributes:
        items: of all devices together.
        unit: of the items.
        memory: of each device.
        flops: of each device.
        bytes: of its memory, read and written.
        kernels: launched.
        exchanges: collectives by kind, with the bytes of the whole arrays.
    """

    items: int
    unit: str
    memory: Memory
    flops: float
    bytes: int
    kernels: int
    exchanges: dict[str, Exchange]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the plan; sizes in bytes, times in seconds.

    `roof_s` is the larger of flops and memory traffic at the card's peaks, `launch_s` the kernels
    at an assumed time each, `step_s` the larger of both and the links' time. The efficiency is the
    items in a second beside those of as many single devices.
    """

    devices: int
    hosts: int
    memory: Memory
    of: int
    exchanges: dict[str, Exchange]
    flops: float
    bytes: int
    kernels: int
    roof_s: float
    launch_s: float
    link_s: float
    step_s: float
    items: int
    unit: str
    per_s: float
    efficiency: float


def dense(step: Step, gradient: Callable[..., Any]) -> Work:
    """A step of `step.dense_step` on one device.

    Args:
        step: without a mesh.
        gradient: of the parameters, the batch and, in a model that has them, the batch
            statistics: loss and gradients.
    """
    state, _, batch, *_ = step.args
    traced = step.call.trace(*step.args).jaxpr
    stats = (state.batch_stats,) if jax.tree.leaves(state.batch_stats) else ()
    backward = footprint(jax.make_jaxpr(gradient)(state.params, batch, *stats))
    found = footprint(traced)
    parameters = size_of(state.params)
    memory = Memory(
        parameters=parameters + size_of(stats),
        optimizer=size_of(state.opt_state),
        gradients=parameters,
        activations=backward.live,
        inputs=size_of(step.args[1:]),
    )
    flops = count_flops(traced)
    return Work(step.items, step.unit, memory, flops, found.bytes, found.kernels, {})


def data_parallel(one: Work, devices: int, items: int, *, dtype: Dtype, fsdp: bool) -> Work:
    """`one` device's work on several: each has a batch of its own.

    Args:
        one: of `dense`.
        devices: how many.
        items: of all devices together.
        dtype: that the gradients are exchanged in: the arithmetic's.
        fsdp: parameters, optimiser state and gradients are split over all devices; the parameters
            are gathered once a step. Otherwise each device has them whole.
    """
    whole = one.memory
    exchanged = whole.gradients * (2 if dtype == "bfloat16" else 4) // 4
    if devices == 1:
        return one._replace(items=items)
    if not fsdp:
        return one._replace(items=items, exchanges={"all-reduce": Exchange(exchanged, 1)})
    share = Memory(
        parameters=-(-whole.parameters // devices),
        optimizer=-(-whole.optimizer // devices),
        gathered=whole.parameters,
        gradients=-(-whole.gradients // devices),
        activations=whole.activations,
        inputs=whole.inputs,
    )
    exchanges = {
        "all-gather": Exchange(whole.parameters, 1),
        "reduce-scatter": Exchange(exchanged, 1),
    }
    # The update reads parameters, gradients and state and writes two of them, now of a share alone;
    # but the whole parameters are written as they are gathered, and the gradients read as they go.
    spared = (devices - 1) / devices * (2 * whole.optimizer + 3 * whole.parameters)
    moved = one.bytes - int(spared) + 2 * whole.parameters
    return one._replace(items=items, memory=share, bytes=moved, exchanges=exchanges)


def word2vec(step: Step, devices: int) -> Work:
    """`plan.word2vec` on an abstract mesh of so many devices (none for one).

    The exchanges are those of the program itself. Its gradients are the changed rows.
    """
    tables, prepared, *_ = step.args
    traced = step.call.trace(*step.args).jaxpr
    found = footprint(traced)
    blocks = prepared.blocks.tokens.shape[0]
    used = prepared.blocks.pairs, prepared.blocks.weights  # of the others the shapes alone
    width = tables.inputs.shape[1]
    rows = sum(soft.size for soft in prepared.soft)
    changes = 4 * width * rows // blocks
    memory = Memory(
        parameters=size_of(tables) // devices,
        optimizer=0,
        gradients=changes,
        activations=max(found.live - changes, 0),
        inputs=size_of((used, prepared.read, prepared.soft)),
    )
    return Work(
        *(step.items, step.unit, memory, count_flops(traced), found.bytes, found.kernels),
        found.exchanges if devices > 1 else {},
    )


def sweep(step: Step, members: int, devices: int) -> Work:
    """`plan.lstm` of a device's share of the members; only the mean loss is exchanged."""
    state, *rest = step.args
    traced = step.call.trace(*step.args).jaxpr
    found = footprint(traced)
    parameters = size_of(state.params)
    memory = Memory(
        parameters=parameters,
        optimizer=size_of(state.opt_state),
        gradients=parameters,
        activations=max(found.live - parameters, 0),
        inputs=size_of(rest),
    )
    return Work(
        *(members * step.items, "network epochs", memory, count_flops(traced)),
        *(found.bytes, found.kernels),
        {"all-reduce": Exchange(4, 1)} if devices > 1 else {},
    )


def exchange_seconds(
    kind: str, exchange: Exchange, devices: int, link: float, network: float, host: int = HOST
) -> float:
    """Seconds that collectives of one kind take, in full hosts.

    An all-gather of B bytes over h hosts of d devices: each device receives (h-1)/h of B/d over the
    network, then (d-1)/d of B over the links of its host. A reduce-scatter is the same backwards,
    an all-reduce both. `HOP` comes on top for each doubling of the devices reached.

    Args:
        kind: all-reduce, all-gather or reduce-scatter.
        exchange: its bytes, of all calls together, and its calls.
        devices: how many.
        link: bytes/s of a device to its host's others.
        network: bytes/s of a device to other hosts, of `host` devices each.
    """
    inside, hosts = min(devices, host), -(-devices // host)
    seconds = exchange.bytes * (inside - 1) / inside / link
    seconds += exchange.bytes / inside * (hosts - 1) / hosts / network
    hops = math.ceil(math.log2(inside)) + math.ceil(math.log2(hosts))
    seconds += exchange.calls * hops * HOP
    return 2 * seconds if kind == "all-reduce" else seconds


def check_devices(counts: Sequence[int], host: int = HOST) -> None:
    """InputError for a number of devices that is no number of hosts, or more than `MOST`."""
    for count in counts:
        if not 1 <= count <= MOST:
            raise InputError(f"--devices {count}: give 1 to {MOST}")
        if count > host and count % host:
            raise InputError(f"--devices {count}: give up to {host}, or a multiple of {host}")


def rows(
    work: Callable[[int], Work], counts: Sequence[int], card: Card, dtype: Dtype, network: float
) -> list[Row]:
    """A row for each number of devices.

    Args:
        work: of each of so many devices.
        counts: numbers of devices.
        card: what they are.
        dtype: whose peak flops count.
        network: bytes/s of a device to other hosts.
    """

    def row(devices: int, single: float | None) -> Row:
        does = work(devices)
        roof = max(does.flops / card.flops(dtype), does.bytes / card.bandwidth)
        launch = does.kernels * LAUNCH
        link = math.fsum(
            exchange_seconds(kind, exchange, devices, card.link, network, card.joined)
            for kind, exchange in does.exchanges.items()
        )
        step = max(roof, launch) + link
        per_s = does.items / step
        return Row(
            devices=devices,
            hosts=-(-devices // card.joined),
            memory=does.memory,
            of=card.memory,
            exchanges=does.exchanges,
            flops=does.flops,
            bytes=does.bytes,
            kernels=does.kernels,
            roof_s=roof,
            launch_s=launch,
            link_s=link,
            step_s=step,
            items=does.items,
            unit=does.unit,
            per_s=per_s,
            efficiency=1.0 if single is None else per_s / devices / single,
        )

    alone = row(1, None)
    return [alone if count == 1 else row(count, alone.per_s) for count in counts]


def assumptions(card: Card, network: float, more: Sequence[str]) -> list[str]:
    """What the numbers rest on, a sentence each."""
    wire = "NVLink" if card.link > 100e9 else "PCIe"
    return [
        *more,
        f"{card.name.upper()}, data sheet: {card.float32 / 1e12:.0f} Tflop/s in float32 "
        f"(TF32 where it has it), {card.bfloat16 / 1e12:.0f} in bfloat16, memory "
        f"{card.bandwidth / 1e9:,.0f} GB/s, {wire} {card.link / 1e9:.0f} GB/s one way among "
        f"{card.joined} cards, network {network / 1e9:.4g} GB/s a card one way; sources in "
        "jaxdl/planner/cards.py.",
        f"The whole of each peak is reached (share 1), a kernel takes {LAUNCH * 1e6:.0f} us at "
        f"least, a collective {HOP * 1e6:.0f} us for each doubling of the devices; step = the "
        "larger of roof and launches, then the links: nothing overlaps.",
        "Programs reach a third to a half of a roof: the times are bounds, not forecasts. Reading "
        "the data is left out.",
        "Memory is counted in the jaxpr, elementwise operations fused. A compiled FCN step held "
        "1.4 times as much in float32 at one image, 1.2 at 212, 0.9 to 1.1 in bfloat16; programs "
        "launched 1.2 to 2.9 times the kernels (benchmarks/gpu/README.md). cuDNN's workspace comes "
        f"on top. ! : {MARGIN} times the memory is above {FRACTION:.0%} of the card's.",
    ]
