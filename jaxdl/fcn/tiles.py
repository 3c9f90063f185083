"""Pictures of any size in bounded memory, by tiles that overlap.

Tiles begin at multiples of 32, so that their poolings are those of the whole picture. All tiles of
a larger picture have one canvas, hence one compiled program; each is told how much of the picture
lies to its right and below, which decides where the upsampling crops (`bilinear.crop_start`).

If neighbours overlap by twice the network's reach, they are cut in the middle of the overlap: every
pixel then has in its tile all that it depends on, and the result is that of the whole picture but
for rounding. If they overlap by less, their probabilities are blended linearly.
"""

import itertools
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from jaxdl.errors import InputError
from jaxdl.fcn.choices import Align
from jaxdl.fcn.models.bilinear import crop_start
from jaxdl.fcn.models.vgg import BLOCKS

GRID = 2 ** len(BLOCKS)  # a tile begins at a multiple of it

# Of padded images (1, h, w, 3) and sizes (1, 2): the probabilities (1, h, w, c).
Call = Callable[[UInt8[np.ndarray, "1 h w 3"], Any], Any]


class Tiling(NamedTuple):
    """How pictures are tiled, in pixels, the same on both axes.

    Attributes:
        side: of a tile.
        overlap: of neighbours.
        exact: they are cut in the middle of it; otherwise blended.
    """

    side: int
    overlap: int
    exact: bool


class Piece(NamedTuple):
    """A part of the result; the pieces of a picture are disjoint and cover it."""

    rows: slice
    columns: slice
    probabilities: Float[np.ndarray, "h w c"]


def _input_rows(level: int, first: int, last: int) -> tuple[int, int]:
    """The input rows that rows `first` to `last` of pool `level` are made of."""
    for _, convolutions in reversed(BLOCKS[:level]):
        first, last = 2 * first - convolutions, 2 * last + 1 + convolutions
    return first, last


