"""What `jaxdl.plan` says of a step on the card that is there."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import jax

from jaxdl import plan
from jaxdl.cards import CARDS, Card, Dtype
from jaxdl.footprint import footprint, size_of
from jaxdl.programs import count_flops
from jaxdl.projectsteps import Step


def find_card(kind: str, rates: Mapping[str, float]) -> Card | None:
    """The card of a device's name, by its data sheet; else one with the rates just measured.

    Args:
        kind: as JAX tells it, "NVIDIA H200" or "Tesla T4".
        rates: of `record.rates`; without them an unknown device has no card.
    """
    words = re.split(r"[^a-z0-9]+", kind.lower())
    for name, card in CARDS.items():
        if name in words:
            return card
    if not {"tf32", "bfloat16", "copy"} <= rates.keys():
        return None
    peaks = {"float32": rates["tf32"], "bfloat16": rates["bfloat16"], "bandwidth": rates["copy"]}
    return CARDS["h100"]._replace(name=f"this {kind}", **peaks)


def vector_flops(card: Card) -> float:
    """Float32 flops/s without tensor cores."""
    return 2 * card.multiprocessors * card.fpus * card.clock * 1e9


def prediction(step: Step) -> plan.Work:
    """The work of a step that only predicts; its first argument are the parameters."""
    traced = step.call.trace(*step.args).jaxpr
    found = footprint(traced)
    memory = plan.Memory(
        parameters=size_of(step.args[0]),
        optimizer=0,
        gradients=0,
        activations=found.live,
        inputs=size_of(step.args[1:]),
    )
    flops = count_flops(traced)
    return plan.Work(step.items, step.unit, memory, flops, found.bytes, found.kernels, {})


def row(work: Callable[[], plan.Work], card: Card | None, dtype: Dtype) -> plan.Row | None:
    """The plan's line for one device; None without a card."""
    if card is None:
        return None
    one = work()
    return plan.rows(lambda _: one, (1,), card, dtype, card.network)[0]


def start(quick: bool) -> Any:
    """JAX's first device; InputError unless it is a GPU, or the form is the quick one."""
    from jaxdl.errors import InputError

    device = jax.devices()[0]
    if device.platform != "gpu" and not quick:
        raise InputError(
            f"no GPU: jax {jax.__version__} sees {device.device_kind}; `python -m jaxdl doctor` "
            "says why, --quick runs a small form on a CPU"
        )
    return device


def peak_bytes(device: Any) -> int | None:
    """The most memory that this process has had on the device; None where it is not counted."""
    stats = device.memory_stats() or {}
    return stats.get("peak_bytes_in_use")
