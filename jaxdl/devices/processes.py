"""A run on many hosts: one process for each, found, started and ended together.

The engine is `jax.distributed`: its coordinator, its heartbeats, and collectives in the compiled
programs. Here is what a command needs around it: who takes part (`find_processes`), the start, and
what must be the same in every process (`broadcast_from_main`, `stop_vote`). A process that fails,
or notices that another has, leaves at once (`abort_on_error`): to end tidily it would wait for
the others, which wait for it.
"""

import json
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as Spec

from jaxdl.errors import EXIT_STATUS, InputError, Stopped, TrainingError, exit_status
from jaxdl.signals import Signalled

START_SECONDS = 300  # for all processes to come
COORDINATOR_PORT = "55527"  # that of jax's own detection of Kubernetes


class Processes(NamedTuple):
    """Who takes part, as one of them sees it."""

    coordinator: str | None  # host:port of process 0; None where jax.distributed finds it (SLURM)
    count: int
    number: int
    whole_host: bool = True  # else the launcher started several on a host, one for each device


def find_processes(
    environ: Mapping[str, str],
    coordinator: str | None = None,
    processes: int | None = None,
    process_id: int | None = None,
) -> Processes | None:
    """The processes of this run, from flags, and from the environment where flags are not given.

    Args:
        environ: the variables of SLURM (``srun``), Open MPI (``mpirun``) or Kubernetes' JobSet
            (JOB_COMPLETION_INDEX; JOBSET_NAME and REPLICATED_JOB_NAME name the host of process 0,
            JAX_NUM_PROCESSES the number). If JAX_COORDINATOR_ADDRESS (host:port) is set, it is
            used instead of these names.
        coordinator: host:port where process 0 listens.
        processes: how many.
        process_id: 0 to processes - 1.

    Returns:
        None for a single process.

    Raises:
        InputError: something is missing or not sound.
    """
    found = _jobset(environ) or _slurm(environ) or _open_mpi(environ)
    address, count, number, whole_host = found or (None, None, None, True)
    coordinator = coordinator or environ.get("JAX_COORDINATOR_ADDRESS") or address
    count = processes if processes is not None else count
    number = process_id if process_id is not None else number
    if coordinator is None and count is None and number is None:
        return None
    if count is None:
        raise InputError("--processes is missing: how many processes take part, one for each host")
    if count < 1:
        raise InputError(f"--processes {count}: must be 1 or more")
    if count == 1 and not number:
        return None
    if number is None:
        raise InputError(f"--process-id is missing: the number of this process, 0 to {count - 1}")
    if not 0 <= number < count:
        raise InputError(
            f"--process-id {number}: of {count} processes, it must be 0 to {count - 1}"
        )
    if coordinator is None and not _jax_finds_it(environ):
        raise InputError(
            "--coordinator is missing: HOST:PORT of process 0, reached by all processes"
        )
    if coordinator is not None and not re.fullmatch(r".+:\d{1,5}", coordinator):
        raise InputError(f"--coordinator {coordinator}: must be HOST:PORT, such as node1:5000")
    return Processes(coordinator, count, number, whole_host)


def _number(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name)
    if text is None:
        return None
    if not text.isdecimal():
        raise InputError(f"{name}={text}: is not a number; use --processes and --process-id")
    return int(text)


def _jobset(environ: Mapping[str, str]) -> tuple[Any, ...] | None:
    """JobSet's first pod of the first job has a name that all pods can resolve."""
    names = [environ.get(name) for name in ("JOBSET_NAME", "REPLICATED_JOB_NAME")]
    if "JOB_COMPLETION_INDEX" not in environ or None in names:
        return None
    port = environ.get("JAX_COORDINATOR_PORT", COORDINATOR_PORT)
    address = f"{names[0]}-{names[1]}-0-0.{names[0]}:{port}"
    count = _number(environ, "JAX_NUM_PROCESSES")
    return address, count, _number(environ, "JOB_COMPLETION_INDEX"), True


def _slurm(environ: Mapping[str, str]) -> tuple[Any, ...] | None:
    needed = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID")
    if not {*needed, "SLURM_LOCALID"} <= set(environ):
        return None
    count, number = _number(environ, "SLURM_NTASKS"), _number(environ, "SLURM_PROCID")
    return None, count, number, count == _number(environ, "SLURM_STEP_NUM_NODES")


def _open_mpi(environ: Mapping[str, str]) -> tuple[Any, ...] | None:
    if "OMPI_COMM_WORLD_SIZE" not in environ:
        return None
    names = ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE")
    count, number, here = (_number(environ, name) for name in names)
    return None, count, number, here == 1


def _jax_finds_it(environ: Mapping[str, str]) -> bool:
    """Open MPI names the host of ``mpirun`` up to its version 4 alone."""
    return _slurm(environ) is not None or "OMPI_MCA_orte_hnp_uri" in environ


