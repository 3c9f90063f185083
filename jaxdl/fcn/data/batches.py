"""Mixed-size images in exact batches: a few canvases, and batch n as a function of (seed, n).

Each image lies at the top left of the smallest canvas that holds it, so that there is one compiled
program for each canvas. A batch holds images of one canvas; a short one is filled up with void
images (size 0 x 0, all labels void), which change nothing. Nothing here remembers where training
was: a run that resumes asks for batch n and gets the same one.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, UInt8

from jaxdl.errors import InputError
from jaxdl.fcn.choices import Cache
from jaxdl.fcn.data.decode import IGNORE, VOID

Canvas = tuple[int, int]
Decoded = dict[int, tuple[np.ndarray, np.ndarray]]


@runtime_checkable
class Example(Protocol):
    """One image with its label, as they lie in memory."""

    @property
    def id(self) -> str: ...

    @property
    def image(self) -> np.ndarray:
        """uint8 (h, w, 3)."""
        ...

    @property
    def label(self) -> np.ndarray:
        """uint8 (h, w), 255 is void."""
        ...


@runtime_checkable
class Examples(Protocol):
    """Random access to decoded examples (`jaxdl.fcn.data.records.Prepared`)."""

    @property
    def ids(self) -> tuple[str, ...]: ...

    @property
    def sizes(self) -> np.ndarray: ...

    def __getitem__(self, i: int) -> Example: ...


class Batch(NamedTuple):
    """The arrays of one batch on one canvas."""

    # uint8 (B, H, W, 3), 0 outside each image; or a frozen trunk's pools of them
    images: Any
    labels: Array | np.ndarray  # uint8 (B, H, W), 255 is void
    sizes: Array | np.ndarray  # int32 (B, 2), true heights and widths


class Stored(NamedTuple):
    """A batch by its places among images that lie on the device: nothing else leaves the host."""

    store: Batch  # all images of one canvas
    rows: Array | np.ndarray  # int32 (B,); a negative one is a void image


def gather(batch: Batch | Stored) -> Batch:
    """The batch itself; for use inside a jitted function."""
    if isinstance(batch, Batch):
        return batch
    rows = jnp.asarray(batch.rows)

    def take(name: str, void: int) -> Array:
        array = jnp.asarray(getattr(batch.store, name))
        keep = (rows >= 0).reshape(-1, *[1] * (array.ndim - 1))
        return jnp.where(keep, array[rows], jnp.asarray(void, array.dtype))

    return Batch(take("images", 0), take("labels", VOID), take("sizes", 0))


def part(batch: Batch | Stored, i: Array, of: int) -> Batch | Stored:
    """Number `i` of `of` batches that lie one after another in the rows of this one."""

    def rows(array: Any) -> Array:
        size = array.shape[0] // of
        return lax.dynamic_slice_in_dim(jnp.asarray(array), i * size, size)

    if isinstance(batch, Stored):
        return batch._replace(rows=rows(batch.rows))
    return jax.tree.map(rows, batch)


def preprocess(
    images: UInt8[Array, "b h w 3"], mean: Float[Array, " 3"]
) -> Float[Array, "b h w 3"]:
    """RGB bytes to the network's input: float32 minus the trunk's mean colour (RGB, 0..255)."""
    return images.astype(jnp.float32) - mean[None, None, None, :]


def class_labels(labels: UInt8[Array, "b h w"]) -> Int[Array, "b h w"]:
    """Label bytes to int32 classes, void (255) to -1."""
    return jnp.where(labels == VOID, IGNORE, labels.astype(jnp.int32))


def choose_canvases(
    sizes: Int[np.ndarray, "n 2"], count: int = 3, multiple: int = 32
) -> tuple[Canvas, ...]:
    """At most `count` canvases that hold all sizes, chosen greedily for the least padding.

    A canvas that no size uses is dropped, and one that is too large for its sizes shrinks to them.

    Args:
        sizes: heights and widths.
        count: how many programs may be compiled.
        multiple: sides are multiples of this.
    """
    sides = -(-np.asarray(sizes) // multiple) * multiple
    shapes, number = np.unique(sides, axis=0, return_counts=True)
    chosen: list[Canvas] = [(int(sides[:, 0].max()), int(sides[:, 1].max()))]
    tops = np.unique(sides[:, 0])
    candidates = [(int(h), int(w)) for h in tops for w in np.unique(sides[:, 1])]

    def area(canvases: Sequence[Canvas]) -> float:
        table = np.array(canvases)
        fits = (shapes[:, None, :] <= table[None, :, :]).all(-1)
        return float((np.where(fits, table.prod(1)[None, :], np.inf).min(1) * number).sum())

    def tighten(canvases: Sequence[Canvas]) -> list[Canvas]:
        of = assign_canvases(shapes, canvases)
        tops = [shapes[of == c].max(0) for c in np.unique(of)]
        return [(int(h), int(w)) for h, w in tops]

    while len(chosen) < count:
        best = min(candidates, key=lambda c: area(tighten([*chosen, c])))
        better = tighten([*chosen, best])
        if area(better) >= area(chosen):
            break
        chosen = better
    return tuple(sorted(chosen))


def assign_canvases(
    sizes: Int[np.ndarray, "n 2"], canvases: Sequence[Canvas]
) -> Int[np.ndarray, " n"]:
    """The smallest canvas that holds each size, as an index; InputError if one fits nowhere."""
    table = np.array(canvases)
    fits = (sizes[:, None, :] <= table[None, :, :]).all(-1)
    homeless = np.flatnonzero(~fits.any(axis=-1))
    if homeless.size:
        h, w = sizes[homeless[0]]
        raise InputError(f"an image of {h}x{w} fits none of the canvases {list(canvases)}")
    return np.where(fits, table.prod(1)[None, :], np.iinfo(np.int64).max).argmin(1)


class BatchSource:
    """Batches by number: ``source[n]`` is a pure function of the arguments and n.

    Args:
        examples: where images come from.
        indices: the examples to use (a split).
        canvases: (height, width) of each canvas.
        batch_size: images in a batch.
        seed: shuffles images and batches in each epoch; None keeps the order (evaluation).
        epochs: how many times over.
        cache: ``host`` keeps decoded bytes in memory, ``device`` keeps padded arrays on the device
            (a batch is then its places there, `Stored`), ``none`` reads and decodes each time.
        kept: what ``host`` has decoded, by example; given, it is shared with other sources of the
            same examples, so that stage after stage decodes nothing again.
        rows: of a batch, where that is more than `batch_size`: void images fill it up. Devices that
            share a batch must divide it.
        part: which of the rows this source gives (and reads); None for all. Each of several hosts
            has a source of its own part, and the ids, canvases and lengths are the same in all.
    """

    def __init__(
        self,
        examples: Examples,
        indices: Sequence[int],
        canvases: Sequence[Canvas],
        batch_size: int,
        *,
        seed: int | None,
        epochs: int = 1,
        cache: Cache = "host",
        kept: Decoded | None = None,
        rows: int | None = None,
        part: slice | None = None,
    ):
        rows = batch_size if rows is None else rows
        self._part = slice(0, rows) if part is None else part
        whole = (self._part.start, self._part.stop) == (0, batch_size)
        if rows < batch_size or not 0 <= self._part.start < self._part.stop <= rows:
            raise ValueError(f"rows {rows}, part {part} of batches of {batch_size}")
        if cache == "device" and not whole:
            raise InputError("--cache device keeps images on one device: use host with --mesh")
        self._examples, self._canvases = examples, tuple(canvases)
        self._batch_size, self._epochs, self._cache = batch_size, epochs, cache
        of = assign_canvases(examples.sizes[np.asarray(indices)], canvases)
        self._groups = [np.asarray(indices)[of == c] for c in range(len(canvases))]
        self.per_epoch = sum(-(-len(group) // batch_size) for group in self._groups)
        self._kept: Decoded = {} if kept is None else kept
        # Not a bound method: that would be a cycle, which keeps the images of a source not in use.
        lengths = [len(group) for group in self._groups]
        self._plan = lru_cache(maxsize=4)(partial(_epoch_plan, lengths, batch_size, seed))
        self._on_device: list[Batch] = []
        if cache == "device":
            self._on_device = [
                jax.device_put(self._pad(group, canvas))
                for group, canvas in zip(self._groups, self._canvases, strict=True)
            ]

    def __len__(self) -> int:
        return self.per_epoch * self._epochs

    def _where(self, n: int) -> tuple[int, np.ndarray]:
        if not 0 <= n < len(self):  # An IndexError also ends a for loop over the source.
            raise IndexError(f"batch {n} of {len(self)}")
        return self._plan(n // self.per_epoch)[n % self.per_epoch]

    def rows(self, n: int) -> list[int]:
        """The examples of batch n, by their numbers."""
        canvas, positions = self._where(n)
        return self._groups[canvas][positions].tolist()

    def ids(self, n: int) -> list[str]:
        """The ids of the images in batch n."""
        canvas, positions = self._where(n)
        return [self._examples.ids[i] for i in self._groups[canvas][positions]]

    def canvas(self, n: int) -> Canvas:
        """Height and width of batch n's canvas."""
        return self._canvases[self._where(n)[0]]

    def _read(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        if i in self._kept:
            return self._kept[i]
        example = self._examples[i]
        pair = example.image, example.label
        if self._cache == "host":
            self._kept[i] = pair
        return pair

    def _pad(self, indices: np.ndarray, canvas: Canvas, count: int | None = None) -> Batch:
        """The examples on their canvas, filled up to `count` with void images."""
        count = len(indices) if count is None else count
        batch = Batch(
            np.zeros((count, *canvas, 3), np.uint8),
            np.full((count, *canvas), VOID, np.uint8),
            np.zeros((count, 2), np.int32),
        )
        for row, i in enumerate(indices):
            image, label = self._read(int(i))
            h, w = label.shape
            batch.images[row, :h, :w] = image
            batch.labels[row, :h, :w] = label
            batch.sizes[row] = h, w
        return batch

    def __getitem__(self, index: int) -> Batch | Stored:
        canvas, positions = self._where(int(index))
        if self._cache == "device":
            rows = np.full(self._batch_size, -1, np.int32)
            rows[: len(positions)] = positions
            return Stored(self._on_device[canvas], rows)
        part = self._part
        return self._pad(
            self._groups[canvas][positions][part], self._canvases[canvas], part.stop - part.start
        )


def _epoch_plan(
    lengths: Sequence[int], batch_size: int, seed: int | None, epoch: int
) -> list[tuple[int, np.ndarray]]:
    """(canvas, positions in its group) of each batch of an epoch; groups have these lengths."""
    rng = None if seed is None else np.random.default_rng([seed, epoch])
    plan = []
    for canvas, length in enumerate(lengths):
        order = np.arange(length) if rng is None else rng.permutation(length)
        starts = range(0, length, batch_size)
        plan += [(canvas, order[s : s + batch_size]) for s in starts]
    return plan if rng is None else [plan[i] for i in rng.permutation(len(plan))]


def read_ahead(
    source: BatchSource, start: int = 0, stop: int | None = None, threads: int = 2, buffer: int = 4
) -> Iterator[Batch | Stored]:
    """Batches start, start + 1, ... stop - 1 in order, made by threads ahead of their use."""
    import grain  # here alone: steps and benchmarks on arrays run where it is not installed

    dataset = grain.MapDataset.source(source)[start:stop]
    return iter(dataset.to_iter_dataset(grain.ReadOptions(threads, buffer)))
