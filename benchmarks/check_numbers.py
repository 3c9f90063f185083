"""Do our own steps compute right at real sizes? `make check-numbers`; options: `--quick`, `--only`.

jaxlib 0.10.2 is silently wrong on CPUs, in large arrays alone (`jaxdl.devices.arithmetic`). So each
step runs on one CPU device as the experiments run it, once more without the fusions that are wrong,
and, where that is cheap, in float64. A table tells the largest difference of each step's outputs:
losses, updated parameters, and gradients (momentum starts at zero, so a step's velocity is its
gradient). Exit status 1 where one exceeds the tolerance. The steps: benchmarks/real_steps.py.
"""

import re
import sys
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.errors import JaxRuntimeError
from rich.table import Table

from benchmarks import shape
from benchmarks.process import forget_peak, own_peak_mb
from benchmarks.real_steps import TIES, TOLERANCE, Case, cases
from jaxdl.cli.command import main
from jaxdl.devices import arithmetic
from jaxdl.errors import InputError

# Leaves out the fusions that may be wrong.
WITHOUT: dict[str, bool | str] = {"xla_cpu_experimental_ynn_fusion_type": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(shape.Options):
    """Do our own steps compute right at real sizes? The status is 1 where one does not."""

    quick: bool = False
    """Narrow networks, one canvas."""
    only: str = ""
    """Steps whose name has this pattern."""


class Difference(NamedTuple):
    """Between two runs of a step: over its arrays, relative to each one's largest value."""

    worst: float
    where: str
    median: float


def difference(got: Any, want: Any) -> Difference:
    """Of two trees; of whole numbers (ids, classes) the share that differs.

    An array that is not finite, or of zeros where the other is not, is infinitely far off.
    """
    found = []
    for (path, a), b in zip(jax.tree.leaves_with_path(got), jax.tree.leaves(want), strict=True):
        keys = jax.tree_util.keystr(path, simple=True, separator="/").split("/")
        name = "/".join(keys[-3:])  # trace/conv1/bias is the gradient of that bias
        a, b = np.asarray(a), np.asarray(b)
        if not np.issubdtype(b.dtype, np.floating):
            found.append((float(np.mean(a != b)) if b.size else 0.0, name))
            continue
        off = np.abs(a.astype(np.float64) - b).max(initial=0.0)
        scale = np.abs(b).max(initial=0.0)
        sound = np.isfinite(off) and scale > 0
        found.append((0.0 if off == 0 else off / scale if sound else np.inf, name))
    worst, where = max(found)
    return Difference(float(worst), where, float(np.median([value for value, _ in found])))


def run(case: Case, dtype: Any, options: dict[str, bool | str] | None) -> Any:
    """The step's outputs, on the host."""
    with jax.enable_x64(dtype == np.float64):
        work = case.make(dtype)
        compiled = work.call.lower(*work.args).compile(compiler_options=options)
        args = jax.tree.map(jnp.copy, work.args)  # some are donated
        return jax.tree.map(np.asarray, work.pick(compiled(*args)))


def has_option() -> bool:
    """Whether this jaxlib knows `WITHOUT`."""
    try:
        jax.jit(lambda x: x + 1).lower(jnp.zeros(1)).compile(compiler_options=WITHOUT)
    except JaxRuntimeError:
        return False
    return True


def check(case: Case, known: bool) -> tuple[int, Difference | None, Difference | None]:
    """Number of outputs, their difference without the fusions (if `known`) and from float64."""
    ours = run(case, np.float32, None)
    option = WITHOUT if known else None
    without = difference(ours, run(case, np.float32, option)) if known else None
    double = difference(ours, run(case, np.float64, option)) if case.double else None
    return len(jax.tree.leaves(ours)), without, double


def chosen(cfg: Config, known: bool) -> list[Case]:
    """The cases that run here; InputError if there are none."""
    try:
        pattern = re.compile(cfg.only)
    except re.error as error:
        raise InputError(
            f"--only {cfg.only}: is no pattern ({error}); give a part of a name"
        ) from error
    found = [case for case in cases(cfg.quick) if pattern.search(case.name)]
    if not found:
        names = "; ".join(case.name for case in cases(cfg.quick))
        raise InputError(f"--only {cfg.only}: no step has this in its name; there are: {names}")
    return [case for case in found if known or case.double]


def run_all(cfg: Config) -> int:
    """Run the cases, print the table; 1 if something is off."""
    cfg = shape.settled(cfg)
    jax.config.update("jax_platforms", "cpu")
    known, bad = has_option(), False
    waiting = chosen(cfg, known)
    bench = shape.begin(cfg, "benchmarks.check_numbers")
    table = Table("step", "arrays", "without the fusions", "median", "float64", "median")
    for name in ("s", "CPU s", "peak MB"):
        table.add_column(name, justify="right")
    bench.console.print(f"sums that are wrong: {arithmetic.wrong_rows()}")
    if not known:
        bench.console.print("this jaxlib has no such fusions to leave out: float64 alone")
    for case in waiting:
        forget_peak()
        begin, cpu = time.perf_counter(), time.process_time()
        arrays, *found = check(case, known)
        cells: list[str] = []
        row: dict[str, Any] = {"step": case.name, "arrays": arrays, "tolerance": case.largest}
        wrong = False
        for name, d in zip(("without", "float64"), found, strict=True):
            sound = d is None or (d.worst <= case.largest and d.median <= TOLERANCE)
            wrong |= not sound
            cells += (
                [f"{d.worst:.1e} {d.where}{'' if sound else ' !'}", f"{d.median:.0e}"]
                if d
                else ["", ""]
            )
            for key in Difference._fields:
                value = getattr(d, key, None)
                row[f"{name}_{key}"] = None if value == np.inf else value  # JSON has no infinity
        row |= {"wrong": wrong, "seconds": time.perf_counter() - begin}
        row |= {"cpu_s": time.process_time() - cpu, "peak_mb": own_peak_mb()}
        bench.add(row)
        bad |= wrong
        figures = (f"{row[name]:.0f}" for name in ("seconds", "cpu_s", "peak_mb"))
        table.add_row(case.name, str(arrays), *cells, *figures)
        print(case.name, *cells, file=sys.stderr, flush=True)
    bench.console.print(table)
    verdict = "WRONG: a" if bad else "No"
    bench.console.print(f"{verdict} difference above {TOLERANCE:g} (an FCN's gradients: {TIES:g})")
    bench.end()
    return int(bad)


if __name__ == "__main__":
    example = "python -m benchmarks.check_numbers --quick --only fcn  # the FCNs, narrow"
    sys.exit(main(lambda: run_all(shape.options(Config, "benchmarks.check_numbers", example))))
