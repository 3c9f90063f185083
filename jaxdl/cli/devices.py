"""The options of a run on many devices and hosts, the same in every experiment that has them.

--mesh data=8                                            one process, eight devices
srun python -m experiments.fcn --mesh data=16 ...        one process for each host
"""

import dataclasses
import os

from jax.sharding import Mesh

from jaxdl.devices import processes as hosts
from jaxdl.devices.mesh import make_mesh, parse_mesh
from jaxdl.errors import InputError


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
