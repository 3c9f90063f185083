"""A network on labelled images: metrics of each, of all together, and what is doubtful in them."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, PyTree, UInt8

from jaxdl.devices.cpu_memory import reuse_temp_memory
from jaxdl.errors import InputError
from jaxdl.fcn.data.batches import Batch
from jaxdl.fcn.data.decode import VOID, read_image
from jaxdl.fcn.data.labels import MOST_VOID, some
from jaxdl.fcn.data.records import read_pair
from jaxdl.fcn.data.source import Source
from jaxdl.fcn.metrics import confusion_matrix, metrics_of
from jaxdl.fcn.models.fcn import FCN
from jaxdl.fcn.task import loss
from jaxdl.fcn.tiles import canvas_side
from jaxdl.files.text import visible

WORST = 10  # images on the page


class Image(NamedTuple):
    """One labelled image, and what the network makes of it.

    Attributes:
        id: of the pair.
        sha256: of the image's file.
        image: RGB.
        label: the network's class of each pixel, 255 is void.
        predicted: class of each pixel.
        confusion: pixels of true class (row) and predicted class (column), int64.
        loss: cross-entropy, summed over the valid pixels.
    """

    id: str
    sha256: str
    image: UInt8[np.ndarray, "h w 3"]
    label: UInt8[np.ndarray, "h w"]
    predicted: UInt8[np.ndarray, "h w"]
    confusion: Int[np.ndarray, "c c"]
    loss: float

    @property
    def pixels(self) -> int:
        return int(self.confusion.sum())

    @property
    def metrics(self) -> dict[str, Any]:
        """Of this image alone."""
        right = np.trace(self.confusion) / max(1, self.pixels)
        return metrics_of(self.confusion, self.loss, right, int(self.pixels > 0))


def map_classes(
    data: Sequence[str], network: Sequence[str], where: str
) -> UInt8[np.ndarray, "256"]:
    """The network's class of each value of the data's labels, by name; void stays void.

    Raises:
        InputError: the network does not know a name.
    """
    unknown = [name for name in data if name not in network]
    if unknown:
        raise InputError(
            f"{where}: its class {visible(unknown[0])!r} is none of the checkpoint's "
            f"({some(network)}); give the data's names with --class-names"
        )
    table = np.full(VOID + 1, VOID, np.uint8)
    table[: len(data)] = [list(network).index(name) for name in data]
    return table


def make_measure(
    model: FCN, mean: Float[np.ndarray, " 3"] | jax.Array
) -> Callable[[PyTree, np.ndarray, np.ndarray], tuple[np.ndarray, float, np.ndarray]]:
    """``measure(params, image, label)`` of one pair of any size: confusion, summed loss, classes.

    The label is the class of each pixel, uint8, 255 is void. Images of a like size share a compiled
    program, as in `jaxdl.fcn.task.make_predict`.
    """

    def one(params: PyTree, batch: Batch) -> Any:
        _, (_, (predicted, labels, total)) = loss(model, params, batch, mean=jnp.asarray(mean))
        return confusion_matrix(predicted, labels, model.num_classes), total, predicted

    run = reuse_temp_memory(jax.jit(one))

    def measure(params, image, label):
        h, w = label.shape
        canvas = canvas_side(h), canvas_side(w)
        images = np.zeros((1, *canvas, 3), np.uint8)
        labels = np.full((1, *canvas), VOID, np.uint8)
        images[0, :h, :w], labels[0, :h, :w] = image, label
        sizes = np.array([[h, w]], np.int32)
        confusion, total, predicted = jax.device_get(run(params, Batch(images, labels, sizes)))
        return confusion.astype(np.int64), float(total), predicted[0, :h, :w].astype(np.uint8)

    return measure


def measured(
    source: Source,
    ids: Sequence[str],
    table: UInt8[np.ndarray, "256"],
    measure: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, float, np.ndarray]],
) -> Iterator[Image]:
    """Each pair with what `measure(image, label)` finds.

    Raises:
        InputError: a pair that cannot be read.
    """
    for id in ids:
        pair = read_pair(source, id, len(source.classes))
        image, label = read_image(pair.image, source.image_name(id)), table[pair.label]
        confusion, total, predicted = measure(image, label)
        sha256 = hashlib.sha256(pair.image).hexdigest()
        yield Image(id, sha256, image, label, predicted, confusion, total)


class Totals(NamedTuple):
    """What an evaluation keeps."""

    rows: list[dict[str, Any]]  # of images.csv
    confusion: Int[np.ndarray, "c c"]
    metrics: dict[str, Any]
    worst: list[Image]
    hashes: set[str]
    void: float  # share of all pixels


def add_up(images: Iterator[Image], num_classes: int, say: Callable[[int], None]) -> Totals:
    """Metrics of all images together; a row for each; those of the lowest mean IU."""
    matrix = np.zeros((num_classes, num_classes), np.int64)
    rows: list[dict[str, Any]] = []
    worst: list[tuple[float, Image]] = []
    hashes: set[str] = set()
    sums, pixels = [0.0, 0.0, 0], 0
    for number, image in enumerate(images, 1):
        found = image.metrics
        row = {name: found[name] for name in ("pixel_accuracy", "mean_iu", "loss")}
        rows.append({"id": image.id, **row, "pixels": image.pixels})
        matrix += image.confusion
        hashes.add(image.sha256)
        pixels += image.label.size
        if image.pixels:
            sums = [sums[0] + image.loss, sums[1] + found["pixel_accuracy"], sums[2] + 1]
            worst = sorted([*worst, (found["mean_iu"], image)], key=lambda each: each[0])[:WORST]
        say(number)
    void = 1 - float(matrix.sum()) / max(1, pixels)
    metrics = metrics_of(matrix, *sums)
    return Totals(rows, matrix, metrics, [image for _, image in worst], hashes, void)


def trained_on(run: Path, hashes: set[str]) -> int:
    """How many of the image files (by sha256) a run was trained on, as far as its record tells."""
    try:
        train = (run / "splits" / "train.txt").read_text("utf-8").splitlines()
        sums = (run / "splits" / "sha256.txt").read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return 0
    of = {id.rpartition("/")[2]: [] for id in train}
    for id in train:
        of[id.rpartition("/")[2]].append(id)
    found = set()
    for line in sums:
        sha256, _, name = line.partition("  ")
        if sha256 not in hashes:
            continue
        stem = name[: name.rfind(".")] if "." in name.rpartition("/")[2] else name
        ids = of.get(stem.rpartition("/")[2], [])
        if any(stem == id or stem.endswith(f"/{id}") for id in ids):
            found.add(sha256)
    return len(found)


def data_doubts(totals: Totals, classes: Sequence[str]) -> list[str]:
    """What makes an evaluation on these labels doubtful.

    Raises:
        InputError: all labels are void.
    """
    if not totals.confusion.any():
        raise InputError(
            f"all pixels of all {len(totals.rows)} labels are void ({VOID}), which is left out: "
            "nothing can be evaluated; look at them with jaxdl fcn check"
        )
    found = []
    if totals.void > MOST_VOID:
        found.append(f"{totals.void:.0%} of the pixels of the labels are void ({VOID}): left out")
    if len(classes) > 1 and not totals.confusion[1:].any():
        found.append(
            f"no label has a pixel of a class but {some(classes[:1])}: the results say nothing of "
            "the others; masks of 0 and 255 need --mask-values 0 255"
        )
    return found