def reach_at(size: int, stride: int, align: Align) -> int:
    """How far away (pixels, on an axis) an output pixel of an image of `size` depends on the input.

    An output row depends on two rows of the map that is upsampled, a row of that map on the pools
    that are added in it, and a row of a pool on rows twice as many and one more for each
    convolution, on both sides, block by block.
    """
    most = 0
    for row in range(GRID):  # farther rows repeat these
        level = stride.bit_length() - 1
        last = (row + int(crop_start(size, stride, align))) // stride
        first = last - 1
        low, high = _input_rows(level, first, last)
        while level < len(BLOCKS):
            start = int(crop_start(-(-size // 2**level), 2, align))
            first, last, level = (first + start) // 2 - 1, (last + start) // 2, level + 1
            below, above = _input_rows(level, first, last)
            low, high = min(low, below), max(high, above)
        most = max(most, row - low, high - row)
    return most


@lru_cache
def reach(stride: int, align: Align) -> int:
    """`reach_at`, the most of all sizes (it depends on the size's remainder by 32 alone)."""
    return max(reach_at(size, stride, align) for size in range(GRID, 2 * GRID))


def exact_overlap(stride: int, align: Align) -> int:
    """The least overlap that makes tiles exact: twice the reach, a multiple of 32."""
    return -(-2 * reach(stride, align) // GRID) * GRID


def tiling(side: int, overlap: int | None, stride: int, align: Align) -> Tiling:
    """The tiling that the user asks for.

    Args:
        side: of a tile, a multiple of 32.
        overlap: a multiple of 32; None for what makes tiles exact, or for half a tile if that is
            less.
        stride: of the FCN.
        align: of the FCN.

    Raises:
        InputError: tiles that lie on each other.
    """
    needed = exact_overlap(stride, align)
    if overlap is None:
        overlap = min(needed, side // 2 // GRID * GRID)
    if overlap >= side:
        raise InputError(f"--overlap {overlap}: must be less than --tile {side}")
    return Tiling(side, overlap, overlap >= needed)


def starts(size: int, tiles: Tiling) -> list[int]:
    """Where the tiles of an axis begin; the last one reaches its end."""
    step = tiles.side - tiles.overlap
    return [*range(0, max(1, size - tiles.overlap), step)]


def canvas_side(size: int) -> int:
    """A side that images of a like size share: a multiple of 32 up to 256 pixels, 128 beyond."""
    multiple = 32 if size <= 256 else 128
    return -(-size // multiple) * multiple


def pieces(call: Call, image: UInt8[np.ndarray, "h w 3"], tiles: Tiling) -> Iterator[Piece]:
    """The probabilities of a picture, piece by piece.

    Args:
        call: of a network and its parameters, `jaxdl.fcn.task.probabilities_batch`; compiled once
            for a canvas.
        image: RGB.
        tiles: of `tiling`.

    In memory are a tile and its probabilities; to blend, those of a row of tiles.
    """
    height, width = image.shape[:2]
    canvas = [min(tiles.side, canvas_side(size)) for size in (height, width)]
    places = starts(height, tiles), starts(width, tiles)

    def one(top: int, left: int) -> Float[np.ndarray, "h w c"]:
        part = image[top : top + canvas[0], left : left + canvas[1]]
        padded = np.zeros((1, *canvas, 3), np.uint8)
        padded[0, : part.shape[0], : part.shape[1]] = part
        found = call(padded, np.array([[height - top, width - left]], np.int32))
        return np.asarray(found)[0, : part.shape[0], : part.shape[1]]

    if tiles.exact:
        down, across = _cuts(places[0], height, tiles), _cuts(places[1], width, tiles)
        for top, rows in zip(places[0], down, strict=True):
            for left, columns in zip(places[1], across, strict=True):
                inside = (_moved(rows, top), _moved(columns, left))
                yield Piece(rows, columns, one(top, left)[inside])
        return
    down, across = _weights(places[0], height, tiles), _weights(places[1], width, tiles)
    below: Any = np.zeros((0, width, 1), np.float32)  # what rows of tiles before have added here
    for n, (top, weights) in enumerate(zip(places[0], down, strict=True)):
        band: Any = None
        for left, beside in zip(places[1], across, strict=True):
            found = one(top, left)
            if band is None:
                band = np.zeros((len(found), width, found.shape[-1]), np.float32)
                band[: len(below)] += below
            found = found * (weights[:, None] * beside)[..., None]
            band[:, left : left + len(beside)] += found
        end = height if n + 1 == len(down) else places[0][n + 1]
        yield Piece(slice(top, end), slice(0, width), band[: end - top])
        below = band[end - top :].copy()


def _moved(place: slice, by: int) -> slice:
    return slice(place.start - by, place.stop - by)


def _cuts(places: list[int], size: int, tiles: Tiling) -> list[slice]:
    """What is kept of each tile: up to the middle of its overlaps."""
    edges = [0, *(place + tiles.overlap // 2 for place in places[1:]), size]
    return [slice(*pair) for pair in itertools.pairwise(edges)]


def _weights(places: list[int], size: int, tiles: Tiling) -> list[Float[np.ndarray, " n"]]:
    """What each tile's pixels count for: up and down linearly in its overlaps; all sum to 1."""
    found, total = [], np.zeros(size, np.float32)
    for place in places:
        at = np.arange(place, min(place + tiles.side, size), dtype=np.float32)
        weights = np.ones(len(at), np.float32)
        if place != places[0] and tiles.overlap:
            weights = np.minimum(weights, (at - place + 0.5) / tiles.overlap)
        if place != places[-1] and tiles.overlap:
            weights = np.minimum(weights, (place + tiles.side - at - 0.5) / tiles.overlap)
        total[place : place + len(at)] += weights
        found.append(weights)
    return [w / total[p : p + len(w)] for p, w in zip(places, found, strict=True)]
