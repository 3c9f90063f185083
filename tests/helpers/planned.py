"""``python -m tests.helpers.planned``: programs compiled for 8 virtual devices, as JSON.

A process of its own: the number of devices is fixed when JAX starts. Nothing is run.
"""

import json
import sys
from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec

from jaxdl.devices.mesh import abstract_mesh, make_mesh
from jaxdl.fcn import plan
from jaxdl.planner.hlo_cost import read_program
from jaxdl.planner.plan import Work, data_parallel, dense, word2vec
from jaxdl.planner.steps import Step
from jaxdl.word2vec import plan as projectsteps

DEVICES = 8
SHAPE = ((64, 64), "float32")  # of the FCN
WORDS = 4096


def compiled(step: Step) -> dict[str, Any]:
    done = step.call.trace(*step.args).lower().compile()
    memory = done.memory_analysis()
    return {
        "collectives": read_program(done.as_text()).collectives,
        "arguments": memory.argument_size_in_bytes,
        "temporary": memory.temp_size_in_bytes,
    }


def planned(work: Work) -> dict[str, Any]:
    memory = work.memory
    return {
        "collectives": {kind: each.bytes for kind, each in work.exchanges.items()},
        "arguments": memory.parameters + memory.optimizer + memory.inputs,
        "temporary": memory.gathered + memory.gradients + memory.activations,
    }


def main() -> None:
    """Print what was planned beside what was compiled."""
    jax.config.update("jax_num_cpu_devices", DEVICES)
    mesh, abstract = make_mesh(DEVICES), abstract_mesh(DEVICES)
    loss, _, _ = plan.fcn_loss(32, "float32")
    canvas, dtype = SHAPE
    one = dense(plan.fcn(32, "train", canvas, 1, dtype), jax.value_and_grad(loss, has_aux=True))
    step = plan.fcn(32, "train", canvas, DEVICES, dtype, mesh)

    def split(array: Any) -> Any:
        """By its last axis that the devices divide."""
        spec: list[str | None] = [None] * len(array.shape)
        for axis, side in enumerate(array.shape):
            if side % DEVICES == 0:
                spec = [None] * len(array.shape)
                spec[axis] = "data"
        layout = NamedSharding(mesh, PartitionSpec(*spec))
        return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=layout)

    shared = step._replace(args=(jax.tree.map(split, step.args[0]), *step.args[1:]))
    pairs = {
        name: (data_parallel(one, DEVICES, DEVICES, dtype="float32", fsdp=fsdp), real)
        for name, fsdp, real in (("dense", False, step), ("fsdp", True, shared))
    }
    word_step, its_plan = (
        projectsteps.word2vec(64 * DEVICES, 4, m, words=WORDS, width=32) for m in (mesh, abstract)
    )
    pairs["word2vec"] = word2vec(its_plan, DEVICES), word_step
    found = {
        name: {"planned": planned(work), "compiled": compiled(real)}
        for name, (work, real) in pairs.items()
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
