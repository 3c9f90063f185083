"""3x3 convolutions by Winograd's F(2x2, 3x3): 4 products for each output where plain ones take 9.

The image is cut into tiles of 4x4 pixels that overlap by 2, each giving 2x2 outputs. Tiles and
kernels are transformed by sums and differences, multiplied as 16 matrix products (tiles x in) times
(in x out), one for each place in a tile, and transformed back. Both gradients are products of the
same kind. For CPUs: on a GPU cuDNN chooses for itself.

Error: less than thrice that of plain summation in float32 (tests/test_convolution.py).

Source: Lavin, Gray 2015, "Fast Algorithms for Convolutional Neural Networks", section 4.1.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Four = tuple[Array, Array, Array, Array]


def _tile(a: Array, b: Array, c: Array, d: Array) -> Four:
    """B^T: four pixels of a tile's row (or column)."""
    return a - c, b + c, c - b, b - d


def _kernel(a: Array, b: Array, c: Array) -> Four:
    """G: a kernel's three taps."""
    return a, (a + b + c) / 2, (a - b + c) / 2, c


def _kernel_back(p: Array, q: Array, r: Array, s: Array) -> tuple[Array, Array, Array]:
    """G^T, the transpose of `_kernel`."""
    return p + (q + r) / 2, (q - r) / 2, s + (q + r) / 2


def _outputs(p: Array, q: Array, r: Array, s: Array) -> tuple[Array, Array]:
    """A^T: two outputs."""
    return p + q + r, q - r - s


def _outputs_back(a: Array, b: Array) -> Four:
    """A, the transpose of `_outputs`."""
    return a, a + b, a - b, -b


def _halves(x: Float[Array, "b h w c"], before: int, rows: int, columns: int):
    """``(b, rows, 2, columns, 2, c)`` of x with zeros around it: its pixels two by two."""
    b, h, w, c = x.shape
    after = (2 * rows - h - before, 2 * columns - w - before)
    x = jnp.pad(x, ((0, 0), (before, after[0]), (before, after[1]), (0, 0)))
    return x.reshape(b, rows, 2, columns, 2, c)


def _of_tiles(x: Float[Array, "b h w c"]) -> Float[Array, "16 t c"]:
    """The transformed tiles."""
    h, w, c = x.shape[1:]
    x = _halves(x, 1, -(-h // 2) + 1, -(-w // 2) + 1)
    rows = _tile(x[:, :-1, 0], x[:, :-1, 1], x[:, 1:, 0], x[:, 1:, 1])
    found = [
        v
        for row in rows
        for v in _tile(row[:, :, :-1, 0], row[:, :, :-1, 1], row[:, :, 1:, 0], row[:, :, 1:, 1])
    ]
    return jnp.stack([v.reshape(-1, c) for v in found])


def _of_kernel(kernel: Float[Array, "3 3 i o"]) -> Float[Array, "16 i o"]:
    """The transformed kernels."""
    return jnp.stack([u for row in _kernel(*kernel) for u in _kernel(*row)])


def _of_gradient(g: Float[Array, "b h w o"]) -> Float[Array, "16 t o"]:
    """The outputs' gradient, transformed as the products need it."""
    h, w, o = g.shape[1:]
    g = _halves(g, 0, -(-h // 2), -(-w // 2))
    rows = _outputs_back(g[:, :, 0], g[:, :, 1])
    found = [m for row in rows for m in _outputs_back(row[:, :, :, 0], row[:, :, :, 1])]
    return jnp.stack([m.reshape(-1, o) for m in found])


def _products(a: Array, b: Array | list[Array], contracting: tuple[int, int]) -> list[Array]:
    """Sixteen matrix products, each for itself: XLA's CPU backend runs those with all cores."""
    dimensions = (((contracting[0],), (contracting[1],)), ((), ()))
    return [
        lax.dot_general(x, y, dimensions, precision=lax.Precision.HIGHEST)
        for x, y in zip(a, b, strict=True)
    ]


def _to_image(m: list[Array], size: tuple[int, ...]) -> Array:
    """The products (tiles, channels), transformed back and laid side by side."""
    b, h, w = size
    rows, columns = -(-h // 2), -(-w // 2)
    m = [p.reshape(b, rows, columns, -1) for p in m]
    across = [_outputs(*m[4 * n : 4 * n + 4]) for n in range(4)]
    down = [_outputs(*(across[n][side] for n in range(4))) for side in range(2)]
    y = jnp.stack([jnp.stack([down[side][row] for side in range(2)], 3) for row in range(2)], 2)
    return y.reshape(b, 2 * rows, 2 * columns, -1)[:, :h, :w]


def convolve(
    x: Float[Array, "b h w i"], kernel: Float[Array, "3 3 i o"]
) -> Float[Array, "b h w o"]:
    """Convolution of stride 1 with zero padding 1."""
    return _to_image(_products(_of_tiles(x), _of_kernel(kernel), (1, 0)), x.shape[:3])


def input_gradient(
    g: Float[Array, "b h w o"], kernel: Float[Array, "3 3 i o"]
) -> Float[Array, "b h w i"]:
    """Of `convolve`, for its input: a convolution with the kernel turned about.

    Turned about, G's first and last row change places; so nothing is copied to turn it.
    """
    turned = (3, 1, 2, 0)
    u = _of_kernel(kernel).reshape(4, 4, *kernel.shape[2:])
    u = [u[row, column] for row in turned for column in turned]
    return _to_image(_products(_of_tiles(g), u, (1, 1)), g.shape[:3])


def kernel_gradient(
    x: Float[Array, "b h w i"], g: Float[Array, "b h w o"]
) -> Float[Array, "3 3 i o"]:
    """Of `convolve`, for its kernel."""
    u = _products(_of_tiles(x), _of_gradient(g), (0, 0))
    across = [_kernel_back(*u[4 * n : 4 * n + 4]) for n in range(4)]
    down = [_kernel_back(*(across[n][tap] for n in range(4))) for tap in range(3)]
    return jnp.stack([jnp.stack([down[column][row] for column in range(3)]) for row in range(3)])
