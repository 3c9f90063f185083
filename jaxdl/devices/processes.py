"""A run on many hosts: one process for each, started and ended together.

The engine is `jax.distributed`: its coordinator, its heartbeats, and collectives in the compiled
programs. Here is what a command needs around it: the start, and what must be the same in every
process (`broadcast_from_main`, `stop_vote`). `jaxdl.devices.launchers` finds who takes part, and
`jaxdl.devices.meeting` lets JAX start only when all are there and fit. A process that fails,
or notices that another has, leaves at once (`abort_on_error`): to end tidily it would wait for
the others, which wait for it.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as Spec

from jaxdl.devices import meeting
from jaxdl.devices.launchers import Processes
from jaxdl.errors import EXIT_STATUS, InputError, Stopped, TrainingError, exit_status
from jaxdl.signals import Signalled

START_SECONDS = 60  # for JAX's own start, of processes that have met
ALIKE = ("jaxdl-functional", "jax", "jaxlib", "numpy", "flax", "optax", "orbax-checkpoint")


def start(
    processes: Processes, lost_after: int = 60, options: Mapping[str, str] | None = None
) -> None:
    """Join the others; before any other use of JAX.

    Args:
        processes: of `find_processes`.
        lost_after: seconds of silence after which a process counts as lost, and all others end.
        options: of the command, which must be the same in all processes.

    Raises:
        TrainingError: the processes could not meet (see `jaxdl.devices.meeting`).
    """
    facts = {name: _version(name) for name in ALIKE} | dict(options or {})
    in_kubernetes = "KUBERNETES_SERVICE_HOST" in os.environ  # a pod's name is known when it runs
    meeting.meet(
        *(processes.coordinator, processes.number, processes.count, facts),
        bind=os.environ.get("JAX_COORDINATOR_BIND_ADDRESS"),
        unreachable=meeting.SECONDS if in_kubernetes else meeting.UNREACHABLE,
    )
    # Its handler would take SIGTERM from ours, and `stop_vote` does its work.
    jax.config.update("jax_enable_preemption_service", False)
    # gRPC would ask a web proxy for the coordinator, and wait for it in vain.
    jax.config.update("jax_check_proxy_envs", False)
    host, direct = processes.coordinator.rpartition(":")[0], "no_grpc_proxy"
    others = os.environ.get(direct) or os.environ.get("no_proxy", "")
    os.environ[direct] = f"{host.strip('[]')},{others}"
    # Empty: all devices. Left to itself, jax takes one for each process that a launcher started.
    all_devices = processes.whole_host and "JAX_LOCAL_DEVICE_IDS" not in os.environ
    try:
        jax.distributed.initialize(
            *processes[:3],
            local_device_ids=[] if all_devices else None,
            initialization_timeout=START_SECONDS,
            heartbeat_timeout_seconds=lost_after,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise TrainingError(
            f"--coordinator {processes.coordinator}: all processes came, and JAX could not start "
            f"({_first_line(error)}); run the same command again"
        ) from error


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"


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
