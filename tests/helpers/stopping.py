"""Runs to which something happens in mid-training, within the tests' own process."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from jaxdl.cli.progress import Bar


class ActingBar(Bar):
    """Calls something when so many steps are done; keeps the lines that it prints."""

    def __init__(self, at: int, act: Callable[[], object]) -> None:
        super().__init__()
        self.at, self.act, self.lines = at, act, list[str]()

    def line(self, text: str) -> None:
        self.lines.append(text)
        super().line(text)

    @contextmanager
    def training(self, *args, **kwargs) -> Iterator[Callable[[int, float], None]]:
        with super().training(*args, **kwargs) as show:

            def counted(done: int, loss: float) -> None:
                if done == self.at:
                    self.act()
                show(done, loss)

            yield counted


def stopping_bar(at: int) -> ActingBar:
    """Asks the run to stop; use it in `jaxdl.signals.handled`."""
    return ActingBar(at, lambda: signal.raise_signal(signal.SIGTERM))
