"""The options of a run on many devices and hosts, the same for every subject that has them.

--mesh data=8                                         one process, eight devices
srun jaxdl fcn train --mesh data=16 ...               one process for each host
"""

import dataclasses
from typing import Annotated

from jaxdl.cli.options import Range

NAMES = ("mesh", "coordinator", "processes", "process_id", "lost_after")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """Many devices, many hosts; a run may be resumed on others than it began on."""

    mesh: str | None = None
    """The run uses these devices of all hosts together: data=N or data=N,model=M. Without --mesh
    it uses one device (the LSTM: all cores of a CPU)."""
    coordinator: str | None = None
    """Process 0 listens at this HOST:PORT. SLURM, Open MPI and JobSet set it by themselves."""
    processes: Annotated[int | None, Range(1)] = None
    """The run has so many processes, one for each host."""
    process_id: Annotated[int | None, Range(0)] = None
    """This process has this number, counted from 0."""
    lost_after: Annotated[int, Range(1, 86_400)] = 60
    """A process that is silent for so many seconds counts as lost, and the others stop."""
