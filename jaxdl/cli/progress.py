"""Progress of long work."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


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
        # FORCE_COLOR, which Jupyter sets, makes rich call a pipe or a file a terminal.
        live = self.console.is_terminal and self.console.file.isatty()
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
        self, name: str, first: int, steps: int, *, epoch: int | None, items: float | int, unit: str
    ) -> Iterator[Callable[[int, float], None]]:
        """A function to call with (steps done, loss) after each step, of `items` `unit`.

        Args:
            epoch: steps in an epoch, if its number is to be shown.
        """
        start = time.monotonic()
        with self._bar(name, steps, first) as update:

            def show(done: int, loss: float) -> None:
                speed = (done - first) * items / max(1e-9, time.monotonic() - start)
                at = f"epoch {-(-done // epoch)}/{-(-steps // epoch)}  " if epoch else ""
                update(done, steps, f"{at}loss {loss:.3f}  {speed:,.0f} {unit}/s")

            yield show
