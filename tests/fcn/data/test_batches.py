"""Every image once an epoch, on a canvas that holds it; batch n by its number alone."""

import weakref
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdl.errors import InputError
from jaxdl.fcn.data.batches import (
    Batch,
    BatchSource,
    Cache,
    Canvas,
    Stored,
    assign_canvases,
    choose_canvases,
    class_labels,
    gather,
    part,
    preprocess,
    read_ahead,
)

CANVASES: tuple[Canvas, ...] = ((8, 16), (16, 8), (16, 16))


class Picture(NamedTuple):
    id: str
    image: np.ndarray
    label: np.ndarray


class Pictures:
    """Random pictures in memory, and how often each was read."""

    def __init__(self, sizes):
        self.sizes = np.asarray(sizes, np.int32)
        self.ids = tuple(f"id{i}" for i in range(len(sizes)))
        self.reads: Counter[int] = Counter()

    def pixels(self, i: int) -> Picture:
        rng, size = np.random.default_rng(i), tuple(self.sizes[i])
        label = rng.choice(np.array([0, 1, 2, 255], np.uint8), size)
        return Picture(self.ids[i], rng.integers(1, 256, (*size, 3), np.uint8), label)

    def __getitem__(self, i: int) -> Picture:
        self.reads[i] += 1
        return self.pixels(i)


def some_pictures(number: int = 11) -> Pictures:
    return Pictures(np.random.default_rng(7).integers(1, 17, (number, 2)))


def make(
    pictures: Pictures,
    batch_size: int = 3,
    *,
    indices: Sequence[int] | None = None,
    seed: int | None = 5,
    epochs: int = 1,
    cache: Cache = "host",
) -> BatchSource:
    rows = range(len(pictures.ids)) if indices is None else indices
    return BatchSource(pictures, rows, CANVASES, batch_size, seed=seed, epochs=epochs, cache=cache)


def order(source: BatchSource) -> list[list[str]]:
    return [source.ids(n) for n in range(len(source))]


def flat(batches: list[list[str]]) -> list[str]:
    return [id for ids in batches for id in ids]


def same(a: Batch | Stored, b: Batch | Stored) -> None:
    a, b = (gather(x) if isinstance(x, Stored) else x for x in (a, b))
    for name in Batch._fields:
        left, right = getattr(a, name), getattr(b, name)
        assert (left.shape, left.dtype) == (right.shape, right.dtype)
        np.testing.assert_array_equal(left, right, name)


sides = st.lists(st.tuples(st.integers(1, 200), st.integers(1, 200)), min_size=1, max_size=30)


def padding(sizes: np.ndarray, canvases) -> int:
    """Pixels of all canvases used, with the images' own."""
    area = np.prod(np.array(canvases), axis=1)
    return int(area[assign_canvases(sizes, canvases)].sum())


