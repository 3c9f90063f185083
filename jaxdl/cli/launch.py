"""A command's run: one at a time, resumed or refused, on all its devices."""

import contextlib
import dataclasses
import functools
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from jaxdl.cli.devices import Devices
from jaxdl.cli.progress import Bar
from jaxdl.devices import launchers, processes
from jaxdl.devices.mesh import make_mesh, parse_mesh
from jaxdl.errors import InputError, TrainingError
from jaxdl.files import atomic, locks
from jaxdl.files.fingerprint import check_unchanged
from jaxdl.training.opening import open_run, settle
from jaxdl.training.record import finish, finished_summary


def start(cfg: Any) -> Mesh | None:
    """Join the other processes, if there are any, and make the mesh; before other uses of JAX.

    Args:
        cfg: with the field `devices`.

    Raises:
        InputError: the options are not sound, or ask for devices that are not there.
        TrainingError: the other processes could not be reached, or do not fit.
    """
    devices: Devices = cfg.devices
    given = (devices.coordinator, devices.processes, devices.process_id)
    if devices.mesh is None:
        if given != (None, None, None):
            raise InputError("--coordinator, --processes and --process-id go with --mesh data=N")
        return None
    shape = parse_mesh(devices.mesh)
    if devices.lost_after < 1:
        raise InputError(f"--lost-after {devices.lost_after}: must be 1 second or more")
    found = launchers.find_processes(os.environ, *given)
    if found is not None:
        processes.start(found, devices.lost_after, shared_options(cfg))
    return make_mesh(*shape)


def shared_options(cfg: Any) -> dict[str, str]:
    """The options that all processes of a run must have the same, as their users type them.

    Files and folders may lie elsewhere on each host, and each has its own number.
    """
    found: dict[str, str] = {}
    for field in dataclasses.fields(cfg):
        value = getattr(cfg, field.name)
        if dataclasses.is_dataclass(value):
            found |= shared_options(value)
        elif field.name not in ("coordinator", "process_id") and not _paths(value):
            found[f"--{field.name.replace('_', '-')}"] = json.dumps(atomic.plain(value))
    return found


def _paths(value: Any) -> list[Path]:
    """A value's files and folders."""
    values = value if isinstance(value, tuple) else (value,)
    return [each for each in values if isinstance(each, Path)]


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
            try:
                return run(cfg, bar)
            finally:
                with contextlib.suppress(InputError, TrainingError):  # the next start tries again
                    if settle(cfg.out):
                        bar.line(f"{cfg.out}: the run that was there is back in its place")

    return locked


def input_paths(cfg: Any) -> list[Path]:
    """The files and folders that a Config names, but for where the run writes."""
    found: list[Path] = []
    for field in dataclasses.fields(cfg):
        if field.name not in ("out", "data_dir"):
            found += _paths(getattr(cfg, field.name))
    return found


def as_dict(config: Any) -> dict[str, Any]:
    """A Config as JSON stores it."""
    return atomic.plain(dataclasses.asdict(config))


def train_everywhere(
    cfg: Any,
    bar: Bar,
    train: Callable[[dict[str, Any], dict[str, Any] | None, Mesh | None], dict[str, Any]],
    *,
    may_change: Sequence[str],
    summary_keys: Sequence[str],
    inputs: Sequence[Path] = (),
    check: Callable[[dict[str, Any]], None] = lambda record: None,
    lengthen: Callable[[dict[str, Any]], dict[str, Any]] = lambda record: record,
) -> dict[str, Any]:
    """Train, or go on with, a run on all its devices, unless it is finished.

    Args:
        cfg: with the fields `out`, `resume`, `overwrite` and `devices`.
        bar: prints in process 0 alone.
        train: ``train(config, record, mesh)`` returns the summary; the record is that of the run to
            go on with, or None.
        may_change: see `open_run`.
        summary_keys: keys of a finished run's summary.
        inputs: files that decide the result; a run begun with other contents is refused, finished
            or not. `train` puts their `jaxdl.files.fingerprint.of_files` into the record's
            "inputs".
        check: ``check(record)`` refuses a run, finished or not, whose other inputs have changed.
        lengthen: ``lengthen(record)`` is the record of a run that is to train longer than it did,
            which is not finished.

    Returns:
        The summary; empty but in process 0.
    """
    mesh, config = start(cfg), as_dict(cfg)
    bar.console.quiet = not processes.is_main_process()

    def same(record: dict[str, Any]) -> None:
        check_unchanged(cfg.out, record.get("inputs"), inputs)
        check(record)

    def find() -> tuple[dict[str, Any] | None, dict[str, Any]]:
        record = open_run(
            cfg.out,
            config,
            may_change=may_change,
            resume=cfg.resume,
            overwrite=cfg.overwrite,
            inputs=input_paths(cfg),
            same=same,
        )
        if record is None:
            return None, {}
        same(record)
        record = lengthen(record)
        summary, why = finished_summary(cfg.out, record, summary_keys)
        if why:
            bar.line(why)
        return record, summary

    @one_run
    def locked(cfg: Any, bar: Bar) -> dict[str, Any]:
        record, summary = processes.broadcast_from_main(find)
        if summary:
            bar.line(f"{cfg.out}: finished already (--overwrite trains it again)")
            return summary
        summary = train(config, record, mesh)
        if processes.is_main_process():
            finish(cfg.out)
        return summary

    with processes.abort_on_error():
        summary = locked(cfg, bar)
    return summary if processes.is_main_process() else {}
