"""Runs that stop themselves, within the tests' own process: use it in `jaxdl.signals.handled`."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from jaxdl.cli.progress import Bar


class StoppingBar(Bar):
    """Asks the run to stop when so many steps are done."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    @contextmanager
    def training(self, *args, **kwargs) -> Iterator[Callable[[int, float], None]]:
        with super().training(*args, **kwargs) as show:

            def counted(done: int, loss: float) -> None:
                if done == self.at:
                    signal.raise_signal(signal.SIGTERM)
                show(done, loss)

            yield counted
