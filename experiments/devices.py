"""The options of a run on many devices and hosts, the same in every experiment that has them.

--mesh data=8                                            one process, eight devices
srun python -m experiments.fcn --mesh data=16 ...        one process for each host
"""

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from experiments.command import Bar, as_dict, input_paths, one_run, open_run
from jaxdl import hosts, report
from jaxdl.errors import InputError
from jaxdl.fingerprint import check_unchanged
from jaxdl.mesh import make_mesh, parse_mesh


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """Many devices, many hosts; a run may go on with others than it began with."""

    mesh: str | None = None
    """data=N[,model=M]: the devices, of all hosts together; none: one device (lstm_sine: a CPU's
    cores)."""
    coordinator: str | None = None
    """HOST:PORT of process 0, where SLURM, Open MPI or JobSet do not tell."""
    processes: int | None = None
    """How many processes, one for each host."""
    process_id: int | None = None
    """Which of them this is, from 0."""
    lost_after: int = 60
    """Seconds of silence after which a process counts as lost and the others stop."""


def start(devices: Devices) -> Mesh | None:
    """Join the other processes, if there are any, and make the mesh; before other uses of JAX.

    Raises:
        InputError: the options are not sound, or ask for devices that are not there.
        TrainingError: the other processes could not be reached.
    """
    given = (devices.coordinator, devices.processes, devices.process_id)
    if devices.mesh is None:
        if given != (None, None, None):
            raise InputError("--coordinator, --processes and --process-id go with --mesh data=N")
        return None
    shape = parse_mesh(devices.mesh)
    if devices.lost_after < 1:
        raise InputError(f"--lost-after {devices.lost_after}: must be 1 second or more")
    processes = hosts.find_processes(os.environ, *given)
    if processes is not None:
        hosts.start(processes, devices.lost_after)
    return make_mesh(*shape)


def train_everywhere(
    cfg: Any,
    bar: Bar,
    train: Callable[[dict[str, Any], dict[str, Any] | None, Mesh | None], dict[str, Any]],
    *,
    free: Sequence[str],
    parts: Sequence[str],
    inputs: Sequence[Path] = (),
) -> dict[str, Any]:
    """Train, or go on with, a run on all its devices, unless it is finished.

    Args:
        cfg: with the fields `out`, `resume`, `overwrite` and `devices`.
        bar: prints in process 0 alone.
        train: ``train(config, record, mesh)`` returns the summary; the record is that of the run to
            go on with, or None.
        free: see `open_run`.
        parts: keys of a finished run's summary.
        inputs: files that decide the result; a run begun with other contents is refused, finished
            or not. `train` puts their `jaxdl.fingerprint.of_files` into the record's "inputs".

    Returns:
        The summary; empty but in process 0.
    """
    mesh, config = start(cfg.devices), as_dict(cfg)
    bar.console.quiet = not hosts.is_lead()

    def find() -> tuple[dict[str, Any] | None, dict[str, Any]]:
        record = open_run(
            cfg.out,
            config,
            free=free,
            resume=cfg.resume,
            overwrite=cfg.overwrite,
            inputs=input_paths(cfg),
        )
        if record is not None:
            check_unchanged(cfg.out, record.get("inputs"), inputs)
        file, page = cfg.out / "summary.json", cfg.out / "report.html"
        there = record is not None and file.is_file() and page.is_file()
        summary = report.read_json(file) if there else {}
        return record, summary if all(part in summary for part in parts) else {}

    @one_run
    def locked(cfg: Any, bar: Bar) -> dict[str, Any]:
        record, summary = hosts.from_lead(find)
        if summary:
            bar.line(f"{cfg.out}: finished already (--overwrite trains it again)")
            return summary
        return train(config, record, mesh)

    with hosts.leave_at_once():
        summary = locked(cfg, bar)
    return summary if hosts.is_lead() else {}
