"""Checks of the variables that jax, XLA and CUDA read: each judges the facts and names a remedy.

Pure functions of `jaxdl.doctor.facts.Facts`. The number in brackets is that of the symptom's row in
`jaxdl/doctor/README.md`. What each variable may be: JAX's documentation ("GPU memory allocation")
and its own refusals.
"""

import re

from packaging.version import InvalidVersion, Version

from jaxdl.doctor.facts import Facts, named
from jaxdl.doctor.findings import Finding, blocked, fault, ok, warning

FRACTIONS = ("XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION")
ALLOCATORS = ("default", "platform", "bfc", "cuda_async", "vmm", "address")
GROWS = Version("0.12")  # from this jax on, memory that is not bounded grows beyond 75 %
TRUE, FALSE = ("y", "yes", "t", "true", "on", "1"), ("n", "no", "f", "false", "off", "0")
PLATFORMS = ("cpu", "gpu", "cuda", "rocm", "tpu")
# What XLA says as it ends the process.
REFUSED = re.compile(
    r"(Unknown flags? in XLA_FLAGS: (?P<unknown>.*)|Could not open file.*"
    r"|Couldn't interpret value .*? for flag (?P<misread>\w+).*)"
)


def grows(facts: Facts) -> bool:
    """Whether jax takes more than 75 % of the memory as it is needed, unless it is bounded."""
    try:
        return Version(facts.packages.get("jax", "0")) >= GROWS
    except InvalidVersion:
        return False


def usual_fraction(facts: Facts) -> str:
    """The command that sets what is best for most."""
    return f"unset {FRACTIONS[0]}" if grows(facts) else f"export {FRACTIONS[0]}=.85"


def check_fraction(facts: Facts) -> Finding:
    """How much of the GPU's memory jax takes (9)."""
    row = "memory fraction"
    given = {name: facts.environ[name] for name in FRACTIONS if facts.environ.get(name)}
    if len(given) > 1:
        seen = "both variables are set, which jax refuses: " + ", ".join(given)
        return fault(row, seen, f"unset {FRACTIONS[1]}")
    unified = facts.environ.get("TF_FORCE_UNIFIED_MEMORY", "").lower() in ("1", "true")
    for name, text in given.items():
        try:
            fraction = float(text)
        except ValueError:
            fraction = 0.0
        if fraction > 1 and not unified:
            seen = f"{name}={text}: above 1 needs unified memory"
            return fault(row, seen, "export TF_FORCE_UNIFIED_MEMORY=1")
        if not 0 < fraction < 1 and not (unified and fraction >= 1):
            seen = f"{name}={text}: must be above 0 and below 1"
            old = f"unset {name}; " if name == FRACTIONS[1] else ""
            return fault(row, seen, old + usual_fraction(facts))
        if name == FRACTIONS[1]:
            seen = f"{name}={text} is the old name"
            remedy = f"unset {name}; export {FRACTIONS[0]}={text}"
            return warning(row, seen, remedy)
    wanted = float(next(iter(given.values()), "0.75"))
    if unified:
        return ok(row, f"{wanted:.0%} of the card's memory, what is beyond it in the host's")
    lazy = facts.environ.get("XLA_PYTHON_CLIENT_PREALLOCATE", "") in ("false", "False", "0")
    lazy = lazy or facts.environ.get("XLA_PYTHON_CLIENT_ALLOCATOR", "").lower() == "platform"
    for gpu in () if lazy else facts.visible:
        if gpu.total and gpu.free is not None and gpu.free < wanted * gpu.total:
            seen = f"{gpu.name}: {gpu.free} of {gpu.total} MiB free, jax takes {wanted:.0%}"
            users = "; ".join(facts.processes) or "nvidia-smi lists no process"
            lower = f"export {FRACTIONS[0]}={max(0.05, 0.9 * gpu.free / gpu.total):.2f}"
            return warning(row, f"{seen} ({users})", lower)
    taken = "as needed" if lazy else f"{wanted:.0%}"
    if grows(facts):
        taken += ", at most" if given else " at the start, more as needed" if not lazy else ""
    return ok(row, taken)


def check_allocator(facts: Facts) -> Finding:
    """jax knows the allocator (9)."""
    name = "XLA_PYTHON_CLIENT_ALLOCATOR"
    text = facts.environ.get(name, "default")
    if text.lower() not in ALLOCATORS:
        seen = f"{name}={text}: jax refuses it; it knows {', '.join(ALLOCATORS)}"
        return fault("allocator", seen, f"unset {name}")
    slow = " (slow: each array by itself)" if text.lower() == "platform" else ""
    return ok("allocator", text.lower() + slow)


