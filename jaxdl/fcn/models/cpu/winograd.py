"""3x3 convolutions by Winograd's F(2x2, 3x3): 4 products for each output where plain ones take 9.

The image is cut into tiles of 4x4 pixels that overlap by 2, each giving 2x2 outputs. Tiles and
kernels are transformed by sums and differences, multiplied as 16 matrix products (tiles x in) times
(in x out), one for each place in a tile, and transformed back. The input's gradient is of the same
kind. The rows of places are computed one after another: all 16 transformed places take 4 times the
memory of the image, and XLA's CPU backend by itself starts with all that can be started. This form
is for CPUs; on a GPU cuDNN chooses for itself.

Error: less than thrice that of plain summation in float32 (tests/fcn/models/test_cpu.py).

Source: Lavin, Gray 2015, "Fast Algorithms for Convolutional Neural Networks", section 4.1.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxdl.fcn.models.cpu.ordering import after

Four = tuple[Array, Array, Array, Array]


def _tile(a: Array, b: Array, c: Array, d: Array) -> Four:
    """B^T: four pixels of a tile's row (or column)."""
    return a - c, b + c, c - b, b - d


def _kernel(a: Array, b: Array, c: Array) -> Four:
    """G: a kernel's three taps."""
    return a, (a + b + c) / 2, (a - b + c) / 2, c


def _outputs(p: Array, q: Array, r: Array, s: Array) -> tuple[Array, Array]:
    """A^T: two outputs."""
    return p + q + r, q - r - s


def _halves(x: Float[Array, "b h w c"], before: int, rows: int, columns: int):
    """``(b, rows, 2, columns, 2, c)`` of x with zeros around it: its pixels two by two."""
    b, h, w, c = x.shape
    below, right = 2 * rows - h - before, 2 * columns - w - before
    x = jnp.pad(x, ((0, 0), (before, below), (before, right), (0, 0)))
    return x.reshape(b, rows, 2, columns, 2, c)


def _of_tiles(x: Float[Array, "b r 2 c 2 i"], row: int) -> list[Float[Array, "t i"]]:
    """A row of the transformed tiles."""
    rows = _tile(x[:, :-1, 0], x[:, :-1, 1], x[:, 1:, 0], x[:, 1:, 1])[row]
    found = _tile(rows[:, :, :-1, 0], rows[:, :, :-1, 1], rows[:, :, 1:, 0], rows[:, :, 1:, 1])
    return [v.reshape(-1, x.shape[-1]) for v in found]


def _of_kernel(kernel: Float[Array, "3 3 i o"], row: int) -> Four:
    """A row of the transformed kernels."""
    return _kernel(*_kernel(*kernel)[row])


def _products(a: list[Array], b: list[Array], contracting: tuple[int, int]) -> list[Array]:
    """A row's matrix products, each for itself: XLA's CPU backend runs those with all cores."""
    dimensions = (((contracting[0],), (contracting[1],)), ((), ()))
    return [
        lax.dot_general(x, y, dimensions, precision=lax.Precision.HIGHEST)
        for x, y in zip(a, b, strict=True)
    ]


def _outputs_of(
    x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 i o"], turned: bool
) -> Float[Array, "b h w d"]:
    """The convolution, or with the kernel turned about that of the outputs' gradient."""
    b, h, w, _ = x.shape
    rows, columns = -(-h // 2), -(-w // 2)
    x = _halves(x, 1, rows + 1, columns + 1)
    kernel, m, across = after(kernel, x), [], []
    # Turned about, G's first and last row change places; so nothing is copied to turn it.
    order, axis = ((3, 1, 2, 0), 1) if turned else (range(4), 0)
    for row in range(4):
        if m:
            x, kernel = after(x, m[-1]), after(kernel, m[-1])
        u = _of_kernel(kernel, order[row])
        m = _products(_of_tiles(x, row), [u[n] for n in order], (1, axis))
        across.append(_outputs(*(p.reshape(b, rows, columns, -1) for p in m)))
    down = [_outputs(*(across[n][side] for n in range(4))) for side in range(2)]
    y = jnp.stack([jnp.stack([down[side][row] for side in range(2)], 3) for row in range(2)], 2)
    return y.reshape(b, 2 * rows, 2 * columns, -1)[:, :h, :w]


def convolve(
    x: Float[Array, "b h w i"], kernel: Float[Array, "3 3 i o"]
) -> Float[Array, "b h w o"]:
    """Convolution of stride 1 with zero padding 1."""
    return _outputs_of(x, kernel, False)


def input_gradient(
    g: Float[Array, "b h w o"], kernel: Float[Array, "3 3 i o"]
) -> Float[Array, "b h w i"]:
    """Of `convolve`, for its input: a convolution with the kernel turned about."""
    return _outputs_of(g, kernel, True)
