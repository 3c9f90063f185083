"""The FCN's operations as XLA's CPU backend runs them fastest; a reader of the model can skip them.

Equal to the plain ones of `jaxdl.fcn.models` but for rounding, which is all that is known of them
outside: `jaxdl.fcn.models.fcn.forms` chooses. Without this folder and that choice the project works
and trains slower on a CPU (benchmarks/README.md).
"""

from jaxdl.fcn.models.cpu.bands import block, block_again
from jaxdl.fcn.models.cpu.convolution import convolve
from jaxdl.fcn.models.cpu.upsampling import interpolate

__all__ = ["block", "block_again", "convolve", "interpolate"]
