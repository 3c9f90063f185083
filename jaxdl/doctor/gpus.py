"""What nvidia-smi says of the GPUs; no other program is asked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from xml.etree import ElementTree

from jaxdl.doctor.probe import Answer, answer

QUERY = "index,uuid,name,driver_version,compute_cap,memory.total,memory.free"
FORMAT = "--format=csv,noheader,nounits"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A card; None or empty for what nvidia-smi does not say."""

    index: str
    uuid: str
    name: str
    driver: str
    capability: tuple[int, int] | None
    total: int | None
    """MiB, as is `free`."""
    free: int | None
    mig: bool = False
    """It is divided into instances."""
    instances: tuple[str, ...] = ()
    """Their names, as CUDA_VISIBLE_DEVICES takes them."""
    fabric: str = ""
    """State of its NVLinks to NVSwitches: Completed, In Progress, N/A."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that nvidia-smi said."""

    smi: Answer | None = None
    """Of the first question; None: it is not on PATH, or was not asked."""
    gpus: tuple[Gpu, ...] = ()
    processes: tuple[str, ...] = ()
    """That use a GPU."""


def whole(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def parse_gpu(line: str) -> Gpu:
    """A line of the answer to `QUERY`."""
    index, uuid, name, driver, capability, total, free = (part.strip() for part in line.split(","))
    numbers = re.fullmatch(r"(\d+)\.(\d+)", capability)
    return Gpu(
        index=index,
        uuid=uuid,
        name=name,
        driver=driver,
        capability=(int(numbers[1]), int(numbers[2])) if numbers else None,
        total=whole(total),
        free=whole(free),
    )


def states(xml: str) -> dict[str, tuple[bool, str]]:
    """UUID -> whether MIG is on, and the fabric's state: `nvidia-smi -q -x`."""
    try:
        cards = ElementTree.fromstring(xml).findall("gpu")
    except ElementTree.ParseError:
        return {}
    return {
        card.findtext("uuid", ""): (
            card.findtext("mig_mode/current_mig") == "Enabled",
            card.findtext("fabric/state", ""),
        )
        for card in cards
    }


def instances(listing: str) -> dict[str, tuple[str, ...]]:
    """UUID -> names of its MIG instances: `nvidia-smi -L`, a card and its instances below it."""
    found: dict[str, tuple[str, ...]] = {}
    card = ""
    for kind, name in re.findall(r"UUID: ((?:GPU|MIG)-)([^)\s]+)", listing):
        if kind == "GPU-":
            card = kind + name
        found[card] = (*found.get(card, ()), *([kind + name] if kind == "MIG-" else []))
    return found


def ask(path: str | None, environ: Mapping[str, str], timeout: float) -> Seen:
    """Ask this nvidia-smi."""
    if path is None:
        return Seen()
    smi = answer([path, f"--query-gpu={QUERY}", FORMAT], environ, timeout)
    if smi.code != 0:
        return Seen(smi=smi)
    gpus = [parse_gpu(line) for line in smi.out.splitlines() if line.count(",") == 6]
    query = "--query-compute-apps=pid,process_name,used_memory"
    used = answer([path, query, FORMAT], environ, timeout)
    more = states(answer([path, "-q", "-x"], environ, timeout).out)
    listed = {}
    if any(mig for mig, _ in more.values()):
        listed = instances(answer([path, "-L"], environ, timeout).out)
    for i, gpu in enumerate(gpus):
        mig, fabric = more.get(gpu.uuid, (False, ""))
        gpus[i] = replace(gpu, mig=mig, fabric=fabric, instances=listed.get(gpu.uuid, ()))
    processes = tuple(used.out.splitlines()) if used.code == 0 else ()
    return Seen(smi=smi, gpus=tuple(gpus), processes=processes)
