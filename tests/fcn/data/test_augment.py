"""Flips, scales and crops in the graph, beside NumPy's and Pillow's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxdl.fcn.data.augment import augment
from jaxdl.fcn.data.batches import Batch

KEY = jax.random.key(3)


def make(sizes: list[tuple[int, int]], canvas: tuple[int, int] = (40, 56)) -> Batch:
    """Smooth images with stripes of classes; nothing outside them."""
    rng = np.random.default_rng(0)
    batch = Batch(
        np.zeros((len(sizes), *canvas, 3), np.uint8),
        np.full((len(sizes), *canvas), 255, np.uint8),
        np.array(sizes, np.int32),
    )
    for n, (h, w) in enumerate(sizes):
        if h:
            small = Image.fromarray(rng.integers(0, 256, (4, 5, 3), np.uint8))
            batch.images[n, :h, :w] = np.asarray(small.resize((w, h), Image.Resampling.BILINEAR))
            batch.labels[n, :h, :w] = np.arange(h * w).reshape(h, w) // 7 % 21
    return batch


def outside(batch: Batch) -> None:
    """Zero and void where no image is."""
    for image, label, (h, w) in zip(*map(np.asarray, batch), strict=True):
        assert not image[h:].any()
        assert not image[:, w:].any()
        assert (label[h:] == 255).all()
        assert (label[:, w:] == 255).all()
        assert h == 0 or (label[:h, :w] != 255).all()


@pytest.mark.slow
def test_without_anything_to_do_images_stay_as_they_are():
    batch = make([(40, 56), (33, 20), (0, 0), (1, 1)])
    for before, after in zip(batch, augment(KEY, batch, flip=False), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.slow
def test_half_of_the_images_are_mirrored_inside_their_own_part():
    batch = make([(30, 21)] * 40)
    done = augment(KEY, batch)
    outside(done)
    mirrored = 0
    for n in range(40):
        image, label = np.asarray(done.images[n, :30, :21]), np.asarray(done.labels[n, :30, :21])
        same = np.array_equal(image, batch.images[n, :30, :21])
        turned = slice(None) if same else slice(None, None, -1)
        mirrored += not same
        np.testing.assert_array_equal(image, batch.images[n, :30, :21][:, turned])
        np.testing.assert_array_equal(label, batch.labels[n, :30, :21][:, turned])
    assert 10 <= mirrored <= 30  # fails by chance once in 500 keys; the key is fixed


@pytest.mark.slow
@pytest.mark.parametrize("factor", [1.5, 2.0, 0.5])
def test_scaling_agrees_with_pillow(factor: float):
    """Bilinear between the same centres; Pillow smooths where it shrinks, so there by hand."""
    sizes = [(20, 24), (17, 11)]
    batch = make(sizes)
    done = augment(KEY, batch, flip=False, scale=(factor, factor))
    outside(done)
    for n, (h, w) in enumerate(sizes):
        new = round(h * factor), round(w * factor)
        assert tuple(done.sizes[n]) == new
        image = np.asarray(batch.images)[n, :h, :w]
        if factor > 1:
            enlarged = Image.fromarray(image).resize(new[::-1], Image.Resampling.BILINEAR)
            want = np.asarray(enlarged, float)
        else:
            want = by_hand(image, new)
        found = np.asarray(done.images[n, : new[0], : new[1]], float)
        assert np.abs(found - want).max() <= 1  # rounding twice, once
        rows, columns = (
            np.floor((np.arange(m) + 0.5) * old / m).astype(int)
            for m, old in zip(new, (h, w), strict=True)
        )
        label = batch.labels[n, :h, :w][rows][:, columns]
        np.testing.assert_array_equal(done.labels[n, : new[0], : new[1]], label)


def by_hand(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear, in float64, one pixel at a time."""
    h, w, _ = image.shape
    out = np.zeros((*size, 3))
    for i in range(size[0]):
        for j in range(size[1]):
            y = np.clip((i + 0.5) * h / size[0] - 0.5, 0, h - 1)
            x = np.clip((j + 0.5) * w / size[1] - 0.5, 0, w - 1)
            a, b = int(y), int(x)
            c, d = min(a + 1, h - 1), min(b + 1, w - 1)
            top = image[a, b] * (1 - x + b) + image[a, d] * (x - b)
            low = image[c, b] * (1 - x + b) + image[c, d] * (x - b)
            out[i, j] = top * (1 - y + a) + low * (y - a)
    return out


@pytest.mark.slow
def test_a_window_is_cut_from_what_is_larger_than_the_canvas():
    """Every window is one of the image's, and all places come."""
    batch = make([(40, 56)] * 64)
    done = augment(KEY, batch, flip=False, canvas=(38, 54))
    assert done.images.shape == (64, 38, 54, 3)
    assert (np.asarray(done.sizes) == (38, 54)).all()
    places = set()
    for n in range(64):
        found = [
            (i, j)
            for i in range(3)
            for j in range(3)
            if np.array_equal(done.images[n], batch.images[n, i : i + 38, j : j + 54])
            and np.array_equal(done.labels[n], batch.labels[n, i : i + 38, j : j + 54])
        ]
        assert len(found) == 1
        places.update(found)
    assert len(places) == 9


@pytest.mark.slow
def test_each_image_has_a_draw_of_its_own_that_its_neighbours_do_not_change():
    batch = make([(40, 56), (33, 20), (0, 0), (25, 50)])
    done = augment(KEY, batch, scale=(0.5, 2.0))
    outside(done)
    assert tuple(done.sizes[2]) == (0, 0)
    again = augment(KEY, Batch(*(array[:2] for array in batch)), scale=(0.5, 2.0))
    for whole, part in zip(done, again, strict=True):
        np.testing.assert_array_equal(whole[:2], part)
    other = augment(jax.random.key(4), batch, scale=(0.5, 2.0))
    assert not np.array_equal(done.images, other.images)
    compiled = jax.jit(lambda key, batch: augment(key, batch, scale=(0.5, 2.0)))(KEY, batch)
    difference = jnp.abs(compiled.images.astype(int) - done.images.astype(int))
    assert difference.max() <= 1  # a product and a sum may be one operation
    np.testing.assert_array_equal(compiled.labels, done.labels)
