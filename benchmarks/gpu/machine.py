"""Part 1: versions, driver, `doctor`, sums that a compiler may get wrong, and the card's rates."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
from typing import Any

# Part of the memory is enough here, and `doctor` starts a JAX of its own.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.gpu import planned
from benchmarks.gpu.record import Recorder, measure
from jaxdl import doctor
from jaxdl.hostfacts import gather

PACKAGES = (
    *("jax", "jaxlib", "jax-cuda12-plugin", "jax-cuda13-plugin", "nvidia-cudnn-cu12"),
    *("nvidia-cudnn-cu13", "flax", "optax", "orbax-checkpoint", "numpy", "torch"),
)
# matmul's rate by name: dtype of the arrays, JAX's precision
PRODUCTS = {
    "bfloat16": (jnp.bfloat16, None),
    "tf32": (jnp.float32, None),
    "float32": (jnp.float32, "float32"),
}
SUMS = 1e-5  # relative error allowed
ROWS = 32_769  # one more than a power of two: jaxlib 0.10.2 gets the last one wrong on a CPU


def versions() -> dict[str, str]:
    """Of Python, what is installed of `PACKAGES`, and the driver."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    if program := shutil.which("nvidia-smi"):
        ask = ("--query-gpu=driver_version,memory.total,clocks.max.sm", "--format=csv,noheader")
        done = subprocess.run([program, *ask], capture_output=True, text=True, timeout=20)
        found["driver, memory, highest clock"] = done.stdout.strip()
    return found


def last_row_error(device: Any) -> float:
    """The largest relative error of sums of squares over rows, compiled and mapped (jax#39103)."""
    matrix = np.eye(3, dtype=np.float32)
    rows = np.repeat(np.arange(1, ROWS + 1, dtype=np.float32)[:, None], 3, axis=1)
    call = jax.jit(jax.vmap(lambda row: jnp.square(matrix @ row).sum()))
    with jax.default_device(device), jax.default_matmul_precision("float32"):
        found = np.asarray(call(jnp.asarray(rows)), np.float64)
    right = np.square(rows.astype(np.float64)).sum(1)
    return float(np.abs(found / right - 1).max())


def rate_rows(recorder: Recorder, device: Any, card: Any) -> None:
    """Matrix products in three arithmetics, and copying."""
    side, size = (512, 1 << 22) if recorder.quick else (8192, 1 << 29)
    seconds = 0.1 if recorder.quick else 1.0
    peaks = {} if card is None else {"bfloat16": card.bfloat16, "tf32": card.float32}
    if card is not None:
        peaks |= {"float32": planned.vector_flops(card), "copy": card.bandwidth}
    keys = jax.random.split(jax.random.key(0), 3)

    def product_rate(name: str) -> None:
        dtype, precision = PRODUCTS[name]
        a, b = (jax.random.normal(k, (side, side), dtype) for k in keys[:2])
        product = jax.jit(lambda a, b, p=precision: jnp.matmul(a, b, precision=p))
        timing = measure(lambda p=product, a=a, b=b: p(a, b), seconds)
        what, flops = f"matrix product, {name}", 2 * side**3
        recorder.rate(what, "flop/s", flops, timing, peaks.get(name), rate=name)

    recorder.run(PRODUCTS, lambda name: f"matrix product, {name}", product_rate)
    with recorder.case("copy"):
        x = jax.random.normal(keys[2], (size,))
        copy = jax.jit(lambda x: x * 1.5)
        timing = measure(lambda: copy(x), seconds)
        about = {"planned": peaks.get("copy"), "rate": "copy"}
        recorder.rate("copy, read and written", "B/s", 8 * size, timing, **about)


def run(recorder: Recorder) -> None:
    """See the module."""
    device = planned.start(recorder.quick)
    found = versions()
    recorder.write("versions", "told", note=", ".join(f"{k} {v}" for k, v in found.items()))
    stats = device.memory_stats() or {}
    memory = f", {stats['bytes_limit'] / 1e9:.1f} GB for JAX" if "bytes_limit" in stats else ""
    note = f"{device.device_kind}{memory}, {os.cpu_count()} CPU cores"
    recorder.write("device", "told", note=note, quick=recorder.quick)
    rate_rows(recorder, device, planned.find_card(device.device_kind, {}))
    for kind in dict.fromkeys((device.platform, "cpu")):
        with recorder.case(f"reduction check, {kind}"):
            error = last_row_error(jax.devices(kind)[0])
            note = "right" if error < SUMS else "WRONG: this jaxlib adds up wrongly (jax#39103)"
            recorder.row(f"reduction check, {kind}", "", error, SUMS, note=note)
    with recorder.case("doctor"):
        facts = gather(host=False, timeout=max(5.0, recorder.left()))
        faults = [f for f in doctor.examine(facts) if f.level != "ok"]
        for fault in faults:
            recorder.write(f"doctor: {fault.level}", "told", note=f"{fault.name}: {fault.seen}")
        if not faults:
            recorder.write("doctor", "told", note="no fault")
