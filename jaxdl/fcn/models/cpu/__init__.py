"""The FCN's operations as XLA's CPU backend runs them fastest; a reader of the model can skip them.

Equal to the plain ones of `jaxdl.fcn.models` but for rounding, which is all that is known of them
outside: `jaxdl.fcn.models.fcn.forms` chooses. Without this folder and that choice the project works
and trains slower on a CPU. What each gains on one core of an Intel Xeon (family 6, model 207) with
jaxlib 0.10.1 at full width, the fastest of 5 to 10 calls:

- `winograd` (model 167): a step of FCN-8s, 224x224, takes 0.70 s with it and 0.77 s without, a
  prediction 0.16 and 0.23 s. Price: a step starts in 16 s and not in 7.
- kernels' gradients in `convolution` (model 167): conv1_2's, 500x500, 0.23 s and 0.70 s.
- `upsampling`: loss and gradient of FCN-32s' head, 500x500, 57 ms and 220 ms.
- `bands`: temporary memory of a step with --remat, 512x512, width 4: 52 MB in bands, 88 MB without
  bands, 111 MB without --remat, 149 MB in the plain form.
"""

from jaxdl.fcn.models.cpu.bands import block, block_again
from jaxdl.fcn.models.cpu.upsampling import interpolate

__all__ = ["block", "block_again", "interpolate"]
