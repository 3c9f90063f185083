"""TensorBoard's event files, written by the caller's own thread.

tensorboardX's writer has a thread: a full disk ends it, and the run then waits forever for room in
its queue. Here such an error is raised where the figure is written.
"""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

FLUSH_SECONDS = 5


def _numbers(tree: Any, tag: str) -> Iterator[tuple[str, float]]:
    """Every number of a tree of dicts and lists, with its "a/b/00" name."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _numbers(value, f"{tag}/{key}" if tag else key)
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            yield from _numbers(value, f"{tag}/{number:02d}")
    elif isinstance(tree, (int, float)) and not isinstance(tree, bool):
        yield tag, float(tree)


class Board:
    """One event file in a folder, made if missing. Every method may raise OSError."""

    def __init__(self, folder: Path, first: int) -> None:
        """Begin a file; TensorBoard hides the points at or after step `first` of earlier ones."""
        # Here, as it takes long to import (it looks for boto3).
        from tensorboardX import summary
        from tensorboardX.proto import event_pb2
        from tensorboardX.record_writer import RecordWriter

        self._event, self._summary = vars(event_pb2)["Event"], summary
        session: Any = vars(event_pb2)["SessionLog"]
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads a folder's files by name; a quick resume must not overwrite one.
        now = time.time_ns()
        name = f"events.out.tfevents.{now // 10**9}.{socket.gethostname()}.{now}"
        self._writer = RecordWriter(str(folder / name))
        self._flush_at = time.monotonic() + FLUSH_SECONDS
        self._add(file_version="brain.Event:2")
        self._add(step=first, session_log=session(status=session.START))

    def _add(self, **values: object) -> None:
        self._writer.write(self._event(wall_time=time.time(), **values).SerializeToString())
        if time.monotonic() >= self._flush_at:
            self._writer.flush()
            self._flush_at = time.monotonic() + FLUSH_SECONDS

    def scalars(self, step: int, tree: Any) -> None:
        """A point for every number of a tree of dicts and lists, under the name "train/loss"."""
        for tag, number in _numbers(tree, ""):
            self._add(step=step, summary=self._summary.scalar(tag, number))

    def image(self, step: int, tag: str, picture: UInt8[np.ndarray, "h w 3"]) -> None:
        """One RGB picture."""
        self._add(step=step, summary=self._summary.image(tag, picture, dataformats="HWC"))

    def close(self) -> None:
        """Write out what is pending; harmless if called twice."""
        self._writer.close()
