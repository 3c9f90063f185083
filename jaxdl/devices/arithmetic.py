"""Whether this JAX adds up right on a CPU: one compiled sum beside NumPy's.

jaxlib 0.10.2 does not: of more than 32,768 rows, it fills the rows after these with what happens to
lie in memory (jax-ml/jax#39103), in the fusions that it hands to the YNNPACK library. Small arrays
and operations run one by one are right, so no error and no small test tells.

NumPy and JAX alone are imported, as `jaxdl.doctor.probe` runs this in a process of its own.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

ROWS = (32_769, 40_000, 65_537)


def wrong_rows(counts: Sequence[int] = ROWS) -> dict[int, int]:
    """How many rows of each array come out wrong: number of its rows -> wrong ones, 0 if right.

    A row's three numbers are squared and added up, in float32 on the CPU and in float64 by NumPy.
    All are whole numbers below 2**24, which both formats hold: right is equal, in any order.

    Raises:
        RuntimeError: JAX_PLATFORMS leaves out the CPU.
    """

    def squares(rows):
        turn = jnp.eye(3, dtype=rows.dtype)
        return jax.vmap(lambda row: jnp.sum((turn @ row) ** 2))(rows)

    found = {}
    for count in counts:
        i = np.arange(count)
        rows = np.stack([i % 1009, i % 13, i % 7], axis=1).astype(np.float32)
        with jax.default_device(jax.devices("cpu")[0]):
            sums = np.asarray(jax.jit(squares)(rows))
        found[count] = int(np.sum(sums != np.square(rows.astype(np.float64)).sum(axis=1)))
    return found
