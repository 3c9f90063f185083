"""What the FCN benchmark gives to all programs: images of VOC's sizes, batches, an example."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.fcn.jax_runner import MEAN, random_params
from jaxdl.fcn.data.batches import Batch, BatchSource, choose_canvases
from jaxdl.fcn.data.scenes import make_scene
from jaxdl.fcn.models.fcn import FCN
from jaxdl.fcn.models.vgg import BLOCKS
from jaxdl.fcn.task import pixel_loss, predict_batch
from jaxdl.planner.jaxpr_cost import count_flops

CLASSES = 21
CANVASES = 4  # programs that we compile for a stream
LEAST = 64 * 64  # pixels of a batch: with fewer, starting a layer takes a good part of its time
# Heights and widths in a round of ten, about as often as in VOC2012: half of it is 375 x 500.
ROUND = (
    *((375, 500), (500, 375), (333, 500), (375, 500), (375, 500)),
    *((500, 333), (375, 500), (334, 500), (375, 500), (500, 375)),
)
RARE = ((500, 500), (281, 500), (366, 500), (442, 500))  # one of them ends each round


@dataclass(frozen=True, slots=True)
class Picture:
    """One drawn scene."""

    id: str
    image: np.ndarray
    label: np.ndarray


@dataclass(frozen=True, slots=True)
class Pictures:
    """Scenes in order, as `BatchSource` reads them."""

    pictures: tuple[Picture, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """Their numbers."""
        return tuple(picture.id for picture in self.pictures)

    @property
    def sizes(self) -> np.ndarray:
        """Heights and widths, int32."""
        return np.array([picture.label.shape for picture in self.pictures], np.int32)

    def __getitem__(self, i: int) -> Picture:
        return self.pictures[i]


def too_small(size: str, batch: int, width: int) -> str:
    """What to say of work that is too little to mean anything; empty if it is enough."""
    if width == 1 and (size == "voc" or batch * int(size) ** 2 >= LEAST):
        return ""
    return (
        f"{size}, batch {batch}, 1/{width} of the channels: too small; this times how layers "
        "start, and its share of the roof means nothing"
    )


def stream_sizes(count: int) -> list[tuple[int, int]]:
    """Sizes of a stream of `count` images."""
    rounds = [[*ROUND[:-1], RARE[n % len(RARE)]] for n in range(-(-count // len(ROUND)))]
    return [size for part in rounds for size in part][:count]


def draw(sizes: list[tuple[int, int]]) -> Pictures:
    """Scenes of these sizes."""
    drawn = [make_scene(np.random.default_rng([7, n]), *size) for n, size in enumerate(sizes)]
    return Pictures(tuple(Picture(str(n), *pair) for n, pair in enumerate(drawn)))


def single(pictures: Pictures) -> list[Batch]:
    """Each image alone and unpadded, in order."""
    return [
        Batch(p.image[None], p.label[None], np.array([p.label.shape], np.int32))
        for p in pictures.pictures
    ]


def on_canvases(pictures: Pictures, batch: int) -> list[Batch]:
    """Batches on `CANVASES` canvases: one image at a time in order, several by canvas."""
    canvases = choose_canvases(pictures.sizes, CANVASES, 1)
    made: list[Any]
    count = len(pictures.pictures)
    if batch == 1:
        sources = [BatchSource(pictures, [n], canvases, 1, seed=None) for n in range(count)]
        made = [source[0] for source in sources]
        return made
    source = BatchSource(pictures, range(count), canvases, batch, seed=None)
    made = [source[n] for n in range(len(source))]
    return made


def flops(stride: Any, width: int, step: bool, sizes: list[tuple[int, int]]) -> float:
    """Of all convolutions of these images alone and unpadded; a training step has three of each.

    conv1_1 needs no gradient of its input. (A peer that pads does more than is counted here.)
    """
    model, total = FCN(stride, CLASSES, width, for_cpu=False), 0.0
    predict = predict_batch(model, jnp.asarray(MEAN, jnp.float32))
    params = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"]
    first = 2 * 9 * 3 * BLOCKS[0][0] // width
    for (height, width_), count in Counter(sizes).items():
        image = jax.ShapeDtypeStruct((1, height, width_, 3), jnp.uint8)
        size = jax.ShapeDtypeStruct((1, 2), jnp.int32)
        forward = count_flops(jax.make_jaxpr(predict)(params, image, size))
        total += count * (3 * forward - first * height * width_ if step else forward)
    return total


def write_work(path: Path, batches: list[Batch]) -> None:
    """For the programs of the benchmark; read by `jax_runner.read_batches` and PyTorch's side."""
    arrays: dict[str, Any] = {
        f"{name}_{n}": np.asarray(array)
        for n, batch in enumerate(batches)
        for name, array in batch._asdict().items()
    }
    np.savez(path, **arrays)


def write_example(path: Path, stride: Any, width: int, size: tuple[int, int]) -> None:
    """An image, parameters, logits, loss and gradients, for the peer to compare with."""
    model = FCN(stride, CLASSES, width)
    batch = single(draw([size]))[0]
    params = random_params(model, seed=1)
    mean = jnp.asarray(MEAN, jnp.float32)
    loss_fn = pixel_loss(model, mean, "mean")
    (loss, _), grads = jax.jit(jax.value_and_grad(loss_fn, has_aux=True))(params, batch)
    images = np.asarray(batch.images, np.float32) - np.asarray(MEAN, np.float32)
    logits: Any = jax.jit(model.apply)({"params": params}, images, batch.sizes)
    named: dict[str, Any] = {"images": batch.images, "labels": batch.labels}
    named |= {"logits": logits, "loss": loss}
    for kind, tree in (("param", params), ("grad", grads)):
        layers = {**tree["trunk"], **{k: v for k, v in tree.items() if k != "trunk"}}
        for layer, weights in layers.items():
            named |= {f"{kind}_{layer}.{name}": array for name, array in weights.items()}
    arrays: dict[str, Any] = {name: np.asarray(array) for name, array in named.items()}
    np.savez(path, **arrays)