def start(processes: Processes, lost_after: int = 60) -> None:
    """Join the others; before any other use of JAX.

    Args:
        processes: of `find_processes`.
        lost_after: seconds of silence after which a process counts as lost, and all others end.

    Raises:
        TrainingError: the coordinator could not be started or found. (Where the others do not come
            in `START_SECONDS`, jax ends the process with SIGABRT.)
    """
    # Its handler would take SIGTERM from ours, and `stop_vote` does its work.
    jax.config.update("jax_enable_preemption_service", False)
    # Empty: all devices. Left to itself, jax takes one for each process that a launcher started.
    all_devices = processes.whole_host and "JAX_LOCAL_DEVICE_IDS" not in os.environ
    where = processes.coordinator or "the launcher's first host"
    waits = (
        f"process {processes.number} of {processes.count} waits for the others at {where}, "
        f"{START_SECONDS} s at most: start all of them, and look at the address"
    )
    # Where they do not come, jax aborts: there is no error to catch, so this is said before.
    notice = threading.Timer(10, lambda: print(waits, file=sys.stderr, flush=True))
    notice.daemon = True
    notice.start()
    try:
        jax.distributed.initialize(
            *processes[:3],
            local_device_ids=[] if all_devices else None,
            initialization_timeout=START_SECONDS,
            heartbeat_timeout_seconds=lost_after,
        )
    except (OSError, ValueError, jax.errors.JaxRuntimeError) as error:  # say, a port in use
        raise TrainingError(f"{waits}; it failed: {_first_line(error)}") from error
    finally:
        notice.cancel()


def is_main_process() -> bool:
    """Whether this is process 0, which alone prints and writes (checkpoints are written by all)."""
    return not jax.distributed.is_initialized() or jax.process_index() == 0


def broadcast_from_main(call: Callable[[], Any]) -> Any:
    """What `call` returns in process 0 (JSON) in every process; the others wait, and do not call.

    Raises:
        InputError: as `call` raised it; the other processes exit with its status, and say nothing.
    """
    if not jax.distributed.is_initialized() or jax.process_count() == 1:
        return call()
    failed, outcome = None, b""
    if is_main_process():
        try:
            outcome = json.dumps({"value": call()}).encode()
        except InputError as error:
            failed, outcome = error, b"{}"
    size = multihost_utils.broadcast_one_to_all(np.int32(len(outcome)))
    content = np.zeros(int(size), np.uint8)
    content[: len(outcome)] = np.frombuffer(outcome, np.uint8)
    read = json.loads(multihost_utils.broadcast_one_to_all(content).tobytes())
    if failed is not None:
        raise failed
    if "value" not in read:
        sys.exit(EXIT_STATUS[InputError])
    return read["value"]


def main_process_first(call: Callable[[], Any]) -> Any:
    """What `call` returns, called in process 0, then in the others.

    So what it writes once on a shared file system is there for them.

    Raises:
        InputError: as `broadcast_from_main`.
    """
    value = None

    def first() -> None:
        nonlocal value
        value = call()

    broadcast_from_main(first)
    return value if is_main_process() else call()


def stop_vote(mesh: Mesh | None) -> Callable[[bool], bool]:
    """``vote(asked)``, called by all after each step: whether they all stop now.

    True in every process at the same call, the one after some process was asked to stop: the
    answer is read a step late, so that the devices never wait for the host.
    """
    if not jax.distributed.is_initialized() or mesh is None:
        return bool
    split = NamedSharding(mesh, Spec(mesh.axis_names))
    any_asked = jax.jit(jnp.max, out_shardings=NamedSharding(mesh, Spec()))
    waiting: jax.Array | None = None

    def vote(asked: bool) -> bool:
        nonlocal waiting
        here = np.full(len(mesh.local_devices), asked, np.int32)
        before, waiting = waiting, any_asked(jax.make_array_from_process_local_data(split, here))
        return before is not None and bool(np.asarray(before))

    return vote


@contextmanager
def abort_on_error() -> Iterator[None]:
    """Among several processes, end this one on an error: closing files would wait for the others.

    `Stopped` and `TrainingError` are raised by all together and pass; process 0 alone tells them.
    """
    try:
        yield
    except (Stopped, TrainingError) as error:
        if is_main_process():
            raise
        sys.exit(exit_status(error))
    except SystemExit:
        raise
    except BaseException as error:
        if not jax.distributed.is_initialized() or jax.process_count() == 1:
            raise
        sys.stdout.flush()
        status = _tell(error)
        sys.stderr.flush()
        os._exit(status)


def _tell(error: BaseException) -> int:
    """Say why this process leaves; returns its exit status."""
    number, count = jax.process_index(), jax.process_count()
    if isinstance(error, Signalled):
        print(f"process {number} of {count}: {error}", file=sys.stderr)
        return 128 + error.number
    if isinstance(error, InputError):
        print(f"error: process {number} of {count}: {error}", file=sys.stderr)
        return EXIT_STATUS[InputError]
    lost = isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" not in str(error)
    if not lost:
        traceback.print_exception(error)
        return 1
    print(
        f"error: process {number} of {count} lost another process ({_first_line(error)}); the last "
        "checkpoint is sound: start all processes again with the same command",
        file=sys.stderr,
    )
    return EXIT_STATUS[TrainingError]


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or repr(error)).splitlines()[0][:300]
