"""The FCN's operations as XLA's CPU backend runs them fastest; a reader of the model can skip them.

Equal to the plain ones of `jaxdl.fcn.models` but for rounding, which is all that is known of them
outside: `jaxdl.fcn.models.fcn.forms` chooses. Without this folder and that choice the project works
and trains slower on a CPU. What each gains on one core of an Intel Xeon (family 6, model 207) with
jaxlib 0.10.1 at full width, the fastest of 5 to 10 calls:

- `winograd`: a step of FCN-8s, 224x224, takes 0.79 s with it and 1.48 s without, a prediction 0.20
  and 0.35 s. Price: compiling a step takes four times as long.
- pieces in `convolution`: conv1_2's kernel gradient, 500x500, 0.77 s and 1.49 s.
- `upsampling`: loss and gradient of FCN-32s' head, 500x500, 57 ms and 220 ms.
- `bands`: temporary memory of a step with --remat, 512x512, width 4: 52 MB in bands, 88 MB without
  bands, 111 MB without --remat, 149 MB in the plain form.
"""

from jaxdl.fcn.models.cpu.bands import block, block_again
from jaxdl.fcn.models.cpu.upsampling import interpolate

__all__ = ["block", "block_again", "interpolate"]
