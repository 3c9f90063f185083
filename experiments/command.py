"""What the experiments' command lines share: progress, run folders, messages in one line."""

import dataclasses
import functools
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from jaxdl import report
from jaxdl.data import locks
from jaxdl.errors import EXIT_STATUS, FULL, InputError, Stopped, TrainingError, writing


class Bar:
    """Progress of long work: a bar on a terminal, a line for each task elsewhere."""

    def __init__(self) -> None:
        self.console = Console(soft_wrap=True, highlight=False)

    def line(self, text: str) -> None:
        """Print a line; a bar that is shown stays below it."""
        self.console.print(text, markup=False)

    def warn(self, warnings: Iterable[str]) -> None:
        """A line for each reason not to take a result for a good one."""
        for text in warnings:
            self.line(f"WARNING: {text}")

    @contextmanager
    def _bar(self, name: str, total: int | None, done: int = 0) -> Iterator[Callable[..., None]]:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:>5}/{task.total}  {task.fields[note]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        live = self.console.is_terminal
        with Progress(*columns, console=self.console, disable=not live, transient=True) as progress:
            task = progress.add_task(name, total=total, completed=done, note="")

            def update(done: int, total: int | None = None, note: str = "") -> None:
                progress.update(task, completed=done, total=total, note=note)

            yield update

    @contextmanager
    def task(self, name: str) -> Iterator[Callable[[int, int], None]]:
        """``with bar.task(name) as progress: progress(done, of)``."""
        with self._bar(name, None) as update:
            yield update

    @contextmanager
    def training(
        self,
        stage: str,
        first: int,
        steps: int,
        epoch_steps: int,
        batch_size: float,
        unit: str = "images",
    ) -> Iterator[Callable[[int, float], None]]:
        """A function to call with (steps done, loss) after each step, of `batch_size` `unit`."""
        start, epochs = time.monotonic(), -(-steps // epoch_steps)
        with self._bar(stage, steps, first) as update:

            def show(step: int, loss: float) -> None:
                speed = (step - first) * batch_size / max(1e-9, time.monotonic() - start)
                epoch = -(-step // epoch_steps)
                note = f"epoch {epoch}/{epochs}  loss {loss:.3f}  {speed:,.0f} {unit}/s"
                update(step, steps, note)

            yield show


def parse(config_type: type, presets: dict[str, Any], argv: Sequence[str], prog: str) -> Any:
    """The command line's config: ``--preset`` picks the defaults of all the other options."""
    name = config_type().preset
    for i, word in enumerate(argv):
        if word == "--preset" and i + 1 < len(argv):
            name = argv[i + 1]
        elif word.startswith("--preset="):
            name = word.split("=", 1)[1]
    # An unknown name is left for tyro to refuse.
    return tyro.cli(
        config_type, default=presets.get(name, config_type()), args=list(argv), prog=prog
    )


def one_run(run: Callable[..., dict]) -> Callable[..., dict]:
    """A command's ``run(cfg, bar)`` that holds the lock of ``cfg.out``: the second is refused.

    Of the processes of one distributed run, which share the folder, the first holds it.
    """

    @functools.wraps(run)
    def locked(cfg: Any, bar: Bar) -> dict:
        if cfg.out.exists() and not cfg.out.is_dir():
            raise InputError(f"{cfg.out}: is not a folder; name another with --out")
        if jax.distributed.is_initialized() and jax.process_index():
            return run(cfg, bar)
        with locks.alone(cfg.out):
            return run(cfg, bar)

    return locked


# What runs leave in their folders: all that --overwrite deletes.
MADE = re.compile(
    r"run\.json|summary\.json|report\.html|overview\.png|metrics\.jsonl|predictions\.json"
    r"|samples\.json|vectors\.bin|vocabulary\.txt|neighbours\.json|map\.json"
    r"|checkpoints|tensorboard|samples|splits|fcn[0-9]+s|\..*\.[0-9]+\.tmp"
)


def input_paths(cfg: Any) -> list[Path]:
    """The files and folders that a Config names, but for where the run writes."""
    found: list[Path] = []
    for field in dataclasses.fields(cfg):
        value = getattr(cfg, field.name)
        if field.name not in ("out", "data_dir"):
            values = value if isinstance(value, tuple) else (value,)
            found += [each for each in values if isinstance(each, Path)]
    return found


def open_run(
    out: Path,
    config: dict[str, Any],
    *,
    free: Sequence[str],
    resume: bool,
    overwrite: bool,
    inputs: Sequence[Path] = (),
) -> dict[str, Any] | None:
    """The record of the run in `out` if there is one to go on with, after `overwrite`.

    What a killed process left there under temporary names is removed: hold the lock (`one_run`).
    `overwrite` deletes what runs leave, nothing else.

    Raises:
        InputError: the run would write over one of the `inputs`, or `overwrite` delete it.
        InputError: the folder holds a run of another configuration (the message is the
            difference), a run that may not be resumed, or files that are not a run.
    """
    path, home = out / "run.json", out.resolve()
    for given in inputs:
        real = given.resolve()
        below = real.relative_to(home).parts if real.is_relative_to(home) else None
        if (below and MADE.fullmatch(below[0])) or (below == () and overwrite):
            raise InputError(f"{given}: the run would write over this input; move it elsewhere")
    if overwrite and out.is_dir():
        old = [p for p in out.iterdir() if MADE.fullmatch(p.name)]
        if old and not path.is_file():
            names = ", ".join(sorted(p.name for p in old)[:3])
            raise InputError(
                f"{out}: holds no run.json, so --overwrite will not delete {names}; name another "
                "folder with --out"
            )
        # A killed deletion leaves a run that is not finished, and still may be overwritten.
        for p in sorted(old, key=lambda p: (p == path, p.name != "summary.json")):
            shutil.rmtree(p) if p.is_dir() and not p.is_symlink() else p.unlink()
    if not path.is_file():
        return None
    locks.sweep(out, "**/.*.[0-9]*.tmp")
    if not resume:
        raise InputError(f"{out}: holds a run; name another folder with --out, or use --overwrite")
    record = report.read_json(path)
    old, new = ({k: v for k, v in c.items() if k not in free} for c in (record["config"], config))
    if difference := report.config_diff(old, new):
        raise InputError(
            f"{out}: holds a run of another configuration ({'; '.join(difference)}); "
            "name another folder with --out, or use --overwrite"
        )
    return record


def check_least(config: Any, least: int, names: Sequence[str]) -> None:
    """InputError for the first of these fields, numbers or tuples of them, below `least`."""
    for name in names:
        value = getattr(config, name)
        if not min(value if isinstance(value, tuple) else (value,)) >= least:
            raise InputError(f"--{name.replace('_', '-')} {value}: must be {least} or more")


def as_dict(config: Any) -> dict[str, Any]:
    """A Config as JSON stores it."""
    return report.plain(dataclasses.asdict(config))


def main(call: Callable[[], object]) -> None:
    """Run a command; what the user should read becomes one line and an exit status."""
    try:
        try:
            call()
        except OSError as error:  # a full disk, wherever it is noticed
            if error.errno not in FULL:
                raise
            with writing(Path(error.filename or "the disk")):
                raise
    except (InputError, TrainingError, Stopped) as message:
        print(f"{'' if isinstance(message, Stopped) else 'error: '}{message}", file=sys.stderr)
        sys.exit(EXIT_STATUS[type(message)])
