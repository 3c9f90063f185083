"""What the benchmarks share: `--quick` and `--json`, the lines at the head, rows that say all.

A program's options inherit `Options`. It reads them with `options`, then calls `settled`, refuses
what it cannot do, and calls `begin`; only then its work begins. `Bench.add` takes each row.
"""

import dataclasses
import os
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from rich.console import Console

from benchmarks.roof import kernel
from jaxdl.cli.command import parse
from jaxdl.cli.options import Command, Range, check_ranges, options_of
from jaxdl.devices.memory import host_memory
from jaxdl.errors import InputError
from jaxdl.files.results import Results, work_folder

C = TypeVar("C", bound="Options")

WIDTH = Range(1, 64)  # what divides the channels: the first layers have 64
BUSY = 0.1  # of the cores, used by others: seconds mean little
WIDE = 180  # columns: folded tables cannot be read


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of every benchmark."""

    quick: bool = False
    """A small form of half a minute, whose seconds mean nothing; options that you change stay."""
    json: Path | None = None
    """Write the rows here."""


def options(config: type[C], program: str, example: str, words: Sequence[str] | None = None) -> C:
    """What was typed, each value in its range.

    Args:
        config: the program's options; its text says what the program does.
        program: such as "benchmarks.fcn".
        example: a command line, with what it does behind a #.
        words: None for those of this process.

    Raises:
        InputError: an option or a value that the program does not take.
    """
    typed, _, about = example.partition("#")
    command = Command(
        prog=f"python -m {program}",
        about=" ".join((config.__doc__ or "").split()),
        options=config,
        groups={"Options": [o.name for o in options_of(config) if not o.positional]},
        examples=((typed.strip(), about.strip()),),
    )
    return parse(command, sys.argv[1:] if words is None else words)


def settled(cfg: C, **small: Any) -> C:
    """The options that hold: with --quick, `small` in place of those that nobody changed.

    Raises:
        InputError: one is outside its range.
    """
    check_ranges(cfg)
    if not cfg.quick:
        return cfg
    defaults = {option.name: option.default for option in options_of(type(cfg))}
    unchanged = {k: v for k, v in small.items() if getattr(cfg, k) == defaults[k]}
    return dataclasses.replace(cfg, **unchanged)


class Peer(NamedTuple):
    """A package of another Python."""

    version: str
    folder: Path


def peer(python: Path, package: str, target: str) -> Peer:
    """The package that `make target` installs for that Python; asking does not import it.

    Raises:
        InputError: no such Python, or it has no such package.
    """
    code = "import importlib.metadata as m, sys; d = m.distribution(sys.argv[1]); "
    code += "print(d.version, d.locate_file(sys.argv[1]), sep='\\n')"
    # absolute, not resolved: an environment's python is a link to one outside of it.
    command = [python.absolute(), "-c", code, package]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise InputError(
            f"{python}: no Python that has {package}; run make {target}, which makes one, or name "
            "another"
        ) from error
    number, folder = done.stdout.splitlines()
    return Peer(number, Path(folder))


def cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def processor(cpuinfo: str) -> str:
    """Its name in /proc/cpuinfo, with family and model: many a name says little."""
    fields = dict(reversed(re.findall(r"^(\S.*?)\s*: (.+)$", cpuinfo, re.MULTILINE)))
    told = {"model name": "", "cpu family": "family ", "model": "model "}
    told |= {"CPU implementer": "implementer ", "CPU part": "part "}
    found = [text + fields[name] for name, text in told.items() if name in fields]
    return ", ".join(found) or platform.processor() or platform.machine()


class Moment(NamedTuple):
    """CPU seconds so far: of the cores that this process may use, of all on them, of our own."""

    whole: float
    busy: float
    own: float


def spent(stat: str, cores: Collection[int]) -> tuple[float, float]:
    """Seconds of these cores in a text of /proc/stat: all, and those that were not idle.

    What a hypervisor takes is not idle.
    """
    whole = busy = 0
    for line in stat.splitlines():
        name, *counts = line.split()
        if name.startswith("cpu") and name[3:].isdecimal() and int(name[3:]) in cores:
            ticks = [int(count) for count in counts[:8]]  # guests are counted as users already
            whole += sum(ticks)
            busy += sum(ticks) - sum(ticks[3:5])  # idle, and waiting for a disk
    second = os.sysconf("SC_CLK_TCK")
    return whole / second, busy / second


def now() -> Moment:
    """Of this process, and of those of its children that have ended."""
    try:
        stat = Path("/proc/stat").read_text()
    except OSError:
        stat = ""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return Moment(*spent(stat, cores()), sum(u.ru_utime + u.ru_stime for u in used))


def others(before: Moment, after: Moment) -> float | None:
    """The share of the cores that other processes used; None where the system does not say."""
    whole, busy, own = (b - a for a, b in zip(before, after, strict=True))
    return min(max((busy - own) / whole, 0.0), 1.0) if whole > 0 else None


class Bench:
    """A benchmark that may begin: where it prints, and where its rows go.

    Attributes:
        console: where it prints.
        rows: so far, as they are written.
    """

    def __init__(self, cfg: Options, results: Results, versions: Mapping[str, str]) -> None:
        self.console = Console(soft_wrap=True, highlight=False, markup=False)
        self.console.width = max(self.console.width, WIDE)
        self.rows: list[dict[str, Any]] = []
        self._json, self._results = cfg.json, results
        values = {option.name: option.value(cfg) for option in options_of(type(cfg))}
        self._given = {k: v for k, v in values.items() if isinstance(v, int | float | str)}
        try:
            cpuinfo = Path("/proc/cpuinfo").read_text()
        except OSError:
            cpuinfo = ""
        own = {name: version(name) for name in ("jax", "jaxlib", "numpy")}
        self._machine = {"processor": processor(cpuinfo), "cores": len(cores())}
        self._machine |= {"kernels": kernel()} | own
        self._print_head({"Python": platform.python_version()} | own | dict(versions))
        if cfg.quick:
            self.console.print("--quick: a small form; its seconds mean nothing")
        self._first = self._last = now()

    def _print_head(self, versions: Mapping[str, str]) -> None:
        machine = self._machine
        self.console.print(
            f"machine: {machine['processor']}; cores: {machine['cores']}, "
            f"{host_memory() / 1e9:.1f} GB; NumPy's kernels: {machine['kernels']}"
        )
        self.console.print("versions: " + ", ".join(f"{k} {v}" for k, v in versions.items()))
        before = now()
        time.sleep(0.5)  # what there is to see in a tenth of it is too little
        share = others(before, now())
        told = "not known here" if share is None else f"others use {share:.0%} of these cores"
        self.console.print(f"load: {told}")
        self._warn(share)

    def _warn(self, share: float | None) -> None:
        if share is not None and share > BUSY:
            self.console.print(
                f"WARNING: the machine is busy ({share:.0%} used by others): ratios of one run may "
                "hold, seconds do not"
            )

    def add(self, *rows: Mapping[str, Any]) -> None:
        """Keep rows, and write all so far: each with all options, the machine, and its load.

        An option that a row has itself is not added. The load is that since the last rows; all
        processes that worked for these must have ended.
        """
        moment = now()
        load, self._last = others(self._last, moment), moment
        for row in rows:
            given = {name: value for name, value in self._given.items() if name not in row}
            self.rows.append({**row, **given, "busy_share": load, **self._machine})
        if self._json is not None:
            self._results.write_json(self._json, self.rows)

    def end(self) -> None:
        """Warn if the machine was busy meanwhile."""
        self._warn(others(self._first, now()))


def begin(
    cfg: Options,
    program: str,
    *,
    work: Path | None = None,
    inputs: Collection[Path] = (),
    versions: Mapping[str, str] | None = None,
) -> Bench:
    """Make sure that the results have a place, and print the head; nothing else was done before.

    Args:
        cfg: the program's options.
        program: such as "benchmarks.fcn".
        work: a folder that it may do with as it likes.
        inputs: files that no result may replace.
        versions: of packages of other Pythons, by their names.

    Raises:
        InputError: as `Results.check` and `work_folder`.
    """
    results = Results(program, inputs)
    if cfg.json is not None:
        results.check(cfg.json)
    if work is not None:
        work_folder(work, program)
    if cfg.json is not None and not cfg.json.exists():
        results.write_json(cfg.json, [])  # whether the place takes a file, only a file tells
    return Bench(cfg, results, versions or {})
