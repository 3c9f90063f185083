"""Who takes part in a run on many hosts: from options, Slurm, Open MPI or Kubernetes' JobSet."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from jaxdl.errors import InputError

COORDINATOR_PORT = "55527"  # that of jax's own detection of Kubernetes


class Processes(NamedTuple):
    """Who takes part, as one of them sees it."""

    coordinator: str  # host:port of process 0
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
    if coordinator is None:
        raise InputError(
            "--coordinator is missing: HOST:PORT of process 0, reached by all processes"
        )
    if not re.fullmatch(r".+:\d{1,5}", coordinator):
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
    """The first host, and a port that follows from the job's number, as jax's own detection has."""
    needed = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID")
    if not {*needed, "SLURM_LOCALID"} <= set(environ):
        return None
    count, number = _number(environ, "SLURM_NTASKS"), _number(environ, "SLURM_PROCID")
    # Such as node[001-004,7],other: of each bracket the first.
    hosts = re.match(r"(\[[^]]*\]|[^],[])*", environ["SLURM_STEP_NODELIST"])
    host = re.sub(r"\[(\w*)[^]]*\]", r"\1", hosts[0] if hosts else "")
    port = _port(environ, _number(environ, "SLURM_JOB_ID") or 0)
    whole_host = count == _number(environ, "SLURM_STEP_NUM_NODES")
    return f"{host}:{port}", count, number, whole_host


def _open_mpi(environ: Mapping[str, str]) -> tuple[Any, ...] | None:
    """Up to its version 4 it names the host of ``mpirun``, where process 0 is by default."""
    if "OMPI_COMM_WORLD_SIZE" not in environ:
        return None
    names = ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE")
    count, number, here = (_number(environ, name) for name in names)
    # Such as 1531576320.0;tcp://10.96.0.1,10.148.0.1:34911; a job's number is a multiple of 2**12.
    uri = environ.get("OMPI_MCA_orte_hnp_uri", "")
    found = re.match(r"(\d+)\..*?tcp6?://(\[[^],]+|[^],:]+)", uri)
    if not found:
        return None, count, number, here == 1
    host = f"{found[2]}]" if found[2].startswith("[") else found[2]
    return f"{host}:{_port(environ, int(found[1]) >> 12)}", count, number, here == 1


def _port(environ: Mapping[str, str], job: int) -> str:
    """The coordinator's, another one for each of 4,096 jobs."""
    return environ.get("JAX_COORDINATOR_PORT") or str(61_440 + job % 4096)