def check_visible(facts: Facts) -> Finding:
    """CUDA_VISIBLE_DEVICES names GPUs that are here (17)."""
    row = "CUDA_VISIBLE_DEVICES"
    text = facts.environ.get(row)
    if text is None or not facts.gpu:
        return ok(row, "not set" if text is None else text)
    names = [name.strip() for name in text.split(",")]
    if names[0] in ("", "-1"):
        seen = f"{row}={text} hides every GPU"
        return blocked(facts, row, seen, f"unset {row}")
    if not facts.gpus:
        return ok(row, text)
    lost = [name for name in names if not any(named(gpu, name) for gpu in facts.gpus)]
    if not lost:
        return ok(row, text)
    here = ", ".join(gpu.index for gpu in facts.gpus)
    seen = f"{row}={text}: there is no {lost[0]} (there is {here}), and CUDA looks no further"
    if lost[0] == names[0]:
        return blocked(facts, row, seen, f"unset {row}")
    rest = ",".join(name for name in names if name not in lost)
    return warning(row, seen, f"export {row}={rest}")


def check_xla_flags(facts: Facts) -> Finding:
    """XLA knows the flags; it ends the process at another (18)."""
    text = facts.environ.get("XLA_FLAGS", "").strip()
    refused = REFUSED.search(facts.probe.err) if text else None

    def name(flag: str) -> str:
        return flag.partition("=")[0].strip("-")

    if not refused:
        return ok("XLA_FLAGS", text or "not set")
    bad = {name(flag) for flag in (refused["unknown"] or refused["misread"] or "").split()}
    rest = [flag for flag in text.split() if name(flag) not in bad] if bad else []
    remedy = f"export XLA_FLAGS='{' '.join(rest)}'" if rest else "unset XLA_FLAGS"
    return fault("XLA_FLAGS", refused[1], remedy)


def check_platforms(facts: Facts) -> Finding:
    """JAX_PLATFORMS names platforms that jax knows, and leaves a way out (13)."""
    text = facts.environ.get("JAX_PLATFORMS", "").strip()
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    forced = "gpu" in names or ("cuda" in names and "cpu" not in names)
    if forced and not usable(facts):
        seen = f"JAX_PLATFORMS={text}, but jax finds no GPU (it says no more than AssertionError)"
        remedy = "export JAX_PLATFORMS=cuda,cpu" if facts.gpu else "unset JAX_PLATFORMS"
        return fault("JAX_PLATFORMS", seen, remedy)
    if "gpu" in names:
        seen = f"JAX_PLATFORMS={text}: gpu means CUDA or ROCm"
        return warning("JAX_PLATFORMS", seen, "export JAX_PLATFORMS=cuda,cpu")
    return ok("JAX_PLATFORMS", text or "not set")


def usable(facts: Facts) -> bool:
    """Whether jax finds a GPU; if it was not asked, whether there is one."""
    if facts.quick:
        return facts.gpu
    return any(device.startswith("cuda") for device, _ in facts.probe.devices)


def check_platform_name(facts: Facts) -> Finding:
    """JAX_PLATFORM_NAME, the older variable, names a platform that is here (19)."""
    row = "JAX_PLATFORM_NAME"
    text = facts.environ.get(row, "").strip()
    name = text.lower()
    if name and name not in PLATFORMS:
        seen = f"{row}={text}: jax knows no such platform"
        return fault(row, seen, f"unset {row}")
    if name in ("gpu", "cuda") and not usable(facts):
        return fault(row, f"{row}={text}, but jax finds no GPU", f"unset {row}")
    if name == "cpu" and facts.gpu and facts.plugins:
        return warning(row, f"{row}={text}: training uses the CPU", f"unset {row}")
    return ok(row, text or "not set")


def check_x64(facts: Facts) -> Finding:
    """JAX_ENABLE_X64 is a truth value that jax reads (20)."""
    row = "JAX_ENABLE_X64"
    text = facts.environ.get(row)
    if text is not None and text.lower() not in (*TRUE, *FALSE):
        return fault(row, f"{row}={text}: jax refuses it, and does not start", f"unset {row}")
    return ok(row, "not set" if text is None else text)
