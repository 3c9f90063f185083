"""Tiles: how far an output pixel sees, and that tiles are the whole picture's."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl.errors import InputError
from jaxdl.fcn.choices import Align
from jaxdl.fcn.models.fcn import FCN, init
from jaxdl.fcn.task import make_probabilities, probabilities_batch
from jaxdl.fcn.tiles import (
    GRID,
    Tiling,
    exact_overlap,
    pieces,
    reach,
    reach_at,
    tiling,
)

MEAN = jnp.full(3, 100.0)
FORMS = [(32, "exact"), (32, "center"), (8, "exact"), (8, "center")]


@cache
def network(stride: Any, align: Any, for_cpu: bool | None = None) -> tuple[FCN, Any]:
    """A narrow FCN whose scores are all random: fresh skips' would be zero."""
    model = FCN(stride, 3, 64, align, for_cpu=for_cpu)
    keys = iter(jax.random.split(jax.random.key(1), 100))

    def draw(name: Any, x: Any) -> Any:
        part = name[0].key
        return x if part == "trunk" else 0.1 * jax.random.normal(next(keys), x.shape)

    return model, jax.tree_util.tree_map_with_path(draw, init(model, jax.random.key(0)))


@pytest.mark.slow
@pytest.mark.parametrize(("stride", "align"), FORMS)
def test_an_output_pixel_sees_as_far_as_the_reach_and_no_farther(stride: int, align: Align):
    """A row of NaN, at each place relative to the grid: what it touches is NaN, all else is not."""
    model, params = network(stride, align, False)
    height = next(s for s in range(417, 449) if reach_at(s, stride, align) == reach(stride, align))
    x = np.zeros((GRID, 448, 1, 3), np.float32)
    rows = 192 + np.arange(GRID)
    x[np.arange(GRID), rows] = np.nan
    sizes = np.full((GRID, 2), (height, 1), np.int32)
    found = np.asarray(jax.jit(model.apply)({"params": params}, x, sizes))[:, :height]
    image, row = np.nonzero(np.isnan(found).any((2, 3)))
    assert np.abs(row - rows[image]).max() == reach(stride, align)


def joined(call: Any, image: np.ndarray, tiles: Tiling) -> np.ndarray:
    found = np.full((*image.shape[:2], 3), np.nan)
    for rows, columns, part in pieces(call, image, tiles):
        assert np.isnan(found[rows, columns]).all()
        found[rows, columns] = part
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stride", "align", "sizes"),
    [
        (32, "exact", [(641, 30)]),
        (32, "center", [(30, 587)]),
        (8, "exact", [(30, 587)]),
        (8, "center", [(451, 469), (97, 30)]),
    ],
)
def test_tiles_with_enough_overlap_are_the_whole_picture(
    stride: int, align: Align, sizes: list[tuple[int, int]]
):
    """Of odd sizes; one program for all tiles of a picture, one for a picture less than a tile."""
    model, params = network(stride, align)
    whole = make_probabilities(model, MEAN)
    traced = []

    def traces(images: Any, sizes: Any) -> Any:
        traced.append(1)
        return probabilities_batch(model, MEAN)(params, images, sizes)

    jitted = jax.jit(traces)
    overlap = exact_overlap(stride, align)
    tiles = tiling(overlap + 64, overlap, stride, align)
    assert tiles.exact
    rng = np.random.default_rng(0)
    for number, (h, w) in enumerate(sizes):
        blobs = rng.integers(0, 256, (-(-h // 8), -(-w // 8), 3), np.uint8)
        image = blobs.repeat(8, 0).repeat(8, 1)[:h, :w]
        expected = whole(params, image)
        np.testing.assert_allclose(joined(jitted, image, tiles), expected, atol=1e-5)
        if max(h, w) > tiles.side:  # less overlap is not enough
            less = joined(jitted, image, tiles._replace(overlap=32))
            assert np.abs(less - expected).max() > 1e-4
        assert len(traced) == number + 1


def same(images: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """A network that sees a pixel alone; what lies outside of the picture is NaN."""
    found = images / 256.0
    ((height, width),) = sizes
    found[:, height:], found[:, :, width:] = np.nan, np.nan
    return found


@pytest.mark.parametrize(
    "tiles",
    [Tiling(64, 32, False), Tiling(96, 64, False), Tiling(64, 0, False), Tiling(96, 64, True)],
)
@pytest.mark.parametrize("size", [(1, 1), (64, 65), (203, 131), (96, 97), (33, 300)])
def test_pieces_cover_a_picture_once_and_weights_sum_to_one(tiles: Tiling, size: tuple[int, int]):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    np.testing.assert_allclose(joined(same, image, tiles), image / 256, atol=1e-6)


def test_a_blend_goes_from_one_tile_to_the_next():
    """Tiles that each give their own number: a straight line between them."""
    count = iter(range(100))
    image = np.zeros((20, 160, 3), np.uint8)
    tiles = Tiling(96, 32, False)
    (piece,) = pieces(
        lambda x, _: np.full((*x.shape[:3], 2), next(count), np.float32), image, tiles
    )
    row = piece.probabilities[7, :, 0]
    np.testing.assert_allclose(row[:64], 0)
    np.testing.assert_allclose(row[64:96], (np.arange(32) + 0.5) / 32, atol=1e-6)
    np.testing.assert_allclose(row[96:], 1)


def test_the_default_overlap_is_exact_or_half_a_tile():
    assert tiling(1024, None, 8, "exact") == Tiling(1024, 320, True)
    assert tiling(256, None, 8, "exact") == Tiling(256, 128, False)
    assert not tiling(1024, exact_overlap(8, "center") - 32, 8, "center").exact
    with pytest.raises(InputError, match="--overlap 64: must be less than --tile 64"):
        tiling(64, 64, 8, "exact")