@pytest.mark.slow
@given(sides, st.integers(1, 4), st.sampled_from([8, 32]))
@settings(deadline=None, max_examples=60)
def test_choose_canvases(sizes: list[Canvas], count: int, multiple: int):
    """They hold all sizes, are few, multiples, sorted, all used, tight; more of them pad less."""
    table = np.array(sizes)
    canvases = choose_canvases(table, count, multiple)
    of = assign_canvases(table, canvases)  # raises if one size fits nowhere
    assert 1 <= len(canvases) <= count
    assert canvases == tuple(sorted(set(canvases)))
    for number, canvas in enumerate(canvases):
        tight = -(-table[of == number].max(0) // multiple) * multiple
        assert canvas == tuple(tight)
    (whole,) = choose_canvases(table, 1, multiple)
    assert padding(table, canvases) <= padding(table, [whole])


def test_two_canvases_for_landscape_and_portrait():
    """VOC's two common sizes: the square that would hold both is not kept."""
    sizes = np.array([[375, 500]] * 5 + [[500, 375]] * 3)
    assert choose_canvases(sizes, 2) == ((384, 512), (512, 384))
    assert choose_canvases(sizes, 3) == ((384, 512), (512, 384))
    assert choose_canvases(sizes, 1) == ((512, 512),)


@given(sides)
@settings(deadline=None, max_examples=30)
def test_assign_picks_the_smallest_that_holds_it(sizes: list[Canvas]):
    canvases = ((64, 224), (224, 96), (128, 128), (224, 224))
    got = assign_canvases(np.array(sizes), canvases)
    for (h, w), number in zip(sizes, got, strict=True):
        holding = [a * b for a, b in canvases if h <= a and w <= b]
        assert canvases[number][0] >= h
        assert canvases[number][1] >= w
        assert np.prod(canvases[number]) == min(holding)


def test_size_that_fits_no_canvas_is_refused_by_name():
    with pytest.raises(InputError, match=r"33x20 .*\(32, 64\)"):
        assign_canvases(np.array([[10, 10], [33, 20]]), [(32, 64)])


cases = st.tuples(
    st.lists(st.tuples(st.integers(1, 16), st.integers(1, 16)), min_size=1, max_size=20),
    st.integers(1, 5),
    st.one_of(st.none(), st.integers(0, 2**32)),
)


@given(cases)
@settings(deadline=None, max_examples=30)
def test_every_image_once_in_each_epoch(case):
    """Also: all batches of one canvas are of one shape, and `per_epoch` counts them."""
    sizes, batch_size, seed = case
    source = make(Pictures(sizes), batch_size, seed=seed, epochs=3)
    assert len(source) == 3 * source.per_epoch
    for epoch in range(3):
        batches = range(epoch * source.per_epoch, (epoch + 1) * source.per_epoch)
        seen = [id for n in batches for id in source.ids(n)]
        assert sorted(seen) == sorted(f"id{i}" for i in range(len(sizes)))
        for n in batches:
            assert gather(source[n]).labels.shape == (batch_size, *source.canvas(n))
            assert 1 <= len(source.ids(n)) <= batch_size


@given(cases)
@settings(deadline=None, max_examples=30)
def test_batch_holds_its_images_and_nothing_else(case):
    """Each at the top left of the smallest canvas, void around it; rows left over are void."""
    sizes, batch_size, seed = case
    pictures = Pictures(sizes)
    source = make(pictures, batch_size, seed=seed)
    homes = [CANVASES[c] for c in assign_canvases(pictures.sizes, CANVASES)]
    for n in range(len(source)):
        ids, canvas = [int(id[2:]) for id in source.ids(n)], source.canvas(n)
        images = np.zeros((batch_size, *canvas, 3), np.uint8)
        labels = np.full((batch_size, *canvas), 255, np.uint8)
        true = np.zeros((batch_size, 2), np.int32)
        for row, i in enumerate(ids):
            assert homes[i] == canvas
            (h, w), picture = sizes[i], pictures.pixels(i)
            images[row, :h, :w], labels[row, :h, :w] = picture.image, picture.label
            true[row] = h, w
        same(source[n], Batch(images, labels, true))


def test_only_the_given_indices():
    source = make(some_pictures(), indices=[9, 2, 4], epochs=2)
    assert Counter(flat(order(source))) == {"id9": 2, "id2": 2, "id4": 2}


def test_no_seed_keeps_the_order():
    """Images of a canvas come in the order of the indices, in each epoch."""
    pictures = some_pictures()
    indices = [10, 3, 8, 0, 1, 2, 7, 6, 5, 4, 9]
    source = make(pictures, indices=indices, seed=None, epochs=2)
    homes = assign_canvases(pictures.sizes[indices], CANVASES)
    expected = [f"id{indices[n]}" for c in range(3) for n in np.flatnonzero(homes == c)]
    assert flat(order(source)) == 2 * expected


def test_order_depends_on_seed_and_epoch():
    pictures = Pictures(np.full((12, 2), 16))
    one, other = (make(pictures, seed=seed, epochs=2) for seed in (0, 1))
    first, second = order(one)[:4], order(one)[4:]
    assert first != second
    assert first != order(other)[:4]
    assert flat(first) != [f"id{i}" for i in range(12)]
    # Not only the batches' order: who is with whom changes too.
    assert {frozenset(ids) for ids in first} != {frozenset(ids) for ids in second}


def test_canvases_are_mixed_over_the_epoch():
    """A shuffled epoch does not train on one canvas first, then on the next."""
    sizes = [(8, 16)] * 20 + [(16, 8)] * 20
    source = make(Pictures(sizes), batch_size=1)
    shapes = [source.canvas(n) for n in range(40)]
    assert sum(a != b for a, b in zip(shapes[1:], shapes[:-1], strict=True)) > 5


def test_batch_n_is_the_same_whatever_was_asked_before():
    """What resume rests on: 30 epochs asked for backwards and at random; other epoch counts too."""
    straight = make(some_pictures(), epochs=30)
    expected = order(straight)
    total = len(straight)
    other = make(some_pictures(), epochs=40)
    jumps = np.random.default_rng(0).permutation(total)
    for n in [*range(total - 1, -1, -7), *(int(n) for n in jumps[:40])]:
        assert other.ids(n) == expected[n]
        same(other[n], straight[n])


@pytest.mark.parametrize("n", [-1, 10, 1000])
def test_batch_outside_the_source_is_an_index_error(n: int):
    source = make(some_pictures(5), batch_size=1, epochs=2)
    assert len(source) == 10
    for ask in (source.__getitem__, source.ids, source.canvas):
        with pytest.raises(IndexError, match=f"batch {n} of 10"):
            ask(n)


@pytest.mark.slow
def test_caches_give_equal_arrays():
    """Also with short batches, and for a canvas that no image uses."""
    pictures = Pictures([(3, 16), (16, 16), (9, 12), (8, 1), (1, 1), (16, 9), (2, 15)])
    none = make(pictures, 2, cache="none", epochs=2)
    host = make(pictures, 2, cache="host", epochs=2)
    device = make(pictures, 2, cache="device", epochs=2)
    assert (16, 8) not in {none.canvas(n) for n in range(len(none))}
    assert len(none) == 2 * 4
    for n in range(len(none)):
        same(host[n], none[n])
        same(device[n], none[n])
        stored = device[n]
        assert isinstance(stored, Stored)
        assert isinstance(stored.store.images, jax.Array)
        again: Any = device[n]
        assert stored.store.images is again.store.images  # never copied


@pytest.mark.parametrize(
    ("cache", "reads"), [("host", 1), ("device", 1), ("none", 3)], ids=["host", "device", "none"]
)
def test_how_often_an_image_is_decoded_in_three_epochs(cache, reads: int):
    pictures = some_pictures()
    source = make(pictures, cache=cache, epochs=3)
    for n in range(len(source)):
        _ = source[n]
    assert pictures.reads == dict.fromkeys(range(11), reads)


def test_sources_that_share_what_is_decoded_decode_once():
    pictures, kept = some_pictures(), {}
    sources = [
        BatchSource(pictures, range(len(pictures.ids)), CANVASES, 2, seed=seed, kept=kept)
        for seed in (0, 1)
    ]
    for source in sources:
        for n in range(len(source)):
            source[n]
    assert set(pictures.reads.values()) == {1}


@pytest.mark.slow
@pytest.mark.parametrize("cache", ["host", "device"])
def test_a_large_batch_is_its_parts(cache):
    """A dispatch of three batches, also one that void images fill up."""
    source = make(some_pictures(), 6, cache=cache)
    for n in range(len(source)):
        whole = gather(source[n])
        for i in range(3):
            piece = jax.jit(lambda batch, i: gather(part(batch, i, 3)))(source[n], i)
            same(piece, Batch(*(array[2 * i : 2 * i + 2] for array in whole)))


@pytest.mark.parametrize("cache", ["host", "device"])
def test_source_out_of_use_frees_its_images(cache):
    """At once, not when the collector comes round: the next stage needs the memory."""
    source = make(some_pictures(), cache=cache)
    _ = source[0]
    watch = weakref.ref(source)
    del source
    assert watch() is None


def test_batches_of_a_source_are_its_own():
    """Writing into a batch changes neither the cache nor the next batch."""
    source = make(some_pictures(), cache="host")
    before = source[0]
    first: Any = source[0]
    np.asarray(first.images)[:] = 0
    np.asarray(first.labels)[:] = 0
    same(source[0], before)


@pytest.mark.slow
@pytest.mark.parametrize("cache", ["host", "device", "none"])
def test_read_ahead_starts_anywhere(cache):
    """The batches of ``source[start]`` on, in order; resume at the end has nothing to do."""
    source = make(some_pictures(), cache=cache, epochs=2)
    for start in (0, 1, source.per_epoch, len(source) - 1, len(source)):
        batches = list(read_ahead(source, start))
        assert len(batches) == len(source) - start
        for n, batch in enumerate(batches, start):
            same(batch, source[n])


def test_read_ahead_stops_before_stop():
    source = make(some_pictures())
    batches = list(read_ahead(source, 1, 3))
    assert len(batches) == 2
    same(batches[1], source[2])


def test_bad_picture_is_reported_from_the_reading_threads():
    """The InputError itself reaches the one who trains, after the batches before it."""

    class Broken(Pictures):
        def __getitem__(self, i: int) -> Picture:
            if i == 7:
                raise InputError("id7: not a readable image")
            return super().__getitem__(i)

    source = make(Broken(np.full((12, 2), 16)), batch_size=1, seed=None)
    batches = read_ahead(source)
    for n in range(7):
        same(next(batches), source[n])
    with pytest.raises(InputError, match="id7: not a readable image"):
        next(batches)


def test_preprocess_subtracts_the_mean_colour():
    """In float32: bytes below the mean do not wrap round."""
    images = jnp.array([[[[0, 10, 255]]]], jnp.uint8)
    got = preprocess(images, jnp.array([123.5, 10.0, 100.25]))
    assert got.dtype == jnp.float32
    np.testing.assert_array_equal(got, [[[[-123.5, 0, 154.75]]]])


def test_class_labels_of_every_byte():
    got = class_labels(jnp.arange(256, dtype=jnp.uint8).reshape(1, 16, 16))
    assert got.dtype == jnp.int32
    np.testing.assert_array_equal(got.ravel(), [*range(255), -1])
