"""What Orbax and its libraries log beside the error of a save that fails."""

import contextlib
import logging
import sys
import warnings
from collections.abc import Generator
from typing import Any

from jaxdl.errors import TrainingError

# What Orbax says without a traceback: of a step in mid-epoch; of a file, beside the exception; of a
# slow disk, where training just waits.
_TOLD = (
    "did not provide metrics",
    "Failed to read Metadata file",
    "Waiting for previous save to complete",
)


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """If a save fails, the user sees the exception alone, and of a save in mid-epoch nothing.

    Without this, Orbax also logs the exception with its traceback, asyncio logs the errors of
    further arrays, and TensorStore says of every unfinished array that the event loop is closed, or
    that nobody awaits its coroutine.
    """

    def without_traceback(record: logging.LogRecord) -> bool:
        return not record.exc_info and not any(text in record.getMessage() for text in _TOLD)

    def without_loops(hook: Any) -> None:
        if "Event loop is closed" not in str(hook.exc_value):
            before(hook)

    before = sys.unraisablehook
    with contextlib.ExitStack() as afterwards:
        afterwards.callback(setattr, sys, "unraisablehook", before)
        sys.unraisablehook = without_loops
        for log in map(logging.getLogger, ("absl", "asyncio")):
            log.addFilter(without_traceback)
            afterwards.callback(log.removeFilter, without_traceback)
        try:
            yield
        except TrainingError:  # arrays may still be on their way: what is quiet stays so
            warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
            afterwards.pop_all()
            raise
